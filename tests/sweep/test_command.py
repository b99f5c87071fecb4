"""`gancore sweep` and `gancore sweep show` on the command line, and real workers that are killed."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from forks import Fork, ForkedJob, import_all
from quick_sweeps import FACTS, join

from gancore.cli import main
from gancore.files import read_json_object
from gancore.jobs import JobPool, JobResult
from gancore.run_folder import RunFolder
from gancore.sweep import worker
from gancore.sweep.results import read_results

QUICK = ["--domain", "synthetic", "--data", "ring", "--recipes", "mlpgan", "--steps", "300"]
QUICK += ["--search", "model.lr=float(1e-4,1e-2,log)", "--no-prune", "--device", "cpu"]
for setting in ("validation.samples=64", "validation.every=50", "logging.preview_every=1000"):
    QUICK += ["--set", setting]
QUICK += ["--set", "checkpoint.seconds=0.2", "--set", "data.train_examples=1000"]
QUICK += ["--set", "model.batch_size=16", "--set", "model.width=16"]


def complaint(capsys, *words: object) -> str:
    """The one line that refuses a command."""
    assert main(["sweep", *map(str, words)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_what_is_refused_before_anything_is_written(tmp_path, capsys, monkeypatch):
    storage = tmp_path / "s"
    assert "--storage" in complaint(capsys, *QUICK)
    typed = [word.replace("model.lr", "model.l") for word in QUICK]
    assert "'lr'" in complaint(capsys, *typed, "--storage", storage)
    assert "--out" in complaint(capsys, *QUICK, "--storage", "sqlite:///x.db")
    assert "--out" in complaint(capsys, *QUICK, "--storage", storage, "--out", tmp_path / "o")
    assert "--set" in complaint(capsys, *QUICK, "--set", "model.lr=1", "--storage", storage)
    assert str(storage) in complaint(capsys, "show", storage)
    assert list(tmp_path.iterdir()) == []


def test_under_torchrun_it_is_refused(tmp_path, capsys, monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    assert "torchrun" in complaint(capsys, *QUICK, "--storage", tmp_path / "s")


def test_without_optuna_the_extra_is_named(tmp_path, capsys, monkeypatch):
    find_spec = importlib.util.find_spec
    absent = {"optuna"}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name in absent else find_spec(name, *rest)
    )
    assert "gancore[sweep]" in complaint(capsys, *QUICK, "--storage", tmp_path)
    assert "gancore[sweep]" in complaint(capsys, "show", tmp_path)


def test_a_password_is_not_shown(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(worker, "_find_facts", lambda *arguments: FACTS)
    storage = "postgresql+nothing://me:secret@host/db"
    line = complaint(capsys, *QUICK, "--storage", storage, "--out", tmp_path / "runs")
    assert "secret" not in line and "me:***@host" in line


def test_a_database_keeps_the_trials_and_a_folder_the_runs(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(worker, "_find_facts", lambda *arguments: FACTS)
    monkeypatch.setattr(worker, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(worker.JobPool, "__call__", lambda *arguments: JobResult(4, "error: bad"))
    words = [*QUICK, "--storage", f"sqlite:///{tmp_path}/trials.db", "--trials", "2"]
    assert main(["sweep", *words, "--out", str(tmp_path / "runs")]) == 3  # every trial failed
    assert "2 of 2 trials: 2 failed" in capsys.readouterr().out
    assert str(tmp_path / "runs") in complaint(capsys, *words, "--out", tmp_path / "others")
    assert main(["sweep", "show", words[-3], "--json", "--out", str(tmp_path)]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [trial["reason"] for trial in shown["trials"]] == ["bad", "bad"]
    assert shown["best"] is None and Path(shown["picture"]).read_bytes().startswith(b"\x89PNG")


def test_the_results_are_shown(tmp_path, capsys):
    search = ["model.lr=float(1e-4,1e-2,log)", 'model.loss=choice(hinge,"true")']
    study = join(tmp_path, search)
    for number in range(12):
        claim = study.claim(12)
        with claim.stack:
            study.report(claim, [5.0, float(number)])
            (study.prune if number == 11 else study.complete)(claim, *[float(number)] * (number != 11))
    assert main(["sweep", "show", str(tmp_path), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [trial["number"] for trial in shown["trials"]] == list(range(12))
    assert [trial["state"] for trial in shown["trials"]] == ["complete"] * 11 + ["pruned"]
    assert {trial["params"]["model.loss"] for trial in shown["trials"]} == {"hinge", "true"}
    assert (shown["best"], shown["n"], shown["trials"][11]["value"]) == (0, 64, 5.0)
    assert sum(shown["importances"].values()) == pytest.approx(1)
    assert main(["sweep", "show", str(tmp_path)]) == 0
    assert "n=64" in capsys.readouterr().out


class Program:
    """A worker that is a program of its own, which starts programs: as users start it."""

    def __init__(self, folder: Path, words: list[str]) -> None:
        self.log = folder / f"worker-{time.monotonic_ns()}.log"
        command = [sys.executable, "-m", "gancore", *words]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        self.pid, self.poll, self.kill = self.process.pid, self.process.poll, self.process.send_signal

    def join(self, seconds: float = 60) -> int:
        return self.process.wait(seconds)


def copy(folder: Path, words: list[str]) -> Fork:
    """A worker that is a copy of this process, and starts copies of itself."""
    return Fork(folder, lambda: main(words), folder / f"worker-{time.monotonic_ns()}.log")


def wait_until_saved(storage: Path, worker: Program | Fork) -> None:
    """Wait until the worker has a trial with a checkpoint that it saved itself."""
    before = saved(storage)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and worker.poll() is None:
        for run, _ in saved(storage) - before:
            holder = json.loads((storage / "locks" / f"{run}.lock").read_text() or "{}")
            status = RunFolder(storage / "trials" / run).read_status()
            if holder.get("pid") == worker.pid and status and status.status == "running":
                return
        time.sleep(0.01)
    raise AssertionError(f"it saved nothing: {worker.log.read_text()[-2000:]}")


def saved(storage: Path) -> set[tuple[str, str]]:
    return {(path.parents[1].name, path.name) for path in storage.glob("trials/*/checkpoints/step-*")}


@pytest.fixture
def forking(monkeypatch):
    """Jobs are copies of the worker."""
    import_all("gancore.sweep.study", "gancore.sweep.training", "gancore_synthetic.gans")
    monkeypatch.setattr(JobPool, "_start", lambda pool, job: ForkedJob(pool.module, job.to_json()))


@pytest.mark.slow
def test_workers_that_are_killed_lose_nothing(tmp_path, forking):
    disturb(tmp_path, copy, 4)


@pytest.mark.long
def test_programs_that_are_killed_lose_nothing(tmp_path):
    disturb(tmp_path, Program, 5, "--steps", "1000")


def disturb(
    tmp_path: Path, start: Callable[[Path, list[str]], Program | Fork], trials: int, *more: str
) -> None:
    """One of two workers is killed twice, the other stopped: every trial ends once, as if undisturbed."""
    storage = tmp_path / "s"
    words = ["sweep", *QUICK, "--storage", str(storage), "--trials", str(trials), *more]
    killed, other = start(tmp_path, words), start(tmp_path, words)
    for _ in range(2):
        wait_until_saved(storage, killed)
        killed.kill(signal.SIGKILL)
        assert killed.join() == -signal.SIGKILL
        killed = start(tmp_path, words)
    wait_until_saved(storage, killed)
    other.kill(signal.SIGTERM)
    assert other.join(600) == 128 + signal.SIGTERM, other.log.read_text()
    assert killed.join(600) == 0, killed.log.read_text()
    shown = read_results(str(storage), "sweep").trials
    assert [trial.number for trial in shown] == list(range(trials))
    assert {trial.state for trial in shown} == {"complete"}
    assert sorted(path.name for path in (storage / "trials").iterdir()) == [f"{n:04d}" for n in range(trials)]
    continued = [trial for trial in shown if trial.starts > 1]
    assert len(continued) >= 1
    (phase,) = RunFolder(continued[0].run).read_status().phases
    assert phase["selects"] is True
    assert same_as_undisturbed(continued[0].run, tmp_path)


def same_as_undisturbed(run: Path, tmp_path: Path) -> bool:
    """Whether a training of the same configuration, at one go, gives the same weights."""
    import torch

    import gancore

    torch.set_num_threads(1)
    gancore.train(config=run / "config.yaml", out=tmp_path / "one", progress="none")
    weights = [
        read_json_object(each / "model" / "config.json")["files"]["model.safetensors"]
        for each in (run, tmp_path / "one")
    ]
    return bool(weights[0] == weights[1])
