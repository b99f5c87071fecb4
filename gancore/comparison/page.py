"""One self-contained page from the figures of a report: no script, nothing fetched, under 10 MB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from gancore.comparison import words
from gancore.comparison.asked import REAL
from gancore.comparison.charts import Line, Row, curves, intervals, key
from gancore.comparison.exhibits import Exhibit, exhibits, most_that_fit
from gancore.comparison.folder import ComparisonFolder

TEMPLATES = Path(__file__).parent / "page_files"
MOST_CHARACTERS = 9_000_000
ROOM_FOR_TEXT = 1_200_000
"""Of the page, for all that is no sample."""
SCALES = {
    "seconds": ((3600, "hours of training"), (60, "minutes of training"), (1, "seconds of training")),
    "samples": (
        (1e6, "million real samples seen"),
        (1e3, "thousand real samples seen"),
        (1, "real samples seen"),
    ),
}
"""Axes of the curves: the largest unit of which the longest has two."""
CURVES = 6
"""Measures whose curves are drawn."""


def render(report: Mapping[str, Any], folder: ComparisonFolder) -> str:
    """The page. Samples that have no room are left out, of each recipe as many."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "figure": words.figure,
        "seconds": words.seconds,
        "count": words.count,
        "listed": words.listed,
        "yaml": _yaml,
    }
    found = exhibits(folder.path / "samples", report["samples"])
    index = {name: number for number, name in enumerate(report["asked"]["recipes"])}
    return environment.get_template("report.html").render(
        report=report,
        style=(TEMPLATES / "report.css").read_text(),
        title=_title(report),
        keys={name: key(number) for name, number in index.items()},
        exhibits=found,
        real=REAL,
        most=most_that_fit(found, MOST_CHARACTERS - ROOM_FOR_TEXT),
        intervals={m["measure"]: _intervals(m, index) for m in report["measures"]},
        curves=_curves(report, index),
        untaken=_untaken(report),
        heading=partial(_heading, report),
    )


def _title(report: Mapping[str, Any]) -> str:
    asked = report["asked"]
    source = report["about"].get("data", {}).get("source") or asked["data"] or "built-in data"
    return f"{asked['domain']}: {source}"


def _heading(report: Mapping[str, Any], exhibit: Exhibit) -> str:
    return "rows of test" if exhibit.name == REAL else str(report["tradeoffs"][exhibit.name]["kind"])


def _untaken(report: Mapping[str, Any]) -> dict[str, list[str]]:
    """Measures that nobody could take, by the reason."""
    found: dict[str, list[str]] = {}
    for measure in report["measures"]:
        if not measure["taken"]:
            seeds = (seed for one in measure["recipes"].values() for seed in one["seeds"].values())
            found.setdefault(next(seeds)["skipped"], []).append(measure["measure"])
    return found


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)


def _intervals(measure: Mapping[str, Any], index: Mapping[str, int]) -> str:
    rows = []
    for name, standing in measure["recipes"].items():
        seeds = [
            (s["value"], s["low"], s["high"]) for s in standing["seeds"].values() if s["value"] is not None
        ]
        if seeds:
            rows.append(Row(name, index[name], seeds))
    unit = f", {measure['unit']}" if measure["unit"] else ""
    better = f" ({measure['better']} is better)" if measure["better"] else ""
    return intervals(rows, measure["anchors"], f"{measure['measure']}{unit}{better}")


def _curves(report: Mapping[str, Any], index: Mapping[str, int]) -> list[dict[str, str]]:
    """Each measure on valid against seconds and against samples; the one that chose the models first."""
    select = report["about"].get("select", "")
    known: dict[str, None] = {select: None} if select else {}
    for run in report["runs"]:
        known |= dict.fromkeys(run["curves"])
    told = []
    for measure in known:
        drawn = {x: learning_curve(report["runs"], measure, x, index) for x in ("seconds", "samples")}
        if drawn["seconds"]:
            told.append({"measure": measure, **drawn})
    return told[:CURVES]


def learning_curve(
    runs: Sequence[Mapping[str, Any]], measure: str, across: str, index: Mapping[str, int]
) -> str:
    """``measure`` of every training, against ``seconds`` or ``samples``."""
    curves_ = {run["who"]: (run["name"], run["curves"].get(measure, [])) for run in runs}
    most = max((point[across] for _, curve in curves_.values() for point in curve), default=1.0)
    size, name = next((size, name) for size, name in SCALES[across] if most >= 2 * size or size == 1)
    lines = [
        Line(who, index[name_], [(point[across] / size, point["value"]) for point in curve])
        for who, (name_, curve) in curves_.items()
        if curve
    ]
    return curves(lines, name, f"{measure} on valid")
