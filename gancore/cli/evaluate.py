"""``gancore evaluate``: compare samples of a model with real examples, with intervals and controls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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

if TYPE_CHECKING:
    from gancore.evaluation.result import EvaluationResult


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
    temperatures: Annotated[
        str | None,
        typer.Option(
            metavar="A,B", help="Evaluate at each: quality against diversity. Of models that have one."
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
    from gancore.errors import ConfigError
    from gancore.evaluation.temperatures import read_temperatures

    arguments: dict[str, Any] = {
        "data": data,
        "metrics": split_names(metrics),
        "feature_extractor": feature_extractor,
        "n": n,
        "split": split,
        "seed": seed,
        "device": device,
        "data_root": data_root,
        "out": out,
        "announce": progress_printer(quiet),
    }
    if temperatures is None:
        evaluations = [api.evaluate(run_or_model, update_card=update_card, **arguments)]
    elif update_card:
        raise ConfigError(
            "--update-card cannot be combined with --temperatures: a card has the model's own samples",
            "leave out one of them",
        )
    else:
        values = read_temperatures(temperatures)
        evaluations = api.evaluate_temperatures(run_or_model, values, **arguments)
    if as_json:
        for line in (line for evaluation in evaluations for line in evaluation.lines()):
            print_line(line)
    else:
        _print_report(evaluations, is_curve=temperatures is not None)


def _print_report(evaluations: Sequence[EvaluationResult], is_curve: bool) -> None:
    from gancore.evaluation.report import print_report
    from gancore.evaluation.temperature_report import print_temperatures

    if is_curve:
        print_temperatures(evaluations)
    else:
        print_report(evaluations[0])
