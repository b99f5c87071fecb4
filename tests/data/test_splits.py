"""Splits depend on what an item is, not on what stands beside it."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from refusals import refused

from gancore.data.splits import assign_splits, group_by_split, hash_split
from gancore.errors import DataError

NAMES = [f"item-{number}" for number in range(2000)]


def test_shares_are_kept():
    counts = Counter(hash_split(name) for name in NAMES)
    assert abs(counts["train"] - 1600) < 60
    assert abs(counts["valid"] - 200) < 50
    assert abs(counts["test"] - 200) < 50


def test_new_items_move_no_old_one():
    before = dict(zip(NAMES[:500], assign_splits(NAMES[:500]), strict=True))
    after = dict(zip(NAMES, assign_splits(NAMES), strict=True))
    assert all(after[name] == split for name, split in before.items())


def test_large_sets_are_split_by_split_of_alone():
    assert assign_splits(NAMES) == [hash_split(name) for name in NAMES]


@given(st.sets(st.text(max_size=8), min_size=3, max_size=12))
def test_every_split_of_three_or_more_has_an_item(names):
    assert set(assign_splits(sorted(names))) == {"train", "valid", "test"}


@given(st.sets(st.text(max_size=8), min_size=3, max_size=12))
def test_order_does_not_matter(names):
    forward, backward = sorted(names), sorted(names, reverse=True)
    assert assign_splits(forward) == assign_splits(backward)[::-1]


def test_equal_items_stay_together():
    splits = assign_splits(["a", "b", "a", "c", "b", "a"])
    assert splits[0] == splits[2] == splits[5]
    assert splits[1] == splits[4]


def test_a_share_of_nothing_gives_an_empty_split():
    assert set(assign_splits(NAMES[:50], (0.9, 0.1, 0.0))) == {"train", "valid"}


def test_two_items_cannot_be_split_in_three():
    with refused(DataError, 2, fix=3):
        assign_splits(["a", "b", "a"])


def test_names_go_to_their_splits_in_order():
    assert group_by_split(["a", "b", "c", "d"], ["test", "train", "test", "train"]) == {
        "train": ["b", "d"],
        "valid": [],
        "test": ["a", "c"],
    }
