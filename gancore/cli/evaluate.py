"""``gancore evaluate``: compare samples of a model with real examples, with intervals and controls."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gancore.cli.options import (
    DataRootOption,
    DeviceOption,
    FeatureExtractorOption,
    MetricsOption,
    NoProgressOption,
    OtherDataOption,
    RunOrModelArgument,
    split_names,
)
from gancore.console import print_line, progress_printer


def evaluate(
    run_or_model: RunOrModelArgument,
    data: OtherDataOption = None,
    metrics: MetricsOption = None,
    feature_extractor: FeatureExtractorOption = None,
    n: Annotated[
        int | None,
        typer.Option(
            "-n",
            min=16,
            help="Samples, and the most real rows. Default: rows of the split, 300 to 2,000.",
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Reference split: test, valid or train.")] = "test",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the samples.")] = 0,
    device: DeviceOption = "auto",
    data_root: DataRootOption = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the JSON lines to this file.")
    ] = None,
    update_card: Annotated[
        bool, typer.Option("--update-card", help="Write trusted results into the model card.")
    ] = False,
    quiet: NoProgressOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines instead of a table.")] = False,
) -> None:
    """Evaluate a trained model.

    Every value is printed with the values of three controls: held-out real examples, noise, and repeated
    samples (collapse). Results of a run are stored in evaluations.jsonl in its folder.
    """
    from gancore import api

    evaluation = api.evaluate(
        run_or_model,
        data=data,
        metrics=split_names(metrics),
        feature_extractor=feature_extractor,
        n=n,
        split=split,
        seed=seed,
        device=device,
        data_root=data_root,
        out=out,
        update_card=update_card,
        announce=progress_printer(quiet),
    )
    if as_json:
        for line in evaluation.lines():
            print_line(line)
    else:
        from gancore.evaluation.report import print_report

        print_report(evaluation)
