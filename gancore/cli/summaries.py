"""``gancore runs``, ``recipes``: list runs and recipes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gancore.cli.options import JsonOption, RunsFolderArgument, complete_domain
from gancore.console import format_duration, print_json, print_line, print_table

if TYPE_CHECKING:
    from gancore.summaries import RunSummary

RUN_COLUMNS = ("run", "domain", "recipe", "step", "state", "time", "last losses")
RECIPE_COLUMNS = ("recipe", "domain", "provides", "about")
KEY_COLUMNS = ("key", "default", "allowed", "about")


def runs(folder: RunsFolderArgument = Path("runs"), as_json: JsonOption = False) -> None:
    """List runs with their step, state and last losses."""
    from gancore import summaries

    found = summaries.list_runs(folder)
    if as_json:
        return print_json([asdict(run) for run in found])
    if not found:
        return print_line(f"no runs in {folder}; `gancore train` makes one")
    print_table(RUN_COLUMNS, [_run_row(run) for run in found])


def _run_row(run: RunSummary) -> tuple[str, ...]:
    total = "" if run.total is None else f"/{run.total}"
    losses = " ".join(f"{name}={value:.4g}" for name, value in run.losses.items())
    return (
        run.name,
        run.domain,
        run.recipe,
        f"{run.step}{total}",
        run.status + (f" ({run.verdict.partition(':')[0]})" if run.verdict else ""),
        format_duration(run.seconds),
        run.error or losses,
    )


def recipes(
    recipe: Annotated[str | None, typer.Argument(help="A recipe whose keys are shown.")] = None,
    domain: Annotated[
        str | None, typer.Option(help="List recipes of this domain only.", autocompletion=complete_domain)
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON with the keys of every recipe.")
    ] = False,
) -> None:
    """List recipes and capabilities of their models; for one recipe, keys with defaults and ranges."""
    from gancore import summaries
    from gancore.errors import ConfigError
    from gancore.text import suggestion

    found = summaries.list_recipes(domain)
    if recipe is not None:
        known = {each.name for each in found}
        found = [each for each in found if each.name == recipe]
        if not found:
            raise ConfigError(f"there is no recipe {recipe!r}", suggestion(recipe, known))
    if as_json:
        return print_json([asdict(each) for each in found])
    rows = [
        (f"{each.name}{' (default)' if each.default else ''}", each.domain, ", ".join(each.provides))
        for each in found
    ]
    print_table(RECIPE_COLUMNS, [(*row, each.summary) for row, each in zip(rows, found, strict=True)])
    if recipe is None:
        return print_line("`gancore recipes RECIPE` shows the keys of a recipe, with defaults and ranges")
    for each in found:
        print_line(f"\nkeys of {each.domain} {each.name}, for --set KEY=VALUE:")
        print_table(KEY_COLUMNS, [(key.key, str(key.default), key.allowed, key.about) for key in each.keys])
