"""Budgets as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gancore.budget import Budget, read_budget
from gancore.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("10m", 600, "seconds"),
        ("90s", 90, "seconds"),
        ("1h", 3600, "seconds"),
        ("1.5 hours", 5400, "seconds"),
        ("0.5s", 0.5, "seconds"),
        (" 10 MIN ", 600, "seconds"),
        ("20000 steps", 20_000, "steps"),
        ("20000steps", 20_000, "steps"),
        ("1e6 samples", 1_000_000, "samples"),
        ("1 sample", 1, "samples"),
    ],
)
def test_a_number_and_a_unit(text, amount, unit):
    assert read_budget(text) == Budget(amount, unit)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("10", "has no unit"),
        ("m", "is not a number and a unit"),
        ("", "is not a number and a unit"),
        ("-5m", "is not a number and a unit"),
        ("1.2.3s", "is not a number and a unit"),
        ("1e999s", "is not a number and a unit"),
        ("10 minuts", "did you mean 'minutes'?"),
        ("10 days", "no unit 'days'"),
        ("0s", "is nothing to train for"),
        ("1e30 steps", "is too much"),
        ("1.5 steps", "steps are whole"),
        ("2.5 samples", "samples are whole"),
        ("nan s", "is not a number and a unit"),
        ("10 m 5 s", "is not a number and a unit"),
    ],
)
def test_what_is_none_is_told_in_one_line_with_an_example(text, told):
    with pytest.raises(ConfigError) as refusal:
        read_budget(text)
    assert told in str(refusal.value)
    assert "20000 steps" in refusal.value.fix


@given(st.text(max_size=60))
def test_any_text_is_a_budget_or_one_line(text):
    try:
        budget = read_budget(text)
    except ConfigError as refusal:
        assert "\n" not in str(refusal)
    else:
        assert budget.amount > 0


@given(
    st.one_of(
        st.builds(Budget, st.floats(1e-6, 1e12), st.just("seconds")),
        st.builds(Budget, st.integers(1, 10**12), st.sampled_from(["steps", "samples"])),
    )
)
def test_as_it_is_kept_it_is_read_again(budget):
    assert read_budget(str(budget)) == budget


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("600s", "10 minutes"),
        ("60s", "1 minute"),
        ("90s", "90 seconds"),
        ("7200s", "2 hours"),
        ("20000 steps", "20,000 steps"),
        ("1 step", "1 step"),
    ],
)
def test_in_words(text, words):
    assert read_budget(text).in_words == words
