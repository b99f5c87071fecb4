"""A run folder belongs to one process at a time and always says where it stands."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from refusals import refused

from gancore.errors import CheckpointError, ConfigError
from gancore.run_folder import RunFolder, RunStatus, latest_run, list_runs

HOLD = """
import sys
from pathlib import Path
from gancore.run_folder import RunFolder, RunStatus

run = RunFolder(Path(sys.argv[1]))
with run.lock():
    run.write_status(RunStatus("running", "rings", "gan", step=3))
    print("torch" in sys.modules, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def run(tmp_path):
    return RunFolder.create(tmp_path / "runs", "rings")


@pytest.fixture
def holder(run):
    """Another process that trains in ``run``."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.path)], stdin=pipe, stdout=pipe, text=True
    )
    assert process.stdout.readline() == "False\n", "looking at runs must not import torch"
    yield process
    process.kill()
    process.communicate()


def test_each_run_gets_a_folder_of_its_own(tmp_path):
    root = tmp_path / "deep" / "runs"
    made = [RunFolder.create(root, "rings-gan").path.name for _ in range(3)]
    assert made == ["rings-gan", "rings-gan-2", "rings-gan-3"]


def test_a_root_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("x")
    for root in (tmp_path / "file", tmp_path / "file" / "runs"):
        with refused(ConfigError, root, fix="--out"):
            RunFolder.create(root, "run")


def test_a_run_in_use_is_refused_with_the_process(run, holder):
    with refused(CheckpointError, run.path, holder.pid, fix="stop"), run.lock():
        raise AssertionError("two processes hold one run")
    assert run.read_status().status == "running"


def test_a_killed_holder_lets_go_and_the_run_reads_as_interrupted(run, holder):
    leftover = run.path / f".tmp-run.json-{holder.pid}"
    leftover.write_text("half")
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    status = run.read_status()
    assert (status.status, status.step, status.pid) == ("interrupted", 3, holder.pid)
    with run.lock():
        assert not leftover.exists()
        assert run.is_locked()
    assert not run.is_locked()


def test_one_process_cannot_hold_a_run_twice(run):
    with run.lock(), refused(CheckpointError, run.path, os.getpid()), run.lock():
        pass
    with run.lock():
        pass


def test_a_look_at_the_lock_does_not_stop_a_run_from_beginning(run):
    with run.lock():
        pass
    code = (
        "import fcntl, sys, time; f = open(sys.argv[1]); fcntl.flock(f, 1); print(flush=True); time.sleep(.1)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(run.lock_file)], stdout=subprocess.PIPE) as looker:
        looker.stdout.readline()
        with run.lock():
            pass


def test_a_run_that_cannot_be_locked_is_one_line(tmp_path):
    with (
        refused(CheckpointError, "no", fix="--out"),
        RunFolder(tmp_path / "no").lock(),
    ):
        pass


def test_the_status_comes_back(run):
    status = RunStatus("failed", "rings", "gan", "built-in", 5, 10, 1.5, error="disk full;\n\n free some")
    run.write_status(status)
    read = run.read_status()
    assert (read.status, read.step, read.total, read.seconds, read.source) == (
        "failed",
        5,
        10,
        1.5,
        "built-in",
    )
    assert read.error == "disk full; free some"
    assert read.pid == os.getpid() and read.started == read.updated
    run.write_status(read)
    again = run.read_status()
    assert again.started == read.started and again.updated >= read.updated


def test_keys_of_a_later_version_are_passed_over(run):
    run.status_file.write_text('{"status": "done", "colour": "red"}')
    assert run.read_status() == RunStatus("done")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"status": "asleep"}',
        '{"status": "done", "step": "3"}',
        '{"status": "done", "step": true}',
    ],
)
def test_a_damaged_status_reads_as_damaged(text, run):
    run.status_file.write_text(text)
    status = run.read_status()
    assert status.status == "damaged" and "run.json" in status.error
    assert latest_run(run.path.parent, lambda *_: True) is None


def test_what_is_no_run_is_not_listed(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "file").write_text("x")
    assert list_runs(tmp_path) == [] and list_runs(tmp_path / "none") == []
    assert RunFolder(tmp_path / "notes").read_status() is None
    assert RunFolder(tmp_path / "file").read_status() is None


def test_resume_takes_the_matching_unfinished_run_last_touched(tmp_path):
    for name, status, domain, hour in [
        ("a", "stopped", "rings", 1),
        ("b", "running", "rings", 3),
        ("c", "done", "rings", 4),
        ("d", "failed", "grid", 5),
        ("e", "failed", "rings", 2),
    ]:
        text = f'{{"status": "{status}", "domain": "{domain}", "updated": "2026-01-01T0{hour}:00:00+00:00"}}'
        RunFolder.create(tmp_path, name).status_file.write_text(text)
    assert [run.path.name for run, _ in list_runs(tmp_path)] == ["d", "c", "b", "e", "a"]

    def of(domain: str):
        return latest_run(tmp_path, lambda run, status: status.domain == domain)

    assert of("rings").path.name == "b"
    assert of("grid").path.name == "d"
    assert of("tides") is None
