"""Metrics on valid over the phases of a training: does the adversarial phase help or harm? No torch.

For recipes whose plan has several phases: each metric at the end of each phase, and by how much a phase
changed it, over seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from gancore.comparison.charts import Border, Line, line_chart
from gancore.comparison.formatting import format_direction, format_number
from gancore.run_folder import RunStatus
from gancore.text import count_noun

Run = Mapping[str, Any]
"""The facts of one trial, as in report.json."""


def phase_ends(status: RunStatus | None) -> list[dict[str, Any]]:
    """Name and last step of each phase that has steps; [] if there is only one."""
    ends: list[dict[str, Any]] = []
    step = 0
    for phase in status.phases if status else ():
        name, steps = (phase.get(key) if isinstance(phase, Mapping) else None for key in ("name", "steps"))
        if isinstance(name, str) and isinstance(steps, int) and steps > 0:
            step += steps
            ends.append({"name": name, "end": step})
    return ends if len(ends) > 1 else []


def phase_effects(runs: Sequence[Run], on_valid: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """By recipe with several phases: the phases, and every metric on valid that has a better direction."""
    effects = {}
    for name in dict.fromkeys(run["name"] for run in runs if run["phases"] and run["state"] == "done"):
        own = [run for run in runs if run["name"] == name and run["phases"] and run["state"] == "done"]
        metrics = {
            metric: metric_effect(own, metric, facts["higher_is_better"] is True)
            for metric, facts in on_valid.items()
            if all(run["curves"].get(metric) for run in own)
        }
        effects[name] = {"phases": own[0]["phases"], "metrics": metrics}
    return effects


def metric_effect(runs: Sequence[Run], metric: str, higher: bool) -> dict[str, Any]:
    """Of one recipe: the value at the end of each phase by seed, and the change of each later phase."""
    by_seed = {str(run["seed"]): [_at_end(run, metric, phase) for phase in run["phases"]] for run in runs}
    changes = [
        {"phase": phase["name"], **_change([values[at - 1 : at + 1] for values in by_seed.values()])}
        for at, phase in enumerate(runs[0]["phases"])
        if at
    ]
    best = (max if higher else min)(
        (point for run in runs for point in _points_of_last_phase(run, metric)),
        key=lambda point: point["value"],
        default=None,
    )
    return {
        "higher_is_better": higher,
        "seeds": by_seed,
        "ends": [_mean(column) for column in zip(*by_seed.values(), strict=True)],
        "changes": changes,
        "best_of_last_phase": best,
    }


def _at_end(run: Run, metric: str, phase: Mapping[str, Any]) -> float | None:
    """The last value up to the end of a phase; None: there is none within it."""
    ends = [0, *(one["end"] for one in run["phases"])]
    begin = ends[ends.index(phase["end"]) - 1]
    within = [point["value"] for point in run["curves"][metric] if begin < point["step"] <= phase["end"]]
    return within[-1] if within else None


def _points_of_last_phase(run: Run, metric: str) -> list[Mapping[str, float]]:
    begin = run["phases"][-2]["end"]
    return [point for point in run["curves"][metric] if point["step"] > begin]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known and len(known) == len(values) else None


def _change(pairs: Sequence[Sequence[float | None]]) -> dict[str, Any]:
    """The mean difference over seeds, after minus before, with its paired t interval at 95 %."""
    differences = [after - before for before, after in pairs if before is not None and after is not None]
    if not differences:
        return {"mean": None, "low": None, "high": None, "seeds": 0}
    middle, seeds = mean(differences), len(differences)
    if seeds < 2:
        return {"mean": middle, "low": None, "high": None, "seeds": seeds}
    from scipy.stats import t

    half = float(t.ppf(0.975, seeds - 1)) * stdev(differences) / math.sqrt(seeds)
    return {"mean": middle, "low": middle - half, "high": middle + half, "seeds": seeds}


def phase_statements(effects: Mapping[str, Any], select: str) -> list[str]:
    """For each recipe, by the metric that selects models, or else the first: whether each later phase helped
    or harmed, beside the model at the end of the phase before it.
    """
    statements = []
    for name, effect in effects.items():
        metric = select if select in effect["metrics"] else next(iter(effect["metrics"]), "")
        if metric:
            statements += _metric_statements(name, metric, effect)
    return statements


def _metric_statements(name: str, metric: str, effect: Mapping[str, Any]) -> list[str]:
    found, phases = effect["metrics"][metric], effect["phases"]
    statements = []
    for at, change in enumerate(found["changes"], start=1):
        if change["mean"] is None:
            continue
        before, after = found["ends"][at - 1], found["ends"][at]
        values = f"{metric} on valid ({format_direction(found['higher_is_better'])})"
        text = (
            f"{name}: {values} was {format_number(before)} at the end of {phases[at - 1]['name']} and"
            f" {format_number(after)} at the end of {phases[at]['name']}: {_verdict(change, found)}."
        )
        if at == len(found["changes"]) and (best := found["best_of_last_phase"]):
            text += f" The best value within it was {format_number(best['value'])}, at step {best['step']:,}."
        statements.append(text)
    return statements


def _verdict(change: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    better = (change["mean"] > 0) == found["higher_is_better"]
    size = format_number(abs(change["mean"]))
    word = "better" if better else "worse"
    if change["mean"] == 0:
        return "unchanged"
    if change["low"] is None:
        return f"{word} by {size} in the one training, so the effect of the seed is unknown"
    low, high = sorted(abs(change[end]) for end in ("low", "high"))
    interval = f"over {count_noun(change['seeds'], 'seed')}, 95 % (paired t)"
    if change["low"] <= 0 <= change["high"]:
        ends = f"{format_number(change['low'])} to {format_number(change['high'])}"
        return f"the phase neither helped nor harmed beyond the spread, change {ends} {interval}"
    effect = "helped" if better else "harmed"
    return f"the phase {effect}, {word} by {size} ({format_number(low)} to {format_number(high)} {interval})"


def phase_charts(
    runs: Sequence[Run], effects: Mapping[str, Any], index: Mapping[str, int], select: str
) -> dict[str, list[str]]:
    """By recipe: a chart of each metric on valid over steps with the ends of phases, the selecting first."""
    charts = {}
    for name, effect in effects.items():
        own = [run for run in runs if run["name"] == name and run["phases"]]
        ordered = sorted(effect["metrics"], key=lambda metric: metric != select)
        charts[name] = [_chart(own, metric, index[name]) for metric in ordered]
    return charts


def _chart(runs: Sequence[Run], metric: str, index: int) -> str:
    lines = [
        Line(
            run["trial"], index, [(point["step"], point["value"]) for point in run["curves"].get(metric, [])]
        )
        for run in runs
    ]
    borders = [Border(0, runs[0]["phases"][0]["name"])]
    borders += [
        Border(before["end"], after["name"])
        for before, after in zip(runs[0]["phases"], runs[0]["phases"][1:], strict=False)
    ]
    return line_chart(lines, "steps", f"{metric} on valid", borders)
