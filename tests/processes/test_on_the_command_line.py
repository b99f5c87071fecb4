"""``--devices N``: what a user sees."""

from __future__ import annotations

import json
import signal
import time

import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import TINY, checkpoints, finish, start, weights

WORDS = ["train", *TINY, "--precision", "fp32"]
DISCRIMINATOR_ALONE = "train.dynamics.name=unrolled"


def run(folder, *words, seconds=120):
    return finish(start(*WORDS, *words, folder=folder), seconds)


def test_one_and_two_devices_train_alike_and_either_goes_on_with_the_others_run(tmp_path):
    for devices, name in ((1, "one"), (2, "two")):
        answer = run(tmp_path, "--devices", devices, "--steps", 6, "--out", name, "--json")
        assert answer.code == 0, answer
        assert json.loads(answer.out.splitlines()[-1])["status"] == "done"
    one, two = (load_file(tmp_path / name / "model/model.safetensors") for name in ("one", "two"))
    for name, tensor in one.items():
        assert torch.allclose(tensor, two[name], rtol=1e-3, atol=1e-4), name
    (tmp_path / "whole").mkdir()
    longer = ["--steps", 12, "--force", "--quiet"]
    for devices, name in ((2, "one"), (1, "two")):
        answer = finish(start("train", "--resume", name, "--devices", devices, *longer, folder=tmp_path), 120)
        assert answer.code == 0, answer
        assert "step-000000012" in checkpoints(tmp_path / name)[-1].name


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["--set", "model.batch_size=9"],
            "model.batch_size 9 cannot be cut for 2 processes; give a multiple",
        ),
        (["--set", DISCRIMINATOR_ALONE], "differentiates through steps on one batch alone; use one process"),
        (["--data", "nowhere"], "no file or folder 'nowhere' exists"),
    ],
)
def test_a_mistake_is_one_line_whoever_finds_it(words, line, tmp_path):
    answer = run(tmp_path, "--devices", 2, "--steps", 2, "--quiet", "--out", "run", *words)
    assert line in answer.error
    assert not (tmp_path / "run").exists()


def test_a_stop_is_heard_by_all_and_saved(tmp_path):
    words = ["--devices", 2, "--steps", 100_000, "--out", "run", "--set", "upkeep.checkpoint_seconds=0.2"]
    process = start(*WORDS, *words, folder=tmp_path)
    deadline = time.monotonic() + 120
    while not checkpoints(tmp_path / "run"):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    answer = finish(process, 60)
    assert answer.code == 143, answer
    assert "saved; go on with: gancore train --resume" in answer.out
    assert json.loads((tmp_path / "run/run.json").read_text())["status"] == "stopped"
    assert weights(tmp_path / "run")


def test_seconds_become_the_same_number_of_rounds_on_all(tmp_path):
    answer = run(tmp_path, "--devices", 2, "--seconds", 3, "--out", "run", "--quiet")
    assert answer.code == 0, answer
    status = json.loads((tmp_path / "run/run.json").read_text())
    assert status["step"] == status["total"] > 0
