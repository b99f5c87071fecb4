"""``gancore generate``, ``neighbours``, ``animate``: write samples of a model or a run to files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from gancore.cli.options import (
    DataRootOption,
    DeviceOption,
    JsonOption,
    LabelOption,
    NoProgressOption,
    OtherDataOption,
    OutFolderOption,
    OverwriteOption,
    QuietOption,
    RunOrModelArgument,
    SampleSeedOption,
    complete_model,
)
from gancore.console import print_json, print_line, progress_printer


def generate(
    run_or_model: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN_OR_MODEL",
            help="A run folder, a model folder, or the id of a model (`gancore models`).",
            autocompletion=complete_model,
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="ID", help="The same as an option.", autocompletion=complete_model),
    ] = None,
    n: Annotated[int, typer.Option("-n", min=1, help="Number of samples.")] = 16,
    out: OutFolderOption = Path("samples"),
    seed: SampleSeedOption = 0,
    label: LabelOption = None,
    each_label: Annotated[
        bool, typer.Option("--each-label", help="Write -n samples of every class.")
    ] = False,
    interpolate: Annotated[
        int | None,
        typer.Option(
            metavar="POINTS", min=2, help="Write -n paths of this many samples between two samples."
        ),
    ] = None,
    truncation: Annotated[
        float | None,
        typer.Option(metavar="PSI", help="Bound on normal latents: less variety, fewer outliers."),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(metavar="T", help="Temperature of tokens, if the model has one; below 1 less variety."),
    ] = None,
    infill: Annotated[
        str | None,
        typer.Option(
            metavar="PROMPT", help="Fill the gaps of a prompt. Of models that do; see their domain."
        ),
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="Format of the files, if the domain has several; repeat it to write several.",
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Samples on the device at a time; does not change samples.")
    ] = 64,
    device: DeviceOption = "auto",
    overwrite: OverwriteOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write samples of a trained model."""
    from gancore import api

    files = api.generate(
        _one_model(run_or_model, model),
        n=n,
        out=out,
        seed=seed,
        label=label,
        each_label=each_label,
        interpolate=interpolate,
        truncation=truncation,
        temperature=temperature,
        infill=infill,
        formats=formats or (),
        batch_size=batch_size,
        device=device,
        overwrite=overwrite,
        announce=progress_printer(quiet),
    )
    if as_json:
        print_json({"files": [str(file) for file in files]})
    elif not quiet:
        for file in files:
            print_line(file)


def _one_model(argument: str | None, option: str | None) -> str:
    """The model that is given, as an argument or as --model."""
    from gancore.errors import ConfigError

    if argument is not None and option is not None:
        raise ConfigError(f"two models are given: {argument} and --model {option}", "leave out one of them")
    if (given := argument or option) is None:
        raise ConfigError("no model is given", "give a run folder, or an id that `gancore models` lists")
    return given


def neighbours(
    run_or_model: RunOrModelArgument,
    n: Annotated[int, typer.Option("-n", min=1, help="How many samples.")] = 16,
    k: Annotated[int, typer.Option("-k", min=1, help="Number of training examples for each sample.")] = 5,
    out: OutFolderOption = Path("neighbours"),
    feature_extractor: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Feature extractor for distances. Default: that of the domain."),
    ] = None,
    data: OtherDataOption = None,
    seed: SampleSeedOption = 0,
    label: LabelOption = None,
    device: DeviceOption = "auto",
    data_root: DataRootOption = None,
    overwrite: OverwriteOption = False,
    quiet: NoProgressOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write samples with their nearest training examples, and report whether samples are copies."""
    from gancore import api

    found = api.neighbours(
        run_or_model,
        n=n,
        k=k,
        out=out,
        feature_extractor=feature_extractor,
        data=data,
        seed=seed,
        label=label,
        device=device,
        data_root=data_root,
        overwrite=overwrite,
        announce=progress_printer(quiet),
    )
    if as_json:
        print_json(found.to_json())
    else:
        print_line(found.copy_test.summary())
        if found.shared_row:
            print_line(found.shared_row)
        if not quiet:
            for line in found.summary():
                print_line(line)
            print_line(f"in {out}")


def animate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File of the animation. Default: RUN/animation.gif.")
    ] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a GIF of the previews of a run, which show the same latents at each step."""
    from gancore import api

    made = api.animate(run, out=out, announce=progress_printer(quiet))
    if as_json:
        print_json(asdict(made))
    elif not quiet:
        print_line(f"{made.file}: {len(made.steps)} frames, steps {made.steps[0]:,} to {made.steps[-1]:,}")
