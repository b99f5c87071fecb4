"""Quality against diversity over temperatures, recipe by recipe, and which recipe dominates which. No torch.

Every trial has a curve; a model without a temperature has one point. A recipe is dominated by another at
every temperature if each point of each of its curves is dominated by a point of every curve of the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from statistics import mean, stdev
from typing import Any

from gancore.comparison.charts import Point, PointLine, points_chart
from gancore.comparison.config import Trial
from gancore.comparison.folder import ComparisonFolder
from gancore.comparison.formatting import format_direction, join_names
from gancore.evaluation.result import MetricResult
from gancore.evaluation.temperature_report import reported
from gancore.evaluation.temperatures import (
    CurvePoint,
    ReferencePoint,
    curve_area,
    make_curve,
    reference_point,
)

Curves = Mapping[str, Mapping[int, Sequence[CurvePoint]]]
"""By name and seed."""
SHOWN_CONTROLS = ("real", "noise", "collapse")


def read_curves(folder: ComparisonFolder, trials: Sequence[Trial]) -> dict[str, dict[int, list[CurvePoint]]]:
    """The finished points of the present models; the first two metrics of an evaluation are the axes."""
    curves: dict[str, dict[int, list[CurvePoint]]] = {}
    for trial in trials:
        evaluations = folder.temperature_evaluations(trial) if trial.temperatures else []
        if evaluations:
            quality, diversity = (result.metric for result in evaluations[0].results[:2])
            curves.setdefault(trial.name, {})[trial.seed] = make_curve(evaluations, quality, diversity)
    return curves


def temperature_curves(curves: Curves) -> dict[str, Any]:
    """Every value as JSON, with the areas and what follows from them; {} without curves."""
    points = [point for seeds in curves.values() for curve in seeds.values() for point in curve]
    reference = reference_point(points)
    if reference is None:
        return {}
    first = points[0]
    return {
        "quality": _metric_json(first.quality),
        "diversity": _metric_json(first.diversity),
        "reference": {
            "quality": reported(first.quality, reference.quality),
            "diversity": reported(first.diversity, reference.diversity),
            "origin": reference.origin,
        },
        "recipes": {name: _recipe_json(name, curves, reference) for name in curves},
        "statements": curve_statements(curves),
    }


def _metric_json(result: MetricResult) -> dict[str, Any]:
    return {
        "metric": result.metric,
        "unit": result.unit,
        "higher_is_better": result.higher_is_better,
        "ideal": result.ideal,
        "anchors": {name: result.anchors[name] for name in SHOWN_CONTROLS if name in result.anchors},
        "n": result.n,
        "n_anchors": result.n_anchors,
    }


def _recipe_json(name: str, curves: Curves, reference: ReferencePoint) -> dict[str, Any]:
    seeds, areas = {}, []
    for seed, curve in curves[name].items():
        area = curve_area(curve, reference)
        areas.append(area.value)
        points = [_point_json(name, point, curves) for point in curve]
        seeds[str(seed)] = {"area": area.value, "low": area.low, "high": area.high, "points": points}
    return {
        "has_temperature": has_temperature(curves[name]),
        "area": mean(areas),
        "std_over_seeds": stdev(areas) if len(areas) > 1 else None,
        "seeds": seeds,
    }


def has_temperature(seeds: Mapping[int, Sequence[CurvePoint]]) -> bool:
    return any(point.temperature is not None for curve in seeds.values() for point in curve)


def _point_json(name: str, point: CurvePoint, curves: Curves) -> dict[str, Any]:
    return {
        "temperature": point.temperature,
        "quality": _value_json(point.quality),
        "diversity": _value_json(point.diversity),
        "dominated_by": [other for other in curves if other != name and _is_dominated(point, curves[other])],
    }


def _value_json(result: MetricResult) -> dict[str, Any]:
    return {
        "value": result.value,
        "low": result.low,
        "high": result.high,
        "trust": result.trust,
        "skipped": result.skipped,
    }


def _is_dominated(point: CurvePoint, seeds: Mapping[int, Sequence[CurvePoint]]) -> bool:
    """Whether every curve of a recipe has a point that dominates this one beyond the intervals."""
    return bool(seeds) and all(any(rival.dominates(point) for rival in curve) for curve in seeds.values())


def dominated_points(curves: Curves, name: str, other: str) -> tuple[int, int]:
    """How many points of ``name`` are dominated by ``other``, and how many there are."""
    points = [point for curve in curves[name].values() for point in curve]
    return sum(_is_dominated(point, curves[other]) for point in points), len(points)


def curve_statements(curves: Curves) -> list[str]:
    """What the curves show beyond the intervals, in words."""
    points = [point for seeds in curves.values() for curve in seeds.values() for point in curve]
    distrusted = next(filter(None, (point.distrust_reason for point in points)), "")
    if distrusted:
        return [f"No statement from the curves: not trusted on these data: {distrusted}."]
    statements = []
    for name, other in permutations(curves, 2):
        dominated, total = dominated_points(curves, name, other)
        if dominated == total:
            where = " at every temperature" if has_temperature(curves[name]) else ""
            statements.append(f"{name} is dominated by {other}{where}.")
        elif dominated:
            statements.append(f"{name} is dominated by {other} at {dominated} of its {total} points.")
    if len(curves) > 1 and not statements:
        statements.append("No point of a recipe is dominated by another recipe beyond the intervals.")
    return [*statements, *_without_temperature(curves)]


def _without_temperature(curves: Curves) -> list[str]:
    names = [name for name, seeds in curves.items() if not has_temperature(seeds)]
    if not names or len(names) == len(curves):
        return []
    subject = (
        f"{names[0]} has no temperature and one point"
        if len(names) == 1
        else f"{join_names(names)} have no temperature and one point each"
    )
    return [f"{subject}: an area of one point is smaller than that of a curve through it."]


def curve_chart(curves: Mapping[str, Any], index: Mapping[str, int]) -> str:
    """The chart of :func:`temperature_curves`; better is to the right and above. Empty without values."""
    quality, diversity = curves["quality"], curves["diversity"]
    lines = []
    for name, recipe in curves["recipes"].items():
        for number, (seed, one) in enumerate(recipe["seeds"].items()):
            points = [_chart_point(point, label=number == 0) for point in one["points"]]
            known = [point for point in points if point is not None]
            lines.append(PointLine(f"{name}, seed {seed}", index[name], known))
    anchors = {
        name: (quality["anchors"][name], diversity["anchors"][name])
        for name in SHOWN_CONTROLS
        if name in quality["anchors"] and name in diversity["anchors"]
    }
    reversed_axes = tuple(axis["higher_is_better"] is False for axis in (diversity, quality))
    names = _axis_name("diversity", diversity), _axis_name("quality", quality)
    swapped = {name: (y, x) for name, (x, y) in anchors.items()}
    return points_chart(lines, swapped, names, (reversed_axes[0], reversed_axes[1]))


def _axis_name(what: str, axis: Mapping[str, Any]) -> str:
    direction = format_direction(axis["higher_is_better"])
    facts = ", ".join(filter(None, [axis["unit"], direction]))
    return f"{what}: {axis['metric']}{f' ({facts})' if facts else ''}"


def _chart_point(point: Mapping[str, Any], label: bool) -> Point | None:
    """Diversity to the right, quality upwards; None: a value is missing."""
    quality, diversity = point["quality"], point["diversity"]
    if quality["value"] is None or diversity["value"] is None:
        return None
    x, y = ((one["value"], one["low"], one["high"]) for one in (diversity, quality))
    temperature = point["temperature"]
    return Point(x, y, f"{temperature:g}" if label and temperature is not None else "")
