"""``gancore compare``: train and evaluate several recipes under the same conditions and write a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gancore.cli.options import (
    DataOption,
    DataRootOption,
    DomainOption,
    FeatureExtractorOption,
    MetricsOption,
    NoProgressOption,
    RecipeOverridesOption,
    SamplesOption,
    StepsOption,
    TimeOption,
    split_names,
)
from gancore.console import print_json, print_line, progress_printer
from gancore.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from gancore.comparison.runner import ComparisonResult

STORED_OPTIONS = (
    *("domain", "data", "recipes", "steps", "samples", "time", "overrides", "grid", "select", "n"),
    *("metrics", "feature_extractor", "evaluation_seed", "device", "out"),
)
"""Options that a comparison stores in its folder."""


def compare(
    domain: DomainOption = None,
    data: DataOption = None,
    recipes: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Recipes, or NAME=RECIPE. Default: all of the domain."),
    ] = None,
    steps: StepsOption = None,
    samples: SamplesOption = None,
    time: TimeOption = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="N|A,B", help="A number, or a list of seeds; added to those of the folder. Default: 1."
        ),
    ] = None,
    overrides: RecipeOverridesOption = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=A,B", help="Values that every recipe tries, in all combinations. May be repeated."
        ),
    ] = None,
    select: Annotated[
        str | None,
        typer.Option(
            metavar="METRIC", help="Metric on valid that selects each model, or last. Default: the domain's."
        ),
    ] = None,
    n: Annotated[int | None, typer.Option("-n", min=16, help="Samples of each model. Default: 2000.")] = None,
    metrics: MetricsOption = None,
    temperatures: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Evaluate models that have one at each: quality against diversity; added to those of the"
            " folder. Default: the domain's.",
        ),
    ] = None,
    feature_extractor: FeatureExtractorOption = None,
    evaluation_seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the evaluated samples. Default: 0.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto (default), cpu, cuda, cuda:1, mps.")] = None,
    jobs: Annotated[
        int,
        typer.Option(min=1, help="Number of parallel trainings. Not with --time."),
    ] = 1,
    data_root: DataRootOption = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the comparison; finished parts are kept. Default: a new one in runs/."),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Continue a comparison; only --seeds and --temperatures can be added."
        ),
    ] = None,
    report_only: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write the report of a comparison again.")
    ] = None,
    quiet: NoProgressOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the content of report.json.")] = False,
) -> None:
    """Train several recipes with the same data and budget, evaluate them in the same way, and write a report.

    The folder gets report.html, a page without external files, and report.json. The same command with the
    same --out continues a comparison that was stopped or killed. Exit code 3: the report is written, and a
    recipe failed.
    """
    given = dict(locals())
    from gancore import api
    from gancore.comparison.config import read_seeds
    from gancore.evaluation.temperatures import read_temperatures

    if report_only is not None:
        return _print_comparison(_rewrite_report(report_only, given), quiet, as_json)
    if resume is not None:
        _reject_extra_options(given, STORED_OPTIONS, "--resume")
    comparison = api.compare(
        domain,
        data=data,
        recipes=split_names(recipes) or (),
        steps=steps,
        samples=samples,
        time=time,
        seeds=None if seeds is None else read_seeds(seeds),
        overrides=overrides or [],
        grid=grid or [],
        select=select,
        n=n,
        metrics=split_names(metrics),
        temperatures=None if temperatures is None else read_temperatures(temperatures),
        feature_extractor=feature_extractor,
        evaluation_seed=evaluation_seed,
        device=device,
        jobs=jobs,
        data_root=data_root,
        out=out,
        resume=resume,
        announce=progress_printer(quiet),
    )
    _print_comparison(comparison, quiet, as_json)


def _rewrite_report(folder: Path, given: dict[str, Any]) -> ComparisonResult:
    from gancore.comparison.runner import rewrite_report

    _reject_extra_options(given, (*STORED_OPTIONS, "seeds", "temperatures", "resume"), "--report-only")
    return rewrite_report(folder)


def _reject_extra_options(given: dict[str, Any], names: Sequence[str], flag: str) -> None:
    extra = [name for name in names if given[name] not in (None, [])]
    if extra:
        option = {"overrides": "--set", "n": "-n"}.get(extra[0], "--" + extra[0].replace("_", "-"))
        raise ConfigError(
            f"{option} cannot be combined with {flag}: the folder stores its settings", f"leave out {option}"
        )


def _print_comparison(comparison: ComparisonResult, quiet: bool, as_json: bool) -> None:
    if as_json:
        print_json(comparison.report)
    elif not quiet:
        for line in comparison.report["summary"]:
            print_line(line)
        print_line("")
        for statement in comparison.report["verdict"]:
            print_line(statement["text"])
        print_line(f"report: {comparison.report_html}")
    for failure in comparison.failures:
        print_line(f"failed: {failure}", to_stderr=True)
    if comparison.failures:
        raise typer.Exit(ExitCode.PARTIAL_FAILURE)
