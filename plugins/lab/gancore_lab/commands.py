"""``gancore lab``: lists experiments, runs them, tells their verdicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gancore.cli.shared import duration, print_json, print_table, say
from gancore.errors import ConfigError

if TYPE_CHECKING:
    from gancore import ExperimentEntry
    from gancore_lab.running import Report

NOT_REPRODUCED = 1
"""The exit code where a prediction did not come true; 2 is for mistakes of the user."""

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}
)


def complete(incomplete: str) -> list[tuple[str, str]]:
    from gancore_lab.running import entries

    return [(n, e.summary) for n, e in entries().items() if n.startswith(incomplete)]


@app.command()
def lab(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Experiments, or all; without any they are listed.", autocompletion=complete),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="The version that takes seconds.")] = False,
    out: Annotated[Path, typer.Option(help="Where NAME/result.json and picture.png go.")] = Path("lab"),
    seed: Annotated[int, typer.Option(min=0, help="Of networks, data and latents.")] = 0,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A number of the set-up. May be repeated."),
    ] = None,
    settings: Annotated[
        bool, typer.Option("--settings", help="Show the set-up, which --set changes, and play nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, on one line.")] = False,
) -> None:
    """Run experiments whose outcome is predicted, and say whether the prediction came true.

    Exit code 0: every prediction came true. 1: one did not (see the verdict). 2: a mistake in the command.
    """
    if not names:
        if settings or changes:
            raise ConfigError(
                f"{'--settings' if settings else '--set'} of no experiment",
                "name an experiment, as in gancore lab dirac --settings",
            )
        return list_experiments(as_json)
    from gancore_lab.running import chosen

    wanted = chosen(names)
    if changes and len(wanted) > 1:
        raise ConfigError("--set with several experiments", "run one: each has a set-up of its own")
    if settings:
        return show_settings(wanted, quick, changes or [], as_json)
    results = [
        _run(entry, out, quick, seed, changes or [], as_json, alone=len(wanted) == 1) for entry in wanted
    ]
    if as_json:
        print_json(results)
    elif len(wanted) > 1:
        _print_summary(results)
    if not all(result["reproduced"] for result in results):
        raise typer.Exit(NOT_REPRODUCED)


def list_experiments(as_json: bool) -> None:
    from gancore import PluginError
    from gancore_lab.running import entries, load

    rows: list[dict[str, Any]] = []
    for name, entry in entries().items():
        row: dict[str, Any] = {"name": name, "summary": entry.summary}
        try:
            made = load(entry)
        except PluginError as error:  # one that is broken hides no other
            rows.append({**row, "error": str(error)})
            continue
        quick, full = made.seconds
        rows.append({**row, "question": made.question, "quick_seconds": quick, "full_seconds": full})
    if as_json:
        return print_json(rows)
    if not rows:
        return say("no experiments are registered")
    print_table(("experiment", "quick", "full", "question"), [_listed(row) for row in rows])


def show_settings(wanted: list[ExperimentEntry], quick: bool, changes: list[str], as_json: bool) -> None:
    """Every number of the set-up by its key."""
    from gancore_lab.running import load
    from gancore_lab.settings import changed

    setups = {entry.name: changed(entry.name, load(entry).settings(quick), changes) for entry in wanted}
    if as_json:
        return print_json(setups)
    for name, setup in setups.items():
        for key, value in setup.items():
            say(f"{name}  {key}={json.dumps(value, ensure_ascii=False)}")


def _listed(row: dict[str, Any]) -> tuple[str, str, str, str]:
    if "error" in row:
        return row["name"], "", "", f"cannot be loaded: {row['error']}"
    return row["name"], duration(row["quick_seconds"]), duration(row["full_seconds"]), row["question"]


def _run(
    entry: ExperimentEntry,
    out: Path,
    quick: bool,
    seed: int,
    changes: list[str],
    as_json: bool,
    alone: bool,
) -> dict[str, Any]:
    """The result as JSON has it, told in words unless JSON was asked for.

    One that fails among others does not stop them; alone, its error is that of the command.
    """
    from gancore_lab.running import load, run

    try:
        report = run(entry.name, load(entry), out, quick=quick, seed=seed, changes=changes)
    except Exception as error:
        if alone:
            raise
        failure = f"failed: {type(error).__name__}: {error}"
        if not as_json:
            say(f"{entry.name}: {failure}")
        return {"name": entry.name, "reproduced": False, "verdict": failure, "seconds": 0.0}
    if not as_json:
        _print_report(report, long=alone)
    return {
        "name": report.name,
        "reproduced": report.reproduced,
        "verdict": report.figure,
        "seconds": report.content["seconds"],
        "result": str(report.folder / "result.json"),
        "picture": str(report.folder / "picture.png"),
    }


def _print_report(report: Report, long: bool) -> None:
    verdict = "reproduced" if report.reproduced else "NOT reproduced"
    if long:
        _print_details(report.content)
    say(f"{report.name}: {verdict}: {report.figure}")
    if long:
        say(f"{report.folder / 'result.json'}\n{report.folder / 'picture.png'}")


def _print_details(content: dict[str, Any]) -> None:
    say(content["question"])
    say(f"predicted: {content['prediction']}\n")
    print_table(("", "predicted", "measured", ""), [_measured(check) for check in content["measurement"]])
    say("")
    for remark in content["remarks"]:
        say(remark)


def _measured(check: dict[str, Any]) -> tuple[str, str, str, str]:
    number = "" if check["predicted"] is None else f"{check['predicted']:.6g}"
    if check["relation"] == "beside":
        number = f"(elsewhere {number})" if number else ""
    elif check["relation"] != "=":
        number = f"{check['relation']} {number}"
    mark = {True: "", False: "MISSED", None: "not judged"}[check["holds"]]
    return check["name"], number, f"{check['measured']:.6g}", " ".join(filter(None, (mark, check["note"])))


def _print_summary(results: list[dict[str, Any]]) -> None:
    say("")
    rows = [
        (r["name"], "reproduced" if r["reproduced"] else "NOT reproduced", f"{r['seconds']:.1f} s")
        for r in results
    ]
    print_table(("experiment", "verdict", "time"), rows)
    good = sum(result["reproduced"] for result in results)
    say(f"{good} of {len(results)} reproduced")
