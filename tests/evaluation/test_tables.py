"""Tables of domains: stored with an evaluation, in its card, joined over models."""

from __future__ import annotations

import pytest

from gancore.errors import CheckpointError
from gancore.evaluation.result import EvaluationResult, read_evaluations
from gancore.evaluation.tables import Table, TableRow, make_tables, merge_tables, to_markdown
from gancore.models.card import with_metrics

TRAIN = TableRow("train", (1.0, 2000.0))


def table(value: float, columns=("a", "b")) -> Table:
    rows = (TableRow("", (value, None)), TableRow("beside", (0.5, 0.25)))
    return Table("Figures", "Of train.", columns, (TRAIN,), rows)


def test_tables_are_stored_without_loss(tmp_path):
    EvaluationResult("m", (), {"n": 1}, (table(0.125),)).write(tmp_path / "e.jsonl")
    assert EvaluationResult.read(tmp_path / "e.jsonl").tables == (table(0.125),)
    changed = (tmp_path / "e.jsonl").read_text().replace('"b"', "3")
    (tmp_path / "e.jsonl").write_text(changed)
    with pytest.raises(CheckpointError):
        read_evaluations(tmp_path / "e.jsonl")


def test_tables_of_models_are_joined_by_title_and_column():
    [joined] = merge_tables({"one": [table(0.1)], "two": [table(0.2, ("b", "c"))], "none": []})
    assert list(joined.columns) == ["a", "b", "c"]
    assert [(row.name, list(row.values)) for row in (*joined.reference, *joined.rows)] == [
        ("train", [1.0, 2000.0, None]),
        ("one", [0.1, None, None]),
        ("beside", [0.5, 0.25, None]),
        ("two", [None, 0.2, None]),
        ("beside", [None, 0.5, 0.25]),
    ]


def test_a_card_has_the_tables_among_its_measures_once():
    card = with_metrics(
        "# m\n\n## Measures\n\nNot measured.\n\n## Limits\n\nx\n", [], [to_markdown(table(0.1), "m")]
    )
    assert card.index("## Measures") < card.index("| a | 1 | 0.1 | 0.5 |") < card.index("## Limits")
    assert with_metrics(card, [], [to_markdown(table(0.1), "m")]) == card


def test_tables_that_fail_leave_the_evaluation_and_say_why():
    class Broken:
        name = "broken"

        def tables(self, inputs, results):
            raise ZeroDivisionError("no rows")

    lines: list[str] = []
    assert make_tables(Broken(), None, (), lines.append) == ()  # type: ignore[arg-type]
    assert "broken" in lines[0] and "no rows" in lines[0]
