"""``gancore lab``: list experiments, run them and report their verdicts."""

from __future__ import annotations

import textwrap
import time as clock
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gancore.errors import ConfigError
from gancore.plugins import (
    count_option,
    duration_option,
    format_duration,
    print_json,
    print_line,
    print_table,
)

if TYPE_CHECKING:
    from gancore import ExperimentEntry
    from gancore_lab.runner import ExperimentReport

NOT_REPRODUCED = 1
"""Exit code if a prediction does not hold; 2 is for user errors."""

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}
)


def complete_names(incomplete: str) -> list[tuple[str, str]]:
    from gancore_lab.runner import experiment_entries

    return [(n, e.summary) for n, e in experiment_entries().items() if n.startswith(incomplete)]


@app.command()
def lab(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Experiments, or all. Without a name, experiments are listed.", autocompletion=complete_names
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Run the quick version, which takes seconds.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for NAME/result.json and NAME/picture.png.")] = Path(
        "lab"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Seed of networks, data and latents.")] = 0,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a setting. May be repeated."),
    ] = None,
    steps: Annotated[
        str | None,
        typer.Option(metavar="N", help="Same as --set steps=N, for an experiment with this setting."),
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Start no further experiment after 90s, 10m, 2h or seconds."),
    ] = None,
    print_settings: Annotated[
        bool,
        typer.Option("--print-config", help="Print the settings for --set and exit."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on one line.")] = False,
) -> None:
    """Run experiments and report whether their predictions hold.

    Exit code 0: every prediction holds. 1: a prediction does not hold. 2: the command is wrong.
    """
    overrides = [*(overrides or []), *([] if steps is None else [f"steps={count_option(steps)}"])]
    limit = None if time is None else duration_option(time)
    if not names:
        if print_settings or overrides:
            raise ConfigError(
                f"{'--print-config' if print_settings else '--set'} is given without an experiment",
                "name an experiment, such as gancore lab dirac --print-config",
            )
        return list_experiments(as_json)
    from gancore_lab.runner import select_experiments

    selected = select_experiments(names)
    if overrides and len(selected) > 1:
        raise ConfigError(
            "--set is given with several experiments", "run one experiment: each has its own settings"
        )
    if print_settings:
        return show_settings(selected, quick, overrides, as_json)
    alone = len(selected) == 1
    results: list[dict[str, Any]] = []
    began = clock.monotonic()
    for entry in selected:
        if limit is not None and results and clock.monotonic() - began > limit:
            results.append(_not_run(entry, time, as_json))
        else:
            results.append(_run_one(entry, out, quick, seed, overrides, as_json, alone))
    if as_json:
        print_json(results)
    elif len(selected) > 1:
        _print_summary(results)
    if not all(result["reproduced"] for result in results):
        raise typer.Exit(NOT_REPRODUCED)


def _not_run(entry: ExperimentEntry, time: str | None, as_json: bool) -> dict[str, Any]:
    verdict = f"not run: --time {time} is used up"
    if not as_json:
        print_line(f"{entry.name}: {verdict}")
    return {"name": entry.name, "reproduced": False, "verdict": verdict, "seconds": 0.0}


def list_experiments(as_json: bool) -> None:
    from gancore import PluginError
    from gancore_lab.runner import experiment_entries, load_experiment

    rows: list[dict[str, Any]] = []
    for name, entry in experiment_entries().items():
        row: dict[str, Any] = {"name": name, "summary": entry.summary}
        try:
            experiment = load_experiment(entry)
        except PluginError as error:  # the other experiments are listed
            rows.append({**row, "error": str(error)})
            continue
        quick, full = experiment.seconds
        rows.append({**row, "question": experiment.question, "quick_seconds": quick, "full_seconds": full})
    if as_json:
        return print_json(rows)
    if not rows:
        return print_line("no experiments are registered")
    print_table(("experiment", "quick", "full", "question"), [_experiment_row(row) for row in rows])


def show_settings(selected: list[ExperimentEntry], quick: bool, overrides: list[str], as_json: bool) -> None:
    """Prints the settings of each experiment as YAML, with their descriptions."""
    from gancore.training import settings_to_yaml
    from gancore_lab.experiment import override_settings
    from gancore_lab.runner import load_experiment

    experiments = {entry.name: load_experiment(entry) for entry in selected}
    by_name = {
        name: override_settings(name, experiment.settings_for(quick), overrides)
        for name, experiment in experiments.items()
    }
    if as_json:
        return print_json(by_name)
    for name, settings in by_name.items():
        print_line(f"{name}:")
        text = settings_to_yaml(settings, experiments[name].descriptions)
        print_line(textwrap.indent(text, "  "), newline=False)


def _experiment_row(row: dict[str, Any]) -> tuple[str, str, str, str]:
    if "error" in row:
        return row["name"], "", "", f"cannot be loaded: {row['error']}"
    return (
        row["name"],
        format_duration(row["quick_seconds"]),
        format_duration(row["full_seconds"]),
        row["question"],
    )


def _run_one(
    entry: ExperimentEntry,
    out: Path,
    quick: bool,
    seed: int,
    overrides: list[str],
    as_json: bool,
    alone: bool,
) -> dict[str, Any]:
    """Run an experiment and return its result as JSON values; print it unless JSON is requested.

    A failure does not stop other experiments. If the experiment is ``alone``, its error is raised.
    """
    from gancore_lab.runner import load_experiment, run_experiment

    try:
        experiment = load_experiment(entry)
        report = run_experiment(entry.name, experiment, out, quick=quick, seed=seed, overrides=overrides)
    except Exception as error:
        if alone:
            raise
        failure = f"failed: {type(error).__name__}: {error}"
        if not as_json:
            print_line(f"{entry.name}: {failure}")
        return {"name": entry.name, "reproduced": False, "verdict": failure, "seconds": 0.0}
    if not as_json:
        _print_report(report, long=alone)
    return {
        "name": report.name,
        "reproduced": report.reproduced,
        "verdict": report.summary,
        "seconds": report.content["seconds"],
        "result": str(report.folder / "result.json"),
        "picture": str(report.folder / "picture.png"),
    }


def _print_report(report: ExperimentReport, long: bool) -> None:
    verdict = "reproduced" if report.reproduced else "NOT reproduced"
    if long:
        _print_details(report.content)
    print_line(f"{report.name}: {verdict}: {report.summary}")
    if long:
        print_line(f"{report.folder / 'result.json'}\n{report.folder / 'picture.png'}")


def _print_details(content: dict[str, Any]) -> None:
    print_line(content["question"])
    print_line(f"predicted: {content['prediction']}\n")
    print_table(("", "predicted", "measured", ""), [_check_row(check) for check in content["measurement"]])
    print_line("")
    for note in content["remarks"]:
        print_line(note)


def _check_row(check: dict[str, Any]) -> tuple[str, str, str, str]:
    number = "" if check["predicted"] is None else f"{check['predicted']:.6g}"
    if check["relation"] == "beside":
        number = f"(elsewhere {number})" if number else ""
    elif check["relation"] != "=":
        number = f"{check['relation']} {number}"
    mark = {True: "", False: "MISSED", None: "no prediction"}[check["holds"]]
    return check["name"], number, f"{check['measured']:.6g}", " ".join(filter(None, (mark, check["note"])))


def _print_summary(results: list[dict[str, Any]]) -> None:
    print_line("")
    rows = [
        (r["name"], "reproduced" if r["reproduced"] else "NOT reproduced", f"{r['seconds']:.1f} s")
        for r in results
    ]
    print_table(("experiment", "verdict", "time"), rows)
    good = sum(result["reproduced"] for result in results)
    print_line(f"{good} of {len(results)} reproduced")
