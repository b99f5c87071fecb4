"""What a run shows: TensorBoard, plugins that watch, plain lines, the live line, and nothing."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import sys
import time
from pathlib import Path

import pytest
from tiny_runs import TINY, finish, start

WATCHER = """
import json
from gancore import hookimpl

def tell(name, **facts):
    with open("told.jsonl", "a") as file:
        file.write(json.dumps({"hook": name, **facts}) + "\\\\n")

@hookimpl
def gancore_train_start(run):
    tell("start", run=run.path.name)

@hookimpl
def gancore_step_logged(run, step, scalars):
    tell("step", step=step, names=sorted(scalars))

@hookimpl
def gancore_samples_written(run, step, paths):
    tell("samples", step=step, files=len(paths))

@hookimpl
def gancore_checkpoint_saved(run, step, path):
    tell("checkpoint", step=step, there=(path / "manifest.json").exists())

@hookimpl
def gancore_train_end(run, status, error):
    tell("end", status=status)
"""
FAULTY = """
from gancore import hookimpl

@hookimpl
def gancore_step_logged(run, step, scalars):
    raise RuntimeError("the watcher fell asleep")
"""


def test_tensorboard_has_scalars_pictures_and_sounds(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "events"), size_guidance={"images": 0, "audio": 0, "scalars": 0})
    events.Reload()
    tags = events.Tags()
    assert {"generator/loss", "discriminator/loss", "discriminator/r1", "valid/mel_distance"} <= set(
        tags["scalars"]
    )
    assert [event.step for event in events.Scalars("generator/loss")] == list(range(1, 9))
    [picture, *_] = tags["images"]
    assert [event.step for event in events.Images(picture)] == [4, 8]
    sound = events.Audio("sample/1")[0]
    assert (sound.sample_rate, sound.content_type) == (8000.0, "audio/wav")


def install(folder: Path, name: str, source: str) -> dict[str, str]:
    """A distribution with one plugin, and the environment that finds it."""
    folder.mkdir()
    (folder / f"{name}.py").write_text(source.replace("\\\\n", "\\n"))
    info = folder / f"gancore_{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: gancore-{name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[gancore]\n{name} = {name}\n")
    return {**os.environ, "PYTHONPATH": str(folder)}


@pytest.mark.slow
def test_plugins_are_told_what_happens(tmp_path):
    env = install(tmp_path / "site", "watcher", WATCHER)
    answer = finish(start("train", *TINY, "--steps", 4, "--out", "run", folder=tmp_path, env=env))
    assert answer.code == 0, answer
    content = [json.loads(line) for line in (tmp_path / "told.jsonl").read_text().splitlines()]
    expected = ["start", "step", "step", "step", "step", "samples", "checkpoint", "end"]
    assert [event["hook"] for event in content] == expected
    assert "generator/loss" in content[1]["names"]
    assert content[5] == {"hook": "samples", "step": 4, "files": 5}
    assert content[6] == {"hook": "checkpoint", "step": 4, "there": True}
    assert content[7] == {"hook": "end", "status": "done"}


@pytest.mark.slow
def test_a_watcher_that_fails_is_named_once_and_training_goes_on(tmp_path):
    env = install(tmp_path / "site", "sleeper", FAULTY)
    answer = finish(start("train", *TINY, "--steps", 4, "--out", "run", folder=tmp_path, env=env))
    assert answer.code == 0
    warnings = [line for line in answer.err.splitlines() if "fell asleep" in line]
    assert len(warnings) == 1
    assert "gancore-sleeper" in warnings[0]
    assert "Traceback" not in answer.err
    strict = start("train", *TINY, "--steps", 4, "--out", "x", "--strict-plugins", folder=tmp_path, env=env)
    assert "fell asleep" in finish(strict).error


class TestWithoutATerminal:
    def test_a_run_speaks_in_plain_lines(self, train):
        answer = train("--out", "run", "--steps", 4)
        assert "\x1b" not in answer.out + answer.err
        assert "\r" not in answer.out + answer.err
        lines = answer.err.splitlines()
        assert "audio specgan on cpu" in answer.err
        assert any(
            re.match(r"4/4 +100% .*samples/s  D loss .*  G loss .*  D gradient", line) for line in lines
        )
        assert lines[-1] == "done"
        result, times, *_, following = answer.out.splitlines()
        assert times.startswith("time: trained ")
        assert re.fullmatch(r"4 steps in \d+ s; model: run/model", result)
        assert following == "next: gancore generate run -n 16 --out samples"

    def test_quiet_says_nothing_at_all(self, train, gancore, run):
        answer = train("--out", "run", "--steps", 2, "--quiet")
        assert (answer.code, answer.out, answer.err) == (0, "", "")
        answer = gancore("generate", run, "-n", 1, "--quiet")
        assert (answer.code, answer.out, answer.err) == (0, "", "")

    def test_quiet_still_tells_a_mistake(self, train):
        assert "nowhere" in train("--data", "nowhere", "--quiet").error


@pytest.fixture
def terminal(tmp_path):
    """``terminal("train", ...)``: gancore under a pseudo-terminal of 100 columns; what it was sent."""
    children = []

    def run(*words, until=lambda text: False, then=lambda pid: None, seconds=60):
        pid, handle = pty.fork()
        if pid == 0:
            os.environ.update(TERM="xterm-256color", COLUMNS="100", LINES="30")
            os.chdir(tmp_path)
            command = [sys.executable, "-m", "gancore", *map(str, words)]
            os.execv(sys.executable, command)
        children.append(pid)
        text, acted, deadline = "", False, time.monotonic() + seconds
        while time.monotonic() < deadline:
            if select.select([handle], [], [], 0.1)[0]:
                try:
                    data = os.read(handle, 65536)
                except OSError:  # the other side was closed
                    break
                text += data.decode(errors="replace")
                if not data:
                    break
            if not acted and until(text):
                acted = True
                then(pid)
        os.close(handle)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        children.remove(pid)
        return code, text

    yield run
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.mark.slow
def test_on_a_terminal_one_line_lives_and_the_cursor_stays(terminal):
    code, text = terminal(
        "train",
        *TINY,
        "--steps",
        100_000,
        "--out",
        "run",
        until=lambda text: text.count("samples/s") > 1,
        then=lambda pid: os.kill(pid, signal.SIGINT),
    )
    assert code == 130
    assert re.search(r"\d+/100000", text)
    assert "\x1b[2K" in text  # the line is cleared and written anew
    assert "\x1b[?25l" not in text  # the cursor is never hidden
    assert "stopped at step" in text
    assert text.endswith("\n")
    assert "Traceback" not in text
