"""The report of a comparison: all figures in report.json, and an HTML page that is rendered from them.

The page has no script, loads nothing, and is smaller than 10 MB. Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

from gancore.comparison.analysis import MetricComparison, RecipeResult, analyse
from gancore.comparison.charts import Line, Row, interval_chart, legend_marker, line_chart
from gancore.comparison.config import ComparisonConfig, Trial
from gancore.comparison.folder import ComparisonFolder, read_json, write_json
from gancore.comparison.formatting import (
    format_count,
    format_direction,
    format_number,
    format_seconds,
    join_names,
)
from gancore.comparison.gallery import read_galleries, read_index
from gancore.comparison.phases import phase_charts, phase_effects, phase_ends, phase_statements
from gancore.comparison.temperature_curves import curve_chart, read_curves, temperature_curves
from gancore.comparison.tradeoff_table import time_to_target, tradeoff_row, tradeoff_statements
from gancore.comparison.verdict import RULES, VerdictInputs, summarise, write_verdict
from gancore.errors import CheckpointError
from gancore.evaluation.result import EvaluationResult
from gancore.evaluation.tables import Table, merge_tables
from gancore.files import MAX_DATA_JSON_BYTES, atomic_write
from gancore.gallery import Gallery, fit, render_gallery, template_environment
from gancore.run_folder import read_metrics
from gancore.trainings import REAL

FORMAT = 2
TEMPLATES = Path(__file__).parent / "templates"
ON_VALID = "valid/"
MAX_PAGE_CHARACTERS = 9_000_000
TEXT_CHARACTERS = 1_200_000
"""The number of characters of the page that are reserved for everything except samples."""
AXIS_UNITS = {
    "seconds": ((3600, "hours of training"), (60, "minutes of training"), (1, "seconds of training")),
    "samples": (
        (1e6, "million real samples seen"),
        (1e3, "thousand real samples seen"),
        (1, "real samples seen"),
    ),
}
"""Units of the x axes. A chart uses the largest unit of which its longest curve has at least two."""
MAX_CURVES = 6
"""The largest number of metrics whose curves are drawn."""


def write_report(
    folder: ComparisonFolder, config: ComparisonConfig, trials: Sequence[Trial]
) -> dict[str, Any]:
    """Write both files from the results in the folder; return the content of report.json."""
    report = make_report(folder, config, trials)
    write_json(folder.report_json, report)
    atomic_write(folder.report_html, render_html(report, folder))
    return report


def make_report(
    folder: ComparisonFolder, config: ComparisonConfig, trials: Sequence[Trial]
) -> dict[str, Any]:
    """Compute the content of report.json from the results in the folder."""
    environment = read_json(folder.environment_file)
    runs = [trial_facts(folder, trial) for trial in trials]
    evaluations, tradeoffs = evaluations_by_seed(folder, trials), tradeoffs_by_seed(folder, trials)
    analysis = analyse(evaluations, environment.get("headline", ""))
    tradeoff_rows = {
        name: tradeoff_row(name, runs, tradeoffs.get(name, {}), analysis) for name in config.recipes
    }
    select, budget = environment.get("select", ""), config.budget
    failures = [{"trial": run["trial"], **run["failure"]} for run in runs if run["failure"]]
    inputs = VerdictInputs(
        analysis,
        budget.in_words,
        environment.get("machine", ""),
        kinds={name: row["kind"] for name, row in tradeoff_rows.items() if row["kind"]},
        still_improving=still_improving(runs) if select else [],
        failures={failure["trial"]: f"{failure['message']} ({failure['stage']})" for failure in failures},
        tradeoffs=tradeoff_statements(tradeoff_rows),
        training_seconds=mean_training_seconds(runs) if budget.unit == "time" else {},
    )
    return {
        "format": FORMAT,
        "command": config.command,
        "config": config.model_dump(mode="json") | {"budget_in_words": budget.in_words},
        "environment": environment,
        "summary": summarise(inputs),
        "verdict": [vars(statement) for statement in write_verdict(inputs)],
        "rules": RULES,
        "headline": analysis.headline.metric if analysis.headline else "",
        "metrics": [_metric_json(*pair) for pair in zip(analysis, analysis.among_trusted, strict=True)],
        "evaluation": _evaluation_metadata(evaluations),
        "tables": [table.to_json() for table in merge_tables(_tables(evaluations))],
        "tradeoffs": tradeoff_rows,
        "time_to_target": _time_to_target(runs, environment),
        "temperature_curves": temperature_curves(read_curves(folder, trials)),
        **_phases_json(runs, environment),
        "runs": runs,
        "failures": failures,
        "samples": _samples(folder, trials),
    }


def _time_to_target(runs: Sequence[Mapping[str, Any]], environment: Mapping[str, Any]) -> dict[str, Any]:
    select = environment.get("select", "")
    higher = environment.get("on_valid", {}).get(select, {}).get("higher_is_better") is True
    return time_to_target(runs, select, higher) if select else {}


def _phases_json(runs: Sequence[Mapping[str, Any]], environment: Mapping[str, Any]) -> dict[str, Any]:
    effects = phase_effects(runs, environment.get("on_valid", {}))
    return {"phases": effects, "phase_statements": phase_statements(effects, environment.get("select", ""))}


def still_improving(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Recipes with a trial that selected its last model, out of several."""
    late = [run["name"] for run in runs if run["steps"] > 1 and run["chosen_step"] == run["steps"]]
    return list(dict.fromkeys(late))


