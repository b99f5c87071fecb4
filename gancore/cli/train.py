"""``gancore train``: data in, a run folder with a model out."""

from __future__ import annotations

import contextlib
import shlex
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from gancore.cli.shared import complete_domain, complete_recipe, duration, print_json, say
from gancore.runtime.signals import Interrupted, exit_code


def train(
    domain: Annotated[
        str | None,
        typer.Option(help="The kind of data; see `gancore plugins`.", autocompletion=complete_domain),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="How to train; default: the domain's first.", autocompletion=complete_recipe),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="A folder, file or named data set; default: the built-in data.")
    ] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Where named data sets lie; default: GANCORE_DATA, or the cache.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder for the run; default: a new one in runs/.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Budget in rounds.")] = None,
    samples: Annotated[int | None, typer.Option(help="Budget in real samples seen.")] = None,
    seconds: Annotated[
        float | None, typer.Option(help="Budget in seconds on the wall, evaluation and checkpoints included.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Every draw is a function of it.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = None,
    devices: Annotated[
        int | None, typer.Option(min=1, help="Processes that share each batch, on an accelerator each.")
    ] = None,
    precision: Annotated[str | None, typer.Option(help="auto, fp32, bf16.")] = None,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="The same bytes again on a GPU.")
    ] = False,
    resume: Annotated[
        str | None,
        typer.Option(
            help="A run folder to go on with (--steps MORE: to a longer end);"
            " auto: the last unfinished like this."
        ),
    ] = None,
    init_from: Annotated[
        Path | None, typer.Option(help="A run, a model, or the name of one, to start from its weights.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Resume although the configuration changed.")
    ] = False,
    config: Annotated[Path | None, typer.Option(help="A YAML file; flags and --set go over it.")] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="As model.width=16; may be repeated."),
    ] = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Show the resolved configuration, and do no more.")
    ] = False,
    strict_plugins: Annotated[
        bool, typer.Option("--strict-plugins", help="Stop at the first fault of a plugin.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Progress and result as JSON lines.")] = False,
) -> None:
    """Train a model.

    The configuration is layered: defaults, --config, flags, --set. At most one of --steps, --samples and
    --seconds; without one, the recipe's own budget. With --resume RUN it counts from the run's beginning.
    Ctrl-C (exit code 130), SIGTERM (143), SIGHUP and SIGUSR1 finish the round and save; a second Ctrl-C
    interrupts at once.
    """
    arguments: dict[str, Any] = {
        "recipe": recipe,
        "data": data,
        "config": config,
        "overrides": overrides or [],
        "steps": steps,
        "samples": samples,
        "seconds": seconds,
        "seed": seed,
        "device": device,
        "precision": precision,
        "deterministic": deterministic or None,
    }
    if print_config:
        return _print_config(domain, arguments, resume, strict_plugins)
    from gancore import api

    arguments |= {
        "data_root": data_root,
        "out": out,
        "resume": resume,
        "devices": devices,
        "init_from": init_from,
        "force": force,
        "progress": "none" if quiet else "json" if as_json else "live",
        "strict_plugins": strict_plugins,
    }
    with _left_by_a_signal() as left:
        left.append(api.train(domain, **arguments))
    _show(left[0], quiet or left[0].rank > 0, as_json)


@contextlib.contextmanager
def _left_by_a_signal() -> Iterator[list[Any]]:
    """The result of a training, also where a signal ended it and it was saved."""
    results: list[Any] = []
    try:
        yield results
    except Interrupted as stop:
        if stop.result is None:
            raise
        results.append(stop.result)


def _print_config(domain: str | None, arguments: dict[str, Any], resume: str | None, strict: bool) -> None:
    from gancore.config_text import dump
    from gancore.configure import resolve_config
    from gancore.plugins import plugins

    plugins().strict = strict
    base = None if resume in (None, "auto") else Path(str(resume)) / "config.yaml"
    say(dump(resolve_config(domain, **arguments, base=base)), newline=False)


def _spent(training: float, spent: Mapping[str, float]) -> str:
    """``trained 52 s, evaluation 4 s, previews 1 s``."""
    parts = [f"trained {duration(training)}"]
    return ", ".join(parts + [f"{name} {duration(seconds)}" for name, seconds in spent.items()])


def _show(result: Any, quiet: bool, as_json: bool) -> None:
    stopped = result.status == "stopped"
    if as_json and not result.rank:
        names = ("folder", "model", "step", "status", "seconds", "spent", "verdict")
        print_json({name: getattr(result, name) for name in names})
    elif not quiet and stopped:
        say(
            f"stopped at step {result.step}, saved; go on with:"
            f" gancore train --resume {shlex.quote(str(result.folder))}"
        )
    elif not quiet:
        say(f"{result.step} steps in {duration(result.seconds)}; model: {result.model}")
        if result.spent:
            say(f"time: {_spent(result.seconds, result.spent)}")
        if result.verdict:
            say(f"verdict: {result.verdict}")
        if result.generates:
            say(f"next: gancore generate {shlex.quote(str(result.folder))} -n 16 --out samples")
    if stopped:
        raise typer.Exit(exit_code(signal.Signals[result.stopped_by]))
