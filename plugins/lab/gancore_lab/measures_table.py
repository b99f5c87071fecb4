"""Writes the tables of failures of metrics in ``docs/measures-checked.md`` and in the core.

    python -m gancore_lab.measures_table lab/measures/result.json

writes both from a full result of ``gancore lab measures``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gancore.data import atomic_write
from gancore.errors import ConfigError, GancoreError
from gancore.metrics import FAILURES_FILE
from gancore.text import count_noun
from gancore_lab.cases import CASES
from gancore_lab.metric_checks import checkable_metrics, question_for

DOCUMENT = Path("docs/measures-checked.md")
BEGIN, END = "<!-- measures -->", "<!-- /measures -->"
"""The lines around the table; ``make measures`` writes the table."""
GROUPS = {
    "Fidelity and diversity": ("fidelity", "diversity"),
    "Distances of laws, and two-sample tests": ("distance", "two-sample"),
    "Memory, different samples, classes and labels": ("memory", "support", "classes", "labels"),
}
"""The questions of the metrics of each table, by heading."""


def render_table(table: Mapping[str, Any]) -> str:
    """The Markdown of the table of :func:`gancore.evaluation.catalogue.failure_table`."""
    rows, dimensions = (_listed(table[name]) for name in ("rows", "dimensions"))
    text = f"Blocks of letters: {rows} rows; letters of a block: {dimensions} dimensions"
    text += f"; the median of {count_noun(table['draws'], 'draw')}."
    parts = [_group(heading, kinds, table) for heading, kinds in GROUPS.items()]
    return "\n\n".join([text, *("\n".join(lines) for lines in map(list, parts) if lines)])


def _listed(numbers: Sequence[int]) -> str:
    """Numbers as text: ``2, 16 and 64``."""
    *first, last = (f"{number:,}" for number in numbers)
    return f"{', '.join(first)} and {last}" if first else last


def _group(heading: str, kinds: Sequence[str], table: Mapping[str, Any]) -> Iterator[str]:
    outcomes = table["outcomes"]
    kind = {name: question_for(name, metric) for name, (_, metric) in checkable_metrics().items()}
    named = sorted(
        (name for name in outcomes if kind[name] in kinds), key=lambda name: kinds.index(kind[name])
    )
    if not named:
        return
    yield f"{heading}:\n"
    yield f"| samples | {' | '.join(f'`{name}`' for name in named)} |"
    yield "|---" * (len(named) + 1) + "|"
    width = len(table["dimensions"])
    for case, description in table["cases"].items():
        cells = [_cell(outcomes[name].get(case, ""), width) for name in named]
        if any(cells):
            mark = " (+)" if CASES[case].in_paper else ""
            yield f"| {description}{mark} | {' | '.join(cells)} |"


def _cell(letters: str, width: int) -> str:
    """One letter if all cells have it; otherwise a block for each number of rows, a letter a dimension."""
    different = set(letters) - {"."}
    if len(different) <= 1 and "." not in letters:
        return "".join(different)
    return "" if not different else " ".join(letters[i : i + width] for i in range(0, len(letters), width))


def insert_table(document: str, table: Mapping[str, Any]) -> str:
    """Replace the table between its two marks in a document.

    Raises:
        ConfigError: the document has no such marks.
    """
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ConfigError(f"the document has no marks {BEGIN} and {END} for the table", "add both lines")
    return f"{before}{begin}\n\n{render_table(table)}\n\n{end}{after}"


def publish(result: Path, document: Path = DOCUMENT) -> None:
    """Write the table of the core and the tables of the document from a result.json.

    Raises:
        ConfigError: the result is not a full result of this experiment.
    """
    content = json.loads(result.read_text())
    part = content["quick"] or any(text.startswith(("cases", "measures")) for text in content["changed"])
    if content["name"] != "measures" or part:
        raise ConfigError(
            f"{result} is not a full result of measures", "run gancore lab measures without --quick"
        )
    table = content["found"]["table"]
    text = insert_table(document.read_text(), table)
    atomic_write(FAILURES_FILE, json.dumps(table, indent=1, ensure_ascii=False) + "\n")
    atomic_write(document, text)


if __name__ == "__main__":
    try:
        publish(Path(sys.argv[1]))
    except (GancoreError, OSError, IndexError, ValueError, KeyError) as error:
        sys.exit(f"give a result.json of gancore lab measures: {error}")
