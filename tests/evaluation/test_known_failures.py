"""What is known of a measure's blindness is told where rows and features are as many as were tried."""

from __future__ import annotations

import pytest

from gancore.evaluation import catalogue
from gancore.evaluation.catalogue import failure_table, known_failures

TABLE = {
    "rows": [300, 1000],
    "dimensions": [2, 64],
    "draws": 3,
    "cases": {
        "shrunken": "samples at half the spread",
        "equal": "equal laws",
        "mean": "another mean",
        "seed": "the seed",
    },
    "outcomes": {
        "precision": {"shrunken": "PSPS", "mean": "PSPP", "equal": "FPWP"},
        "recall": {"equal": "PPPP", "seed": "PDPP"},
    },
}


@pytest.fixture
def tried(monkeypatch):
    monkeypatch.setattr(catalogue, "failure_table", lambda: TABLE)


@pytest.mark.parametrize(
    ("measure", "d", "n", "expected"),
    [
        ("precision", 64, 300, "does not detect samples at half the spread, another mean at d = 64"),
        ("precision", 500, 5000, "does not detect samples at half the spread at d = 64"),
        ("precision", 2, 300, "reports as a fault equal laws at d = 2"),
        ("precision", 3, 1000, ""),
        (
            "precision",
            12,
            1000,
            "does not detect samples at half the spread at d = 64",
        ),  # sqrt(2 x 64) is 11.3
        ("precision", 11, 1000, ""),
        (
            "precision",
            64,
            548,
            "does not detect samples at half the spread at d = 64",
        ),  # sqrt(300 x 1000) is 547.7
        ("precision", 64, 547, "does not detect samples at half the spread, another mean at d = 64"),
        ("recall", 64, 300, "depends on the seed at d = 64"),
        ("recall", 2, 300, ""),
        ("unheard of", 64, 300, ""),
    ],
)
def test_the_nearest_numbers_that_were_tried_count(tried, measure, d, n, expected):
    assert known_failures(measure, d, n) == expected


def test_the_committed_table_is_whole():
    table = failure_table()
    places = len(table["rows"]) * len(table["dimensions"])
    for by_case in table["outcomes"].values():
        assert by_case.keys() <= table["cases"].keys()
        assert all(len(letters) == places and set(letters) <= set("PWSFD.") for letters in by_case.values())
