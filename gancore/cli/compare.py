"""``gancore compare``: train and evaluate several recipes under the same conditions and write a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gancore.cli.options import (
    DataOption,
    DataRootOption,
    DomainOption,
    FeaturesOption,
    MeasuresOption,
    NoProgressOption,
    split_names,
)
from gancore.console import print_json, print_line, progress_printer
from gancore.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from gancore.comparison.runner import ComparisonResult


def compare(
    domain: DomainOption = None,
    data: DataOption = None,
    recipes: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Recipes, or NAME=RECIPE; default: all of the domain."),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Of each training: 10m, 90s, 1h, 20000 steps, 1e6 samples.")
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="N|A,B", help="How many (0, 1, ...), or which; added to those of the folder. Default: 1."
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="For all recipes; NAME:KEY=VALUE for one. May be repeated."
        ),
    ] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=A,B", help="Values that every recipe tries, in all combinations. May be repeated."
        ),
    ] = None,
    select: Annotated[
        str | None,
        typer.Option(
            metavar="MEASURE", help="Selects each model on valid; last: none. Default: the domain's."
        ),
    ] = None,
    n: Annotated[int | None, typer.Option("-n", min=16, help="Samples of each model. Default: 2000.")] = None,
    measures: MeasuresOption = None,
    features: FeaturesOption = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the samples. Default: 0.")] = None,
    device: Annotated[str | None, typer.Option(help="auto (default), cpu, cuda, cuda:1, mps.")] = None,
    jobs: Annotated[
        int,
        typer.Option(min=1, help="Trainings at once; not with a budget in time, since they would share it."),
    ] = 1,
    data_root: DataRootOption = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The folder; finished parts in it are not computed again. Default: in runs/."),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Continue a comparison; only --seeds can be added.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Only write its report again.")
    ] = None,
    quiet: NoProgressOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures of the report as JSON.")] = False,
) -> None:
    """Train several recipes on the same data and budget, evaluate them in the same way, and report.

    Writes report.html, a page without external files, and report.json into the folder. The same command with
    the same --out continues a comparison that was stopped or killed. Exit code 3: the report was written,
    but a recipe failed.
    """
    from gancore import api
    from gancore.comparison.config import read_seeds

    if resume is not None or report is not None:
        options: dict[str, Any] = {"--domain": domain, "--data": data, "--recipes": recipes}
        options |= {"--budget": budget, "--set": overrides, "--grid": grid, "--select": select, "-n": n}
        options |= {"--measures": measures, "--features": features, "--seed": seed, "--device": device}
        options |= {"--out": out, **({} if report is None else {"--seeds": seeds, "--resume": resume})}
        _reject_extra_options(options, "--resume" if report is None else "--report")
    if report is not None:
        from gancore.comparison.runner import rewrite_report

        return _print_comparison(rewrite_report(report), quiet, as_json)
    comparison = api.compare(
        domain,
        data=data,
        recipes=split_names(recipes) or (),
        budget=budget,
        seeds=None if seeds is None else read_seeds(seeds),
        overrides=overrides or [],
        grid=grid or [],
        select=select,
        n=n,
        measures=split_names(measures),
        features=features,
        evaluation_seed=seed,
        device=device,
        jobs=jobs,
        data_root=data_root,
        out=out,
        resume=resume,
        **({} if quiet else {"announce": progress_printer(quiet)}),
    )
    _print_comparison(comparison, quiet, as_json)


def _reject_extra_options(options: dict[str, Any], flag: str) -> None:
    extra = [name for name, value in options.items() if value not in (None, [])]
    if extra:
        raise ConfigError(
            f"{extra[0]} cannot be combined with {flag}: the folder stores its settings",
            f"leave {extra[0]} out",
        )


def _print_comparison(comparison: ComparisonResult, quiet: bool, as_json: bool) -> None:
    if as_json:
        print_json(comparison.report)
    elif not quiet:
        for line in comparison.report["brief"]:
            print_line(line)
        print_line("")
        for statement in comparison.report["verdict"]:
            print_line(statement["text"])
        print_line(f"report: {comparison.report_html}")
    for failure in comparison.failures:
        print_line(f"failed: {failure}", to_stderr=True)
    if comparison.failures:
        raise typer.Exit(ExitCode.PARTIAL_FAILURE)
