"""A run that was stopped, or is told to go on in another way."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from pathlib import Path

import pytest
from tiny_runs import SETTINGS, TINY, Child, checkpoints, digest, press_ctrl_c, weights

import gancore
from gancore.models.folder import read_model_folder
from gancore.run_folder import read_metrics
from gancore.training.callbacks import Callbacks
from gancore.training.checkpoint import load_checkpoint


def status(run: Path) -> dict:
    return json.loads((run / "run.json").read_text())


def log_steps(run: Path) -> list[int]:
    return [line["step"] for line in read_metrics(run / "metrics.jsonl") if "generator/loss" in line]


@pytest.fixture
def stopped(train, after_step, tmp_path):
    """A run of 8 steps that Ctrl-C stopped after the fifth."""
    after_step(5, press_ctrl_c)
    train("--out", "stopped", "--steps", 8)
    return tmp_path / "stopped"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_finishes_the_step_and_saves_and_the_run_can_go_on(
    train, gancore, after_step, run, tmp_path, number, code
):
    after_step(5, lambda: os.kill(os.getpid(), number))
    answer = train("--out", "stopped", "--steps", 8)
    assert answer.code == code
    assert "stopped at step 5, saved; continue with: gancore train --resume stopped" in answer.out
    assert f"{number.name}: " in answer.err
    stopped = tmp_path / "stopped"
    assert (status(stopped)["status"], status(stopped)["step"]) == ("stopped", 5)
    assert [path.name for path in checkpoints(stopped)] == ["step-000000005"]
    assert gancore("generate", "stopped", "-n", 1).code == 0
    assert gancore("train", "--resume", "stopped").code == 0
    assert weights(stopped) == weights(run)
    assert log_steps(stopped) == list(range(1, 9))
    assert status(stopped)["status"] == "done"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGHUP, 129), (signal.SIGUSR1, 138)])
def test_signals_of_terminals_and_of_slurm_save_too(train, after_step, tmp_path, number, code):
    after_step(2, lambda: os.kill(os.getpid(), number))
    assert train("--out", "stopped", "--steps", 8, "--quiet").code == code
    assert [path.name for path in checkpoints(tmp_path / "stopped")] == ["step-000000002"]


def test_in_a_script_a_signal_reaches_the_script_once_the_run_is_saved(after_step, tmp_path):
    overrides = [f"{key}={value}" for key, value in SETTINGS.items()]
    arguments = {"device": "cpu", "steps": 8, "overrides": overrides, "progress": "none"}
    after_step(2, press_ctrl_c)
    with pytest.raises(KeyboardInterrupt) as stopped:
        gancore.train("audio", out=tmp_path / "by_hand", **arguments)
    assert (stopped.value.result.step, stopped.value.result.status) == (2, "stopped")
    after_step(2, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit) as ended:
        gancore.train("audio", out=tmp_path / "by_slurm", **arguments)
    assert ended.value.code == 143
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        after_step(2, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert gancore.train("audio", out=tmp_path / "handled", **arguments).status == "stopped"
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]
    assert all(checkpoints(tmp_path / name) for name in ("by_hand", "by_slurm", "handled"))


def test_a_signal_between_callbacks_and_the_next_step_is_saved_as_well(
    train, gancore, monkeypatch, run, tmp_path
):
    on_step_end = Callbacks.on_step_end

    def and_then_stop(self, state):
        on_step_end(self, state)
        if state.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Callbacks, "on_step_end", and_then_stop)
    assert train("--out", "stopped", "--steps", 8).code == 143
    assert [path.name for path in checkpoints(tmp_path / "stopped")] == ["step-000000003"]


def test_a_second_ctrl_c_interrupts_at_once_and_the_last_checkpoint_stays(
    train, gancore, after_step, run, tmp_path
):
    after_step(5, lambda: (press_ctrl_c(), press_ctrl_c()))
    every_step = ("--set", "checkpoint.seconds=0.000001")
    assert train("--out", "stopped", "--steps", 8, *every_step).code == 130
    stopped = tmp_path / "stopped"
    assert status(stopped)["status"] == "interrupted"
    assert checkpoints(stopped)[-1].name == "step-000000004"
    assert gancore("train", "--resume", "stopped").code == 0
    assert weights(stopped) == weights(run)


@pytest.mark.slow
def test_resume_auto_goes_on_with_the_unfinished_run_of_this_configuration(train, after_step, run, tmp_path):
    after_step(5, press_ctrl_c)
    train("--steps", 8)
    assert train("--steps", 6, "--resume", "auto").code == 0  # another configuration: a run of its own
    assert train("--steps", 8, "--resume", "auto").code == 0
    runs = sorted((tmp_path / "runs").iterdir())
    assert sorted(status(folder)["step"] for folder in runs) == [6, 8]
    assert weights(next(folder for folder in runs if status(folder)["step"] == 8)) == weights(run)
    assert train("--steps", 8, "--resume", "auto").code == 0  # all are finished: a new one
    assert len(list((tmp_path / "runs").iterdir())) == 3


@pytest.mark.slow
def test_resume_auto_with_out_makes_the_run_then_goes_on_then_says_that_it_is_finished(
    train, stopped, run, tmp_path
):
    assert train("--out", "other", "--resume", "auto", "--steps", 8).code == 0
    assert weights(tmp_path / "other") == weights(run)
    assert train("--out", "stopped", "--resume", "auto", "--steps", 8).code == 0
    assert weights(stopped) == weights(run)
    before = digest(stopped / "checkpoints")
    answer = train("--out", "stopped", "--resume", "auto", "--steps", 8)
    assert answer.code == 0
    assert "is finished: step 8 of 8" in answer.err
    assert digest(stopped / "checkpoints") == before
    assert status(stopped)["status"] == "done"


def test_a_kill_between_the_last_checkpoint_and_its_model_loses_nothing(gancore, run, tmp_path):
    shutil.copytree(run, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "model")
    assert gancore("train", "--resume", "copy").code == 0
    assert digest(tmp_path / "copy" / "model") == digest(run / "model")


@pytest.mark.slow
def test_a_run_killed_before_its_first_status_can_be_resumed_and_made_anew(train, gancore, run, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.lock").touch()
    shutil.copy(run / "config.yaml", tmp_path / "one")
    assert gancore("train", "--resume", "one").code == 0
    assert train("--out", "two", "--steps", 8).code == 0
    assert weights(tmp_path / "one") == weights(tmp_path / "two") == weights(run)


class TestAnotherConfiguration:
    def test_is_refused_with_the_difference(self, gancore, stopped):
        answer = gancore("train", "--resume", stopped, "--set", "model.lr=0.003", "--seed", 4)
        assert re.search(r"model\.lr: [\d.e-]+ -> 0\.003, train\.seed: 0 -> 4", answer.error)
        assert "--force" in answer.error
        assert (status(stopped)["status"], status(stopped)["step"]) == ("stopped", 5)
        assert gancore("train", "--resume", stopped).code == 0

    def test_is_taken_under_force_and_then_is_the_runs_own(self, gancore, stopped, run):
        assert gancore("train", "--resume", stopped, "--set", "model.lr=0.003", "--force").code == 0
        assert weights(stopped) != weights(run)
        assert "lr: 0.003" in (stopped / "config.yaml").read_text()
        assert status(stopped)["step"] == 8

    def test_may_differ_in_checkpoints(self, gancore, stopped, run):
        assert gancore("train", "--resume", stopped, "--set", "checkpoint.keep=1").code == 0
        assert weights(stopped) == weights(run)

    def test_that_is_another_network_is_refused_even_under_force(self, gancore, stopped):
        answer = gancore("train", "--resume", stopped, "--set", "model.width=3", "--force")
        assert "tensors do not fit this configuration" in answer.error

    def test_a_larger_budget_goes_on_from_a_finished_run(self, gancore, stopped, tmp_path):
        gancore("train", "--resume", stopped)
        assert gancore("train", "--resume", stopped, "--steps", 12).code == 0
        assert (status(stopped)["step"], status(stopped)["total"]) == (12, 12)
        assert log_steps(stopped) == list(range(1, 13))


class TestOtherData:
    @pytest.fixture
    def sounds(self, gancore, run, tmp_path):
        """40 recordings of two instruments."""
        gancore("generate", run, "-n", 40, "--out", tmp_path / "sounds")
        return tmp_path / "sounds"

    @pytest.mark.slow
    def test_are_refused_and_the_run_is_as_it_was(self, gancore, sounds, tmp_path):
        assert gancore("train", *TINY, "--data", sounds, "--steps", 4, "--out", "run").code == 0
        before = digest(tmp_path / "run" / "checkpoints")
        os.remove(sounds / "0001.wav")
        answer = gancore("train", "--resume", "run")
        assert "the data differ from those this run started with" in answer.error
        assert (status(tmp_path / "run")["status"], status(tmp_path / "run")["step"]) == ("done", 4)
        assert digest(tmp_path / "run" / "checkpoints") == before
        assert gancore("train", "--resume", "run", "--force", "--steps", 6).code == 0
        assert status(tmp_path / "run")["step"] == 6

    def test_that_are_gone_leave_the_run_as_it_was(self, gancore, sounds, tmp_path):
        assert gancore("train", *TINY, "--data", sounds, "--steps", 4, "--out", "run").code == 0
        sounds.rename(tmp_path / "elsewhere")
        assert str(sounds) in gancore("train", "--resume", "run").error
        assert status(tmp_path / "run")["status"] == "done"


class TestInitFrom:
    FROZEN = ("--set", "model.lr=1e-30", "--steps", 1)

    def test_starts_from_the_weights_of_a_run(self, train, run, tmp_path):
        answer = train("--out", "new", "--init-from", run, *self.FROZEN)
        assert " tensors of " in answer.err
        assert self.apart(run, tmp_path / "new", "discriminator.") < 1e-6
        train("--out", "plain", *self.FROZEN)
        assert self.apart(run, tmp_path / "plain", "discriminator.") > 1e-4
        old, new = (read_model_folder(path / "model").tensors for path in (run, tmp_path / "new"))
        assert max(float((old[name] - new[name]).abs().max()) for name in old) < 1e-6  # the average too

    def test_starts_from_the_averaged_weights_of_a_model(self, train, run, tmp_path):
        assert train("--out", "new", "--init-from", run / "model", *self.FROZEN).code == 0
        old, new = (read_model_folder(path / "model").tensors for path in (run, tmp_path / "new"))
        assert max(float((old[name] - new[name]).abs().max()) for name in old) < 1e-6

    @staticmethod
    def apart(run, other, part):
        """The largest difference of a network in the newest checkpoints of two runs."""
        one, two = (load_checkpoint(checkpoints(path)[-1]).tensors["game"] for path in (run, other))
        names = [name for name in one if name.startswith(part)]
        assert names
        return max(float((one[name] - two[name]).abs().max()) for name in names)

    def test_of_a_run_that_has_begun_is_passed_over_and_said(self, train, run, stopped):
        answer = train("--out", "stopped", "--resume", "auto", "--steps", 8, "--init-from", run)
        assert "--init-from is ignored" in answer.err
        assert weights(stopped) == weights(run)

    def test_says_how_much_of_it_fits(self, train, run):
        other = ("--set", "model.width=3", "--set", "model.latent_dim=7")
        answer = train("--out", "new", "--init-from", run / "model", *other, *self.FROZEN)
        [(used, all_of_them)] = re.findall(r"(\d+) of the (\d+) tensors of the model", answer.err)
        assert 0 < int(used) < int(all_of_them)  # the last bias fits, and what is of no width
        assert f"the model {run / 'model'}" in answer.err

    def test_refuses_what_is_neither_run_nor_model(self, train, tmp_path):
        assert "nothing" in train("--out", "new", "--init-from", "nothing", *self.FROZEN).error
        assert not (tmp_path / "new").exists()


def test_three_kills_change_nothing(run, tmp_path):
    """Once while it trains, once while it has just saved, once anywhere."""
    folder = tmp_path / "killed"
    words = ("train", *TINY, "--steps", 8, "--out", folder, "--resume", "auto", "--quiet")
    words += ("--set", "checkpoint.seconds=0.000001")
    for step in (2, 4, 6):
        child = Child(tmp_path, *words)
        child.wait_for(lambda step=step: any(int(p.name[5:]) >= step for p in checkpoints(folder)))
        child.kill(signal.SIGKILL)
        assert child.wait().code == -9
        assert status(folder)["status"] == "running"
    assert Child(tmp_path, *words).wait().code == 0
    assert weights(folder) == weights(run)
    assert log_steps(folder) == list(range(1, 9))
    assert not list(folder.rglob(".tmp-*")) + list(folder.rglob(".trash-*"))
