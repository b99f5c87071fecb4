"""Trials are numbered without gaps, belong to one worker at a time, and none is lost or counted twice."""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import replace

import pytest
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from quick_sweeps import FACTS, SEARCH, Trainings, join, number_of
from refusals import refused

from gancore.errors import ConfigError, DataError, StorageError
from gancore.jobs import ERROR_START, INTERRUPTED, JobResult
from gancore.sweep import worker
from gancore.sweep.results import read_results
from gancore.sweep.storage import CLAIM, SweepFolder, storage_errors
from gancore.sweep.worker import SweepOptions, Worker


def failure(kind: str, code: int, message: str = "too bad") -> JobResult:
    details = {"kind": kind, "message": message, "fix": "", "code": code}
    return JobResult(code, ERROR_START + json.dumps(details) + "}")


def test_workers_share_the_trials(tmp_path):
    """Four at a time, each with its own connection: the numbers are 0 to 11, each once."""
    join(tmp_path)
    numbers: list[int] = []

    def work() -> None:
        study = join(tmp_path)
        while (claim := study.claim(12)) is not None:
            with claim.stack:
                study.start(claim, 0)
                numbers.append(claim.number)
                study.complete(claim, claim.params["model.lr"])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(12))
    trials = join(tmp_path).trials()
    assert [trial.number for trial in trials] == list(range(12))
    assert len({trial.params["model.lr"] for trial in trials}) == 12  # no two workers proposed the same


def test_a_worker_that_was_killed_while_it_made_the_folder_is_no_obstacle(tmp_path):
    for name in ("locks", "trials"):
        (tmp_path / name).mkdir()
    assert join(tmp_path).claim(1).number == 0


@pytest.mark.parametrize("name", ["sweep.journal", "sweep.json", "trials", "locks"])
def test_nothing_is_written_through_links_and_pipes_of_a_stranger(name, tmp_path):
    """Optuna would write into the file of the link, and wait for the pipe."""
    folder = SweepFolder(tmp_path / "s")
    folder.path.mkdir()
    (folder.path / "sweep.json").write_text('{"id": "abc"}')
    (own := tmp_path / "mine").write_text("precious")
    for make in (lambda path: path.symlink_to(own), os.mkfifo):
        (folder.path / name).unlink(missing_ok=True)
        make(folder.path / name)
        with refused(ConfigError, name):
            folder.create("--storage")
    assert own.read_text() == "precious"


