"""``gancore info``: versions, device, folders and plugins, for a bug report."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from typing import Annotated, Any

import typer

from gancore.cli.options import JsonOption
from gancore.console import print_json, print_line

LIBRARIES = ("torch", "numpy", "pydantic", "pluggy", "typer", "safetensors", "tensorboard")


def info(
    as_json: JsonOption = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check-precision", help="Check the layers of every recipe in bf16 on this machine (minutes)."
        ),
    ] = False,
) -> None:
    """Show versions, device, precision, threads, folders, variables, and plugins with their faults."""
    if check:
        return _check_precision(as_json)
    content = {**_software(), **_machine(), **_folders(), "plugins": _plugins()}
    if as_json:
        return print_json(content)
    width = max(map(len, content))
    for name, value in content.items():
        print_line(f"{name.ljust(width)}  {_format(value)}")


def _check_precision(as_json: bool) -> None:
    from gancore.testing.precision_survey import survey_precision

    rows = []
    for row in survey_precision():
        rows.append(asdict(row))
        if not as_json:
            found = (
                row.skipped
                or f"{row.operations:4} operations, {row.seconds:5.2f} s, {_format_faults(row.wrong)}"
            )
            print_line(f"{row.domain:<10} {row.recipe:<14} {row.size:<8} {found}")
    if as_json:
        print_json(rows)


def _format_faults(faults: Sequence[str]) -> str:
    return f"{len(faults)} wrong and computed in fp32: {', '.join(faults)}" if faults else "none wrong"


def _format(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items()) or "none"
    return str(value)


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
        "torch build": f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA",
        "visible GPUs": torch.cuda.device_count(),
        "precision": f"{resolve_precision('auto', device)} (for --precision auto)",
        "threads": torch.get_num_threads(),
    }


def _folders() -> dict[str, Any]:
    from gancore.data.cache import cache_folder, data_folder

    own = os.environ.get("GANCORE_DATA")
    return {
        "data root": f"{own} (GANCORE_DATA)" if own else str(data_folder()),
        "cache": str(cache_folder()),
        "variables": {name: os.environ[name] for name in sorted(os.environ) if name.startswith("GANCORE_")},
    }


def _plugins() -> dict[str, str]:
    from gancore.plugins import plugins

    plugins().load_all()
    return {
        plugin.name: f"{plugin.version} {plugin.reason or plugin.state}"
        for plugin in plugins().list_plugins()
    }
