"""Ctrl-Z, then fg: a training ends as an undisturbed one, and the time between is not training time."""

from __future__ import annotations

import itertools
import json
import os
import signal
import time

import pytest
from tiny_runs import TINY, finish, start, weights

from gancore.run_folder import read_metrics

SUSPENDED_SECONDS = 4.0


@pytest.mark.slow
def test_a_suspended_training_loses_nothing_and_counts_no_time(tmp_path):
    words = ("train", *TINY, "--steps", 200, "--set", "logging.every=1")
    assert finish(start(*words, "--out", "whole", folder=tmp_path), 120).code == 0
    began = time.perf_counter()
    process = start(*words, "--out", "run", folder=tmp_path, process_group=0)
    metrics = tmp_path / "run" / "metrics.jsonl"
    while not metrics.exists() or metrics.read_bytes().count(b"\n") < 10:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTSTP)
    assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1])
    stopped_at = metrics.read_bytes().count(b"\n")
    time.sleep(SUSPENDED_SECONDS)
    assert metrics.read_bytes().count(b"\n") == stopped_at < 200
    process.send_signal(signal.SIGCONT)
    assert finish(process, 120).code == 0
    wall = time.perf_counter() - began
    status = json.loads((tmp_path / "run" / "run.json").read_text())
    assert status["status"] == "done"
    assert status["seconds"] < wall - SUSPENDED_SECONDS
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")
    assert max(b["seconds"] - a["seconds"] for a, b in pairs(read_metrics(metrics))) < SUSPENDED_SECONDS / 2


def pairs(rows):
    return itertools.pairwise(row for row in rows if "seconds" in row)
