"""The check of bf16 for every recipe of a machine: what ``gancore info --check`` shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gancore.configure import resolve_config
from gancore.data.sources import cache_folder
from gancore.domain import Domain
from gancore.errors import GancoreError
from gancore.games.field import Table
from gancore.plugins import plugins
from gancore.records import RecipeEntry
from gancore.runtime.kernels import KnownKernels
from gancore.testing.bench import DomainBench, RecipeBench
from gancore.training.loop import prepare
from gancore.training.precision import check_precision
from gancore.training.run import RunFolder
from gancore.training.session import open_session


@dataclass(frozen=True)
class Row:
    """One recipe at one size: on its domain's tiny data (``tiny``), or on its built-in data (``default``).

    ``operations`` were checked in ``seconds``; those in ``wrong`` failed; ``skipped`` says why none was.
    """

    domain: str
    recipe: str
    size: str
    operations: int = 0
    wrong: tuple[str, ...] = ()
    seconds: float = 0.0
    skipped: str = ""


def survey_precision() -> Iterator[Row]:
    """A row for each recipe of each domain and each size, as it is made. Nothing is trained or kept."""
    plugins().load_all()
    for info in plugins().listing():
        try:
            domain = plugins().domain(info.name)
        except GancoreError:  # a plugin without a domain of its own
            continue
        for entry in domain.recipes.values():
            for size, lay in (("tiny", _tiny), ("default", _default)):
                yield _row(domain, entry, size, lay)


def _row(domain: Domain, entry: RecipeEntry, size: str, lay: Any) -> Row:
    row = Row(domain.name, entry.name, size)
    try:
        table: Table = lay(domain, entry)
    except GancoreError as error:
        return replace(row, skipped=error.message)
    if table.game.full_precision:
        return replace(row, skipped="trains in fp32")
    prepare(table)
    known = KnownKernels(cache_folder() / "kernels", table.dealer.key.device)
    check = check_precision(replace(table, bf16=True), known)
    return replace(row, operations=check.calls, wrong=tuple(map(str, check.wrong)), seconds=check.seconds)


def _tiny(domain: Domain, entry: RecipeEntry) -> Table:
    return RecipeBench(DomainBench(domain), entry, plugins().recipe(domain, entry.name)[1]).table()


def _default(domain: Domain, entry: RecipeEntry) -> Table:
    config = resolve_config(domain.name, recipe=entry.name)
    return open_session(RunFolder(Path("unused")), config, None, lambda line: None).table
