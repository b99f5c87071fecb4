"""``gancore train``: train a model on data and write a run folder."""

from __future__ import annotations

import contextlib
import shlex
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from gancore.cli.options import (
    DataOption,
    DataRootOption,
    DomainOption,
    NoProgressOption,
    SamplesOption,
    StepsOption,
    StrictPluginsOption,
    TimeOption,
    complete_recipe,
)
from gancore.console import format_duration, print_json, print_line
from gancore.runtime.signals import Interrupted, signal_exit_code
from gancore.text import count_noun


def train(
    domain: DomainOption = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="Name of the recipe. Default: the domain's first.", autocompletion=complete_recipe),
    ] = None,
    data: DataOption = None,
    data_root: DataRootOption = None,
    out: Annotated[Path | None, typer.Option(help="Run folder. Default: a new one in runs/.")] = None,
    steps: StepsOption = None,
    samples: SamplesOption = None,
    time: TimeOption = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all random numbers.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = None,
    devices: Annotated[
        int | None,
        typer.Option(min=1, help="Number of processes that share each batch, one for each accelerator."),
    ] = None,
    precision: Annotated[str | None, typer.Option(help="auto, fp32, bf16.")] = None,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Use deterministic kernels on a GPU.")
    ] = False,
    resume: Annotated[
        str | None,
        typer.Option(
            help="Run folder to continue, longer with --steps MORE;"
            " auto: the newest unfinished run with this configuration."
        ),
    ] = None,
    init_from: Annotated[
        Path | None,
        typer.Option(help="A run, a model folder, or a name of a model, from whose weights to start."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Resume although the configuration has changed.")
    ] = False,
    config: Annotated[Path | None, typer.Option(help="YAML file; flags and --set override it.")] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Such as model.width=16. May be repeated."),
    ] = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the resolved configuration and exit.")
    ] = False,
    strict_plugins: StrictPluginsOption = False,
    quiet: NoProgressOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print progress and result as JSON lines.")] = False,
) -> None:
    """Train a model.

    Later layers of the configuration override earlier ones: defaults, the network of --init-from, --config,
    flags, --set. Give at most one of --steps, --samples and --time; the default is the budget of the recipe.
    With --resume RUN, the budget counts from step 0. Ctrl-C (exit code 130), SIGTERM (143), SIGHUP and
    SIGUSR1 finish the current step and save a checkpoint; a second Ctrl-C interrupts at once.
    """
    settings: dict[str, Any] = {
        "recipe": recipe,
        "data": data,
        "config": config,
        "overrides": overrides or [],
        "steps": steps,
        "samples": samples,
        "time": time,
        "seed": seed,
        "device": device,
        "precision": precision,
        "deterministic": deterministic or None,
    }
    if print_config:
        return _print_config(domain, settings, resume, init_from, strict_plugins)
    from gancore import api

    settings |= {
        "data_root": data_root,
        "out": out,
        "resume": resume,
        "devices": devices,
        "init_from": init_from,
        "force": force,
        "progress": "none" if quiet else "json" if as_json else "live",
        "strict_plugins": strict_plugins,
    }
    with _result_after_signal() as results:
        results.append(api.train(domain, **settings))
    _print_result(results[0], quiet or results[0].rank > 0, as_json)


@contextlib.contextmanager
def _result_after_signal() -> Iterator[list[Any]]:
    """Context manager that gets the result of a training, also if a signal stopped it and it was saved."""
    results: list[Any] = []
    try:
        yield results
    except Interrupted as stop:
        if stop.result is None:
            raise
        results.append(stop.result)


def _print_config(
    domain: str | None, settings: dict[str, Any], resume: str | None, init_from: Path | None, strict: bool
) -> None:
    from gancore.config_layers import resolve_config
    from gancore.config_yaml import to_yaml
    from gancore.console import progress_printer
    from gancore.model_lookup import find_origin
    from gancore.plugins import plugins

    plugins().strict = strict
    origin = None if init_from is None else find_origin(init_from, progress_printer(quiet=False))
    base = None if resume in (None, "auto") else Path(str(resume)) / "config.yaml"
    print_line(to_yaml(resolve_config(domain, **settings, base=base, origin=origin)), newline=False)


def _time_breakdown(training: float, other: Mapping[str, float]) -> str:
    """Times as text: ``trained 52 s, evaluation 4 s, previews 1 s``."""
    parts = [f"trained {format_duration(training)}"]
    return ", ".join(parts + [f"{name} {format_duration(seconds)}" for name, seconds in other.items()])


def _print_result(result: Any, quiet: bool, as_json: bool) -> None:
    stopped = result.status == "stopped"
    if as_json and not result.rank:
        names = ("folder", "model", "step", "status", "seconds", "spent", "verdict")
        print_json({name: getattr(result, name) for name in names})
    elif not quiet and stopped:
        print_line(
            f"stopped at step {result.step}, saved; continue with:"
            f" gancore train --resume {shlex.quote(str(result.folder))}"
        )
    elif not quiet:
        steps = count_noun(result.step, "step")
        print_line(f"{steps} in {format_duration(result.seconds)}; model: {result.model}")
        if result.spent:
            print_line(f"time: {_time_breakdown(result.seconds, result.spent)}")
        if result.verdict:
            print_line(f"verdict: {result.verdict}")
        folder = shlex.quote(str(result.folder))
        if result.usual_steps:
            more = f"gancore train --resume {folder} --steps {result.usual_steps}"
            print_line(f"note: too few steps to judge the model; train longer: {more}")
        if result.is_generator:
            print_line(f"next: gancore generate {folder} -n 16 --out samples")
    if stopped:
        raise typer.Exit(signal_exit_code(signal.Signals[result.stop_signal]))
