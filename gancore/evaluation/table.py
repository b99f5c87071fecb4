"""An evaluation as people read it: a table with the anchors beside each value, and what it rests on below."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from gancore.errors import printable
from gancore.evaluation.reading import Evaluation, Reading
from gancore.evaluation.summary import accuracy, summary

if TYPE_CHECKING:
    from rich.table import Table

ANCHORS = ("real", "noise", "collapse")
MATCHED = "as many"
"""The value at the anchors' number of rows, where that of any reading differs from its own."""
COLUMNS = ("measure", "value", "95 % interval", MATCHED, *ANCHORS, "best", "unit", "trust")
RIGHT, WRAPPED = {"value", "95 % interval", MATCHED, *ANCHORS}, {"unit": 10, "trust": 12}
"""Columns to the right; and those of words, with the characters that they have at least."""
NARROW, LEFT_OUT_WHERE_NARROW = 120, {"noise", "collapse", "best"}
"""Terminals of fewer columns show the table without these; JSON and the run's file have them."""
WIDE = 140
"""Columns where no terminal says how many there are."""


def show(evaluation: Evaluation) -> None:
    """Print table and footnotes on stdout."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDE)
    if any(not reading.skipped for reading in evaluation):
        for line in summary(evaluation):
            console.print(printable(line), markup=False, soft_wrap=True)
        console.print(table(evaluation, console.width))
    for line in footnotes(evaluation):
        console.print(printable(line), markup=False, soft_wrap=not console.is_terminal)


def table(evaluation: Evaluation, width: int = WIDE) -> Table:
    """One row for each reading that was taken; where narrow, without the bad anchors, so that unit and trust
    can be read.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    made = Table(
        box=SIMPLE_HEAD, title=Text(printable(evaluation.model)), title_justify="left", pad_edge=False
    )
    narrow = width < NARROW
    left_out = set(LEFT_OUT_WHERE_NARROW) if narrow else set()
    if all(reading.matched in (None, reading.value) for reading in evaluation):
        left_out.add(MATCHED)
    shown = [index for index, name in enumerate(COLUMNS) if name not in left_out]
    for index in shown:
        name = COLUMNS[index]
        made.add_column(
            name,
            justify="right" if name in RIGHT else "left",
            style="dim" if name in ANCHORS else None,
            no_wrap=name not in WRAPPED and not (narrow and name == "95 % interval"),
            min_width=WRAPPED.get(name),
            overflow="fold",
        )
    for reading in evaluation:
        if not reading.skipped:
            cells = [Text(printable(cell)) for cell in row(reading)]
            made.add_row(*(cells[index] for index in shown), style=None if reading.trusted else "yellow")
    return made


def row(reading: Reading) -> list[str]:
    """The cells of :data:`COLUMNS`."""
    bounds = "" if reading.low is None else f"{number(reading.low)} to {number(reading.high)}"
    return [
        reading.measure,
        number(reading.value),
        bounds,
        number(reading.matched),
        *(number(reading.anchors.get(name)) for name in ANCHORS),
        _best(reading),
        reading.unit,
        reading.trust.removesuffix(" by definition"),
    ]


def _best(reading: Reading) -> str:
    if reading.ideal is not None:
        return f"{reading.ideal:g}"
    return {"lower": "low", "higher": "high"}.get(reading.better or "", "")


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def footnotes(evaluation: Evaluation) -> Iterator[str]:
    """What the table rests on, line by line."""
    about = evaluation.about
    yield (
        f"n: {about['n']:,} samples (seed {about['seed']}) beside {about['n_real']:,} rows of "
        f"{about['split']} of {about['source']}; intervals are over samples, not over trainings"
    )
    anchors = about["anchors"]
    fewer = sorted({r.n_anchors for r in evaluation if 0 < r.n_anchors < anchors["n"]})
    but = f" ({fewer[0]:,} where a map is asked that was trained on the others)" if fewer else ""
    yield (
        f"anchors: {anchors['n']:,} rows each{but}; {anchors['real']}; noise: {anchors['noise']}; "
        f"collapse: {anchors['collapse']}"
    )
    looked, train = about.get("n_train", 0), about.get("train_size") or 0
    if looked < train:
        yield f"train: measures of memory look at {looked:,} of {train:,} rows"
    if any(reading.matched not in (None, reading.value) for reading in evaluation):
        yield "as many: the value at as many samples as the anchors have rows, to compare with them"
    if any(" by definition" in reading.trust for reading in evaluation):
        yield "blind: the measure cannot tell that anchor from real rows, by its definition"
    if about["features"]:
        yield f"features: {_named(about['features'])}"
    if about["classifier"]:
        yield f"classifier: {_named(about['classifier'])}{_accuracy(about['classifier'], about['split'])}"
    if about["note"]:
        yield f"note: {about['note']}"
    yield from (f"note: {note}" for note in dict.fromkeys(r.note for r in evaluation if r.note))
    for reading in evaluation:
        if reading.skipped:
            yield f"left out: {reading.measure}: {reading.skipped}"


def _named(features: Mapping[str, Any]) -> str:
    called = features.get("frechet")
    return f"{features['name']} ({features['hash'][:12]})" + (f"; frechet is the {called}" if called else "")


def _accuracy(classifier: Mapping[str, Any], split: str) -> str:
    if "accuracy" not in classifier:
        return ""
    return f", {accuracy(classifier['accuracy'], split)}"
