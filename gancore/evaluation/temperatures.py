"""Curves of quality against diversity over temperatures, and the area that a curve dominates. No torch.

A point of a curve is an evaluation of the samples of one temperature by two metrics. Both are converted so
that higher is better (:meth:`CurvePoint.value`); a point dominates another if it is higher in both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from gancore.errors import ConfigError
from gancore.evaluation.result import BETTER_THAN_REAL, EvaluationResult, MetricResult
from gancore.text import short_repr

MAX_TEMPERATURES = 50
TEMPERATURE = "temperature"
"""Key of an evaluation's metadata; null: the model has no temperature."""
EXAMPLE = "0.6,0.8,1,1.2"
End = Literal["value", "low", "high"]
"""Of an interval: its worse and its better end."""


def read_temperatures(text: str) -> list[float]:
    """``0.6,0.8,1``, ascending and each once. Raises ConfigError."""
    try:
        numbers = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        numbers = []
    if not numbers:
        raise ConfigError(
            f"--temperatures {short_repr(text)} names no temperatures", f"write numbers, as {EXAMPLE}"
        )
    return check_temperatures(numbers)


def check_temperatures(values: Iterable[float]) -> list[float]:
    """The temperatures, ascending and each once. Raises ConfigError if one is not above 0 and finite."""
    found = sorted({float(value) for value in values}, key=lambda value: (math.isnan(value), value))
    for value in found:
        if not (value > 0 and math.isfinite(value)):
            raise ConfigError(f"temperature {value:g}", "give numbers above 0; 1 is the model's own")
    if len(found) > MAX_TEMPERATURES:
        raise ConfigError(f"{len(found)} temperatures are too many", f"give {MAX_TEMPERATURES} at most")
    return found


@dataclass(frozen=True)
class CurvePoint:
    """Quality and diversity of the samples of one temperature; None: of a model that has none."""

    temperature: float | None
    quality: MetricResult
    diversity: MetricResult

    def value(self, end: End = "value") -> tuple[float, float] | None:
        """(quality, diversity), higher is better; ``low``, ``high``: the ends of both intervals. None:
        unknown.
        """
        found = [_oriented(result, end) for result in (self.quality, self.diversity)]
        if any(number is None or not math.isfinite(number) for number in found):
            return None
        quality, diversity = (float(number) for number in found if number is not None)
        return quality, diversity

    def dominates(self, other: CurvePoint) -> bool:
        """Whether both intervals are entirely on the better side of those of the other."""
        own, others = self.value("low"), other.value("high")
        return own is not None and others is not None and own[0] > others[0] and own[1] > others[1]

    @property
    def distrust_reason(self) -> str:
        """Why one of the metrics is not trusted here; empty: both are, apart from values better than real
        rows, which a low temperature can have.
        """
        for result in (self.quality, self.diversity):
            if result.skipped or not (result.trusted or result.trust == BETTER_THAN_REAL):
                return f"{result.metric}: {result.skipped or result.trust.removeprefix('no: ')}"
        return ""


def _oriented(result: MetricResult, end: End) -> float | None:
    """The value, or an end of its interval, so that higher is better."""
    if result.value is None or math.isnan(result.value):
        return None
    if end == "value":
        return -result.badness(result.value)
    bounds = result.badness_bounds
    return None if bounds is None else -bounds[1 if end == "low" else 0]


def make_curve(evaluations: Iterable[EvaluationResult], quality: str, diversity: str) -> list[CurvePoint]:
    """The points, by ascending temperature, of evaluations that have both metrics."""
    points = [
        CurvePoint(evaluation.metadata.get(TEMPERATURE), evaluation[quality], evaluation[diversity])
        for evaluation in evaluations
        if {quality, diversity} <= {result.metric for result in evaluation}
    ]
    return sorted(points, key=lambda point: point.temperature or 1.0)


@dataclass(frozen=True)
class ReferencePoint:
    """The corner from which areas are measured, higher is better; ``origin``: ``controls``, or ``worst
    shown`` if a metric has no finite value of a negative control.
    """

    quality: float
    diversity: float
    origin: str


NEGATIVE_CONTROLS = ("noise", "collapse")
"""Noise is the worst in quality, and often diverse; a collapse is the worst in diversity."""


def reference_point(points: Sequence[CurvePoint]) -> ReferencePoint | None:
    """Of each metric the worse value of noise and collapse, else the worst of ``points``; None: no values."""
    values = [value for point in points if (value := point.value()) is not None]
    if not values:
        return None
    worst = _worst_control(points[0].quality), _worst_control(points[0].diversity)
    if all(map(math.isfinite, worst)):
        return ReferencePoint(*worst, "controls")
    quality, diversity = (min(column) for column in zip(*values, strict=True))
    return ReferencePoint(quality, diversity, "worst shown")


def _worst_control(result: MetricResult) -> float:
    """Higher is better; not finite: there is none."""
    values = [-result.badness(result.anchors[name]) for name in NEGATIVE_CONTROLS if name in result.anchors]
    return min((value for value in values if math.isfinite(value)), default=math.nan)


def dominated_area(points: Iterable[tuple[float, float]], reference: tuple[float, float]) -> float:
    """Area of the union of the rectangles with opposite corners ``reference`` and each point.

    The hypervolume of two objectives (Zitzler and Thiele 1999); higher is better in both. A point that is not
    better than the reference in both adds nothing; nothing is interpolated between points.
    """
    left, top = reference
    area = 0.0
    for x, y in sorted(points, reverse=True):
        if x > left and y > top:
            area += (x - left) * (y - top)
            top = y
    return area


@dataclass(frozen=True)
class Area:
    """An area, and the areas of the worse and of the better ends of all intervals; None: there are none."""

    value: float
    low: float | None
    high: float | None


def curve_area(points: Sequence[CurvePoint], reference: ReferencePoint) -> Area:
    """The area that a curve dominates.

    Areas grow with every coordinate, so that the true area lies between the two ends if every true value lies
    in its interval.
    """
    corner = (reference.quality, reference.diversity)
    ends: tuple[End, ...] = ("value", "low", "high")
    areas: list[float | None] = []
    for end in ends:
        values = [point.value(end) for point in points]
        known = [value for value in values if value is not None]
        complete = end == "value" or len(known) == len(values)
        areas.append(dominated_area(known, corner) if complete else None)
    return Area(areas[0] or 0.0, areas[1], areas[2])
