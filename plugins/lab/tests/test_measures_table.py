"""The documents hold the table that the core reads, and the table is of the measures and cases there are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gancore_lab import measures_table
from gancore_lab.cases import CASES
from gancore_lab.judging_measures import measures
from gancore_lab.measures_table import BEGIN, END, put, rendered
from refusals import refused

from gancore import ConfigError
from gancore.evaluation import blind_spots

ROOT = Path(__file__).parents[3]
TABLE = {
    "rows": [300, 1000],
    "dimensions": [2, 64],
    "draws": 3,
    "cases": {"shrunken": CASES["shrunken"].spot, "equal laws": "equal laws"},
    "outcomes": {
        "precision": {"shrunken": ".S.S", "equal laws": "PPPP"},
        "recall": {"shrunken": "PWPP", "equal laws": "PPPP"},
        "frechet": {"shrunken": "PPPP"},
    },
}


def test_the_documents_hold_the_table():
    document = (ROOT / "docs/measures-checked.md").read_text()
    assert put(document, blind_spots.checked()) == document, "run make measures"


def test_the_table_is_of_what_there_is():
    table = blind_spots.checked()
    assert table["cases"] == {name: case.spot for name, case in CASES.items()}, "run make measures"
    assert table["outcomes"].keys() == measures().keys(), "run make measures"


def test_a_cell_is_one_letter_where_all_are_alike():
    text = rendered(TABLE)
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
    monkeypatch.setattr(blind_spots, "FILE", tmp_path / "blind_spots.json")
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    changed = {"name": "measures", "quick": False, "changed": ["draws=1"], "found": {"table": TABLE}}
    result.write_text(json.dumps(changed))
    measures_table.publish(result, document)
    text = document.read_text()
    assert text == f"before\n{BEGIN}\n\n{rendered(TABLE)}\n\n{END}\nafter\n" and put(text, TABLE) == text
    assert json.loads((tmp_path / "blind_spots.json").read_text()) == TABLE


@pytest.mark.parametrize("document", ["nothing", f"{BEGIN} only", f"{END} only"])
def test_a_document_without_a_place_is_refused(document):
    with refused(ConfigError, BEGIN, fix="there"):
        put(document, TABLE)
