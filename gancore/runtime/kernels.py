"""What is known of this machine's kernels: results of checks, kept in the user's cache between runs."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch

from gancore.errors import GancoreError
from gancore.files import atomic_write, used
from gancore.runtime.environment import environment

FORMAT = 1


class KnownKernels:
    """For each call, its relative error and whether it differs from call to call.

    ``folder`` None: nothing is kept. A file that cannot be read or written costs time, and nothing else.
    """

    def __init__(self, folder: Path | None = None, device: torch.device | None = None) -> None:
        self._file = None if folder is None else folder / f"{machine_hash(device)}.json"
        self._known: dict[str, tuple[float, bool]] = {} if self._file is None else _read(self._file)
        if self._file is not None and self._known:
            used(self._file)
        self._new = False

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def __getitem__(self, key: str) -> tuple[float, bool]:
        return self._known[key]

    def __setitem__(self, key: str, value: tuple[float, bool]) -> None:
        self._known[key], self._new = value, True

    def save(self) -> None:
        """Keep what is new beside what others have kept meanwhile."""
        if self._file is None or not self._new:
            return
        rows = {
            key: [str(error), varies]
            for key, (error, varies) in ({**_read(self._file), **self._known}).items()
        }
        with contextlib.suppress(OSError, GancoreError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(self._file, json.dumps({"format": FORMAT, "machine": machine(None), "calls": rows}))
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
    text = json.dumps(machine(device), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def machine(device: torch.device | None) -> Mapping[str, str]:
    """What a kernel's result may depend on: processor, instructions, libraries, threads, settings."""
    facts = environment(device or torch.device("cpu"), "bf16")
    facts["build"] = hashlib.sha256(torch.__config__.show().encode()).hexdigest()[:16]
    if device is not None and device.type == "cuda":
        facts["cudnn"] = str(torch.backends.cudnn.version())  # type: ignore[no-untyped-call]
    return facts
