"""``gancore runs``: the trainings in a folder."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gancore.cli.shared import duration, print_json, print_table

if TYPE_CHECKING:
    from gancore.listing import RunSummary

HEAD = ("run", "domain", "recipe", "step", "state", "time", "last losses")


def runs(
    folder: Annotated[Path, typer.Argument(help="The folder that holds the runs.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List runs: how far each is, and its last losses."""
    from gancore import listing

    found = listing.runs(folder)
    if as_json:
        return print_json([asdict(run) for run in found])
    if not found:
        return typer.echo(f"no runs in {folder}; `gancore train` makes one")
    print_table(HEAD, [_row(run) for run in found])


def _row(run: RunSummary) -> tuple[str, ...]:
    total = "" if run.total is None else f"/{run.total}"
    losses = " ".join(f"{name}={value:.4g}" for name, value in run.losses.items())
    return (
        run.name,
        run.domain,
        run.recipe,
        f"{run.step}{total}",
        run.status + (f" ({run.verdict.partition(':')[0]})" if run.verdict else ""),
        duration(run.seconds),
        run.error or losses,
    )
