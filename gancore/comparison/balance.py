"""The trade-off table: parallel, efficient, reversible, each in measured figures; imports no torch.

After the table of Odena, "Open questions about generative adversarial networks" (Distill 2019), question 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from gancore.comparison.findings import Finding, Findings
from gancore.comparison.words import listed, seconds

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
    """The way from noise to real rows that was gone, a second of training and a million parameters."""
    if headline is None or name not in headline.standings:
        return {}
    closed = headline.closed(headline.standings[name].value)
    if closed is None:
        return {}
    trained, size = told["training_seconds"], told["parameters"]
    return {
        "quality": closed,
        "quality_a_minute": closed / (trained / 60) if trained else None,
        "quality_a_million_parameters": closed / (size / 1e6) if size else None,
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
    """What the verdict says of the costs: the fastest, and who has a likelihood or can invert."""
    told = []
    paces = {
        name: one.get("seconds_a_sample", {}).get("256", {}).get("seconds") for name, one in rows.items()
    }
    ranked = sorted((pace, name) for name, pace in paces.items() if pace)
    if len(ranked) > 1:
        (least, fast), (most, slow) = ranked[0], ranked[-1]
        told.append(
            f"In batches of 256, {fast} makes a sample in {seconds(least)} and {slow} in {seconds(most)},"
            f" {most / least:.3g} times as long."
        )
    for kind_, text in (("exact", "an exact likelihood"), ("bound", "a bound on the likelihood")):
        names = [name for name, one in rows.items() if one.get("likelihood", {}).get("kind") == kind_]
        if names:
            told.append(f"{listed(names)} give{'s' * (len(names) == 1)} {text}.")
    return told
