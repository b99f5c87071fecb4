"""Results of checks of the kernels of this machine, stored in the cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch

from gancore.errors import GancoreError
from gancore.files import atomic_write, mark_used
from gancore.runtime.device import describe_environment

FORMAT = 1


class KernelCache:
    """A mapping from an operation to its relative error and whether repeated calls differ.

    Nothing is stored if ``folder`` is None. A file that is unreadable or read-only is ignored: results are
    computed again.
    """

    def __init__(self, folder: Path | None = None, device: torch.device | None = None) -> None:
        self._file = None if folder is None else folder / f"{machine_hash(device)}.json"
        self._known: dict[str, tuple[float, bool]] = {} if self._file is None else _read(self._file)
        if self._file is not None and self._known:
            mark_used(self._file)
        self._new = False

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def __getitem__(self, key: str) -> tuple[float, bool]:
        return self._known[key]

    def __setitem__(self, key: str, value: tuple[float, bool]) -> None:
        self._known[key], self._new = value, True

    def save(self) -> None:
        """Write the new results, together with those that other processes have stored."""
        if self._file is None or not self._new:
            return
        rows = {
            key: [str(error), varies]
            for key, (error, varies) in ({**_read(self._file), **self._known}).items()
        }
        with contextlib.suppress(OSError, GancoreError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(
                self._file, json.dumps({"format": FORMAT, "machine": describe_machine(None), "calls": rows})
            )
            self._new = False


def _read(file: Path) -> dict[str, tuple[float, bool]]:
    try:
        content = json.loads(file.read_text())
        if content["format"] != FORMAT:
            return {}
        return {key: (float(error), bool(varies)) for key, (error, varies) in content["calls"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def machine_hash(device: torch.device | None) -> str:
    text = json.dumps(describe_machine(device), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def describe_machine(device: torch.device | None) -> Mapping[str, str]:
    """Everything on which the output of a kernel may depend: processor, libraries, threads, settings."""
    facts = describe_environment(device or torch.device("cpu"), "bf16")
    facts["build"] = hashlib.sha256(torch.__config__.show().encode()).hexdigest()[:16]
    if device is not None and device.type == "cuda":
        facts["cudnn"] = str(torch.backends.cudnn.version())  # type: ignore[no-untyped-call]
    return facts
