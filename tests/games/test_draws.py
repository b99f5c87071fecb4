"""What a move looks at is a function of (seed, step, index, name), however the batch is cut."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from toy_games import Rows as View
from toy_games import points

from gancore.data.dataset import Batch
from gancore.games import Representation, noise
from gancore.games.draw import BatchSource, EpochSampler
from gancore.games.representation import Identity
from gancore.random import Key, RowRange


def batches(data=None, seed=0, representation=None):
    views = {"train": View(points(10) if data is None else data)}
    return BatchSource(views, representation or Identity(), seed, torch.device("cpu"))


def deal(step=0, index=0, seed=0, rows=None, **settings):
    return batches(seed=seed, **settings).draw(step, index, rows or RowRange.all(4), step, 0.0)


def test_the_same_names_give_the_same_numbers_and_each_word_counts():
    assert torch.equal(deal().normal(3), deal().normal(3))
    assert torch.equal(deal().real().data, deal().real().data)
    others = [deal(step=1), deal(index=1), deal(seed=1)]
    assert not any(torch.equal(deal().normal(3), other.normal(3)) for other in others)
    assert not torch.equal(deal().normal(3), deal().normal(3, name="other"))


@given(st.integers(1, 7), st.lists(st.integers(1, 9), min_size=1, max_size=12))
def test_every_row_is_met_once_an_epoch_however_batches_fall(length, counts):
    order, position, met = EpochSampler(length, Key.of(0)), 0, []
    for count in counts:
        met += order.indices(position, count).tolist()
        position += count
    assert met == EpochSampler(length, Key.of(0)).indices(0, position).tolist()
    whole = position // length * length
    assert all(n == position // length for n in Counter(met[:whole]).values())
    assert len(set(met[whole:])) == len(met) - whole


def test_epochs_and_moves_have_orders_of_their_own():
    order = EpochSampler(50, Key.of(0))
    assert not torch.equal(order.indices(0, 50), order.indices(50, 50))
    one = batches(torch.arange(50.0))
    assert not torch.equal(
        one.indices("train", 0, 0, RowRange.all(50)), one.indices("train", 1, 0, RowRange.all(50))
    )


def test_micro_batches_are_disjoint_parts_of_the_joined_batch():
    joined, parts = deal(rows=RowRange.all(8)), list(deal(rows=RowRange.all(8)).micro_batches(4))
    assert torch.equal(torch.cat([part.real().data for part in parts]), joined.real().data)
    assert torch.equal(torch.cat([part.normal(3) for part in parts]), joined.normal(3))
    assert torch.equal(torch.cat([part.uniform() for part in parts]), joined.uniform())
    assert len({tuple(row) for part in parts for row in part.real().data.tolist()}) == 8


def test_a_condition_belongs_to_the_rows_whether_or_not_they_were_looked_at():
    class Offers(View):
        def get_conditions(self, indices):
            return self.condition[indices]

    for kind in (View, Offers):
        made = BatchSource({"train": kind(points(10), torch.arange(10))}, Identity(), 0, torch.device("cpu"))
        alone = made.draw(3, 1, RowRange.all(4), 3, 0.0)
        after = made.draw(3, 1, RowRange.all(4), 3, 0.0)
        reals = after.real()
        assert torch.equal(alone.condition(), after.condition())
        assert torch.equal(reals.data, points(10)[after.condition()])


class Dequantization(Representation):
    """Adds noise, as a flow on integers needs."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def encode(self, batch):
        x = self.layer(batch.data)
        return Batch(x + noise(len(x), x.device).uniform(*x.shape), batch.condition)

    def decode(self, outputs):
        return outputs


def test_noise_of_a_representation_disturbs_no_other_noise_and_is_cut_with_the_rows():
    torch.manual_seed(0)
    representation = Dequantization()
    draw = deal(rows=RowRange.all(8), representation=representation)
    seen = []
    for _ in range(2):  # the reals are kept from the first time on
        with draw.noise():
            draw.real()
            seen.append(noise(8, draw.device).uniform(8))
    assert torch.equal(*seen)
    parts = [
        p.real().data for p in deal(rows=RowRange.all(8), representation=representation).micro_batches(2)
    ]
    assert torch.allclose(torch.cat(parts), draw.real().data)


def test_a_representation_encodes_in_full_precision_and_without_gradient():
    draw = deal(representation=Dequantization())
    with torch.autocast("cpu", torch.bfloat16):
        data = draw.real().data
    assert data.dtype is torch.float32 and not data.requires_grad


def test_an_unknown_view_is_no_view():
    with pytest.raises(KeyError):
        deal().real("other")
