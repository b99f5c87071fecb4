"""The picture of a sweep: values by trial, by parameter, and importances. Imports matplotlib in functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gancore.files import atomic_write
from gancore.sweep.config import RECIPE, shown_value
from gancore.sweep.results import SweepResults, TrialResult
from gancore.sweep.search import Dimension

PICTURE = "sweep.png"
COLUMNS, TICKS, MARGIN = 3, 4, 0.05
LOG_RATIO = 8.0
"""Values further apart than this are drawn on a logarithmic axis."""
COMPLETE, PRUNED, BEST = "#1f5fa8", "#b0b7c3", "#d1495b"


def draw_results(results: SweepResults, folder: Path) -> Path:
    """Write the picture into a folder.

    Raises:
        CheckpointError: the folder cannot be written.
    """
    import io

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = _parameter_names(results)
    panels = 1 + len(names) + bool(results.importances)
    rows = math.ceil(panels / COLUMNS)
    figure = Figure(figsize=(4.2 * min(panels, COLUMNS), 3.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(_title(results), fontsize=11)
    axes = figure.subplots(rows, min(panels, COLUMNS), squeeze=False).flatten().tolist()
    _draw_history(axes[0], results)
    for axis, name in zip(axes[1:], names, strict=False):
        _draw_parameter(axis, results, name)
    if results.importances:
        _draw_importances(axes[panels - 1], results)
    for axis in axes[panels:]:
        axis.axis("off")
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(folder / PICTURE, content.getvalue())
    return folder / PICTURE


def _parameter_names(results: SweepResults) -> list[str]:
    names = [RECIPE] * (len(results.config.recipes) > 1)
    return names + [dimension.name for dimension in results.config.dimensions]


def _valued(results: SweepResults) -> list[TrialResult]:
    return [trial for trial in results.trials if trial.value is not None]


def _title(results: SweepResults) -> str:
    facts = results.facts
    unit = f", {facts.unit}" if facts.unit else ""
    better = "higher" if facts.higher_is_better else "lower"
    return f"{results.config.domain}: {facts.metric} on valid{unit} (n={facts.n}, {better} is better)"


def _scatter(axis: Any, results: SweepResults, trials: Sequence[TrialResult], xs: Sequence[float]) -> None:
    """Points of trials: completed ones filled, others grey, the best one marked."""
    for label, colour, complete in (("complete", COMPLETE, True), ("pruned or not ended", PRUNED, False)):
        pairs = zip(xs, trials, strict=True)
        chosen = [(x, trial.value) for x, trial in pairs if (trial.state == "complete") is complete]
        if chosen:
            axis.scatter(*zip(*chosen, strict=True), s=22, color=colour, label=label, zorder=2)
    best = results.best
    marked = [x for x, trial in zip(xs, trials, strict=True) if best and trial.number == best.number]
    values = [trial.value for trial in trials if trial.value is not None]
    if values and min(values) > 0 and max(values) > LOG_RATIO * min(values):
        axis.set_yscale("log")
    if best and marked:
        axis.scatter(marked, [best.value], s=90, facecolors="none", edgecolors=BEST, label="best", zorder=3)


def _draw_history(axis: Any, results: SweepResults) -> None:
    trials = _valued(results)
    _scatter(axis, results, trials, [float(trial.number) for trial in trials])
    complete = [trial for trial in trials if trial.state == "complete"]
    values = [trial.value for trial in complete if trial.value is not None]
    if complete:
        so_far = [results.facts.best(values[: count + 1]) for count in range(len(values))]
        axis.step([trial.number for trial in complete], so_far, where="post", color=COMPLETE, linewidth=1)
    axis.set(xlabel="trial", ylabel=results.facts.metric)
    axis.locator_params(axis="x", integer=True)
    if trials:
        axis.legend(fontsize=7, frameon=False)


def _draw_parameter(axis: Any, results: SweepResults, name: str) -> None:
    trials = [trial for trial in _valued(results) if name in trial.params]
    dimension = next((each for each in results.config.dimensions if each.name == name), None)
    values = [trial.params[name] for trial in trials]
    if dimension is None or dimension.kind == "choice":
        known = list(dimension.choices) if dimension else list(results.config.recipes)
        values = [known.index(value) for value in values]
        axis.set_xticks(range(len(known)), [shown_value(each) for each in known])
        axis.set_xlim(-0.5, len(known) - 0.5)
    else:
        _set_interval(axis, dimension)
    _scatter(axis, results, trials, values)
    axis.set(xlabel=name)


def _set_interval(axis: Any, dimension: Dimension) -> None:
    """The searched interval with a margin; round numbers would overlap on a logarithmic axis."""
    low, high = dimension.low, dimension.high
    if not dimension.log:
        margin = MARGIN * (high - low)
        axis.set_xlim(low - margin, high + margin)
        return
    from matplotlib.ticker import NullLocator

    axis.set_xscale("log")
    axis.xaxis.set_minor_locator(NullLocator())
    ratio = high / low
    ticks = [low * ratio ** (number / TICKS) for number in range(TICKS + 1)]
    axis.set_xticks(ticks, [f"{tick:.2g}" if tick < 100 else f"{tick:.0f}" for tick in ticks])
    axis.set_xlim(low / ratio**MARGIN, high * ratio**MARGIN)


def _draw_importances(axis: Any, results: SweepResults) -> None:
    ordered = sorted(results.importances.items(), key=lambda item: item[1])
    axis.barh([name for name, _ in ordered], [share for _, share in ordered], color=COMPLETE)
    axis.set(xlabel="importance (share of the variance)", xlim=(0, 1))
