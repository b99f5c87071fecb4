"""``gancore generate``: samples from a trained model, as files that people open."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gancore.cli.shared import print_json
from gancore.errors import ConfigError


def generate(
    run_or_model: Annotated[
        str | None, typer.Argument(metavar="RUN_OR_MODEL", help="A run folder or a model folder.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="A model by name; see `gancore models`.")] = None,
    n: Annotated[int, typer.Option("-n", min=1, help="How many samples.")] = 16,
    out: Annotated[Path, typer.Option(help="The folder for the files; made if missing.")] = Path("samples"),
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same samples.")] = 0,
    label: Annotated[str | None, typer.Option(help="Samples of this class only.")] = None,
    each_label: Annotated[
        bool, typer.Option("--each-label", help="-n samples of every class, side by side.")
    ] = False,
    interpolate: Annotated[
        int | None,
        typer.Option(metavar="STEPS", min=2, help="-n ways of so many steps from one sample to another."),
    ] = None,
    truncation: Annotated[
        float | None,
        typer.Option(metavar="PSI", help="Normal latents no farther from 0: less variety, fewer outliers."),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Samples at once; does not change them.")] = 64,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    force: Annotated[bool, typer.Option("--force", help="Replace the samples that --out holds.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The files as JSON.")] = False,
) -> None:
    """Write samples of a trained model."""
    chosen = run_or_model or model
    if not chosen or (run_or_model and model):
        given = "two models are given" if chosen else "no model is given"
        raise ConfigError(given, "give a run folder, a model folder, or --model NAME")
    from gancore import api

    files = api.generate(
        run_or_model or model or "",
        n=n,
        out=out,
        seed=seed,
        label=label,
        each_label=each_label,
        interpolate=interpolate,
        truncation=truncation,
        batch_size=batch_size,
        device=device,
        force=force,
        announce=lambda line: None if quiet else typer.echo(line, err=True),
    )
    if as_json:
        print_json({"files": [str(file) for file in files]})
    elif not quiet:
        for file in files:
            typer.echo(file)
