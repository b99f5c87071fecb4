"""Closed streams, readers that leave, and what a program reads of a failure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

import gancore
from gancore.cli import main
from gancore.cli.streams import PipeSafeStream, pipe_safe_streams
from gancore.errors import BusyError, ConfigError, GancoreError

PROGRAM = "import sys; from gancore.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_a_closed_stream_is_no_reason_to_fail(closed):
    command = f'"{sys.executable}" -c "{PROGRAM}" train --print-config --help {closed}'
    assert subprocess.run(command, shell=True, timeout=60).returncode == 0


def test_a_closed_descriptor_is_not_given_to_the_next_file(tmp_path):
    program = (
        "import os, sys; from gancore.cli.streams import pipe_safe_streams\n"
        "with pipe_safe_streams(): print(os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY) > 2)"
    )
    command = f"\"{sys.executable}\" -c '{program}' {tmp_path / 'file'} 2>&-"
    assert subprocess.run(command, shell=True, capture_output=True, text=True).stdout == "True\n"


@pytest.fixture
def broken():
    """A stream whose reader has left."""
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "w")
    yield stream
    stream.close()


def test_a_reader_that_leaves_changes_nothing(broken):
    stream = PipeSafeStream(broken)
    for _ in range(3):
        stream.write("x" * 100_000)
        stream.flush()


def test_a_finished_training_is_done_though_its_reader_left(broken, monkeypatch):
    training = SimpleNamespace(
        folder="a",
        model="b",
        step=1,
        status="done",
        seconds=1.0,
        rank=0,
        stop_signal="",
        spent={},
        verdict="",
    )
    monkeypatch.setattr(gancore, "api", SimpleNamespace(train=lambda *_, **__: training), raising=False)
    monkeypatch.setattr("sys.stdout", broken)
    assert main(["train", "--domain", "toy", "--json"]) == 0


def test_a_full_disk_is_not_a_reader_that_left():
    with open("/dev/full", "w") as stream, pytest.raises(OSError):
        PipeSafeStream(stream).write("x" * 100_000)
        PipeSafeStream(stream).flush()


def test_streams_that_are_none_are_there_within_and_none_again_after(monkeypatch):
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    with pipe_safe_streams():
        print("nobody reads this")
        print("nor this", file=sys.stderr)
    assert sys.stdout is sys.stderr is None


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (ConfigError("a key", "another"), "ConfigError", 2),
        (BusyError("in use", "wait"), "BusyError", 75),
        (MemoryError(), "OutOfMemoryError", 4),
        (ZeroDivisionError("x"), "ZeroDivisionError", 1),
    ],
)
def test_under_json_a_failure_is_an_object_on_stdout(error, kind, code, monkeypatch, capsys):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(gancore, "api", SimpleNamespace(train=fail), raising=False)
    assert main(["train", "--domain", "toy", "--json"]) == code
    output = json.loads(capsys.readouterr().out.splitlines()[-1])["error"]
    assert (output["kind"], output["code"]) == (kind, code)
    assert output["message"] and output["fix"]


def test_a_mistake_in_the_words_is_an_object_too(capsys):
    assert main(["runs", "--json", "--no-such-option"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "UsageError"


def test_a_value_of_any_size_is_echoed_cut(capsys):
    assert main(["train", "--domain", "toy", "--config", "x" * 100_000]) == 2
    assert len(capsys.readouterr().err) < 3000
    assert len(str(GancoreError("y" * 100_000, "z" * 100_000))) < 3000
