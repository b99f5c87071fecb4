"""How samples are called, on files and in overviews."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gancore.data.dataset import Spec
from gancore.samples import Samples, file_name_part

SPEC = Spec({"classes": ["cat", "a/b"]})


def samples(n: int, labels: list[int] | None = None, **result) -> Samples:
    return Samples(torch.zeros(n, 2), SPEC, None if labels is None else torch.tensor(labels), **result)


def test_samples_are_numbered_and_labelled():
    assert samples(2).file_stems() == ["0001", "0002"]
    assert samples(2, [1, 0]).file_stems() == ["0001-a_b", "0002-cat"]
    assert samples(2, [1, 0]).labels() == ["a/b", "cat"]


def test_what_belongs_side_by_side_is_named_by_row_and_column():
    assert samples(4, [0, 0, 1, 1], columns=2).file_stems() == [
        "0001-01-cat",
        "0001-02-cat",
        "0002-01-a_b",
        "0002-02-a_b",
    ]


def test_captions_stand_in_place_of_labels():
    assert samples(2, [0, 0], headings=["x", "y"]).titles() == ["x", "y"]
    assert samples(2, [0, 0]).titles() == ["cat", "cat"]


def test_a_label_stands_once_in_a_row_of_those_that_share_it():
    side_by_side = samples(4, [0, 0, 0, 1], columns=2)
    assert side_by_side.titles() == ["cat", "", "cat", side_by_side.labels()[3]]


@settings(deadline=None)
@given(st.integers(1, 12_000), st.integers(0, 12))
def test_stems_sort_as_the_samples_do_and_are_all_different(n, columns):
    n -= n % max(1, columns)
    stems = samples(n, columns=columns).file_stems()
    assert stems == sorted(stems) and len(set(stems)) == n


@pytest.mark.parametrize(
    ("label", "name"),
    [("../../etc", "etc"), ("", "label"), ("///", "label"), ("größe 3", "größe_3"), ("a" * 99, "a" * 40)],
)
def test_a_label_cannot_leave_the_folder(label, name):
    assert file_name_part(label) == name


@given(st.text(max_size=60))
def test_any_label_can_be_part_of_a_name(label):
    name = file_name_part(label)
    assert name and len(name) <= 40 and not re.search(r"[\s/\\.:\x00]", name)


def test_an_overview_shows_whole_rows_and_one_at_least():
    assert samples(100).overview_count(16, 64) == 16
    assert samples(100, columns=10).overview_count(16, 64) == 60
    assert samples(100, columns=100).overview_count(16, 64) == 100
    assert samples(20, columns=10).overview_count(16, 64) == 20
