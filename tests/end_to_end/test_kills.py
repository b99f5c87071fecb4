"""Twenty kills at random moments, from the first import to the last write, change not one byte."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest
from tiny_runs import TINY, checkpoints, finish, start, weights

from gancore.run_folder import read_metrics

KILLS = 20
STEPS = 200
WORDS = ("train", *TINY, "--steps", STEPS, "--set", "checkpoint.keep=2")


def is_being_written(run: Path) -> bool:
    try:
        return any(run.rglob(".tmp-*"))
    except FileNotFoundError:  # a folder went while it was looked through
        return True


@pytest.mark.long
def test_twenty_kills_change_nothing(tmp_path):
    assert finish(start(*WORDS, "--out", "whole", folder=tmp_path), 300).code == 0
    run, moments, chance = tmp_path / "killed", [], random.Random(1)
    words = (*WORDS, "--out", run, "--resume", "auto", "--set", "checkpoint.seconds=0.001")
    while len(moments) < KILLS:
        process = start(*words, folder=tmp_path)
        before = checkpoints(run)[-1:]
        if len(moments) % 5:  # one in five dies anywhere in its first seconds, imports included
            while process.poll() is None and checkpoints(run)[-1:] == before:
                time.sleep(0.002)
        time.sleep(chance.uniform(0, 1.0))
        if len(moments) % 2:  # every other one while something is being written
            deadline = time.monotonic() + 5
            while not is_being_written(run) and time.monotonic() < deadline and process.poll() is None:
                pass
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.communicate()
        moments.append((checkpoints(run)[-1].name if checkpoints(run) else "none", is_being_written(run)))
    answer = finish(start(*words, folder=tmp_path), 300)
    assert answer.code == 0, answer
    written = sum(inside for _, inside in moments)
    print(f"{len(moments)} kills, {written} of them inside a write, at {[name for name, _ in moments]}")
    assert len(moments) == KILLS
    assert written >= 3
    assert len({name for name, _ in moments}) > KILLS // 2
    assert weights(run) == weights(tmp_path / "whole")
    steps = [line["step"] for line in read_metrics(run / "metrics.jsonl") if "generator/loss" in line]
    assert steps == list(range(1, STEPS + 1))
    assert not is_being_written(run)
