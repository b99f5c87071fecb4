"""The documents hold the table that the core reads, and the table is of the measures and cases there are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gancore_lab import measures_table
from gancore_lab.cases import CASES
from gancore_lab.measures_table import BEGIN, END, insert_table, render_table
from gancore_lab.metric_checks import checkable_metrics
from refusals import refused

from gancore import ConfigError
from gancore.evaluation import catalogue

ROOT = Path(__file__).parents[3]
TABLE = {
    "rows": [300, 1000],
    "dimensions": [2, 64],
    "draws": 3,
    "cases": {"shrunken": CASES["shrunken"].description, "equal laws": "equal laws"},
    "outcomes": {
        "precision": {"shrunken": ".S.S", "equal laws": "PPPP"},
        "recall": {"shrunken": "PWPP", "equal laws": "PPPP"},
        "frechet": {"shrunken": "PPPP"},
    },
}


def test_the_documents_hold_the_table():
    document = (ROOT / "docs/measures-checked.md").read_text()
    assert insert_table(document, catalogue.failure_table()) == document, "run make measures"


def test_the_table_is_of_what_there_is():
    table = catalogue.failure_table()
    assert table["cases"] == {name: case.description for name, case in CASES.items()}, "run make measures"
    assert table["outcomes"].keys() == checkable_metrics().keys(), "run make measures"


def test_a_cell_is_one_letter_where_all_are_alike():
    text = render_table(TABLE)
    assert "300 and 1,000 rows; letters of a block: 2 and 64 dimensions; the median of 3 draws." in text
    assert "| samples | `precision` | `recall` |" in text
    assert "| samples at half the spread (+) | .S .S | PW PP |" in text
    assert "| equal laws | P | P |" in text
    assert (
        "| samples | `frechet` |\n|---|---|\n| samples at half the spread (+) | P |" in text
        and "Memory" not in text
    )


def test_a_part_is_not_published(tmp_path):
    document, result = tmp_path / "evaluation.md", tmp_path / "result.json"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    whole = {"name": "measures", "quick": False, "changed": [], "found": {"table": TABLE}}
    for part in ({"quick": True}, {"changed": ["cases=[mean]"]}, {"name": "dirac"}):
        result.write_text(json.dumps(whole | part))
        with refused(ConfigError, str(result), fix="without --quick"):
            measures_table.publish(result, document)
    assert "old" in document.read_text()


def test_what_is_published_stands_in_both_places(tmp_path, monkeypatch):
    document, result = tmp_path / "evaluation.md", tmp_path / "result.json"
    monkeypatch.setattr("gancore_lab.measures_table.FAILURES_FILE", tmp_path / "known_failures.json")
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    changed = {"name": "measures", "quick": False, "changed": ["draws=1"], "found": {"table": TABLE}}
    result.write_text(json.dumps(changed))
    measures_table.publish(result, document)
    text = document.read_text()
    assert (
        text == f"before\n{BEGIN}\n\n{render_table(TABLE)}\n\n{END}\nafter\n"
        and insert_table(text, TABLE) == text
    )
    assert json.loads((tmp_path / "known_failures.json").read_text()) == TABLE


@pytest.mark.parametrize("document", ["nothing", f"{BEGIN} only", f"{END} only"])
def test_a_document_without_a_place_is_refused(document):
    with refused(ConfigError, BEGIN, fix="add"):
        insert_table(document, TABLE)
