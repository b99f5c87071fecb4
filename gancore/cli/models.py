"""``gancore models``: what `gancore generate` can draw from."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from gancore.cli.shared import complete_domain, print_json, print_table, say

HEAD = ("model", "domain", "recipe", "step", "from", "licence", "about")


def models(
    folder: Annotated[Path, typer.Argument(help="The folder that holds the runs.")] = Path("runs"),
    domain: Annotated[
        str | None, typer.Option(help="Only models of this kind of data.", autocompletion=complete_domain)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List trained models: those of runs, and those that plugins bring."""
    from gancore import listing

    found = listing.models(domain, folder)
    if as_json:
        return print_json([asdict(model) for model in found])
    if not found:
        return say(f"no models in {folder}; `gancore train` makes one")
    print_table(
        HEAD,
        [
            (
                m.name,
                m.domain,
                m.recipe,
                "" if m.step is None else str(m.step),
                m.origin,
                m.licence,
                m.summary,
            )
            for m in found
        ],
    )
