"""The run folder: one training, its files, its lock, its status.

Light: nothing here imports torch, so that listing runs is instant.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from gancore.errors import CheckpointError, ConfigError
from gancore.files import atomic_write, decode_json, encode_json, sweep

Progress = Literal["running", "done", "stopped", "failed", "interrupted", "damaged"]
"""stopped: by the user, saved. interrupted: killed. damaged: its run.json cannot be read."""

UNFINISHED = ("running", "stopped", "failed", "interrupted")
PATIENCE_SECONDS = 0.5


@dataclass(frozen=True)
class RunStatus:
    """Where a run stands. ``seconds`` of training; ``started`` and ``updated`` in ISO 8601, UTC.

    ``verdict``: what is wrong with its model, as :func:`gancore.training.verdict.verdict` says it.
    """

    status: Progress
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


@dataclass(frozen=True)
class RunFolder:
    """The names in a run folder, and what keeps two processes from writing one run."""

    path: Path

    @property
    def config_file(self) -> Path:
        return self.path / "config.yaml"

    @property
    def data_file(self) -> Path:
        """What the run saw of its data: fingerprint, contract, and the names in each split."""
        return self.path / "data.json"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def measures_file(self) -> Path:
        """The evaluations of the run's model."""
        return self.path / "measures.jsonl"

    @property
    def status_file(self) -> Path:
        return self.path / "run.json"

    @property
    def lock_file(self) -> Path:
        return self.path / "run.lock"

    @property
    def events(self) -> Path:
        return self.path / "events"

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        return self.path / "model"

    @classmethod
    def create(cls, root: Path, name: str) -> RunFolder:
        """A fresh folder ``root/name``; ``name-2``, ``name-3``, ... where that is taken.

        Raises:
            ConfigError: ``root`` cannot be written to.
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
            raise ConfigError(f"no run can be made in {root}: {error.strerror}", fix) from error

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run; sweep what a killed holder left. The kernel lets go when the process ends.

        Raises:
            CheckpointError: another process holds it, or the folder cannot be locked.
        """
        handle = self._open_lock()
        try:
            self._take(handle)
            os.ftruncate(handle, 0)
            os.pwrite(handle, encode_json({"pid": os.getpid(), "host": socket.gethostname()}), 0)
            sweep(self.path)
            yield
        finally:
            os.close(handle)  # releases; the file stays, since removing it would let two processes in

    def _open_lock(self) -> int:
        try:
            return os.open(self.lock_file, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise self._not_lockable(error) from error

    def _take(self, handle: int) -> None:
        """Wait a moment: `gancore runs` holds the lock for an instant when it looks."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    message = f"run folder {self.path} is in use by {self._holder()}"
                    raise CheckpointError(message, "wait for it, or stop it") from error
                time.sleep(0.02)
            except OSError as error:
                raise self._not_lockable(error) from error

    def _not_lockable(self, error: OSError) -> CheckpointError:
        fix = "make it writable, or give another --out"
        return CheckpointError(f"run folder {self.path} cannot be locked: {error.strerror}", fix)

    def _holder(self) -> str:
        try:
            holder = json.loads(self.lock_file.read_bytes())
            here = holder["host"] == socket.gethostname()
            return f"process {holder['pid']}" + ("" if here else f" on {holder['host']}")
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"

    def is_in_use(self) -> bool:
        try:
            handle = os.open(self.lock_file, os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            os.close(handle)
        return False

    @staticmethod
    def now() -> str:
        return datetime.now(UTC).isoformat(timespec="milliseconds")

    def write_status(self, status: RunStatus) -> None:
        """Replace run.json; ``updated`` and ``pid`` are filled in, ``started`` where it is empty."""
        now = self.now()
        error = " ".join(status.error.split())
        status = replace(status, started=status.started or now, updated=now, pid=os.getpid(), error=error)
        atomic_write(self.status_file, encode_json(asdict(status)))

    def read_status(self) -> RunStatus | None:
        """Where the run stands; None: this is no run folder. ``running`` without its lock: interrupted."""
        try:
            status = _status_from(decode_json(self.status_file.read_bytes(), self.status_file.name))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            return RunStatus("damaged", error=f"run.json cannot be read ({error.strerror})")
        except CheckpointError as error:
            return RunStatus("damaged", error=error.message)
        if status.status == "running" and not self.is_in_use():
            return replace(status, status="interrupted")
        return status


def _status_from(content: dict[str, object]) -> RunStatus:
    """Raises CheckpointError on a value of the wrong type; keys of a later gancore are passed over."""
    known = {field.name: content[field.name] for field in fields(RunStatus) if field.name in content}
    for name, value in known.items():
        if not isinstance(value, _TYPES[name]) or isinstance(value, bool):
            raise CheckpointError(f"run.json: {name} is {value!r}")
    if known.get("status") not in get_args(Progress):
        raise CheckpointError(f"run.json: status is {known.get('status')!r}")
    return RunStatus(**known)  # type: ignore[arg-type]


_TYPES: dict[str, tuple[type, ...]] = {
    **{field.name: (str,) for field in fields(RunStatus)},
    "step": (int,),
    "total": (int, type(None)),
    "seconds": (float, int),
    "pid": (int,),
}


def list_runs(root: Path) -> list[tuple[RunFolder, RunStatus]]:
    """The runs in ``root``, the last touched first."""
    try:
        folders = [RunFolder(path) for path in sorted(root.iterdir()) if path.is_dir()]
    except OSError:
        return []
    runs = [(folder, status) for folder in folders if (status := folder.read_status())]
    return sorted(runs, key=lambda run: run[1].updated, reverse=True)


def latest_run(root: Path, matches: Callable[[RunFolder, RunStatus], bool]) -> RunFolder | None:
    """The unfinished run last touched in ``root`` that matches: what ``--resume auto`` goes on with.

    One that still runs counts: its lock then says so, rather than a second run beginning unasked.
    """
    for folder, status in list_runs(root):
        if status.status in UNFINISHED and matches(folder, status):
            return folder
    return None