def test_a_trial_of_a_killed_worker_is_continued(tmp_path):
    study = join(tmp_path)
    pid = os.fork()
    if pid == 0:
        claim = join(tmp_path).claim(2)
        os._exit(0 if claim is not None and claim.number == 0 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    (before,) = study.trials()
    claim = study.claim(2)
    assert claim.number == 0 and claim.params == before.params
    other = join(tmp_path).claim(2)
    assert other.number == 1  # trial 0 is taken
    assert join(tmp_path).claim(2) is None
    claim.stack.close()
    assert join(tmp_path).claim(2).number == 0


def test_a_trial_left_between_two_proposals_gets_the_rest(tmp_path):
    study = join(tmp_path, [*SEARCH, "model.width=int(8,64)"])
    asked = study.study.ask()
    rate = asked.suggest_float("model.lr", 1e-4, 1e-2, log=True)
    claim = study.claim(1)
    assert (claim.number, claim.params["model.lr"]) == (0, rate) and 8 <= claim.params["model.width"] <= 64


def test_a_torn_line_of_a_killed_writer_is_removed(tmp_path):
    join(tmp_path).claim(1).stack.close()
    journal = tmp_path / "sweep.journal"
    with journal.open("ab") as file:
        file.write(b'{"op_code": 4, "worker')
    study = join(tmp_path)
    claim = study.claim(1)
    assert claim.number == 0
    study.start(claim, 7)
    assert join(tmp_path).trials()[0].user_attrs == {"starts": [7]}
    assert all(json.loads(line) for line in journal.read_bytes().splitlines())


@pytest.mark.filterwarnings("ignore:The value of .grace_period")
@pytest.mark.parametrize("name", ["sweep.journal.lock", f"locks/{CLAIM}.lock"])
def test_a_lock_that_a_killed_worker_left_is_removed(name, tmp_path, monkeypatch):
    monkeypatch.setattr("gancore.sweep.storage.CLAIM_GRACE_SECONDS", 1)
    monkeypatch.setattr("gancore.sweep.journal.GRACE_SECONDS", 1)
    join(tmp_path)
    (tmp_path / name).touch()
    study, started = join(tmp_path), time.monotonic()
    assert study.claim(1).number == 0
    assert time.monotonic() - started < 10


def test_the_same_seed_proposes_the_same(tmp_path):
    def proposed(name: str, seed: int) -> list[float]:
        study, rates = join(tmp_path / name, seed=seed), []
        for _ in range(12):
            claim = study.claim(12)
            with claim.stack:
                study.complete(claim, claim.params["model.lr"])
            rates.append(claim.params["model.lr"])
        return rates

    assert proposed("a", 3) == proposed("b", 3) != proposed("c", 4)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"steps": 20}, "steps"),
        ({"recipes": {"a": "mlpgan", "b": "mlpgan"}}, "recipes"),
        ({"search": ["model.lr=float(1e-4,1e-1,log)"]}, "search"),
        ({"overrides": ["model.width=8"]}, "overrides"),
        ({"seed": 1}, "seed"),
        ({"prune": False}, "prune"),
        ({"facts": replace(FACTS, fingerprint="beef")}, "data"),
        ({"facts": replace(FACTS, metric="reverse_kl")}, "metric"),
    ],
)
def test_a_worker_with_other_settings_is_refused(changes, named, tmp_path):
    join(tmp_path)
    with refused(ConfigError, named, fix="--storage"):
        join(tmp_path, **changes)
    assert join(tmp_path, data="elsewhere/ring").trials() == []  # the data are known by their fingerprint


