"""What is known of this machine's kernels: results of checks, kept in the user's cache between runs."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path

import torch

from gancore.errors import GancoreError
from gancore.files import atomic_write

FORMAT = 1
SETTINGS = ("ONEDNN_", "DNNL_", "MKL_", "ATEN_CPU_CAPABILITY", "CUBLAS_", "NVIDIA_TF32_OVERRIDE")
"""Environment variables that begin so choose kernels."""


class KnownKernels:
    """For each call, its relative error and whether it differs from call to call.

    ``folder`` None: nothing is kept. A file that cannot be read or written costs time, and nothing else.
    """

    def __init__(self, folder: Path | None = None, device: torch.device | None = None) -> None:
        self._file = None if folder is None else folder / f"{machine_hash(device)}.json"
        self._known: dict[str, tuple[float, bool]] = {} if self._file is None else _read(self._file)
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
    """What a kernel's result may hang on: processor, instructions, libraries, threads, settings."""
    facts = {
        "processor": processor(),
        "instructions": str(sorted(torch.cpu.get_capabilities().items())),
        "torch": torch.__version__,
        "build": hashlib.sha256(torch.__config__.show().encode()).hexdigest()[:16],
        "threads": str(torch.get_num_threads()),
        "settings": str(sorted((n, v) for n, v in os.environ.items() if n.startswith(SETTINGS))),
    }
    if device is not None and device.type == "cuda":
        facts["accelerator"] = torch.cuda.get_device_name(device)
        facts["cudnn"] = str(torch.backends.cudnn.version())  # type: ignore[no-untyped-call]
    return facts


def processor() -> str:
    """The processor's name as its maker gives it, or else the kind."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
