"""Splits are mappings of views, and a plain view is stored under the name of its split."""

from dataclasses import replace

import pytest
import torch
from refusals import refused

import gancore
from gancore.data.dataset import Batch, Data, Spec, TensorView, View, to_if_small
from gancore.errors import ConfigError, DataError
from gancore.games.draw import BatchSource
from gancore.games.representation import Identity
from gancore.random import Key, RowRange

ROWS = TensorView(torch.arange(12.0)[:, None], torch.arange(12))
OTHERS = TensorView(torch.zeros(3, 1))
SPEC = Spec({})


def test_a_plain_view_is_stored_under_its_splits_name():
    data = Data(ROWS, OTHERS, {"a": OTHERS, "b": ROWS}, SPEC, fingerprint="f")
    assert (data.train, data.valid) == ({"train": ROWS}, {"valid": OTHERS})
    assert data.view("train") is ROWS and data.view("test") is OTHERS and data.views("test")["b"] is ROWS
    changed = replace(data, valid=ROWS)
    assert changed.view("valid") is ROWS and changed.train == data.train and changed.fingerprint == "f"


@pytest.mark.parametrize("given", [torch.zeros(3, 1), [1, 2], None, {"a": torch.zeros(3)}])
def test_what_is_no_view_is_refused_in_words(given):
    with refused(DataError, "gancore.View", fix="gancore.TensorView"):
        Data(ROWS, given, ROWS, SPEC)


def test_an_unknown_split_is_named_with_the_nearest_and_an_empty_one_is_said():
    data = Data(ROWS, {}, ROWS, SPEC)
    with refused(ConfigError, "trian", fix="train"):
        data.view("trian")
    with refused(ConfigError, "valid"):
        data.view("valid")


def test_the_key_of_a_draw_holds_the_name_train():
    data = Data(ROWS, OTHERS, OTHERS, SPEC)
    batches = BatchSource(data.train, Identity(), 5, torch.device("cpu"))
    drawn = batches.draw(2, 0, RowRange.all(4), 0, 0.0).real()
    order = (Key.of(5) / "order" / "train" / 0 / 0).permutation(12)[:4]
    assert torch.equal(drawn.data, ROWS.data[order]) and torch.equal(drawn.condition, ROWS.condition[order])
    noisy = BatchSource({"train": Noisy()}, Identity(), 5, torch.device("cpu"))
    key = (Key.of(5) / 2 / 0 / "real" / "train").with_rows(RowRange.all(4))
    assert torch.equal(noisy.draw(2, 0, RowRange.all(4), 0, 0.0).real().data, key.normal(4, 2))


class Noisy(View):
    """Defines what a view must, and no more."""

    def __len__(self):
        return 12

    def get_batch(self, indices, key):
        return Batch(key.normal(len(indices), 2), indices)


def test_the_optional_members_have_defaults():
    view, rows = Noisy(), torch.tensor([3, 1])
    assert not view.has_cheap_conditions and torch.equal(view.get_conditions(rows), rows)
    assert view.get_origins(rows, Key.of(0)) == []
    assert to_if_small(view, torch.device("cpu"), 1e9) is view
    for method, arguments in (("__len__", ()), ("get_batch", (rows, Key.of(0)))):
        with pytest.raises(TypeError, match=f"View must define {method}"):
            getattr(View(), method)(*arguments)


def test_the_names_are_public():
    assert gancore.View is View and gancore.TensorView is TensorView
