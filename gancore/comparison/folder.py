"""The comparison folder: its names, its lock, and what of it is finished. Imports no torch.

Everything in it is written whole or not at all, and says which model it is about: a finished training,
evaluation, timing or set of samples is known by content, and never made again.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from gancore.config import RunConfig, config_hash, difference
from gancore.configure import read_config
from gancore.errors import BusyError, CheckpointError, ConfigError, GancoreError
from gancore.evaluation.reading import Evaluation, decode, finite, plain
from gancore.files import LARGEST_JSON_BYTES, atomic_write, read_json_object, read_regular, sweep
from gancore.locking import LockedError, hold
from gancore.training.run import RunFolder

PATIENCE_SECONDS = 10.0
"""How long the processes of a comparison that was killed have to be gone."""
ROOMS = ("runs", "trainings", "evaluations", "samples", "tradeoffs", "failures")
LOCK, INDEX = "comparison.lock", "index.json"
Stage = Literal["train", "evaluate", "show", "time"]
STAGES: tuple[Stage, ...] = get_args(Stage)
"""What is done with each entrant, in this order: training in a process of its own, the rest in another."""


@dataclass(frozen=True)
class Entrant:
    """One training of the comparison: what is compared, under one seed."""

    name: str
    recipe: str
    seed: int
    config: RunConfig

    def __str__(self) -> str:
        return f"{self.name}-seed{self.seed}"


@dataclass(frozen=True)
class ComparisonFolder:
    path: Path

    @property
    def asked(self) -> Path:
        return self.path / "comparison.yaml"

    @property
    def about(self) -> Path:
        """What was found before the first training: data, machine, versions."""
        return self.path / "about.json"

    @property
    def page(self) -> Path:
        return self.path / "report.html"

    @property
    def figures(self) -> Path:
        return self.path / "report.json"

    @property
    def rows(self) -> Path:
        """Where rows lie that a program gave in memory."""
        return self.path / "data"

    def run(self, entrant: Entrant) -> RunFolder:
        return RunFolder(self.path / "runs" / str(entrant))

    def evaluation(self, entrant: Entrant) -> Path:
        return self.path / "evaluations" / f"{entrant}.jsonl"

    def tradeoffs(self, entrant: Entrant) -> Path:
        return self.path / "tradeoffs" / f"{entrant}.json"

    def samples(self, entrant: Entrant | str) -> Path:
        """Files of samples; ``real`` has rows of test."""
        return self.path / "samples" / str(entrant)

    def failure(self, entrant: Entrant) -> Path:
        return self.path / "failures" / f"{entrant}.json"

    def training(self, entrant: Entrant) -> Path:
        """On what machine it was trained."""
        return self.path / "trainings" / f"{entrant}.json"

    def make(self) -> None:
        """Raises ConfigError where it cannot be made, or holds something else."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            others = {path.name for path in self.path.iterdir() if not path.name.startswith(".")}
            if others - {LOCK, f"{LOCK}.held"} and not self.asked.is_file():
                raise ConfigError(
                    f"--out {self.path} is a folder with other things in it", "give a new or empty one"
                )
            for name in ROOMS:
                (self.path / name).mkdir(exist_ok=True)
        except OSError as error:
            raise ConfigError(f"--out {self.path}: {error.strerror}", "give another folder") from error

    def withdraw(self) -> None:
        """Take back a comparison whose data could not be opened; what others put into the folder stays."""
        for file in (self.asked, self.path / LOCK):
            file.unlink(missing_ok=True)
        for file in self.rows.glob("rows-*.npy"):
            file.unlink()
        for folder in (self.rows, *(self.path / name for name in ROOMS), self.path):
            with contextlib.suppress(OSError):
                folder.rmdir()

    @contextlib.contextmanager
    def lock(self) -> Iterator[int]:
        """Hold the comparison; the descriptor goes to its processes, and with the last of them the lock.

        Raises:
            BusyError: another comparison is at work here.
        """
        try:
            with hold(self.path / LOCK, PATIENCE_SECONDS) as held:
                for folder in [self.path, *(path for path in self.path.rglob("*") if path.is_dir())]:
                    sweep(folder)
                yield held.handle
        except LockedError as error:
            message = f"the comparison {self.path} is being made by {error}"
            raise BusyError(message, "wait for it, or stop it") from error
        except OSError as error:
            if error.filename is None or os.fsdecode(error.filename) != str(self.path / LOCK):
                raise
            message = f"the comparison {self.path} cannot be locked: {error.strerror}"
            raise ConfigError(message, f"remove {LOCK}, or give another folder") from error

    def weights(self, entrant: Entrant) -> str:
        """sha256 of the weights of a finished training; empty: it is not finished, or not as asked."""
        run = self.run(entrant)
        status = run.read_status()
        if status is None or status.status != "done" or not self._is_of(run, status.config_hash, entrant):
            return ""
        try:
            files = read_json_object(run.model / "config.json")["files"]
            return str(files["model.safetensors"])
        except (OSError, CheckpointError, KeyError, TypeError):
            return ""

    @staticmethod
    def _is_of(run: RunFolder, told: str, entrant: Entrant) -> bool:
        """Whether the run was trained by this configuration: keys that plugins added since have defaults."""
        if told == config_hash(entrant.config):
            return True
        try:
            return not difference(read_config(run.config_file), entrant.config)
        except GancoreError:
            return False

    def is_finished(self, entrant: Entrant, stage: Stage) -> bool:
        """Whether what the stage leaves lies here, and was made of the weights that lie here."""
        weights = self.weights(entrant)
        if stage == "train" or not weights:
            return bool(weights)
        if stage == "evaluate":
            return self._evaluated(entrant) == weights
        file = self.tradeoffs(entrant) if stage == "time" else self.samples(entrant) / INDEX
        return bool(read_json(file).get("weights") == weights)

    def _evaluated(self, entrant: Entrant) -> str:
        try:
            return str(Evaluation.read(self.evaluation(entrant)).about.get("model_hash", ""))
        except CheckpointError:
            return ""


def read_json(path: Path, most_bytes: int = LARGEST_JSON_BYTES) -> dict[str, Any]:
    """Empty where it is not there, torn, a link, no regular file or too large: it is then made again."""
    try:
        value = decode(read_regular(path, most_bytes).decode())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def write_json(path: Path, value: Any) -> None:
    """Numbers that JSON has not are kept as in an evaluation."""
    text = json.dumps(finite(plain(value)), indent=1, ensure_ascii=False, allow_nan=False)
    atomic_write(path, text + "\n")
