"""The table of what measures were seen to miss: in ``docs/measures-checked.md``, and where the core reads it.

    python -m gancore_lab.measures_table lab/measures/result.json

writes both from a full result of ``gancore lab measures``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gancore.errors import ConfigError, GancoreError
from gancore.evaluation import blind_spots
from gancore.files import atomic_write
from gancore.texts import counted
from gancore_lab.cases import CASES
from gancore_lab.judging_measures import asked_of, measures

DOCUMENT = Path("docs/measures-checked.md")
BEGIN, END = "<!-- measures -->", "<!-- /measures -->"
"""The table stands between these lines; ``make measures`` writes it."""
GROUPS = {
    "Fidelity and diversity": ("fidelity", "diversity"),
    "Distances of laws, and two-sample tests": ("distance", "two-sample"),
    "Memory, different samples, classes and labels": ("memory", "support", "classes", "labels"),
}
"""By heading, what is asked of the measures that stand beside each other."""


def rendered(table: Mapping[str, Any]) -> str:
    """The Markdown of a table as :func:`gancore.evaluation.blind_spots.checked` gives it."""
    rows, dimensions = (_listed(table[name]) for name in ("rows", "dimensions"))
    told = f"Blocks of letters: {rows} rows; letters of a block: {dimensions} dimensions"
    told += f"; the median of {counted(table['draws'], 'draw')}."
    parts = [_group(heading, kinds, table) for heading, kinds in GROUPS.items()]
    return "\n\n".join([told, *("\n".join(lines) for lines in map(list, parts) if lines)])


def _listed(numbers: Sequence[int]) -> str:
    """``2, 16 and 64``"""
    *first, last = (f"{number:,}" for number in numbers)
    return f"{', '.join(first)} and {last}" if first else last


def _group(heading: str, kinds: Sequence[str], table: Mapping[str, Any]) -> Iterator[str]:
    outcomes = table["outcomes"]
    kind = {name: asked_of(name, measure) for name, (_, measure) in measures().items()}
    named = sorted(
        (name for name in outcomes if kind[name] in kinds), key=lambda name: kinds.index(kind[name])
    )
    if not named:
        return
    yield f"{heading}:\n"
    yield f"| samples | {' | '.join(f'`{name}`' for name in named)} |"
    yield "|---" * (len(named) + 1) + "|"
    width = len(table["dimensions"])
    for case, spot in table["cases"].items():
        cells = [_cell(outcomes[name].get(case, ""), width) for name in named]
        if any(cells):
            yield f"| {spot}{' (+)' if CASES[case].paper else ''} | {' | '.join(cells)} |"


def _cell(letters: str, width: int) -> str:
    """One letter where all cells have it; else those of each number of rows, over the dimensions."""
    told = set(letters) - {"."}
    if len(told) <= 1 and "." not in letters:
        return "".join(told)
    return "" if not told else " ".join(letters[i : i + width] for i in range(0, len(letters), width))


def put(document: str, table: Mapping[str, Any]) -> str:
    """The document with the table between its two marks.

    Raises:
        ConfigError: it has no such marks.
    """
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ConfigError(
            f"no place for the table: {BEGIN} and {END} do not both stand there", "put them there"
        )
    return f"{before}{begin}\n\n{rendered(table)}\n\n{end}{after}"


def publish(result: Path, document: Path = DOCUMENT) -> None:
    """Write the core's table and the document's from a result.

    Raises:
        ConfigError: the result is of a part of the experiment, or of another one.
    """
    told = json.loads(result.read_text())
    part = told["quick"] or any(change.startswith(("cases", "measures")) for change in told["changed"])
    if told["name"] != "measures" or part:
        raise ConfigError(
            f"{result} is no full result of measures", "run gancore lab measures without --quick"
        )
    table = told["found"]["table"]
    made = put(document.read_text(), table)
    atomic_write(blind_spots.FILE, json.dumps(table, indent=1, ensure_ascii=False) + "\n")
    atomic_write(document, made)


if __name__ == "__main__":
    try:
        publish(Path(sys.argv[1]))
    except (GancoreError, OSError, IndexError, ValueError, KeyError) as error:
        sys.exit(f"give a result.json of gancore lab measures: {error}")
