"""``measures``: whether metrics are right if the answer is known, or report that they are not reliable."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from gancore.data import cache_folder, digest_code, digest_json
from gancore.errors import ConfigError
from gancore.metrics import ALL_FAILURES, DiskCache, outcomes_for
from gancore.random import Key
from gancore.text import suggestion
from gancore_lab import cases, distributions, metric_checks
from gancore_lab.cases import CASES, CaseData
from gancore_lab.experiment import Check, Experiment, ExperimentResult
from gancore_lab.metric_checks import (
    ORDER,
    CaseSets,
    CellResult,
    check_metrics,
    checkable_metrics,
    median_letter,
)

ALL = ("all",)
COLOURS = {"P": "#4c9f70", "W": "#e8c547", "S": "#c0392b", "F": "#7d3c98", "D": "#2471a3"}
MEANING = {
    "P": "right",
    "W": "wrong, and reported",
    "S": "missed, not reported",
    "F": "false alarm, not reported",
    "D": "dependence, not reported",
}

Draws = Mapping[str, Mapping[str, Mapping[str, list[CellResult]]]]
"""The result of each draw, by metric, case and cell (``n x d``)."""


def run(settings: Mapping[str, Any], seed: int) -> ExperimentResult:
    """Run every draw of every cell; results of the same code are read from the cache."""
    metrics = _select(settings["measures"], checkable_metrics())
    selected = _select(settings["cases"], CASES)
    store = DiskCache(cache_folder() / "lab" / "measures")
    cells = list(product(settings["rows"], settings["dimensions"]))
    drawn: dict[str, dict[str, dict[str, list[CellResult]]]] = {name: {} for name in metrics}
    for draw, (n, d), name in product(range(settings["draws"]), cells, selected):
        for metric, result in _cell_results(store, name, n, d, (seed, draw), metrics).items():
            drawn[metric].setdefault(name, {}).setdefault(f"{n} x {d}", []).append(result)
    outcomes = {name: _letters_by_case(by_case, cells) for name, by_case in drawn.items()}
    table = {
        "rows": list(settings["rows"]),
        "dimensions": list(settings["dimensions"]),
        "draws": settings["draws"],
        "cases": {name: case.description for name, case in selected.items()},
        "outcomes": outcomes,
    }
    checks = [_metric_check(name, letters, cells) for name, letters in outcomes.items()]
    return ExperimentResult(
        checks, {"table": table}, list(_notes(outcomes, drawn)), extra={"table": table, "drawn": drawn}
    )


def _select(names: Sequence[str], known: Mapping[str, Any]) -> Mapping[str, Any]:
    if tuple(names) == ALL:
        return known
    for name in names:
        if name not in known:
            raise ConfigError(f"there is no {name!r}", suggestion(name, [*known, *ALL]))
    return {name: known[name] for name in known if name in names}


def _cell_results(
    store: DiskCache, name: str, n: int, d: int, seed_and_draw: tuple[int, int], metrics: Mapping[str, Any]
) -> dict[str, CellResult]:
    """The results of one draw of one cell."""
    sources = [inspect.getsource(module) for module in (distributions, cases, metric_checks)]
    key = digest_json(
        "measures", name, n, d, seed_and_draw, sorted(metrics), digest_code("gancore:"), sources
    )
    values = store.read_json(key)
    if values is None:
        case = CASES[name]
        case_data = CaseData(case.distribution, Key.of("measures", *seed_and_draw) / n / d, n, d)
        results = check_metrics(case, CaseSets.of(case, case_data), d, metrics, store)
        values = {metric: list(result) for metric, result in results}
        store.write_json(key, values)
    return {metric: CellResult(*each) for metric, each in values.items()}


def _letters_by_case(
    by_case: Mapping[str, Mapping[str, list[CellResult]]], cells: Sequence[tuple[int, int]]
) -> dict[str, str]:
    """The median letter of each cell, for each case; a dot if the case has no question for the metric."""
    letters_by_case = {}
    for name, by_cell in by_case.items():
        drawn = [[result.letter for result in by_cell.get(f"{n} x {d}", [])] for n, d in cells]
        letters_by_case[name] = "".join(median_letter(letters) if letters else "." for letters in drawn)
    return letters_by_case


def _metric_check(name: str, by_case: Mapping[str, str], cells: Sequence[tuple[int, int]]) -> Check:
    """Check that no cell is wrong without a report by the metric or a warning of the evaluation."""
    silent = [
        f"{case}, n {n}, d {d}"
        for case, letters in by_case.items()
        for letter, (n, d) in zip(letters, cells, strict=True)
        if letter in ALL_FAILURES and outcomes_for(name, d, n).get(case, "") not in tuple(ALL_FAILURES)
    ]
    return Check(f"{name}: silently wrong", len(silent), "<", 1, note="; ".join(silent[:3]))


def _notes(outcomes: Mapping[str, Mapping[str, str]], drawn: Draws) -> Iterator[str]:
    for name, by_case in outcomes.items():
        count = Counter("".join(by_case.values()).replace(".", ""))
        counts = ", ".join(f"{count[letter]} {MEANING[letter]}" for letter in ORDER if count[letter])
        yield f"{name}: of {sum(count.values())} cells {counts}"
    results = [v for by_case in drawn.values() for by_cell in by_case.values() for v in by_cell.values()]
    right = [one for each in results for one in each if one.letter == "P"]
    distrusted = sum(bool(one.why) for one in right)
    yield f'{distrusted:,} of {len(right):,} right answers have trust "no"'


def plot(result: ExperimentResult) -> Figure:
    """Draw cases in rows and metrics in columns; a cell has a row for each n and a column for each d."""
    table = result.plot_data["table"]
    tried, named = list(table["cases"]), list(table["outcomes"])
    rows, columns = len(table["rows"]), len(table["dimensions"])
    image = np.full((len(tried) * rows, len(named) * columns), np.nan)
    for (i, case), (j, name) in product(enumerate(tried), enumerate(named)):
        letters = table["outcomes"][name].get(case, "." * rows * columns)
        block = [ORDER.index(letter) if letter in ORDER else np.nan for letter in letters]
        image[i * rows : (i + 1) * rows, j * columns : (j + 1) * columns] = np.reshape(block, (rows, columns))
    figure = Figure(figsize=(4 + 0.4 * len(named), 2.5 + 0.3 * len(tried)), dpi=110, layout="constrained")
    ax = figure.subplots()
    ax.imshow(image, cmap=ListedColormap(list(COLOURS.values())), vmin=0, vmax=len(ORDER) - 1, aspect="auto")
    ax.set_xticks(columns * np.arange(len(named)) + (columns - 1) / 2, named, rotation=90, fontsize=8)
    ax.set_yticks(rows * np.arange(len(tried)) + (rows - 1) / 2, tried, fontsize=8)
    ax.hlines(rows * np.arange(1, len(tried)) - 0.5, -0.5, image.shape[1] - 0.5, color="white", linewidth=2)
    ax.vlines(
        columns * np.arange(1, len(named)) - 0.5, -0.5, image.shape[0] - 0.5, color="white", linewidth=2
    )
    ax.tick_params(length=0)
    ax.set_title(f"in a cell: rows n {table['rows']}, columns d {table['dimensions']}", fontsize=10)
    patches = [Patch(color=COLOURS[letter], label=MEANING[letter]) for letter in ORDER]
    figure.legend(handles=patches, loc="outside lower center", ncols=3, fontsize=8)
    return figure


EXPERIMENT = Experiment(
    question="Is each metric right on distributions with known answers, or does it report that it is not?",
    prediction="no metric is wrong without trust, interval, definition or a note that reports it",
    source="Raisa, van Breugel and van der Schaar, ICML 2025, and common faults of samples",
    settings={"rows": (300, 1000), "dimensions": (2, 16, 64), "draws": 3, "cases": ALL, "measures": ALL},
    descriptions={
        "rows": "samples and reference examples of each set",
        "dimensions": "dimensions of the distributions",
        "draws": "independent draws of each pair of sets",
        "cases": "pairs of distributions by name; all: every one",
        "measures": "metrics by name; all: every metric of the core that needs no classifier",
    },
    quick_settings={
        "rows": (100,),
        "dimensions": (16,),
        "draws": 1,
        "cases": ("equal laws", "mean", "shrunken", "repeated", "copies of train"),
        "measures": (
            "frechet",
            "precision",
            "recall",
            "density",
            "coverage",
            "c2st_neighbour",
            "authenticity",
        ),
    },
    run=run,
    plot=plot,
    seconds=(4, 4500),
)
