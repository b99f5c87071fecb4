"""The trade-off table of the report: parallel, efficient, reversible, each measured; imports no torch.

It follows the table in question 1 of Odena, "Open questions about generative adversarial networks" (Distill,
2019).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from gancore.comparison.analysis import Analysis, MetricComparison
from gancore.comparison.formatting import format_number, format_seconds, join_names
from gancore.models.kind import model_kind

CLEAR_RATIO = 1.5
"""The smallest ratio of times at which one recipe is reported as faster."""
SEQUENTIAL_EXPONENT = 0.25
"""The largest exponent of the number of operations at which a recipe is not reported as sequential."""
ACCELERATION = 1.5
"""The last doubling of the size must add at least this many times the operations of the doubling before.

It adds twice as many if operations are proportional to the size, and equally many if they are proportional to
the number of doublings, as for the layers of a deeper network.
"""
TradeoffsBySeed = Mapping[int, Mapping[str, Any]]


def measured_kind(tradeoffs: TradeoffsBySeed) -> str:
    """The kind of a model (:func:`gancore.models.kind.model_kind`), from its trade-offs; empty if unknown."""
    first = next(iter(tradeoffs.values()), None)
    if first is None:
        return ""
    return model_kind(len(first["players"]), first["likelihood"]["kind"] != "none")


def tradeoff_row(
    name: str, runs: Sequence[Mapping[str, Any]], tradeoffs: TradeoffsBySeed, analysis: Analysis
) -> dict[str, Any]:
    """The row of one recipe; values that differ between seeds are averaged.

    ``runs`` are those of all recipes.
    """
    own = [run for run in runs if run["name"] == name]
    done = [run for run in own if run["state"] != "not begun" and run["weights"]]
    row: dict[str, Any] = {
        "kind": measured_kind(tradeoffs),
        "training_seconds": _mean([run["seconds"] for run in done]),
        "training_steps": _mean([run["steps"] for run in done]),
        "training_samples": _mean([run["samples"] for run in done]),
    }
    if not tradeoffs:
        return row
    first = next(iter(tradeoffs.values()))
    timed = next((one for one in tradeoffs.values() if "seconds_a_sample" in one), {})
    row |= {
        "parameters": first["parameters"],
        "players": first["players"],
        "seconds_a_sample": timed.get("seconds_a_sample", {}),
        "growth": timed.get("growth", {}),
        "likelihood": _likelihood(tradeoffs),
        "inversion": _inversion(tradeoffs),
    }
    return row | _gap_closed(name, row, analysis.headline)


def _mean(values: Sequence[float]) -> float | None:
    return mean(values) if values else None


def _likelihood(tradeoffs: TradeoffsBySeed) -> dict[str, Any]:
    """The likelihood of the first seed, and the mean over all seeds."""
    first = dict(next(iter(tradeoffs.values()))["likelihood"])
    values = [one["likelihood"]["nll"] for one in tradeoffs.values() if "nll" in one["likelihood"]]
    return first | ({"mean_over_seeds": mean(values), "seeds": len(values)} if values else {})


def _inversion(tradeoffs: TradeoffsBySeed) -> dict[str, Any]:
    """The inversion of the seed with the largest error."""
    inversions = [dict(one["inversion"]) for one in tradeoffs.values()]
    measured = [one for one in inversions if one["kind"] == "measured"]
    return max(measured, key=lambda one: _nan_last(one["largest"])) if measured else inversions[0]


def _nan_last(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _gap_closed(name: str, row: Mapping[str, Any], headline: MetricComparison | None) -> dict[str, Any]:
    """The closed share of the gap to real rows, also per second and per parameter."""
    if headline is None or name not in headline.results:
        return {}
    closed = headline.gap_closed(name)
    if closed is None:
        return {}
    seconds, parameters = row["training_seconds"], row["parameters"]
    return {
        "quality": closed,
        "quality_a_second": closed / seconds if seconds else None,
        "quality_a_parameter": closed / parameters if parameters else None,
    }


def time_to_target(runs: Sequence[Mapping[str, Any]], metric: str, higher: bool) -> dict[str, Any]:
    """Seconds and samples until each recipe first reached ``target`` on valid: means over its seeds.

    ``target`` is the best value of the weakest trial, which every trial reaches.
    """
    curves = {run["trial"]: (run["name"], run["curves"].get(metric, [])) for run in runs if run["weights"]}
    curves = {trial: (name, curve) for trial, (name, curve) in curves.items() if curve}
    if not curves:
        return {}
    best_of = max if higher else min
    bests = [best_of(point["value"] for point in curve) for _, curve in curves.values()]
    target = min(bests) if higher else max(bests)
    reached: dict[str, list[Mapping[str, float]]] = {}
    for name, curve in curves.values():
        points = (p for p in curve if (p["value"] >= target if higher else p["value"] <= target))
        reached.setdefault(name, []).append(next(points))
    return {
        "metric": metric,
        "target": target,
        "seconds": {name: mean(p["seconds"] for p in points) for name, points in reached.items()},
        "samples": {name: mean(p["samples"] for p in points) for name, points in reached.items()},
    }


def tradeoff_statements(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Statements of the verdict about trade-offs: speed, parallel sampling, likelihood, inversion."""
    statements = [*_speed_statements(rows), *_scaling_statements(rows)]
    for certainty, text in (("exact", "an exact likelihood"), ("bound", "a bound on the likelihood")):
        names = [name for name, one in rows.items() if one.get("likelihood", {}).get("kind") == certainty]
        if names:
            statements.append(f"{join_names(names)} give{'s' * (len(names) == 1)} {text}.")
    for name, one in rows.items():
        if one.get("inversion", {}).get("kind") == "measured":
            largest = format_number(one["inversion"]["largest"])
            statements.append(f"{name} inverts with an error of at most {largest}.")
    return statements


def _speed_statements(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Compares times at the largest batch at which every recipe was timed."""
    for batch, heading in (("256", "In batches of 256"), ("1", "One at a time")):
        timings = {name: one.get("seconds_a_sample", {}).get(batch, {}) for name, one in rows.items()}
        times = {name: float(one["seconds"]) for name, one in timings.items() if "seconds" in one}
        if len(times) < max(2, len(rows)):
            continue
        (least, fast), *_, (most, slow) = sorted((time, name) for name, time in times.items())
        if most < CLEAR_RATIO * least:
            return []
        pair = f"{fast} generates a sample in {format_seconds(least)} and {slow} in {format_seconds(most)}"
        return [f"{heading}, {pair}, {format_number(most / least)} times as long."]
    return []


def _scaling_statements(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A statement with the recipes whose number of operations grows with the size of a sample."""
    scalings = {name: one.get("growth", {}) for name, one in rows.items()}
    sequential = [
        f"{name} (size^{scaling['operations_exponent']:.2f})"
        for name, scaling in scalings.items()
        if is_sequential(scaling)
    ]
    if not sequential:
        return []
    names = join_names(sequential)
    return [f"The operations of {names} grow with the size of a sample: sampling is not parallel."]


def is_sequential(scaling: Mapping[str, Any]) -> bool:
    """Whether the number of operations grows as a power of the sample's size, and not as its logarithm."""
    if scaling.get("operations_exponent", 0) <= SEQUENTIAL_EXPONENT:
        return False
    points = scaling.get("points", [])
    counts = {point["factor"]: point["operations"] for point in points}
    increases = [counts[2 * factor] - count for factor, count in counts.items() if 2 * factor in counts]
    if len(increases) < 2:
        return True
    return bool(increases[-1] >= ACCELERATION * increases[-2])
