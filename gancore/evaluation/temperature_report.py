"""The report of an evaluation at several temperatures: a table, and the area that the curve dominates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gancore.evaluation.report import DEFAULT_WIDTH, format_cell, format_number
from gancore.evaluation.result import EvaluationResult, MetricResult
from gancore.evaluation.temperatures import (
    TEMPERATURE,
    CurvePoint,
    ReferencePoint,
    curve_area,
    make_curve,
    reference_point,
)
from gancore.text import escape_control

DIRECTIONS = {True: "high", False: "low", None: ""}
CONTROLS = ("real", "noise", "collapse")


def print_temperatures(evaluations: Sequence[EvaluationResult]) -> None:
    """Print on stdout. The first two metrics are those of quality and of diversity."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=DEFAULT_WIDTH)
    from rich.box import SIMPLE_HEAD

    first = evaluations[0]
    table = Table(
        box=SIMPLE_HEAD, title=Text(escape_control(first.model)), title_justify="left", pad_edge=False
    )
    table.add_column("temperature", justify="right")
    results = [result for result in first if not result.skipped]
    for result in results:
        best = f"{result.ideal:g}" if result.ideal is not None else DIRECTIONS[result.higher_is_better]
        heading = ", ".join(filter(None, [result.metric, result.unit, best and f"best {best}"]))
        table.add_column(Text(escape_control(heading)), justify="right", overflow="fold")
    for row in _rows(evaluations, [result.metric for result in results]):
        table.add_row(*(Text(escape_control(cell)) for cell in row))
    console.print(table)
    for line in summarise_curve(evaluations):
        console.print(escape_control(line), markup=False, soft_wrap=not console.is_terminal)


def _rows(evaluations: Sequence[EvaluationResult], metrics: Sequence[str]) -> Iterator[list[str]]:
    for evaluation in evaluations:
        cells = [_cell(evaluation[metric]) for metric in metrics]
        yield [f"{evaluation.metadata[TEMPERATURE]:g}", *cells]
    anchors = [evaluations[0][metric].anchors for metric in metrics]
    for control in CONTROLS:
        if any(control in each for each in anchors):
            yield [control, *(format_cell(each.get(control)) for each in anchors)]


def _cell(result: MetricResult) -> str:
    interval = "" if result.low is None else f" ({format_cell(result.low)} to {format_cell(result.high)})"
    return format_cell(result.value) + interval


def summarise_curve(evaluations: Sequence[EvaluationResult]) -> list[str]:
    """What was compared, the dominated area, and what not to trust."""
    first = evaluations[0]
    metadata = first.metadata
    lines = [
        f"n: {metadata['n']:,} samples (seed {metadata['seed']}) at each temperature beside"
        f" {metadata['n_real']:,} rows of {metadata['split']} of {metadata['source']};"
        " 95 % intervals over samples"
    ]
    quality, diversity = (result.metric for result in first.results[:2])
    points = make_curve(evaluations, quality, diversity)
    reference = reference_point(points)
    if reference is not None:
        lines.append(f"curve: {quality} against {diversity} {describe_area(points, reference)}")
    reasons = dict.fromkeys(reason for point in points if (reason := point.distrust_reason))
    lines += [f"distrust: {reason}" for reason in reasons]
    return [*lines, *(f"left out: {result.metric}: {result.skipped}" for result in first if result.skipped)]


def describe_area(points: Sequence[CurvePoint], reference: ReferencePoint) -> str:
    """``dominates an area of 0.31 (0.27 to 0.35) beyond the controls (precision 0, recall 0)``"""
    area = curve_area(points, reference)
    bounds = "" if area.low is None else f" ({format_number(area.low)} to {format_number(area.high)})"
    corner = ", ".join(
        f"{result.metric} {format_number(reported(result, value))}"
        for result, value in (
            (points[0].quality, reference.quality),
            (points[0].diversity, reference.diversity),
        )
    )
    origin = "the controls" if reference.origin == "controls" else "the worst values shown"
    return f"dominates an area of {format_number(area.value)}{bounds} beyond {origin} ({corner})"


def reported(result: MetricResult, value: float) -> float:
    """A coordinate of a curve, higher is better, as the metric reports it.

    Of a metric with an ideal it is the distance from that.
    """
    return value if result.higher_is_better and result.ideal is None else -value