def test_the_storage_of_another_sweep_is_refused(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    join(one).claim(1)
    join(other).claim(1)
    os.replace(one / "sweep.journal", other / "sweep.journal")
    with refused(ConfigError, other):
        join(other)
    with refused(ConfigError, one):  # runs without a storage
        (one / "trials" / "0000").mkdir()
        join(one)
    (tmp_path / "photo.jpg").touch()
    with refused(ConfigError, "--storage", tmp_path):
        join(tmp_path)
    with refused(ConfigError, "--storage", fix="folder"):
        join(tmp_path / "photo.jpg" / "inside")
    damaged = tmp_path / "damaged"
    join(damaged)
    (damaged / "sweep.journal").write_text("[1, 2]\n{}\n")
    with refused(ConfigError, damaged, fix="sweep.journal"):
        join(damaged)


@pytest.mark.parametrize("higher", [False, True])
def test_the_metric_says_which_end_is_better(higher, sweep, tmp_path):
    """The value of a trial is its best on valid, and the best trial that with the best value."""
    facts = replace(FACTS, higher_is_better=higher)

    def train(job, stopped):
        rate = number_of(job.arguments)
        return [0.5, rate, 2 * rate]

    study, _ = sweep(train, 6, facts=facts, prune=False)
    values = [trial.value for trial in study.trials()]
    rates = [trial.params["model.lr"] for trial in study.trials()]
    assert values == ([0.5] * 6 if higher else rates)
    assert study.study.direction.name == ("MAXIMIZE" if higher else "MINIMIZE")
    results = read_results(str(tmp_path / "s"), "sweep")
    assert results.best.value == (max if higher else min)(values)
    assert f"--resume {results.best.run} --steps 40" in results.longer_command


def test_only_phases_that_select_are_judged(sweep, tmp_path):
    def train(job, stopped):
        from gancore.run_folder import RunFolder, RunStatus

        run = RunFolder(tmp_path / "s" / "trials" / "0000")
        run.path.mkdir()
        phases = [{"name": "before", "steps": 2, "selects": False}, {"name": "then", "steps": 2}]
        run.write_status(RunStatus("done", phases=phases))
        lines = [{"step": step, "valid/density_error": value} for step, value in enumerate((0, 1, 7, 6), 1)]
        run.metrics_file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return JobResult(0)

    study, _ = sweep(train, 1)
    assert study.trials()[0].value == 6


def test_a_failed_trial_is_recorded_and_does_not_stop_the_others(sweep, tmp_path):
    def train(job, stopped):
        number = int(job.run[-1])
        if number == 1:
            return failure("TrainingError", 4, "every update was not finite")
        return [float("nan")] if number == 2 else [1.0]

    study, trainings = sweep(train, 4)
    assert [trial.state.name for trial in study.trials()] == ["COMPLETE", "FAIL", "FAIL", "COMPLETE"]
    results = read_results(str(tmp_path / "s"), "sweep")
    assert results.summary == "2 complete, 2 failed"
    assert [trial.reason for trial in results.trials][1] == "every update was not finite"
    assert "density_error" in results.trials[2].reason
    assert trainings.runs == ["0000", "0001", "0002", "0003"]


def test_an_error_that_every_trial_meets_ends_the_worker(sweep):
    answers = [failure("DataError", 2), failure("StorageError", 75), [1.0]]
    for _ in range(2):
        with pytest.raises(DataError):
            sweep(lambda job, stopped: answers.pop(0), 1)
    study, trainings = sweep(lambda job, stopped: answers.pop(0), 1)
    assert trainings.runs == ["0000"] and study.trials()[0].state == TrialState.COMPLETE


def test_a_trial_that_is_killed_again_and_again_fails(sweep):
    study, trainings = sweep(lambda job, stopped: JobResult(-9), 1)
    assert trainings.runs == ["0000"] * worker.MAX_STARTS
    assert study.trials()[0].state == TrialState.FAIL


def test_an_interrupted_trial_is_continued(sweep):
    answers = [JobResult(INTERRUPTED), [1.0], [2.0]]
    study, trainings = sweep(lambda job, stopped: answers.pop(0), 2)
    assert trainings.runs == ["0000", "0000", "0001"]
    assert [trial.value for trial in study.trials()] == [1.0, 2.0]


def test_a_training_is_saved_when_the_storage_fails(sweep, monkeypatch):
    def fail(*arguments):
        raise StorageInternalError("the server is away")

    def train(job, stopped):
        yield 1.0
        assert stopped.wait(30)

    with monkeypatch.context() as patch, refused(StorageError, "me:***@host"):
        patch.setattr("gancore.sweep.study.SweepStudy.report", fail)
        with storage_errors("mysql://me:secret@host/db"):
            sweep(train, 1)
    study, trainings = sweep(lambda job, stopped: [2.0], 1)
    assert trainings.runs == ["0000"] and study.trials()[0].value == 1.0


@pytest.mark.parametrize("wait", [True, False])
def test_a_worker_that_waits_takes_over_what_another_leaves(wait, tmp_path, monkeypatch):
    """The other one leaves its trial when this one has begun to wait."""
    trainings = Trainings(lambda job, stopped: [1.0])
    monkeypatch.setattr(worker, "JobPool", trainings.pool)
    monkeypatch.setattr(worker, "WAIT_SECONDS", 0.01)
    other, lines = join(tmp_path).claim(1), []

    def announce(line: str) -> None:
        lines.append(line)
        other.stack.close()

    study = join(tmp_path)
    Worker(study, SweepOptions(str(tmp_path), 1, wait=wait), announce)()
    assert trainings.runs == (["0000"] if wait else [])
    assert study.trials()[0].state == (TrialState.COMPLETE if wait else TrialState.RUNNING)
    assert read_results(str(tmp_path), "sweep").trials[0].state == ("complete" if wait else "running")
    other.stack.close()


def test_a_trial_that_looks_bad_is_stopped_early(sweep):
    """Nine trials with growing values; those after the fifth are above the median after four looks."""

    def train(job, stopped):
        number = int(job.run[-1])
        for _ in range(5):
            yield float(number)
        if number >= 5:
            assert stopped.wait(30)

    study, _ = sweep(train, 7)
    assert [trial.state for trial in study.trials()] == [*[TrialState.COMPLETE] * 5, *[TrialState.PRUNED] * 2]