def mean_training_seconds(runs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Mean training time of the finished trials of each recipe."""
    by_name: dict[str, list[float]] = {}
    for run in runs:
        if run["state"] == "done":
            by_name.setdefault(run["name"], []).append(run["seconds"])
    return {name: mean(seconds) for name, seconds in by_name.items()}


def _metric_json(comparison: MetricComparison, compared: MetricComparison) -> dict[str, Any]:
    """All results of a metric; ``compared``: those that the verdict compares."""
    first = comparison.first
    return {
        "metric": comparison.metric,
        "unit": first.unit,
        "higher_is_better": first.higher_is_better,
        "ideal": first.ideal,
        "computed": any(result.values for result in comparison.results.values()),
        "distrust_reason": compared.distrust_reason,
        "left_out": dict(compared.left_out),
        "is_decisive": compared.is_decisive,
        "anchors": dict(comparison.anchors),
        "n_anchors": first.n_anchors,
        "method": first.method,
        "n": first.n,
        "n_real": first.n_real,
        "split": first.split,
        "features": first.features,
        "features_hash": first.features_hash,
        "leaders": compared.leaders() if compared.is_decisive else [],
        "recipes": {name: _recipe_json(result) for name, result in comparison.results.items()},
    }


def _recipe_json(result: RecipeResult) -> dict[str, Any]:
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
        for seed, reading in result.readings.items()
    }
    value = result.value if result.values else None
    return {"value": value, "std_over_seeds": result.std_over_seeds, "seeds": seeds}


def _evaluation_metadata(evaluations: Mapping[str, Mapping[int, EvaluationResult]]) -> dict[str, Any]:
    """``metadata`` of the first evaluation; in the others, only the hash of the model differs."""
    first = next((one for seeds in evaluations.values() for one in seeds.values()), None)
    return {} if first is None else dict(first.metadata)


def _tables(evaluations: Mapping[str, Mapping[int, EvaluationResult]]) -> dict[str, Sequence[Table]]:
    """The domain's tables of each model, by its recipe; with the seed, if there are several."""
    return {
        f"{name}, seed {seed}" if len(seeds) > 1 else name: one.tables
        for name, seeds in evaluations.items()
        for seed, one in seeds.items()
    }


def _samples(folder: ComparisonFolder, trials: Sequence[Trial]) -> dict[str, Any]:
    """The index of each gallery: that of real rows, then of the first finished seed of each recipe."""
    shown: dict[str, Any] = {}
    if index := read_index(folder.samples(REAL)):
        shown[REAL] = {**index, "folder": REAL}
    for trial in trials:
        if trial.name in shown or not folder.is_finished(trial, "show"):
            continue
        if index := read_index(folder.samples(trial)):
            shown[trial.name] = {**index, "folder": str(trial)}
    return shown


def trial_facts(folder: ComparisonFolder, trial: Trial) -> dict[str, Any]:
    """State, cost, configuration and validation curves of one trial."""
    run = folder.run_folder(trial)
    status = run.read_status()
    model = read_json(run.model / "config.json") if run.model.is_dir() else {}
    trained = _mapping(model, "training")
    failure = read_json(folder.failure_file(trial))
    samples_per_step = _samples_per_step(trained, trial)
    done = folder.is_finished(trial, "train")
    return {
        "trial": str(trial),
        "name": trial.name,
        "recipe": trial.recipe,
        "seed": trial.seed,
        "state": "failed" if failure else "done" if done else status.status if status else "not begun",
        "failure": failure,
        "weights": folder.weights_hash(trial),
        "steps": status.step if status else 0,
        "planned_steps": status.total if status else None,
        "samples": round(status.step * samples_per_step) if status else 0,
        "seconds": status.seconds if status else 0.0,
        "chosen_step": trained.get("step"),
        "precision": trained.get("precision", ""),
        "plugins": _mapping(model, "plugins"),
        "machine": read_json(folder.machine_file(trial)).get("machine", ""),
        "fingerprint": read_json(run.data_file, MAX_DATA_JSON_BYTES).get("fingerprint", ""),
        "config": trial.config.model_dump(mode="json"),
        "phases": phase_ends(status),
        "curves": validation_curves(read_metrics(run.metrics_file), samples_per_step),
    }


def _samples_per_step(training: Mapping[str, Any], trial: Trial) -> float:
    """Samples per step as the model records them (a fitted model sees all rows); without a model, a batch."""
    step, samples = training.get("step"), training.get("samples")
    if isinstance(step, int) and isinstance(samples, int) and step > 0:
        return samples / step
    return float(trial.config.model.batch_size)


def _mapping(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The object with this name; {} if there is none."""
    value = content.get(name)
    return value if isinstance(value, dict) else {}


def validation_curves(
    lines: Sequence[Mapping[str, Any]], samples_per_step: float
) -> dict[str, list[dict[str, float]]]:
    """The curve of every metric on valid: points with value, step, samples and seconds of training."""
    clock = [(line["step"], line["seconds"]) for line in lines if "seconds" in line]
    curves: dict[str, list[dict[str, float]]] = {}
    for line in lines:
        for name, value in line.items():
            if name.startswith(ON_VALID) and isinstance(value, (int, float)) and math.isfinite(value):
                samples = round(line["step"] * samples_per_step)
                point = {"step": line["step"], "samples": samples, "value": float(value)}
                point["seconds"] = seconds_at_step(clock, line["step"])
                curves.setdefault(name.removeprefix(ON_VALID), []).append(point)
    return curves


def seconds_at_step(clock: Sequence[tuple[int, float]], step: int) -> float:
    """Seconds of training at a step, by linear interpolation between logged steps."""
    before = (0, 0.0)
    for after in [(0, 0.0), *clock]:
        if after[0] >= step:
            width = after[0] - before[0]
            return before[1] + (after[1] - before[1]) * ((step - before[0]) / width if width else 1.0)
        before = after
    return before[1]


def evaluations_by_seed(
    folder: ComparisonFolder, trials: Sequence[Trial]
) -> dict[str, dict[int, EvaluationResult]]:
    """Evaluation results of the current models, by recipe and seed."""
    evaluations: dict[str, dict[int, EvaluationResult]] = {}
    for trial in trials:
        if folder.is_finished(trial, "evaluate"):
            try:
                evaluation = EvaluationResult.read(folder.evaluation_file(trial))
            except CheckpointError:
                continue
            evaluations.setdefault(trial.name, {})[trial.seed] = evaluation
    return evaluations


def tradeoffs_by_seed(
    folder: ComparisonFolder, trials: Sequence[Trial]
) -> dict[str, dict[int, dict[str, Any]]]:
    """Trade-offs of the current models, by recipe and seed."""
    tradeoffs: dict[str, dict[int, dict[str, Any]]] = {}
    for trial in trials:
        if folder.is_finished(trial, "time"):
            tradeoffs.setdefault(trial.name, {})[trial.seed] = read_json(folder.tradeoffs_file(trial))
    return tradeoffs


def render_html(report: Mapping[str, Any], folder: ComparisonFolder) -> str:
    """Render the page. Every recipe shows the same number of samples, as many as fit."""
    environment = template_environment(TEMPLATES)
    environment.filters |= {
        "number": format_number,
        "seconds": format_seconds,
        "count": format_count,
        "direction": format_direction,
        "names": join_names,
        "yaml": partial(yaml.safe_dump, sort_keys=False, allow_unicode=True, width=100),
    }
    galleries = read_galleries(folder.path / "samples", report["samples"])
    index = {name: number for number, name in enumerate(report["config"]["recipes"])}
    return environment.get_template("report.html").render(
        report=report,
        style=(TEMPLATES / "report.css").read_text(),
        title=_title(report),
        markers={name: legend_marker(number) for name, number in index.items()},
        galleries=fit(galleries, MAX_PAGE_CHARACTERS - TEXT_CHARACTERS),
        render_gallery=render_gallery,
        real=REAL,
        intervals={metric["metric"]: _intervals(metric, index) for metric in report["metrics"]},
        curves=_curves(report, index),
        phase_charts=phase_charts(
            report["runs"], report["phases"], index, report["environment"].get("select", "")
        ),
        curve_chart=curve_chart(report["temperature_curves"], index) if report["temperature_curves"] else "",
        not_computed=_not_computed(report),
        heading=partial(_gallery_heading, report),
    )


def _title(report: Mapping[str, Any]) -> str:
    config = report["config"]
    source = report["environment"].get("data", {}).get("source") or config["data"] or "built-in data"
    return f"{config['domain']}: {source}"


def _gallery_heading(report: Mapping[str, Any], gallery: Gallery) -> str:
    return "rows of test" if gallery.name == REAL else str(report["tradeoffs"][gallery.name]["kind"])


def _not_computed(report: Mapping[str, Any]) -> dict[str, list[str]]:
    """Metrics that were not computed for any recipe, by reason."""
    by_reason: dict[str, list[str]] = {}
    for metric in report["metrics"]:
        if not metric["computed"]:
            seeds = (seed for one in metric["recipes"].values() for seed in one["seeds"].values())
            by_reason.setdefault(next(seeds)["skipped"], []).append(metric["metric"])
    return by_reason


def _intervals(metric: Mapping[str, Any], index: Mapping[str, int]) -> str:
    rows = []
    for name, result in metric["recipes"].items():
        seeds = [
            (s["value"], s["low"], s["high"]) for s in result["seeds"].values() if s["value"] is not None
        ]
        if seeds:
            rows.append(Row(name, index[name], seeds))
    unit = f", {metric['unit']}" if metric["unit"] else ""
    direction = format_direction(metric["higher_is_better"], metric["ideal"])
    return interval_chart(
        rows, metric["anchors"], f"{metric['metric']}{unit}{f' ({direction})' if direction else ''}"
    )


def _curves(report: Mapping[str, Any], index: Mapping[str, int]) -> list[dict[str, str]]:
    """Charts of each metric on valid against seconds and samples, first of the metric that selects models."""
    select = report["environment"].get("select", "")
    metrics: dict[str, None] = {select: None} if select else {}
    for run in report["runs"]:
        metrics |= dict.fromkeys(run["curves"])
    charts = []
    for metric in metrics:
        by_axis = {x: learning_curve(report["runs"], metric, x, index) for x in ("seconds", "samples")}
        if by_axis["seconds"]:
            charts.append({"metric": metric, **by_axis})
    return charts[:MAX_CURVES]


def learning_curve(runs: Sequence[Mapping[str, Any]], metric: str, x: str, index: Mapping[str, int]) -> str:
    """A chart of ``metric`` of every trial against ``x``, which is seconds or samples."""
    curves = {run["trial"]: (run["name"], run["curves"].get(metric, [])) for run in runs}
    longest = max((point[x] for _, curve in curves.values() for point in curve), default=1.0)
    size, unit = next((size, unit) for size, unit in AXIS_UNITS[x] if longest >= 2 * size or size == 1)
    lines = [
        Line(trial, index[name], [(point[x] / size, point["value"]) for point in curve])
        for trial, (name, curve) in curves.items()
        if curve
    ]
    return line_chart(lines, unit, f"{metric} on valid")
