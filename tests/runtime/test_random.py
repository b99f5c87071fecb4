"""Every number is a function of its key, and a part of the batch draws what the whole would give it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused

from gancore.games import noise
from gancore.random import (
    Key,
    RowRange,
    build_key,
    data_key,
    evaluation_key,
    noise_scope,
    preview_key,
    sample_key,
)

words = st.lists(st.one_of(st.integers(-3, 10**6), st.text(max_size=5)), min_size=1, max_size=4)
CPU = torch.device("cpu")


@given(words, words)
def test_a_seed_is_a_function_of_the_words_and_of_nothing_else(one, other):
    assert Key.of(*one).seed == Key.of(*one).seed
    assert (Key.of(*one).seed == Key.of(*other).seed) == (one == other)
    assert 0 <= Key.of(*one).seed < 2**63


def test_words_are_told_from_numbers_and_their_cuts():
    keys = [Key.of(1, 2), Key.of("1", 2), Key.of(12), Key.of("12"), Key.of(2, 1), Key.of(1) / 2 / "z"]
    assert len({key.seed for key in keys}) == len(keys)
    assert (Key.of(1) / 2).seed == Key.of(1, 2).seed


@pytest.mark.parametrize(
    ("key", "path"),
    [
        (build_key(3), (3, "build")),
        (data_key(3), (3,)),
        (sample_key(3), ("samples", 3)),
        (preview_key(3), ("preview", 3)),
        (evaluation_key("valid", 3), ("valid", 3)),
        (evaluation_key("evaluate", "log_prob", 0), ("evaluate", "log_prob", 0)),
        (evaluation_key("bandwidth"), ("bandwidth",)),
    ],
)
def test_the_roots_of_keys_have_these_paths_since_they_are_seeds(key, path):
    assert key == Key(path, CPU)
    assert sample_key(3, device="meta").device == torch.device("meta")


def test_draws_have_the_distribution_they_name():
    key = Key.of(0)
    normal, uniform = key.normal(20_000), key.uniform(20_000, low=-1.0, high=3.0)
    assert abs(normal.mean()) < 0.03 and normal.std() == pytest.approx(1, abs=0.02)
    assert uniform.min() >= -1 and uniform.max() < 3 and uniform.mean() == pytest.approx(1, abs=0.03)
    integers = key.integers(3, 1000, low=-2)
    assert sorted(integers.unique().tolist()) == [-2, -1, 0, 1, 2]
    assert torch.equal(key.permutation(50).sort().values, torch.arange(50))


def test_drawing_moves_no_other_generator():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    Key.of(0).normal(5)
    with noise_scope(Key.of(0), RowRange.all(4)):
        noise(4, CPU).uniform(4)
    assert torch.equal(before, torch.get_rng_state())


@given(st.integers(1, 12), st.data())
def test_parts_of_a_batch_draw_what_the_joined_batch_draws(total, data):
    start = data.draw(st.integers(0, total - 1))
    rows = RowRange(start, data.draw(st.integers(start + 1, total)), total)
    joined, part = Key.of(7).with_rows(RowRange.all(total)), Key.of(7).with_rows(rows)
    assert torch.equal(part.normal(rows.count, 2), joined.normal(total, 2)[rows.start : rows.stop])
    assert torch.equal(part.uniform(rows.count), joined.uniform(total)[rows.start : rows.stop])
    assert torch.equal(part.integers(9, rows.count), joined.integers(9, total)[rows.start : rows.stop])


def test_a_key_with_rows_refuses_a_draw_for_others():
    with refused(ValueError, "(3,)", 2):
        Key.of(0).with_rows(RowRange(0, 2, 8)).normal(3)


def evaluate(rows, copies=1):
    with noise_scope(Key.of(3), rows):
        count = rows.count * copies
        draws = noise(count, CPU)
        return [
            draws.uniform(count, 2), draws.normal(count), draws.integers(-1, 2, count),
            draws.shared_integers(0, 100, 3),
        ]  # fmt: skip


def test_the_same_evaluation_has_the_same_noise_and_no_two_draws_of_it_are_alike():
    one, other = evaluate(RowRange.all(6)), evaluate(RowRange.all(6))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    with noise_scope(Key.of(3), RowRange.all(6)):
        assert not torch.equal(noise(6, CPU).uniform(6), noise(6, CPU).uniform(6))


@pytest.mark.parametrize("copies", [1, 2])
def test_noise_of_a_part_is_the_joined_noise_cut_in_every_stacked_copy(copies):
    joined, part = evaluate(RowRange.all(6), copies), evaluate(RowRange(2, 4, 6), copies)
    for whole, cut in zip(joined[:3], part[:3], strict=True):
        expected = whole.view(copies, 6, *whole.shape[1:])[:, 2:4].flatten(0, 1)
        assert torch.equal(cut, expected)
    assert torch.equal(joined[3], part[3])
    if copies == 2:
        assert not torch.equal(joined[0][:6], joined[0][6:])


def test_noise_for_rows_that_are_no_copies_of_the_batch_is_refused():
    with noise_scope(Key.of(3), RowRange.all(6)), refused(ValueError, 4, 6):
        noise(4, CPU).uniform(4)


def test_outside_a_scope_noise_is_fresh():
    assert not torch.equal(noise(6, CPU).uniform(6), noise(6, CPU).uniform(6))


def test_a_key_for_each_row_is_a_function_of_its_number_in_the_global_batch():
    key = Key.of("each")
    whole, part = key.with_rows(RowRange.all(6)).each(6), key.with_rows(RowRange(2, 4, 6)).each(2)
    assert part == whole[2:4] and key.each(6) == whole
    assert len({each.seed for each in whole}) == 6 and all(each.rows is None for each in whole)
    assert part[0].uniform(3).shape == (3,)
    with refused(ValueError, 5, 2):
        key.with_rows(RowRange(2, 4, 6)).each(5)
