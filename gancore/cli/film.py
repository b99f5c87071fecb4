"""``gancore film``: how a run's samples came to be."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from gancore.cli.shared import print_json, say


def film(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, finished or not.")],
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Default: RUN/film.gif.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="File and steps as JSON.")] = False,
) -> None:
    """Join the previews of a run, which are of the same latents, into one GIF."""
    from gancore import api

    made = api.film(run, out=out, announce=lambda line: None if quiet else say(line, to_stderr=True))
    if as_json:
        print_json(asdict(made))
    elif not quiet:
        say(f"{made.file}: {len(made.steps)} frames, steps {made.steps[0]:,} to {made.steps[-1]:,}")
