"""``gancore plugins new``: a project that installs, holds to the contract and trains, to begin from."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from gancore.cli.shared import say


def new(
    name: Annotated[str, typer.Argument(help="The domain's name: a-z, 0-9 and dashes.")],
    out: Annotated[
        Path | None, typer.Option(help="The folder for the project; default: gancore-NAME, here.")
    ] = None,
) -> None:
    """Write the project of a new plugin that works.

    It is a small domain, to be changed file by file; it installs, holds to the contract and trains.
    """
    from gancore.scaffold import write_project

    folder = out or Path(f"gancore-{name}")
    for file in write_project(name, folder):
        say(file)
    place = shlex.quote(str(folder) if folder.is_absolute() else f"./{folder}")
    say(f"next: pip install -e {place} && gancore plugins check {name}")
