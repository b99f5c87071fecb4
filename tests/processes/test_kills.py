"""Several processes die together: whoever is killed, nobody is left, nobody hangs, and the run goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from forks import import_all
from tiny_runs import TINY, Answer, Child, checkpoints, finish, start, weights

SETTINGS = [
    *("--precision", "fp32", "--quiet"),
    *("--set", "checkpoint.seconds=0.05", "--set", "logging.preview_every=1000"),
    *("--set", "validation.every=1000"),
]
WORDS = ["train", *TINY, *SETTINGS, "--devices", "2"]
STEPS = 60
PATIENCE_SECONDS = 120


def alive(run: Path) -> list[int]:
    """The processes that play this run, by their working folder and what they were started as."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            here, words = os.readlink(place / "cwd"), (place / "cmdline").read_bytes()
            dead = (place / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            continue
        if here == str(run.parent) and b"python" in words and b"resource_tracker" not in words and not dead:
            found.append(int(place.name))
    return sorted(found)


def wait_until(holds, what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.fixture(scope="module", autouse=True)
def imported() -> None:
    import_all("gancore_audio.domain")


Begin = Callable[..., "subprocess.Popen[str] | Child"]


def begin(folder: Path, *words: object) -> subprocess.Popen[str]:
    """An interpreter of its own, which starts its workers so."""
    return start(*WORDS, "--steps", STEPS, "--out", "run", "--resume", "auto", *words, folder=folder)


def forked(folder: Path, *words: object) -> Child:
    """A fork of this process, whose workers are forks."""
    return Child(folder, *WORDS, "--steps", STEPS, "--out", "run", "--resume", "auto", *words)


def ended(process: subprocess.Popen[str] | Child) -> Answer:
    return process.wait() if isinstance(process, Child) else finish(process, PATIENCE_SECONDS)


def undisturbed(folder: Path, begin: Begin = begin) -> bytes:
    folder.mkdir(exist_ok=True)
    answer = ended(begin(folder))
    assert answer.code == 0, answer
    assert alive(folder / "run") == []
    return weights(folder / "run")


def killed(folder: Path, which: str, after: int, begin: Begin = begin) -> Answer:
    """Kill a worker or the parent once there are ``after`` checkpoints more; then nobody must be left."""
    run = folder / "run"
    before = checkpoints(run)[-1:]
    process = begin(folder)
    wait_until(lambda: checkpoints(run)[-1:] != before or process.poll() is not None, "no checkpoint came")
    time.sleep(after / 1000)
    workers = [pid for pid in alive(run) if pid != process.pid]
    victim = process.pid if which == "parent" else random.Random(after).choice(workers or [process.pid])
    if process.poll() is None:
        os.kill(victim, signal.SIGKILL)
    answer = ended(process)
    wait_until(lambda: alive(run) == [], f"left behind: {alive(run)}")
    return answer


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc; run on Linux")
@pytest.mark.parametrize("which", ["worker", "parent"])
def test_a_kill_leaves_nobody_and_the_run_goes_on_bit_by_bit(which, tmp_path):
    whole = undisturbed(tmp_path / "whole", forked)
    folder = tmp_path / "broken"
    folder.mkdir()
    answer = killed(folder, which, 100, forked)
    if which == "worker" and answer.code != 0:
        assert answer.code == 75 and "SIGKILL" in answer.error and "--resume" in answer.error, answer
    assert undisturbed(folder, forked) == whole


@pytest.mark.long
def test_ten_kills_of_workers_and_of_the_parent(tmp_path):
    whole = undisturbed(tmp_path / "whole")
    folder = tmp_path / "broken"
    folder.mkdir()
    chance = random.Random(1)
    for number in range(10):
        killed(folder, ["worker", "parent"][number % 2], chance.randrange(0, 300))
    assert undisturbed(folder) == whole


def torchrun(folder: Path, *options: str) -> subprocess.Popen[str]:
    """As docs/several-processes.md tells it, through the c10d rendezvous."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "1", "--nproc-per-node", "2"]
    launcher += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", "--max-restarts", "2", *options]
    words = [word for word in WORDS if word not in ("--devices", "2")] + ["--steps", str(STEPS)]
    command = [*launcher, "-m", "gancore", *words, "--out", "run", "--resume", "auto"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environment, **pipes)


@pytest.mark.long
def test_a_worker_of_torchrun_is_killed_and_restarted(tmp_path):
    whole = undisturbed(tmp_path / "whole")
    folder = tmp_path / "broken"
    folder.mkdir()
    process = torchrun(folder)
    wait_until(lambda: checkpoints(folder / "run"), "no checkpoint came")
    workers = [pid for pid in alive(folder / "run") if pid != process.pid]
    os.kill(workers[-1], signal.SIGKILL)
    said, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, said
    assert weights(folder / "run") == whole
    wait_until(lambda: alive(folder / "run") == [], "left behind")


@pytest.mark.long
def test_workers_of_a_killed_torchrun_end_too(tmp_path):
    process = torchrun(tmp_path)
    wait_until(lambda: checkpoints(tmp_path / "run"), "no checkpoint came")
    process.kill()
    process.communicate(timeout=PATIENCE_SECONDS)
    wait_until(lambda: alive(tmp_path / "run") == [], "left behind")
