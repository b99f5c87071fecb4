"""The run folder: files, lock, status and log of one training. Imports no torch: listing runs is fast."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from gancore.entries import CONTRACT_VERSION
from gancore.errors import BusyError, CheckpointError, ConfigError, TrainingError
from gancore.file_lock import RUN_LOCK, FileLock, LockedError, file_lock, is_locked
from gancore.files import atomic_write, encode_json, open_regular, read_json_object, remove_leftovers

RunState = Literal["running", "done", "stopped", "failed", "interrupted", "damaged"]
"""``stopped``: by the user, and saved. ``interrupted``: killed. ``damaged``: run.json cannot be read."""

UNFINISHED = ("running", "stopped", "failed", "interrupted")
LOCK_TIMEOUT_SECONDS = 0.5
"""Timeout for the lock of a run, which `gancore runs` holds for a short time."""


@dataclass(frozen=True)
class RunStatus:
    """The content of run.json. ``seconds`` are of training; ``started`` and ``updated`` are ISO 8601 in UTC.

    ``phases``: name and steps of each phase, as planned or as played, and whether it selects the model.
    ``environment`` has device, precision, and versions of libraries. ``verdict`` is the quality warning about
    the model (:func:`gancore.training.quality.quality_warning`).
    """

    status: RunState
    domain: str = ""
    recipe: str = ""
    source: str = ""
    step: int = 0
    total: int | None = None
    seconds: float = 0.0
    started: str = ""
    updated: str = ""
    pid: int = 0
    error: str = ""
    config_hash: str = ""
    verdict: str = ""
    phases: Sequence[Mapping[str, str | int]] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RunLock:
    """The lock of this process on a run folder."""

    path: Path
    lock: FileLock

    def check(self) -> None:
        """Check the lock; called before every write.

        Raises:
            TrainingError: the path is no longer the locked folder: nothing may be written there.
        """
        if self.lock.is_valid():
            return
        moved = self.lock.moved_to()
        if moved is None:
            raise TrainingError(
                f"run folder {self.path} was removed or replaced during training; training has stopped"
                " and nothing more was written",
                "restart the run, and do not move its folder while it trains",
            )
        raise TrainingError(
            f"run folder {self.path} was moved to {moved.parent} during training; training has stopped"
            " at the last checkpoint there",
            f"continue with --resume {shlex.quote(str(moved.parent))}",
        )


@dataclass
class RunFolder:
    """The paths of the files of a run folder, its lock and its status."""

    path: Path

    def __post_init__(self) -> None:
        self.config_file = self.path / "config.yaml"
        self.data_file = self.path / "data.json"  # fingerprint, contract, and the names in each split
        self.rows_folder = self.path / "data"  # examples that a program passed in memory
        self.metrics_file = self.path / "metrics.jsonl"
        self.evaluations_file = self.path / "evaluations.jsonl"
        self.status_file = self.path / "run.json"
        self.lock_file = self.path / RUN_LOCK
        self.events = self.path / "events"
        self.samples = self.path / "samples"
        self.checkpoints = self.path / "checkpoints"
        self.model = self.path / "model"

    def check_version(self) -> None:
        """Raise CheckpointError if the run was written with another contract version."""
        newest = sorted(self.checkpoints.glob("step-*/manifest.json"))[-1:]
        for file in (*newest, self.model / "config.json"):
            try:
                version = read_json_object(file).get("version")
            except (OSError, CheckpointError):  # missing or damaged, which reading the file reports
                continue
            if isinstance(version, int) and version != CONTRACT_VERSION:
                raise CheckpointError(
                    f"run {self.path} was written with contract version {version}, "
                    f"this gancore reads {CONTRACT_VERSION}",
                    "train it again, or install the gancore that wrote it",
                )

    @classmethod
    def create(cls, root: Path, name: str) -> RunFolder:
        """Create the folder ``root/name``; if it exists, ``name-2``, ``name-3``, ...

        Raises:
            ConfigError: ``root`` is not writable.
        """
        number, path = 1, root / name
        try:
            root.mkdir(parents=True, exist_ok=True)
            while True:
                try:
                    path.mkdir()
                    return cls(path)
                except FileExistsError:
                    number += 1
                    path = root / f"{name}-{number}"
        except OSError as error:
            fix = "give another --out, or make it writable"
            raise ConfigError(f"cannot create a run in {root}: {error.strerror}", fix) from error

    @contextlib.contextmanager
    def lock(self) -> Iterator[RunLock]:
        """Context manager that locks the run and removes leftovers of a killed process.

        Raises:
            CheckpointError: another process holds the lock, or the folder cannot be locked.
        """
        fix = "make it writable, or give another --out"
        try:
            with file_lock(self.lock_file, LOCK_TIMEOUT_SECONDS) as lock:
                remove_leftovers(self.path)
                yield RunLock(self.path, lock)
        except LockedError as error:
            message = f"run folder {self.path} is in use by {error}"
            raise BusyError(message, "wait until it ends, or stop it") from error
        except OSError as error:
            if error.filename is None or Path(os.fsdecode(error.filename)) != self.lock_file:
                raise
            if error.errno == errno.EINVAL:
                fix = f"remove {shlex.quote(str(self.lock_file))}"
            reason = error.strerror
            raise CheckpointError(f"run folder {self.path} cannot be locked: {reason}", fix) from error

    def is_locked(self) -> bool:
        return is_locked(self.lock_file)

    @staticmethod
    def now() -> str:
        return datetime.now(UTC).isoformat(timespec="milliseconds")

    def write_status(self, status: RunStatus) -> None:
        """Replace run.json. ``updated`` and ``pid`` are set, ``started`` if it is empty."""
        now = self.now()
        error = " ".join(status.error.split())
        status = replace(status, started=status.started or now, updated=now, pid=os.getpid(), error=error)
        atomic_write(self.status_file, encode_json(asdict(status)))

    def read_status(self) -> RunStatus | None:
        """The status of the run; None if this is not a run folder.

        A run without a lock is not ``running``.
        """
        try:
            status = _status_from(read_json_object(self.status_file))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            return RunStatus("damaged", error=f"run.json cannot be read ({error.strerror})")
        except CheckpointError as error:
            return RunStatus("damaged", error=error.message)
        if status.status == "running" and not self.is_locked():
            return replace(status, status="interrupted")
        return status


def _status_from(content: dict[str, object]) -> RunStatus:
    """Parse a status; unknown keys are ignored. Raises CheckpointError if a value has the wrong type."""
    known = {field.name: content[field.name] for field in fields(RunStatus) if field.name in content}
    for name, value in known.items():
        if not isinstance(value, _TYPES[name]) or isinstance(value, bool):
            raise CheckpointError(f"run.json: {name} is a {type(value).__name__}")
    if known.get("status") not in get_args(RunState):
        raise CheckpointError(f"run.json: status is not one of {', '.join(get_args(RunState))}")
    return RunStatus(**known)  # type: ignore[arg-type]


_TYPES: dict[str, tuple[type, ...]] = {
    **{field.name: (str,) for field in fields(RunStatus)},
    "step": (int,),
    "total": (int, type(None)),
    "seconds": (float, int),
    "pid": (int,),
    "phases": (list,),
    "environment": (dict,),
}


def list_runs(root: Path) -> list[tuple[RunFolder, RunStatus]]:
    """The runs in ``root``, the last updated first."""
    try:
        folders = [RunFolder(path) for path in sorted(root.iterdir()) if path.is_dir()]
    except OSError:
        return []
    runs = [(folder, status) for folder in folders if (status := folder.read_status())]
    return sorted(runs, key=lambda run: run[1].updated, reverse=True)


def latest_run(root: Path, matches: Callable[[RunFolder, RunStatus], bool]) -> RunFolder | None:
    """The last updated unfinished run in ``root`` that matches, for ``--resume auto``; None if there is none.

    It may be a run in progress: resuming it then fails because of its lock, and no second run is started.
    """
    for folder, status in list_runs(root):
        if status.status in UNFINISHED and matches(folder, status):
            return folder
    return None


LONGEST_LINE_BYTES = 1 << 20
"""The largest length of a line of metrics.jsonl."""


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a metrics file, without lines that are truncated or of another format."""
    try:
        with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
            lines = iter(lambda: file.readline(LONGEST_LINE_BYTES), b"")
            return [entry for line in lines for _, entry in parse_lines(line)]
    except OSError:
        return []


def parse_lines(content: bytes) -> Iterable[tuple[bytes, dict[str, Any]]]:
    """The valid lines of a metrics file, as (line, entry)."""
    for line in content.split(b"\n"):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):  # empty, truncated, or not text
            continue
        if isinstance(entry, dict) and isinstance(entry.get("step"), int):
            yield line, entry
