"""``gancore neighbours``: samples beside the training rows that are nearest to them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gancore.cli.shared import print_json, say


def neighbours(
    run_or_model: Annotated[
        str, typer.Argument(metavar="RUN_OR_MODEL", help="A run folder, a model folder, or a model's name.")
    ],
    n: Annotated[int, typer.Option("-n", min=1, help="How many samples.")] = 16,
    k: Annotated[int, typer.Option("-k", min=1, help="How many rows of train beside each.")] = 5,
    out: Annotated[Path, typer.Option(help="The folder for the files; made if missing.")] = Path(
        "neighbours"
    ),
    features: Annotated[
        str | None, typer.Option(metavar="NAME", help="In which they are near. Default: the domain's choice.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="Other data than the model's own: a name or a path.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same samples.")] = 0,
    label: Annotated[str | None, typer.Option(help="Samples of this class only.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    data_root: Annotated[
        Path | None, typer.Option(help="Where named data sets lie; default: GANCORE_DATA, or the cache.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the samples that --out holds.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="What was found as JSON.")] = False,
) -> None:
    """Write samples, each beside its nearest rows of train, and say whether they are copies."""
    from gancore import api

    told = {} if quiet else {"announce": lambda line: say(line, to_stderr=True)}
    found = api.neighbours(
        run_or_model,
        n=n,
        k=k,
        out=out,
        features=features,
        against=against,
        seed=seed,
        label=label,
        device=device,
        data_root=data_root,
        force=force,
        **told,
    )
    if as_json:
        print_json(found.as_json())
    else:
        say(found.copying.told())
        if not quiet:
            for line in found.told():
                say(line)
            say(f"in {out}")
