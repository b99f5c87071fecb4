"""``gancore evaluate``: a trained model's samples beside real ones, in figures with intervals and anchors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gancore.cli.shared import listed, say


def evaluate(
    run_or_model: Annotated[
        str, typer.Argument(metavar="RUN_OR_MODEL", help="A run folder, a model folder, or a model's name.")
    ],
    against: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="Other data than the model's own: a name or a path.")
    ] = None,
    measures: Annotated[
        str | None, typer.Option(metavar="A,B", help="Measures by name; all: every one. Default: the quick.")
    ] = None,
    features: Annotated[
        str | None, typer.Option(metavar="NAME", help="Features by name. Default: the domain's first.")
    ] = None,
    n: Annotated[
        int | None,
        typer.Option(
            "-n", min=16, help="Samples, and at most so many rows. Default: as the split has, 300 to 2,000."
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="The reference: test, valid or train.")] = "test",
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same figures.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    data_root: Annotated[
        Path | None, typer.Option(help="Where named data sets lie; default: GANCORE_DATA, or the cache.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the JSON lines there too.")] = None,
    card: Annotated[
        bool, typer.Option("--card", help="Put what can be trusted onto the model's card.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines instead of a table.")] = False,
) -> None:
    """Measure a trained model.

    Every figure stands beside that of three known sets: held-out real rows, noise, and a collapse. What was
    measured of a run is kept in its folder, in measures.jsonl.
    """
    from gancore import api

    told = {} if quiet else {"announce": lambda line: say(line, to_stderr=True)}
    evaluation = api.evaluate(
        run_or_model,
        against=against,
        measures=listed(measures),
        features=features,
        n=n,
        split=split,
        seed=seed,
        device=device,
        data_root=data_root,
        out=out,
        card=card,
        **told,
    )
    if as_json:
        for line in evaluation.lines():
            say(line)
    else:
        from gancore.evaluation.table import show

        show(evaluation)
