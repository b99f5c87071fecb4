"""The folder of a comparison: its files, its lock, and the state of its stages. Imports no torch.

Every file is written atomically and contains the hash of its model, so that a finished training, evaluation,
profile or gallery is recognised and not repeated.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from gancore.comparison.config import Trial
from gancore.config import config_hash, diff_configs
from gancore.config_layers import load_config_file
from gancore.errors import BusyError, CheckpointError, ConfigError, GancoreError
from gancore.evaluation.result import (
    EvaluationResult,
    decode_lossless,
    encode_non_finite,
    read_evaluations,
    to_json_value,
)
from gancore.evaluation.temperatures import TEMPERATURE
from gancore.file_lock import LockedError, file_lock
from gancore.files import MAX_JSON_BYTES, atomic_write, read_json_object, read_regular, remove_leftovers
from gancore.run_folder import RunFolder

LOCK_TIMEOUT_SECONDS = 10.0
"""Timeout for the lock of a killed comparison, whose jobs may still be ending."""
SUBFOLDERS = ("runs", "trainings", "evaluations", "temperatures", "samples", "tradeoffs", "failures")
LOCK, INDEX = "comparison.lock", "index.json"
Stage = Literal["train", "evaluate", "show", "sweep", "time"]
STAGES: tuple[Stage, ...] = get_args(Stage)
"""Stages of each trial in order: training in one process, the others in a second process."""


@dataclass
class ComparisonFolder:
    """The paths of the files of a comparison; files of a trial have its name."""

    path: Path

    def __post_init__(self) -> None:
        self.config_file = self.path / "comparison.yaml"
        self.environment_file = (
            self.path / "environment.json"
        )  # data, machine and versions at the start of the first training
        self.report_html = self.path / "report.html"
        self.report_json = self.path / "report.json"
        self.data_folder = self.path / "data"  # copies of data that a program passed in memory

    def run_folder(self, trial: Trial) -> RunFolder:
        return RunFolder(self.path / "runs" / str(trial))

    def evaluation_file(self, trial: Trial) -> Path:
        return self.path / "evaluations" / f"{trial}.jsonl"

    def temperatures_file(self, trial: Trial) -> Path:
        """An evaluation for each temperature, by the metrics of quality and of diversity."""
        return self.path / "temperatures" / f"{trial}.jsonl"

    def tradeoffs_file(self, trial: Trial) -> Path:
        return self.path / "tradeoffs" / f"{trial}.json"

    def samples(self, trial: Trial | str) -> Path:
        """The folder of the gallery of a trial; ``real`` is the gallery of test rows."""
        return self.path / "samples" / str(trial)

    def failure_file(self, trial: Trial) -> Path:
        return self.path / "failures" / f"{trial}.json"

    def machine_file(self, trial: Trial) -> Path:
        """The file with the names of the machines on which a trial was trained."""
        return self.path / "trainings" / f"{trial}.json"

    def create(self) -> None:
        """Create the folder. Raises ConfigError if it cannot be created or contains other files."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            others = {path.name for path in self.path.iterdir() if not path.name.startswith(".")}
            if others - {LOCK, f"{LOCK}.held"} and not self.config_file.is_file():
                raise ConfigError(f"--out {self.path} contains other files", "give a new or empty folder")
            for name in SUBFOLDERS:
                (self.path / name).mkdir(exist_ok=True)
        except OSError as error:
            raise ConfigError(f"--out {self.path}: {error.strerror}", "give another folder") from error

    def undo_create(self) -> None:
        """Remove what :meth:`create` made, for data that cannot be opened; other files stay."""
        for file in (self.config_file, self.path / LOCK):
            file.unlink(missing_ok=True)
        for file in self.data_folder.glob("rows-*.npy"):
            file.unlink()
        for folder in (self.data_folder, *(self.path / name for name in SUBFOLDERS), self.path):
            with contextlib.suppress(OSError):
                folder.rmdir()

    @contextlib.contextmanager
    def lock(self) -> Iterator[int]:
        """Lock the comparison. Its jobs inherit the descriptor: the lock lasts until the last one exits.

        Raises:
            BusyError: another process runs this comparison.
        """
        try:
            with file_lock(self.path / LOCK, LOCK_TIMEOUT_SECONDS) as held:
                for folder in [self.path, *(path for path in self.path.rglob("*") if path.is_dir())]:
                    remove_leftovers(folder)
                yield held.handle
        except LockedError as error:
            message = f"the comparison {self.path} is locked by {error}"
            raise BusyError(message, "wait until it ends, or stop it") from error
        except OSError as error:
            if error.filename is None or os.fsdecode(error.filename) != str(self.path / LOCK):
                raise
            message = f"the comparison {self.path} cannot be locked: {error.strerror}"
            raise ConfigError(message, f"remove {LOCK}, or give another folder") from error

    def check_configs(self, trials: Sequence[Trial]) -> None:
        """Raise ConfigError if the configuration of a started trial has changed."""
        for trial in trials:
            file = self.run_folder(trial).config_file
            if file.exists() and (changes := diff_configs(load_config_file(file), trial.config)):
                raise ConfigError(
                    f"{trial} was started with another configuration: {changes[0]}",
                    "install the versions with which it was started, or start a new comparison",
                )

    def weights_hash(self, trial: Trial) -> str:
        """sha256 of the weights of a trial; empty if it is not finished or has another configuration."""
        run = self.run_folder(trial)
        status = run.read_status()
        if status is None or status.status != "done" or not self._has_config(run, status.config_hash, trial):
            return ""
        try:
            files = read_json_object(run.model / "config.json")["files"]
            return str(files["model.safetensors"])
        except (OSError, CheckpointError, KeyError, TypeError):
            return ""

    @staticmethod
    def _has_config(run: RunFolder, run_hash: str, trial: Trial) -> bool:
        """Whether the run has the trial's configuration; keys that plugins added since have defaults."""
        if run_hash == config_hash(trial.config):
            return True
        try:
            return not diff_configs(load_config_file(run.config_file), trial.config)
        except GancoreError:
            return False

    def is_finished(self, trial: Trial, stage: Stage) -> bool:
        """Whether the output of the stage exists and was computed from the current weights."""
        weights = self.weights_hash(trial)
        if stage == "train" or not weights:
            return bool(weights)
        if stage == "evaluate":
            return self._evaluated_weights(trial) == weights
        if stage == "sweep":
            evaluated = {one.metadata[TEMPERATURE] for one in self.temperature_evaluations(trial)}
            return not trial.temperatures or None in evaluated or evaluated >= set(trial.temperatures)
        file = self.tradeoffs_file(trial) if stage == "time" else self.samples(trial) / INDEX
        return bool(read_json(file).get("weights") == weights)

    def temperature_evaluations(self, trial: Trial) -> list[EvaluationResult]:
        """Those of the present weights; the temperature of a model that has none is None."""
        try:
            found = read_evaluations(self.temperatures_file(trial))
        except CheckpointError:
            return []
        weights = self.weights_hash(trial)
        return [
            one for one in found if one.metadata.get("model_hash") == weights and TEMPERATURE in one.metadata
        ]

    def _evaluated_weights(self, trial: Trial) -> str:
        try:
            return str(EvaluationResult.read(self.evaluation_file(trial)).metadata.get("model_hash", ""))
        except CheckpointError:
            return ""


def read_json(path: Path, most_bytes: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """Read a JSON object; {} if the file is missing, damaged, a link, not a regular file or too large."""
    try:
        value = decode_lossless(read_regular(path, most_bytes).decode())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; non-finite numbers are encoded as in an evaluation result."""
    text = json.dumps(encode_non_finite(to_json_value(value)), indent=1, ensure_ascii=False, allow_nan=False)
    atomic_write(path, text + "\n")
