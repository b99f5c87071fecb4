"""The check of bf16 for every installed recipe, for ``gancore info --check-precision``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from gancore.config_layers import resolve_config
from gancore.data.cache import cache_folder
from gancore.entries import RecipeEntry
from gancore.errors import GancoreError
from gancore.games.training_setup import TrainingSetup
from gancore.plugins import plugins
from gancore.run_folder import RunFolder
from gancore.runtime.kernel_cache import KernelCache
from gancore.testing.check import error_text
from gancore.testing.fixtures import DomainFixture, RecipeFixture
from gancore.training.loop import prepare_game
from gancore.training.precision import check_precision
from gancore.training.run_context import open_run


@dataclass(frozen=True)
class PrecisionRow:
    """The check of one recipe on the tiny data of its domain (``tiny``) or its built-in data (``default``).

    ``operations`` is the number of operations that were checked, in ``seconds``; ``wrong`` lists those that
    failed; ``skipped`` is the reason why none was checked. A domain that is not available has one row without
    recipe and size.
    """

    domain: str
    recipe: str
    size: str
    operations: int = 0
    wrong: tuple[str, ...] = ()
    seconds: float = 0.0
    skipped: str = ""


def survey_precision() -> Iterator[PrecisionRow]:
    """Check each recipe of each domain at each size and yield its row. Nothing is trained or saved.

    An exception of a plugin becomes the reason in its row and does not end the survey.
    """
    for record in plugins().entries("gancore_domains"):
        try:
            home = DomainFixture(plugins().load_domain(record.name))
            recipes = plugins().recipe_entries(home.domain)
        except Exception as error:
            yield PrecisionRow(record.name, "", "", skipped=_reason(error))
            continue
        for entry in recipes.values():
            for size, make_setup in (("tiny", _tiny), ("default", _default)):
                yield _row(home, entry, size, make_setup)


def _row(
    home: DomainFixture, entry: RecipeEntry, size: str, make_setup: Callable[..., TrainingSetup]
) -> PrecisionRow:
    row = PrecisionRow(home.domain.name, entry.name, size)
    try:
        table = make_setup(home, entry)
        if table.game.fp32_by_default:
            return replace(row, skipped="trains in fp32")
        prepare_game(table)
        known = KernelCache(cache_folder() / "kernels", table.batches.key.device)
        check = check_precision(replace(table, bf16=True), known)
    except (Exception, SystemExit) as error:
        return replace(row, skipped=_reason(error))
    return replace(row, operations=check.calls, wrong=tuple(map(str, check.wrong)), seconds=check.seconds)


def _reason(error: BaseException) -> str:
    return error.message if isinstance(error, GancoreError) else f"raises {error_text(error)}"


def _tiny(home: DomainFixture, entry: RecipeEntry) -> TrainingSetup:
    return RecipeFixture(home, *plugins().load_recipe(home.domain, entry.name)).unprepared_setup()


def _default(home: DomainFixture, entry: RecipeEntry) -> TrainingSetup:
    config = resolve_config(home.domain.name, recipe=entry.name)
    return open_run(RunFolder(Path("unused")), config, None, lambda line: None).setup
