"""The run folder: one training, its files, its lock, its status.

Light: nothing here imports torch, so that listing runs is instant.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from gancore.errors import BusyError, CheckpointError, ConfigError, TrainingError
from gancore.files import atomic_write, encode_json, read_json_object, sweep
from gancore.locking import RUN_LOCK, Lock, LockedError, hold, is_held

Progress = Literal["running", "done", "stopped", "failed", "interrupted", "damaged"]
"""stopped: by the user, saved. interrupted: killed. damaged: its run.json cannot be read."""

UNFINISHED = ("running", "stopped", "failed", "interrupted")
PATIENCE_SECONDS = 0.5


@dataclass(frozen=True)
class RunStatus:
    """Where a run stands. ``seconds`` of training; ``started`` and ``updated`` in ISO 8601, UTC.

    ``environment``: what it is computed on, and by which versions.
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
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RunLock:
    """This process's hold on a run folder."""

    path: Path
    held: Lock

    def check(self) -> None:
        """To be called before every write.

        Raises:
            TrainingError: the path no longer names the folder that is held, so nothing may be written there.
        """
        if self.held.is_intact():
            return
        moved = self.held.moved_to()
        if moved is None:
            raise TrainingError(
                f"run folder {self.path} was removed or replaced while it was trained; training has stopped"
                " and nothing more was written",
                "start the run anew, and leave its folder alone while it trains",
            )
        raise TrainingError(
            f"run folder {self.path} was moved to {moved.parent} while it was trained; training has stopped"
            " at the last checkpoint there",
            f"go on with --resume {shlex.quote(str(moved.parent))}",
        )


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
    def rows(self) -> Path:
        """Where rows lie that a program gave in memory (:mod:`gancore.data.rows`)."""
        return self.path / "data"

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
        return self.path / RUN_LOCK

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
    def lock(self) -> Iterator[RunLock]:
        """Hold the run; remove what a killed holder left over.

        Raises:
            CheckpointError: another process holds it, or the folder cannot be locked.
        """
        fix = "make it writable, or give another --out"
        try:
            with hold(self.lock_file, PATIENCE_SECONDS) as held:  # `gancore runs` holds it for an instant
                sweep(self.path)
                yield RunLock(self.path, held)
        except LockedError as error:
            message = f"run folder {self.path} is in use by {error}"
            raise BusyError(message, "wait for it, or stop it") from error
        except OSError as error:
            if error.filename is None or Path(os.fsdecode(error.filename)) != self.lock_file:
                raise
            if error.errno == errno.EINVAL:
                fix = f"remove {shlex.quote(str(self.lock_file))}"
            reason = error.strerror
            raise CheckpointError(f"run folder {self.path} cannot be locked: {reason}", fix) from error

    def is_in_use(self) -> bool:
        return is_held(self.lock_file)

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
            status = _status_from(read_json_object(self.status_file))
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
            raise CheckpointError(f"run.json: {name} is a {type(value).__name__}")
    if known.get("status") not in get_args(Progress):
        raise CheckpointError(f"run.json: status is none of {', '.join(get_args(Progress))}")
    return RunStatus(**known)  # type: ignore[arg-type]


_TYPES: dict[str, tuple[type, ...]] = {
    **{field.name: (str,) for field in fields(RunStatus)},
    "step": (int,),
    "total": (int, type(None)),
    "seconds": (float, int),
    "pid": (int,),
    "environment": (dict,),
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
