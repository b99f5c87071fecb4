"""Do measures say what is so of laws whose truth is known, and where they do not, do they say that?"""

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

from gancore.data.sources import cache_folder
from gancore.errors import ConfigError, nearest
from gancore.evaluation.blind_spots import SILENT, known
from gancore.evaluation.store import Store, code_of, digest_of
from gancore.runtime.randomness import Key
from gancore_lab import cases, judging_measures, laws
from gancore_lab.cases import CASES, World
from gancore_lab.experiment import Check, Experiment, Outcome
from gancore_lab.judging_measures import ORDER, Sets, Verdict, judge, letter_of, measures

ALL = ("all",)
COLOURS = {"P": "#4c9f70", "W": "#e8c547", "S": "#c0392b", "F": "#7d3c98", "D": "#2471a3"}
MEANING = {
    "P": "right",
    "W": "wrong, and says so",
    "S": "misses it silently",
    "F": "finds fault silently",
    "D": "depends on it silently",
}

Draws = Mapping[str, Mapping[str, Mapping[str, list[Verdict]]]]
"""By measure, case and cell (``n x d``): a verdict of each draw."""


def measure(setup: Mapping[str, Any], seed: int) -> Outcome:
    """Every draw of every cell; those that were taken before by the same code are read from the cache."""
    found = _chosen(setup["measures"], measures())
    tried = _chosen(setup["cases"], CASES)
    store = Store(cache_folder() / "lab" / "measures")
    cells = list(product(setup["rows"], setup["dimensions"]))
    drawn: dict[str, dict[str, dict[str, list[Verdict]]]] = {name: {} for name in found}
    for draw, (n, d), name in product(range(setup["draws"]), cells, tried):
        taken = _taken(store, name, n, d, (seed, draw), found)
        for measured, verdict in taken.items():
            drawn[measured].setdefault(name, {}).setdefault(f"{n} x {d}", []).append(verdict)
    outcomes = {name: _letters(by_case, cells) for name, by_case in drawn.items()}
    table = {
        "rows": list(setup["rows"]),
        "dimensions": list(setup["dimensions"]),
        "draws": setup["draws"],
        "cases": {name: case.spot for name, case in tried.items()},
        "outcomes": outcomes,
    }
    checks = [_checked(name, letters, cells) for name, letters in outcomes.items()]
    return Outcome(
        checks, {"table": table}, list(_remarks(outcomes, drawn)), found={"table": table, "drawn": drawn}
    )


def _chosen(asked: Sequence[str], known: Mapping[str, Any]) -> Mapping[str, Any]:
    if tuple(asked) == ALL:
        return known
    for name in asked:
        if name not in known:
            raise ConfigError(f"no {name!r} here", nearest(name, [*known, *ALL]))
    return {name: known[name] for name in known if name in asked}


def _taken(
    store: Store, name: str, n: int, d: int, chance: tuple[int, int], found: Mapping[str, Any]
) -> dict[str, Verdict]:
    """The verdicts of one draw of one cell."""
    sources = [inspect.getsource(module) for module in (laws, cases, judging_measures)]
    key = digest_of("measures", name, n, d, chance, sorted(found), code_of("gancore:"), sources)
    kept = store.json(key)
    if kept is None:
        case = CASES[name]
        world = World(case.law, Key.of("measures", *chance) / n / d, n, d)
        kept = {measured: list(v) for measured, v in judge(case, Sets.of(case, world), d, found, store)}
        store.put_json(key, kept)
    return {measured: Verdict(*told) for measured, told in kept.items()}


def _letters(
    by_case: Mapping[str, Mapping[str, list[Verdict]]], cells: Sequence[tuple[int, int]]
) -> dict[str, str]:
    """For each case the median letter of each cell; a dot where nothing was asked."""
    told = {}
    for name, by_cell in by_case.items():
        drawn = [[verdict.letter for verdict in by_cell.get(f"{n} x {d}", [])] for n, d in cells]
        told[name] = "".join(letter_of(letters) if letters else "." for letters in drawn)
    return told


def _checked(name: str, letters: Mapping[str, str], cells: Sequence[tuple[int, int]]) -> Check:
    """Cells that are silently wrong, and of which no evaluation tells."""
    unsaid = [
        f"{case}, n {n}, d {d}"
        for case, told in letters.items()
        for letter, (n, d) in zip(told, cells, strict=True)
        if letter in SILENT and known(name, d, n).get(case, "") not in tuple(SILENT)
    ]
    return Check(f"{name}: silently wrong", len(unsaid), "<", 1, note="; ".join(unsaid[:3]))


def _remarks(outcomes: Mapping[str, Mapping[str, str]], drawn: Draws) -> Iterator[str]:
    for name, by_case in outcomes.items():
        count = Counter("".join(by_case.values()).replace(".", ""))
        told = ", ".join(f"{count[letter]} {MEANING[letter]}" for letter in ORDER if count[letter])
        yield f"{name}: of {sum(count.values())} cells {told}"
    verdicts = [v for by_case in drawn.values() for by_cell in by_case.values() for v in by_cell.values()]
    right = [one for each in verdicts for one in each if one.letter == "P"]
    distrusted = sum(bool(one.why) for one in right)
    yield f'of {len(right):,} right answers {distrusted:,} were given with trust "no"'


def draw(outcome: Outcome) -> Figure:
    """Cases down, measures across; within each cell rows of n and columns of d."""
    table = outcome.curves["table"]
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
    ax.set_title(f"in a cell: n {table['rows']} down, d {table['dimensions']} across", fontsize=10)
    patches = [Patch(color=COLOURS[letter], label=MEANING[letter]) for letter in ORDER]
    figure.legend(handles=patches, loc="outside lower center", ncols=3, fontsize=8)
    return figure


EXPERIMENT = Experiment(
    question="Does each measure say what is so of laws whose truth is known, or else that it cannot?",
    prediction="no measure is silently wrong: trust, interval, definition or a note says where it cannot see",
    source="Raisa, van Breugel and van der Schaar, ICML 2025, and faults of samples as people have them",
    setup={"rows": (300, 1000), "dimensions": (2, 16, 64), "draws": 3, "cases": ALL, "measures": ALL},
    quick={
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
    measure=measure,
    draw=draw,
    seconds=(4, 4500),
)
