"""Budgets as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gancore.budget import Budget, parse_count, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10m", 600),
        ("90s", 90),
        ("1h", 3600),
        ("1.5 hours", 5400),
        ("0.5s", 0.5),
        (" 10 MIN ", 600),
        ("120", 120),
        ("0.5", 0.5),
    ],
)
def test_a_duration_is_a_number_with_an_optional_unit(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(("text", "number"), [("20000", 20_000), ("2e4", 20_000), (" 1e6 ", 1_000_000)])
def test_a_count_may_have_an_exponent(text, number):
    assert parse_count(text) == number and type(parse_count(text)) is int


@pytest.mark.parametrize("value", [None, 3, 2.5, True, [1]])
def test_other_types_are_left_to_the_type_of_the_key(value):
    assert parse_duration(value) is value and parse_count(value) is value


@pytest.mark.parametrize(
    ("parse", "text", "expected"),
    [
        (parse_duration, "m", "not a number"),
        (parse_duration, "", "not a number"),
        (parse_duration, "-5m", "not a number"),
        (parse_duration, "1.2.3s", "not a number"),
        (parse_duration, "1e999s", "not a number"),
        (parse_duration, "10 minuts", "did you mean 'minutes'?"),
        (parse_duration, "10 days", "unknown unit 'days'"),
        (parse_duration, "20000 steps", "unknown unit 'steps'"),
        (parse_duration, "0s", "greater than 0"),
        (parse_duration, "1e30", "too large"),
        (parse_duration, "nan s", "not a number"),
        (parse_duration, "10 m 5 s", "not a number"),
        (parse_count, "many", "not a number"),
        (parse_count, "1.5", "an integer is expected"),
        (parse_count, "6 steps", "without a unit"),
        (parse_count, "0", "greater than 0"),
        (parse_count, "1e30", "too large"),
    ],
)
def test_another_form_is_refused_with_the_reason(parse, text, expected):
    with pytest.raises(ValueError, match=expected.replace("?", r"\?")):
        parse(text)


@given(st.text(max_size=60))
def test_any_text_is_a_budget_or_refused_in_one_line(text):
    for parse in (parse_duration, parse_count):
        try:
            number = parse(text)
        except ValueError as refusal:
            assert "\n" not in str(refusal)
        else:
            assert number > 0


@given(st.floats(1e-6, 1e12), st.integers(1, 10**12))
def test_what_is_stored_is_read_again(seconds, number):
    assert parse_duration(repr(seconds)) == seconds and parse_count(str(number)) == number


@pytest.mark.parametrize(
    ("amount", "unit", "words"),
    [
        (600, "time", "10 minutes"),
        (60, "time", "1 minute"),
        (90, "time", "90 seconds"),
        (7200, "time", "2 hours"),
        (20_000, "steps", "20,000 steps"),
        (1, "steps", "1 step"),
    ],
)
def test_in_words(amount, unit, words):
    assert Budget(amount, unit).in_words == words
