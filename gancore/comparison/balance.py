"""The trade-off table: parallel, efficient, reversible, each in measured figures; imports no torch.

After the table of Odena, "Open questions about generative adversarial networks" (Distill 2019), question 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from gancore.comparison.findings import Finding, Findings
from gancore.comparison.words import figure, listed, seconds

CLEARLY = 1.5
"""Ratio of times below which nobody is called fast."""
GROWS = 0.25
"""Exponent of the number of operations below which nothing is called sequential."""
FASTER = 1.5
"""By how much more operations the last doubling of the size adds than the one before, if they grow with the
size itself, and not with the number of its doublings as the layers of a deeper network do.
"""
Costs = Mapping[int, Mapping[str, Any]]


def kind(costs: Costs) -> str:
    """``GAN``: players against each other; else by what was measured of it; empty: not known yet."""
    told = next(iter(costs.values()), None)
    if told is None:
        return ""
    if len(told["players"]) > 1:
        return "GAN"
    if told["likelihood"]["kind"] != "none":
        return "likelihood model"
    return "fitted model" if not told["players"] else "model"


def row(name: str, runs: Sequence[Mapping[str, Any]], costs: Costs, findings: Findings) -> dict[str, Any]:
    """One recipe: means over its seeds where they differ."""
    done = [run for run in runs if run["state"] != "not begun" and run["weights"]]
    told: dict[str, Any] = {
        "kind": kind(costs),
        "training_seconds": _mean([run["seconds"] for run in done]),
        "training_steps": _mean([run["steps"] for run in done]),
        "training_samples": _mean([run["samples"] for run in done]),
    }
    if not costs:
        return told
    first = next(iter(costs.values()))
    timed = next((one for one in costs.values() if "seconds_a_sample" in one), {})
    told |= {
        "parameters": first["parameters"],
        "players": first["players"],
        "seconds_a_sample": timed.get("seconds_a_sample", {}),
        "growth": timed.get("growth", {}),
        "likelihood": _likelihood(costs),
        "inversion": _inversion(costs),
    }
    return told | _efficiency(name, told, findings.headline)


def _mean(values: Sequence[float]) -> float | None:
    return mean(values) if values else None


def _likelihood(costs: Costs) -> dict[str, Any]:
    """Of the first seed, and the mean over all."""
    first = dict(next(iter(costs.values()))["likelihood"])
    values = [one["likelihood"]["nll"] for one in costs.values() if "nll" in one["likelihood"]]
    return first | ({"mean_over_seeds": mean(values), "seeds": len(values)} if values else {})


def _inversion(costs: Costs) -> dict[str, Any]:
    """The worst of all seeds."""
    every = [dict(one["inversion"]) for one in costs.values()]
    measured = [one for one in every if one["kind"] == "measured"]
    return max(measured, key=lambda one: _nan_last(one["largest"])) if measured else every[0]


def _nan_last(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _efficiency(name: str, told: Mapping[str, Any], headline: Finding | None) -> dict[str, Any]:
    """The way to real rows that was gone, and that for the time and for the parameters."""
    if headline is None or name not in headline.standings:
        return {}
    closed = headline.closed(name)
    if closed is None:
        return {}
    trained, size = told["training_seconds"], told["parameters"]
    return {
        "quality": closed,
        "quality_a_second": closed / trained if trained else None,
        "quality_a_parameter": closed / size if size else None,
    }


def until_target(runs: Sequence[Mapping[str, Any]], measure: str, higher: bool) -> dict[str, Any]:
    """When each recipe first was, on valid, as good as the least of them ever was: the mean over seeds.

    By name the seconds and samples; ``target`` is that value.
    """
    curves = {run["who"]: (run["name"], run["curves"].get(measure, [])) for run in runs if run["weights"]}
    curves = {who: (name, curve) for who, (name, curve) in curves.items() if curve}
    if not curves:
        return {}
    pick = max if higher else min
    bests = [pick(point["value"] for point in curve) for _, curve in curves.values()]
    target = min(bests) if higher else max(bests)
    reached: dict[str, list[Mapping[str, float]]] = {}
    for name, curve in curves.values():
        there = (p for p in curve if (p["value"] >= target if higher else p["value"] <= target))
        reached.setdefault(name, []).append(next(there))
    return {
        "measure": measure,
        "target": target,
        "seconds": {name: mean(p["seconds"] for p in points) for name, points in reached.items()},
        "samples": {name: mean(p["samples"] for p in points) for name, points in reached.items()},
    }


def in_words(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What the verdict says of the costs: who is fast, who is parallel, who has a likelihood, who inverts."""
    told = [*_paces(rows), *_growths(rows)]
    for certainty, text in (("exact", "an exact likelihood"), ("bound", "a bound on the likelihood")):
        names = [name for name, one in rows.items() if one.get("likelihood", {}).get("kind") == certainty]
        if names:
            told.append(f"{listed(names)} give{'s' * (len(names) == 1)} {text}.")
    for name, one in rows.items():
        if one.get("inversion", {}).get("kind") == "measured":
            told.append(f"{name} inverts, to {figure(one['inversion']['largest'])} at most.")
    return told


def _paces(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Of the largest batch at which all could be timed."""
    for batch, place in (("256", "In batches of 256"), ("1", "One at a time")):
        timed = {name: one.get("seconds_a_sample", {}).get(batch, {}) for name, one in rows.items()}
        paces = {name: float(one["seconds"]) for name, one in timed.items() if "seconds" in one}
        if len(paces) < max(2, len(rows)):
            continue
        (least, fast), *_, (most, slow) = sorted((pace, name) for name, pace in paces.items())
        if most < CLEARLY * least:
            return []
        pair = f"{fast} makes a sample in {seconds(least)} and {slow} in {seconds(most)}"
        return [f"{place}, {pair}, {figure(most / least)} times as long."]
    return []


def _growths(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Operations one after another are what cannot be made side by side."""
    growths = {name: one.get("growth", {}) for name, one in rows.items()}
    grow = [
        f"{name} (size^{growth['operations_exponent']:.2f})"
        for name, growth in growths.items()
        if is_sequential(growth)
    ]
    if not grow:
        return []
    return [f"The operations of {listed(grow)} grow with the size of a sample: not parallel."]


def is_sequential(growth: Mapping[str, Any]) -> bool:
    """Whether operations one after another grow as a power of a sample's size, and not as its logarithm."""
    if growth.get("operations_exponent", 0) <= GROWS:
        return False
    points = growth.get("points", [])
    counts = {point["factor"]: point["operations"] for point in points}
    doubled = [counts[2 * factor] - count for factor, count in counts.items() if 2 * factor in counts]
    if len(doubled) < 2:
        return True
    return bool(doubled[-1] >= FASTER * doubled[-2])
