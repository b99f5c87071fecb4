"""``--devices N``: what a user sees."""

from __future__ import annotations

import json
import signal
import time

import pytest
import torch
from forks import import_all
from refusals import names
from safetensors.torch import load_file
from tiny_runs import TINY, Child, checkpoints, finish, start, weights

from gancore.errors import LostProcessError

WORDS = ["train", *TINY, "--precision", "fp32"]
DISCRIMINATOR_ALONE = "train.dynamics.name=unrolled"


@pytest.fixture(scope="module", autouse=True)
def imported():
    import_all("gancore_audio.domain")


def run(folder, *words):
    """In a fork, whose workers are forks as well; what ``--devices`` starts is seen in the test of a stop."""
    return Child(folder, *WORDS, *words).wait()


@pytest.mark.slow
def test_one_and_two_devices_train_alike_and_either_goes_on_with_the_others_run(tmp_path):
    for devices, name in ((1, "one"), (2, "two")):
        answer = run(tmp_path, "--devices", devices, "--steps", 6, "--out", name, "--json")
        assert answer.code == 0, answer
        assert json.loads(answer.err.splitlines()[-1])["status"] == "done"
    one, two = (load_file(tmp_path / name / "model/model.safetensors") for name in ("one", "two"))
    for name, tensor in one.items():
        assert torch.allclose(tensor, two[name], rtol=1e-3, atol=1e-4), name
    (tmp_path / "whole").mkdir()
    longer = ["--steps", 12, "--force", "--quiet"]
    for devices, name in ((2, "one"), (1, "two")):
        answer = Child(tmp_path, "train", "--resume", name, "--devices", devices, *longer).wait()
        assert answer.code == 0, answer
        assert "step-000000012" in checkpoints(tmp_path / name)[-1].name


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--set", "model.batch_size=9"], ["model.batch_size", 9, 2, "multiple"]),
        (["--set", DISCRIMINATOR_ALONE], ["Unrolled", "model.micro_batches=1"]),
        (["--data", "nowhere"], ["nowhere"]),
    ],
)
def test_a_mistake_is_one_line_whoever_finds_it(words, named, tmp_path):
    answer = run(tmp_path, "--devices", 2, "--steps", 2, "--quiet", "--out", "run", *words)
    assert all(names(answer.error, word) for word in named), answer.error
    assert not (tmp_path / "run").exists()


def test_a_new_run_is_removed_if_its_processes_do_not_meet(tmp_path, monkeypatch):
    """Rank 1 may end, for a mistake that it has found, while rank 0 still connects."""

    def connect(processes, *arguments, **options):
        raise LostProcessError("another process of this run does not respond", "see its error message")

    monkeypatch.setattr("gancore.runtime.distributed.connect", connect)
    answer = run(tmp_path, "--devices", 2, "--steps", 2, "--quiet", "--out", "run")
    assert answer.code == 75 and "does not respond" in answer.error
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_stop_is_heard_by_all_and_saved(tmp_path):
    words = ["--devices", 2, "--steps", 100_000, "--out", "run", "--set", "checkpoint.seconds=0.2"]
    process = start(*WORDS, *words, folder=tmp_path)
    deadline = time.monotonic() + 120
    while not checkpoints(tmp_path / "run"):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    answer = finish(process, 60)
    assert answer.code == 143, answer
    assert "saved; continue with: gancore train --resume" in answer.out
    assert json.loads((tmp_path / "run/run.json").read_text())["status"] == "stopped"
    assert weights(tmp_path / "run")


@pytest.mark.slow
def test_seconds_become_the_same_number_of_steps_on_all(tmp_path):
    answer = run(tmp_path, "--devices", 2, "--time", 3, "--out", "run", "--quiet")
    assert answer.code == 0, answer
    status = json.loads((tmp_path / "run/run.json").read_text())
    assert status["step"] == status["total"] > 0
