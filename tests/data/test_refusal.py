"""What cannot be used is told by name, whatever the name and however many there are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gancore.data.refusal import refusal_lines, some
from gancore.texts import printable

THIRTY = [(f"file {number}", "it is empty") for number in range(30)]


def test_a_few_are_told_in_a_line_and_the_rest_counted():
    assert some(THIRTY[:2]) == "file 0: it is empty; file 1: it is empty"
    assert some(THIRTY, most=1) == "file 0: it is empty; and 29 more"


def test_none_is_said():
    assert refusal_lines([], None) == ["skipped: none"]


def test_many_are_listed_in_a_file(tmp_path):
    lines = refusal_lines(THIRTY, tmp_path)
    assert lines[:2] == ["skipped: 30", "  file 0: it is empty"] and len(lines) == 22
    assert lines[-1] == f"  and 10 more, all in {tmp_path / 'skipped.txt'}"
    assert (tmp_path / "skipped.txt").read_text().splitlines() == [
        f"{name}\t{reason}" for name, reason in THIRTY
    ]


def test_a_heading_stands_for_the_count():
    assert refusal_lines(THIRTY[:1], None, "1, alas") == ["skipped: 1, alas", "  file 0: it is empty"]


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path):
    assert len(refusal_lines(THIRTY, tmp_path / "gone")) == 22


@given(st.binary(min_size=1, max_size=20))
def test_any_name_can_be_printed_on_one_line(name):
    text = printable(name.decode("utf-8", "surrogateescape"))
    assert text.isprintable() and text.encode()


@given(st.text(st.characters(categories=["L", "N", "P"]), max_size=20))
def test_names_that_are_text_stay_as_they_are(name):
    assert printable(name) == name
