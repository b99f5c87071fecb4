"""From what is asked to a comparison: begun anew, gone on with, or only written about again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from gancore.comparison.asked import EXAMPLES, ask, read_asked, read_recipes
from gancore.comparison.entrants import entrants, every_recipe
from gancore.comparison.folder import ComparisonFolder
from gancore.comparison.grid import with_grid
from gancore.comparison.report import write_report
from gancore.comparison.runner import Comparison, Runner, failures_in
from gancore.data.rows import as_rows, is_rows
from gancore.errors import ConfigError

Announce = Callable[[str], None]


def begin(
    told: Mapping[str, Any],
    recipes: Sequence[str],
    jobs: int,
    data_root: Path | None,
    out: Path | None,
    runs: Path,
    announce: Announce,
) -> Comparison:
    """A comparison in ``out``, or in a new folder of ``runs``; what is finished there is not made again."""
    if told["domain"] is None:
        raise ConfigError("no domain is given", "give --domain; `gancore plugins` lists them")
    if told["budget"] is None:
        raise ConfigError("no budget is given", f"give --budget, {EXAMPLES}")
    folder = ComparisonFolder(out or _fresh(runs, told["domain"]))
    data = told["data"]
    rows = as_rows(data) if is_rows(data) else None
    source = str((folder.rows / rows.name).absolute()) if rows else None if data is None else str(data)
    known = read_recipes(recipes or every_recipe(told["domain"]))
    rest = {name: value for name, value in told.items() if name != "grid"}
    entered, settings = with_grid(known, told["settings"], told["grid"])
    asked = ask(**{**rest, "data": source, "recipes": entered, "settings": settings})
    return Runner(folder, asked, jobs, data_root, announce, rows)()


def _fresh(runs: Path, domain: str) -> Path:
    name, number = f"compare-{domain}-{datetime.now():%Y%m%d-%H%M%S}", 1
    while (path := runs / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return path


def resume(folder: Path, jobs: int, data_root: Path | None, announce: Announce) -> Comparison:
    """Go on with a comparison as it was asked."""
    found = ComparisonFolder(folder)
    return Runner(found, read_asked(found.asked), jobs, data_root, announce)()


def report(folder: Path) -> Comparison:
    """Write its report again from what lies there; nothing is trained or measured."""
    found = ComparisonFolder(folder)
    asked = read_asked(found.asked)
    written = write_report(found, asked, entrants(asked))
    return Comparison(folder, found.page, written, failures_in(written))
