"""Sweeps whose trainings take no time: a function in place of the process that trains."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gancore.jobs import INTERRUPTED, JobResult
from gancore.run_folder import RunFolder, RunStatus
from gancore.sweep import worker
from gancore.sweep.config import make_sweep_config
from gancore.sweep.facts import Facts
from gancore.sweep.storage import SweepFolder, open_storage
from gancore.sweep.study import SweepStudy, join_study
from gancore.sweep.worker import SweepOptions, Worker

BASE = {
    **{"domain": "synthetic", "data": "ring", "recipes": {"mlpgan": "mlpgan"}, "overrides": []},
    **{"steps": 10, "metric": None, "seed": 0, "prune": True},
}
SEARCH = ["model.lr=float(1e-4,1e-2,log)"]
FACTS = Facts("density_error", False, "total variation", 64, "f00d")


def join(path: Path, search: Any = SEARCH, facts: Facts = FACTS, **changes: Any) -> SweepStudy:
    """The study in a folder, as a worker creates or joins it."""
    folder = SweepFolder(path)
    folder.create("--storage")
    config = make_sweep_config(search, **{**BASE, **changes})
    return join_study(open_storage(str(path)), "sweep", str(path), folder, config, facts)


def number_of(arguments: Any, key: str = "model.lr") -> float:
    """A searched number in the arguments of a training."""
    return next(
        float(text.partition("=")[2]) for text in arguments["overrides"] if text.startswith(f"{key}=")
    )


@dataclass
class Trainings:
    """``train(job, stopped)`` yields values on valid, one for each evaluation, or returns a JobResult."""

    train: Callable[..., Any]
    runs: list[str] = field(default_factory=list)

    def pool(self, module: str, lock_fd: int, announce: Any) -> Any:
        trainings, stopped = self, threading.Event()

        class Pool:
            def __call__(self, job: Any, title: str) -> JobResult:
                trainings.runs.append(Path(job.run).name)
                return write_run(Path(job.run), trainings.train(job, stopped), stopped)

            def stop(self) -> None:
                stopped.set()

            wait = kill = stop

        return Pool()


def write_run(path: Path, values: Any, stopped: threading.Event) -> JobResult:
    """Write what a training leaves that logs these values on valid."""
    if isinstance(values, JobResult):
        return values
    run = RunFolder(path)
    path.mkdir(parents=True, exist_ok=True)
    run.write_status(RunStatus("done", phases=[{"name": "all", "steps": 1000, "selects": True}]))
    with run.metrics_file.open("a") as file:
        for step, value in enumerate(values, 1):
            file.write(json.dumps({"step": step, "valid/density_error": value}) + "\n")
            file.flush()
    return JobResult(INTERRUPTED if stopped.is_set() else 0)


@pytest.fixture
def sweep(monkeypatch, tmp_path):
    """Runs a worker in this process: ``sweep(train, trials)`` returns its study and the trainings."""

    def run(train: Callable[..., Any], trials: int, path: Path = tmp_path / "s", **changes: Any) -> Any:
        trainings = Trainings(train)
        monkeypatch.setattr(worker, "JobPool", trainings.pool)
        monkeypatch.setattr(worker, "POLL_SECONDS", 0.01)
        study = join(path, **changes)
        Worker(study, SweepOptions(str(path), trials, wait=False), lambda line: None)()
        return study, trainings

    return run
