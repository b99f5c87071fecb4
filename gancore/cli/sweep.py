"""``gancore sweep``: search for settings over many trainings, by any number of workers; show the results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gancore.cli.options import (
    DataOption,
    DataRootOption,
    DeviceOption,
    DomainOption,
    JsonOption,
    NoProgressOption,
    RecipeOverridesOption,
    SamplesOption,
    StepsOption,
    TimeOption,
    split_names,
)
from gancore.console import format_duration, print_json, print_line, print_table, progress_printer
from gancore.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from gancore.sweep.results import SweepResults, TrialResult

StudyOption = Annotated[
    str, typer.Option(metavar="NAME", help="Name of the study, for a storage that has several.")
]

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)


@app.callback()
def sweep(
    context: typer.Context,
    domain: DomainOption = None,
    data: DataOption = None,
    recipes: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Recipes, or NAME=RECIPE. Default: that of the domain."),
    ] = None,
    search: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=FORM",
            help="A searched key: KEY=int(16,64,log), float(1e-4,1e-2,log) or choice(a,b); NAME:KEY=FORM for"
            " one recipe. May be repeated.",
        ),
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Number of trials over all workers.")] = 50,
    storage: Annotated[
        str | None,
        typer.Option(metavar="FOLDER|URL", help="A folder that all workers share, or a database of Optuna."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Shared folder of the runs, for a storage that is a URL.")
    ] = None,
    study: StudyOption = "sweep",
    steps: StepsOption = None,
    samples: SamplesOption = None,
    time: TimeOption = None,
    overrides: RecipeOverridesOption = None,
    metric: Annotated[
        str | None,
        typer.Option(metavar="METRIC", help="Metric on valid that judges trials. Default: the domain's."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of trainings and proposals.")] = 0,
    prune: Annotated[
        bool, typer.Option("--prune/--no-prune", help="Stop trials early that look bad on valid.")
    ] = True,
    wait: Annotated[
        bool,
        typer.Option("--wait/--no-wait", help="At the end, take over trials that other workers leave."),
    ] = True,
    device: DeviceOption = "auto",
    data_root: DataRootOption = None,
    quiet: NoProgressOption = False,
) -> None:
    """Search for settings of recipes: many trainings, judged on valid, by any number of workers.

    Every worker is this same command, with the same storage. A trial is a run folder; a stopped or killed one
    is continued by the next worker. Needs the extra `gancore[sweep]`.
    """
    if context.invoked_subcommand is not None:
        return
    from gancore.sweep.worker import SweepOptions, run_sweep

    if storage is None:
        raise ConfigError("no storage is given", "give --storage FOLDER, which all workers share")
    values = {
        **{"domain": domain, "data": data, "steps": steps, "samples": samples, "time": time},
        **{"overrides": overrides or [], "metric": metric, "seed": seed, "prune": prune},
    }
    options = SweepOptions(storage, trials, out, study, device, data_root, wait)
    run_sweep(values, split_names(recipes) or (), search or [], options, progress_printer(quiet))
    from gancore.sweep.results import read_results

    results = read_results(storage, study)
    if not quiet:
        print_line(f"{len(results.trials)} of {trials} trials: {results.summary}")
        _print_best(results)
    if all(trial.state == "failed" for trial in results.trials):
        raise typer.Exit(ExitCode.PARTIAL_FAILURE)


@app.command()
def show(
    storage: Annotated[str, typer.Argument(metavar="STORAGE", help="The --storage of a sweep.")],
    study: StudyOption = "sweep",
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the picture sweep.png. Default: that of the sweep, or the current one."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the trials of a sweep, the best one, and draw a picture: values by trial and by parameter."""
    from gancore.sweep.charts import draw_results
    from gancore.sweep.results import read_results
    from gancore.sweep.storage import is_url

    results = read_results(storage, study)
    picture = draw_results(results, out or (Path() if is_url(storage) else Path(storage)))
    if as_json:
        return print_json({**results.to_json(), "picture": str(picture)})
    names = list(dict.fromkeys(name for trial in results.trials for name in trial.params))
    head = ["trial", "state", f"{results.facts.metric} (n={results.facts.n})", "step", "time", *names, "run"]
    print_table(head, [_row(trial, names) for trial in results.trials])
    for trial in results.trials:
        if trial.reason:
            print_line(f"trial {trial.number} failed: {trial.reason}")
    print_line(f"{len(results.trials)} trials: {results.summary}")
    if results.importances:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in results.importances.items())
        print_line(f"importance: {shares}")
    _print_best(results)
    print_line(f"picture: {picture}")


def _row(trial: TrialResult, names: Sequence[str]) -> list[str]:
    from gancore.sweep.config import shown_value

    value = "" if trial.value is None else f"{trial.value:.4g}"
    params = [shown_value(trial.params[name]) if name in trial.params else "" for name in names]
    facts = [str(trial.number), trial.state, value, str(trial.step), format_duration(trial.seconds)]
    return [*facts, *params, str(trial.run) if trial.run.exists() else "-"]


def _print_best(results: SweepResults) -> None:
    best = results.best
    if best is None:
        return print_line("no trial is complete")
    better = "higher" if results.facts.higher_is_better else "lower"
    value = f"{results.facts.metric} {best.value:.4g} (n={results.facts.n}, {better} is better)"
    print_line(f"best: trial {best.number}, {value}, in {best.run}")
    print_line(f"train it longer: {results.longer_command}")
