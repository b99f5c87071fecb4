"""The diary of a run: complete, free of duplicates after a resume, and never the reason why a run stops."""

import asyncio
import json
import math
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import gancore.plugins
from gancore.data.dataset import Spec
from gancore.domain import Domain
from gancore.entries import LoggerEntry
from gancore.run_folder import read_metrics
from gancore.samples import Samples
from gancore.training.logger import RunLogger, encode_json_line


@pytest.fixture(autouse=True)
def no_loggers(monkeypatch: pytest.MonkeyPatch) -> None:
    use_loggers(monkeypatch)


def use_loggers(monkeypatch: pytest.MonkeyPatch, **classes: type) -> None:
    class Registry:
        def entries(self, hook: str) -> list[LoggerEntry]:
            assert hook == "gancore_loggers"
            return [LoggerEntry(name, f"nowhere:{name}", "") for name in classes]

        def load_object(self, entry: LoggerEntry) -> type:
            return classes[entry.name]

    monkeypatch.setattr(gancore.plugins, "plugins", Registry)


def write(folder: Path, steps: range, resume_step: int = 0, **scalars: float) -> list[str]:
    """A life of a run that logs at these steps; returns what it complained of."""
    notes: list[str] = []
    tracker = RunLogger(folder / "metrics.jsonl", folder / "events", resume_step, notes.append)
    for step in steps:
        tracker.log_scalars(
            step, {"seconds": step / 2, "samples": step * 32, "phase": "main", **scalars, "loss": step}
        )
    tracker.close()
    return notes


def events(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder / "events")).Reload()


def test_each_log_step_is_a_line_and_a_point(tmp_path: Path) -> None:
    assert write(tmp_path, range(1, 4), **{"D(real)": 0.625}) == []
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert lines[1] == {
        "step": 2, "seconds": 1.0, "samples": 64, "phase": "main", "D(real)": 0.625, "loss": 2,
    }  # fmt: skip
    seen = events(tmp_path)
    assert sorted(seen.Tags()["scalars"]) == ["D(real)", "loss"]
    assert [(point.step, point.value) for point in seen.Scalars("loss")] == [(1, 1.0), (2, 2.0), (3, 3.0)]


def test_numbers_that_json_has_not_are_null_and_named() -> None:
    line = encode_json_line({"step": 3, "a": math.nan, "b": torch.tensor(-math.inf), "c": np.float32(0.5)})
    assert json.loads(line) == {"step": 3, "a": None, "b": None, "c": 0.5, "nonfinite": ["a", "b"]}


def test_a_line_is_in_the_file_when_the_call_returns(tmp_path: Path) -> None:
    tracker = RunLogger(tmp_path / "metrics.jsonl", tmp_path / "events", 0)
    for step in (1, 2):
        tracker.log_scalars(step, {"loss": 0.5})
        assert len(read_metrics(tmp_path / "metrics.jsonl")) == step
    tracker.close()


def test_a_resumed_diary_equals_an_undisturbed_one(tmp_path: Path) -> None:
    """The first life went on to step 8 after its last checkpoint at 5, and died while it wrote a line."""
    write(tmp_path / "undisturbed", range(1, 11))
    write(tmp_path / "killed", range(1, 9))
    metrics = tmp_path / "killed" / "metrics.jsonl"
    metrics.write_bytes(metrics.read_bytes() + b'{"step": 9, "los')
    write(tmp_path / "killed", range(6, 11), resume_step=5)
    assert metrics.read_bytes() == (tmp_path / "undisturbed" / "metrics.jsonl").read_bytes()
    assert [point.step for point in events(tmp_path / "killed").Scalars("loss")] == list(range(1, 11))
    assert sorted(path.name for path in metrics.parent.iterdir()) == ["events", "metrics.jsonl"]


def test_lines_survive_when_only_the_last_is_torn(tmp_path: Path) -> None:
    write(tmp_path, range(1, 4))
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_bytes(metrics.read_bytes()[:-10])
    assert [entry["step"] for entry in read_metrics(metrics)] == [1, 2]
    write(tmp_path, range(4, 5), resume_step=3)
    assert [entry["step"] for entry in read_metrics(metrics)] == [1, 2, 4]


