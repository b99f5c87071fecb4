"""The check of bf16 for every recipe of a machine: what ``gancore info --check`` shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from gancore.configure import resolve_config
from gancore.data.sources import cache_folder
from gancore.errors import GancoreError
from gancore.games.field import Table
from gancore.plugins import plugins
from gancore.records import RecipeEntry
from gancore.runtime.kernels import KnownKernels
from gancore.testing.bench import DomainBench, RecipeBench
from gancore.testing.check import quoted
from gancore.training.loop import prepare
from gancore.training.precision import check_precision
from gancore.training.run import RunFolder
from gancore.training.session import open_session


@dataclass(frozen=True)
class Row:
    """One recipe at one size: on its domain's tiny data (``tiny``), or on its built-in data (``default``).

    ``operations`` were checked in ``seconds``; those in ``wrong`` failed; ``skipped`` says why none was.
    Of a domain that cannot be had there is one row, without recipe and size.
    """

    domain: str
    recipe: str
    size: str
    operations: int = 0
    wrong: tuple[str, ...] = ()
    seconds: float = 0.0
    skipped: str = ""


def survey_precision() -> Iterator[Row]:
    """A row for each recipe of each domain and each size, as it is made. Nothing is trained or kept.

    What a plugin raises is the reason why its own row is skipped, and ends nothing.
    """
    for record in plugins().records("gancore_domains"):
        try:
            home = DomainBench(plugins().domain(record.name))
            recipes = plugins().recipes(home.domain)
        except Exception as error:
            yield Row(record.name, "", "", skipped=_reason(error))
            continue
        for entry in recipes.values():
            for size, lay in (("tiny", _tiny), ("default", _default)):
                yield _row(home, entry, size, lay)


def _row(home: DomainBench, entry: RecipeEntry, size: str, lay: Callable[..., Table]) -> Row:
    row = Row(home.domain.name, entry.name, size)
    try:
        table = lay(home, entry)
        if table.game.full_precision:
            return replace(row, skipped="trains in fp32")
        prepare(table)
        known = KnownKernels(cache_folder() / "kernels", table.dealer.key.device)
        check = check_precision(replace(table, bf16=True), known)
    except (Exception, SystemExit) as error:
        return replace(row, skipped=_reason(error))
    return replace(row, operations=check.calls, wrong=tuple(map(str, check.wrong)), seconds=check.seconds)


def _reason(error: BaseException) -> str:
    return error.message if isinstance(error, GancoreError) else f"raises {quoted(error)}"


def _tiny(home: DomainBench, entry: RecipeEntry) -> Table:
    return RecipeBench(home, *plugins().recipe(home.domain, entry.name)).unprepared()


def _default(home: DomainBench, entry: RecipeEntry) -> Table:
    config = resolve_config(home.domain.name, recipe=entry.name)
    return open_session(RunFolder(Path("unused")), config, None, lambda line: None).table
