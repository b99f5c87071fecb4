"""The report of a comparison: everything as numbers in report.json, and the page made of that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from gancore.comparison.asked import REAL, Asked
from gancore.comparison.balance import in_words, row, until_target
from gancore.comparison.brief import brief
from gancore.comparison.exhibits import read_index
from gancore.comparison.findings import Finding, Standing, find
from gancore.comparison.folder import ComparisonFolder, Entrant, read_json, write_json
from gancore.comparison.gathering import costs, evaluations, facts
from gancore.comparison.page import render
from gancore.comparison.verdict import RULES, Case, judge
from gancore.evaluation.reading import Evaluation
from gancore.files import atomic_write

FORMAT = 1


def write_report(folder: ComparisonFolder, asked: Asked, everyone: Sequence[Entrant]) -> dict[str, Any]:
    """From what lies in the folder, as far as it is; returns what stands in report.json."""
    report = gather(folder, asked, everyone)
    write_json(folder.figures, report)
    atomic_write(folder.page, render(report, folder))
    return report


def gather(folder: ComparisonFolder, asked: Asked, everyone: Sequence[Entrant]) -> dict[str, Any]:
    """All the figures, as JSON values."""
    about = read_json(folder.about)
    runs = [facts(folder, entrant) for entrant in everyone]
    read, spent = evaluations(folder, everyone), costs(folder, everyone)
    findings = find(read, about.get("headline", ""))
    rows = {
        name: row(name, [run for run in runs if run["name"] == name], spent.get(name, {}), findings)
        for name in asked.recipes
    }
    select = about.get("select", "")
    failures = [{"who": run["who"], **run["failure"]} for run in runs if run["failure"]]
    higher = about.get("on_valid", {}).get(select, {}).get("better") == "higher"
    target = until_target(runs, select, higher) if select else {}
    case = Case(
        findings,
        asked.spent.in_words,
        about.get("machine", ""),
        {name: one["kind"] for name, one in rows.items() if one["kind"]},
        unfinished(runs) if select else [],
        {failure["who"]: f"{failure['message']} ({failure['stage']})" for failure in failures},
        in_words(rows),
        seconds_of(runs) if asked.spent.unit == "seconds" else {},
    )
    return {
        "format": FORMAT,
        "command": asked.command,
        "asked": asked.model_dump(mode="json") | {"budget_in_words": asked.spent.in_words},
        "about": about,
        "brief": brief(case),
        "verdict": [vars(statement) for statement in judge(case)],
        "rules": RULES,
        "headline": findings.headline.measure if findings.headline else "",
        "measures": [_measure(finding) for finding in findings],
        "evaluation": _about(read),
        "tradeoffs": rows,
        "until_target": target,
        "runs": runs,
        "failures": failures,
        "samples": _samples(folder, everyone),
    }


def unfinished(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of which a seed's chosen model is the last of many."""
    late = [run["name"] for run in runs if run["steps"] > 1 and run["chosen_step"] == run["steps"]]
    return list(dict.fromkeys(late))


def seconds_of(runs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """What the finished trainings of each recipe took, in the mean."""
    taken: dict[str, list[float]] = {}
    for run in runs:
        if run["state"] == "done":
            taken.setdefault(run["name"], []).append(run["seconds"])
    return {name: mean(seconds) for name, seconds in taken.items()}


def _measure(finding: Finding) -> dict[str, Any]:
    first = finding.first
    return {
        "measure": finding.measure,
        "unit": first.unit,
        "better": first.better,
        "taken": any(standing.values for standing in finding.standings.values()),
        "distrust": finding.distrust,
        "decides": finding.decides,
        "anchors": dict(finding.anchors),
        "n_anchors": first.n_anchors,
        "method": first.method,
        "n": first.n,
        "n_real": first.n_real,
        "split": first.split,
        "features": first.features,
        "features_hash": first.features_hash,
        "lead": finding.lead() if finding.decides else [],
        "recipes": {name: _standing(standing) for name, standing in finding.standings.items()},
    }


def _standing(standing: Standing) -> dict[str, Any]:
    seeds = {
        str(seed): {
            "value": reading.value,
            "low": reading.low,
            "high": reading.high,
            "matched": reading.matched,
            "anchors": dict(reading.anchors),
            "trust": reading.trust,
            "skipped": reading.skipped,
            "seconds": reading.seconds,
            "details": dict(reading.details),
        }
        for seed, reading in standing.readings.items()
    }
    value = standing.value if standing.values else None
    return {"value": value, "spread": standing.spread, "seeds": seeds}


def _about(read: Mapping[str, Mapping[int, Evaluation]]) -> dict[str, Any]:
    """What evaluations say of themselves; that of the first, which are those of all but the model's hash."""
    first = next((one for seeds in read.values() for one in seeds.values()), None)
    return {} if first is None else dict(first.about)


def _samples(folder: ComparisonFolder, everyone: Sequence[Entrant]) -> dict[str, Any]:
    """The files that stand side by side: real rows, then the first finished seed of each."""
    shown: dict[str, Any] = {}
    if index := read_index(folder.samples(REAL)):
        shown[REAL] = {**index, "folder": REAL}
    for entrant in everyone:
        if entrant.name in shown or not folder.is_finished(entrant, "show"):
            continue
        if index := read_index(folder.samples(entrant)):
            shown[entrant.name] = {**index, "folder": str(entrant)}
    return shown
