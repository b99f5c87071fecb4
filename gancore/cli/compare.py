"""``gancore compare``: recipes trained alike and judged alike, and a page that says what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gancore.cli.shared import complete_domain, listed, print_json, say
from gancore.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from gancore.comparison.runner import Comparison


def compare(
    domain: Annotated[
        str | None,
        typer.Option(help="The kind of data; see `gancore plugins`.", autocompletion=complete_domain),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="A folder, file or named data set; default: the built-in data.")
    ] = None,
    recipes: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Recipes, or NAME=RECIPE; default: all of the domain."),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Of each training: 10m, 90s, 1h, 20000 steps, 1e6 samples.")
    ] = None,
    seeds: Annotated[
        str,
        typer.Option(metavar="N|A,B", help="How many (0, 1, ...), or which; added to those that --out has."),
    ] = "1",
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="For all; NAME:KEY=VALUE for one. May be repeated."),
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
            metavar="MEASURE", help="Chooses each model on valid; last: none. Default: the domain's."
        ),
    ] = None,
    n: Annotated[int, typer.Option("-n", min=16, help="Samples of each model that are measured.")] = 2000,
    measures: Annotated[
        str | None, typer.Option(metavar="A,B", help="Measures by name; all: every one. Default: the quick.")
    ] = None,
    features: Annotated[
        str | None, typer.Option(metavar="NAME", help="Features by name. Default: the domain's first.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the samples that are measured and shown.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    jobs: Annotated[
        int,
        typer.Option(min=1, help="Trainings at once; not with a budget in seconds, which they would share."),
    ] = 1,
    data_root: Annotated[
        Path | None, typer.Option(help="Where named data sets lie; default: GANCORE_DATA, or the cache.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The folder; what is finished in it is not made again. Default: in runs/."),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Go on with a comparison as it was asked.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write its report again, and do no more.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The figures of the report, as JSON.")] = False,
) -> None:
    """Train several recipes on the same data and budget, measure them alike, and report.

    Writes report.html, one page that needs nothing else, and report.json into the folder. The same line with
    the same --out goes on where it was stopped or killed. Exit code 3: the report is there, but a recipe
    failed.
    """
    from gancore import api
    from gancore.comparison.asked import read_seeds

    if resume is not None or report is not None:
        _refuse_more({"--domain": domain, "--budget": budget, "--recipes": recipes, "--out": out})
    if report is not None:
        from gancore.comparison.asking import report as write_again

        return _show(write_again(report), quiet, as_json)
    made = api.compare(
        domain,
        data=data,
        recipes=listed(recipes) or (),
        budget=budget,
        seeds=read_seeds(seeds),
        overrides=overrides or [],
        grid=grid or [],
        select=select,
        n=n,
        measures=listed(measures),
        features=features,
        evaluation_seed=seed,
        device=device,
        jobs=jobs,
        data_root=data_root,
        out=out,
        resume=resume,
        **({} if quiet else {"announce": lambda line: say(line, to_stderr=True)}),
    )
    _show(made, quiet, as_json)


def _refuse_more(given: dict[str, Any]) -> None:
    told = [name for name, value in given.items() if value is not None]
    if told:
        raise ConfigError(
            f"{told[0]} beside --resume or --report", "the folder says what was asked; leave it out"
        )


def _show(made: Comparison, quiet: bool, as_json: bool) -> None:
    if as_json:
        print_json(made.report)
    elif not quiet:
        for line in made.report["brief"]:
            say(line)
        say("")
        for statement in made.report["verdict"]:
            say(statement["text"])
        say(f"report: {made.page}")
    for failure in made.failures:
        say(f"failed: {failure}", to_stderr=True)
    if made.failures:
        raise typer.Exit(ExitCode.PARTLY_FAILED)