def test_the_reader_leaves_out_what_is_no_line_of_a_diary(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_bytes(b'{"step": 1}\n\xff\xfe\n[1]\n"text"\n{"loss": 2}\n\n{"step": 2}\n')
    assert read_metrics(metrics) == [{"step": 1}, {"step": 2}]
    assert read_metrics(tmp_path / "missing.jsonl") == []


FULL = """
import resource, signal, sys
from pathlib import Path
from gancore.training.logger import MetricsFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path, limit = Path(sys.argv[1]), 150
notes = []
metrics = MetricsFile(path, 0, True, notes.append)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
for step in range(1, 9):
    full = 3 <= step < 6
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit if full else hard, hard))
    metrics.append({"step": step, "text": "x" * 50})
metrics.close()
print(*notes, sep="\\n")
"""


def test_a_full_disk_is_told_once_and_costs_only_its_own_lines(tmp_path: Path) -> None:
    """A file that may not grow stands for the full disk: half a line fits, then none, then all again."""
    path = tmp_path / "metrics.jsonl"
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True)
    notes = done.stdout.splitlines()
    assert len(notes) == 1 and str(path) in notes[0] and "training continues" in notes[0]
    assert [entry["step"] for entry in read_metrics(path)] == [1, 2, 6, 7, 8]


def test_a_place_that_cannot_be_written_does_not_stop_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    notes = write(tmp_path / "file", range(1, 4))
    assert len(notes) == 2 and "metrics.jsonl" in notes[0] and notes[1].startswith("TensorBoard failed")


class Tide(Domain):
    name = "tide"

    def preview(self, samples: Samples) -> Any:
        from PIL import Image

        return Image.new("L", (8, 4), 255)


class Broken(Tide):
    def preview(self, samples: Samples) -> Any:
        raise RuntimeError("no moon")


SAMPLES = Samples(torch.zeros(2, 3), Spec({}))


def test_samples_are_shown_as_the_domain_shows_them(tmp_path: Path) -> None:
    tracker = RunLogger(tmp_path / "metrics.jsonl", tmp_path / "events", 0)
    tracker.log_samples(7, SAMPLES, Tide())
    tracker.close()
    (picture,) = events(tmp_path).Images("samples")
    assert (picture.step, picture.width, picture.height) == (7, 8, 4)


def test_a_domain_that_cannot_show_is_told_once_and_scalars_go_on(tmp_path: Path) -> None:
    notes: list[str] = []
    tracker = RunLogger(tmp_path / "metrics.jsonl", tmp_path / "events", 0, notes.append)
    for step in (1, 2):
        tracker.log_samples(step, SAMPLES, Broken())
        tracker.log_scalars(step, {"loss": 0.5})
    tracker.close()
    assert len(notes) == 1 and "RuntimeError: no moon" in notes[0]
    assert len(events(tmp_path).Scalars("loss")) == 2


def test_plugins_loggers_hear_everything_and_a_failing_one_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[tuple[Any, ...]] = []

    class Ledger:
        def __init__(self, run_folder: Path) -> None:
            heard.append(("open", run_folder))

        def scalars(self, step: int, numbers: Mapping[str, float]) -> None:
            heard.append(("scalars", step, dict(numbers)))

        def samples(self, step: int, samples: Samples, paths: list[Path]) -> None:
            heard.append(("samples", step, len(samples), paths))

        def close(self) -> None:
            heard.append(("close",))

    class Quitter(Ledger):
        calls = 0

        def scalars(self, step: int, numbers: Mapping[str, float]) -> None:
            Quitter.calls += 1
            sys.exit(1)

        def samples(self, *arguments: Any) -> None:
            raise AssertionError("was dropped")

    class Unborn:
        def __init__(self, run_folder: Path) -> None:
            raise ValueError("no account")

    class UnspeakableError(Exception):
        def __str__(self) -> str:
            raise ValueError("no text")

    class Cancelled(Ledger):
        def scalars(self, step: int, numbers: Mapping[str, float]) -> None:
            raise asyncio.CancelledError

    class Mute(Ledger):
        def scalars(self, step: int, numbers: Mapping[str, float]) -> None:
            raise UnspeakableError

    loggers = {"unborn": Unborn, "quitter": Quitter, "cancelled": Cancelled, "mute": Mute}
    use_loggers(monkeypatch, **loggers, ledger=Ledger)
    notes: list[str] = []
    tracker = RunLogger(tmp_path / "metrics.jsonl", tmp_path / "events", 0, notes.append)
    heard.clear()
    for step in (1, 2):
        tracker.log_scalars(step, {"phase": "main", "loss": 0.5})
    tracker.log_samples(2, SAMPLES, Tide(), [tmp_path / "0.wav"])
    tracker.close()
    assert heard == [
        ("scalars", 1, {"loss": 0.5}),
        ("scalars", 2, {"loss": 0.5}),
        ("samples", 2, 2, [tmp_path / "0.wav"]),
        ("close",),
    ]
    assert Quitter.calls == 1
    assert [note.split(" failed")[0] for note in notes] == [f"logger {name!r}" for name in loggers]
    assert "ValueError: no account" in notes[0]
