"""``gancore info``: what a report of a fault should say about this machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from typing import Annotated, Any

import typer

from gancore.cli.shared import print_json, say

LIBRARIES = ("torch", "numpy", "pydantic", "pluggy", "typer", "safetensors", "tensorboard")


def info(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Check every recipe's layers in bf16 on this machine; takes minutes."),
    ] = False,
) -> None:
    """Show versions, device, precision, threads, folders and plugins."""
    if check:
        return _check(as_json)
    facts = {**_software(), **_machine(), **_folders(), "plugins": _plugins()}
    if as_json:
        return print_json(facts)
    width = max(map(len, facts))
    for name, fact in facts.items():
        say(f"{name.ljust(width)}  {_text(fact)}")


def _check(as_json: bool) -> None:
    from gancore.testing.precision_survey import survey_precision

    rows = []
    for row in survey_precision():
        rows.append(asdict(row))
        if not as_json:
            found = row.skipped or f"{row.operations:4} operations, {row.seconds:5.2f} s, {_wrong(row.wrong)}"
            say(f"{row.domain:<10} {row.recipe:<14} {row.size:<8} {found}")
    if as_json:
        print_json(rows)


def _wrong(faults: Sequence[str]) -> str:
    return f"{len(faults)} wrong and computed in fp32: {', '.join(faults)}" if faults else "all right"


def _text(fact: Any) -> str:
    if isinstance(fact, dict):
        return ", ".join(f"{name} {value}" for name, value in fact.items()) or "none"
    return str(fact)


def _software() -> dict[str, Any]:
    from gancore import __version__

    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "missing"
    return {
        "gancore": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "libraries": versions,
    }


def _machine() -> dict[str, Any]:
    import torch

    from gancore.runtime.device import resolve_device, resolve_precision

    device = resolve_device("auto")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "device": f"{device.type} ({name})",
        "precision": f"{resolve_precision('auto', device)} (what auto means here)",
        "threads": torch.get_num_threads(),
    }


def _folders() -> dict[str, Any]:
    from gancore.data.sources import cache_folder, data_folder

    own = os.environ.get("GANCORE_DATA")
    return {
        "data root": f"{own} (GANCORE_DATA)" if own else str(data_folder()),
        "cache": str(cache_folder()),
    }


def _plugins() -> dict[str, str]:
    from gancore.plugins import plugins

    plugins().load_all()
    return {plugin.name: f"{plugin.version} {plugin.state}" for plugin in plugins().listing()}
