"""What a user may give by mistake: one line, exit code 2, nothing lost. And odd recordings that are fine."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_runs import TINY, digest

RATE_HZ = 8000


def noise(seconds: float, sample_rate_hz: int = RATE_HZ, channels: int = 1, seed: int = 0) -> np.ndarray:
    """(time, channels), decaying."""
    frames = int(seconds * sample_rate_hz)
    decay = np.exp(-4 * np.linspace(0, 1, frames))[:, None]
    return 0.5 * decay * np.random.default_rng(seed).standard_normal((frames, channels)).clip(-1, 1)


def record(
    folder: Path, count: int = 30, seconds: float = 0.2, sample_rate_hz: int = RATE_HZ, channels: int = 1
):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        sound = noise(seconds, sample_rate_hz, channels, number)
        soundfile.write(folder / f"good-{number:02d}.wav", sound, sample_rate_hz, subtype="PCM_16")


def truncated(path: Path) -> None:
    soundfile.write(path, noise(1), RATE_HZ, subtype="PCM_16")
    path.write_bytes(path.read_bytes()[:30])


def empty(path: Path) -> None:
    path.touch()


def without_frames(path: Path) -> None:
    soundfile.write(path, np.zeros((0, 1)), RATE_HZ, subtype="PCM_16")


def text(path: Path) -> None:
    path.write_text("this is no sound\n" * 100)


BROKEN = [truncated, empty, without_frames, text]


class TestData:
    def test_missing_folder(self, train, tmp_path):
        assert "'sonuds'" in train("--data", "sonuds", "--out", "run").error
        assert list(tmp_path.iterdir()) == []

    def test_folder_without_audio(self, train, tmp_path):
        (tmp_path / "sounds").mkdir()
        (tmp_path / "sounds" / "notes.txt").write_text("none here")
        assert "sounds" in train("--data", "sounds", "--out", "run").error
        assert not (tmp_path / "run").exists()

    def test_a_file_that_is_no_sound(self, train, tmp_path):
        text(tmp_path / "sound.wav")
        assert "sound.wav" in train("--data", "sound.wav", "--out", "run").error

    @pytest.mark.parametrize("spoil", BROKEN, ids=lambda spoil: spoil.__name__)
    def test_folder_in_which_every_file_is_broken(self, train, tmp_path, spoil):
        (tmp_path / "sounds").mkdir()
        for number in range(5):
            spoil(tmp_path / "sounds" / f"{number}.wav")
        before = digest(tmp_path / "sounds")
        error = train("--data", "sounds", "--out", "run").error
        assert "sounds" in error
        assert not (tmp_path / "run").exists()
        assert digest(tmp_path / "sounds") == before

    def test_broken_files_among_good_ones_are_named_and_left_out(self, train, tmp_path):
        record(tmp_path / "sounds")
        for spoil in BROKEN:
            spoil(tmp_path / "sounds" / f"{spoil.__name__}.wav")
        answer = train("--data", "sounds", "--out", "run", "--steps", 2)
        assert answer.code == 0
        for spoil in BROKEN:
            assert f"{spoil.__name__}.wav" in answer.err
        assert "Traceback" not in answer.err

    @pytest.mark.parametrize(("sample_rate_hz", "channels"), [(192_000, 1), (8000, 8), (44_100, 2)])
    def test_other_rates_and_channels_train(self, train, gancore, tmp_path, sample_rate_hz, channels):
        record(tmp_path / "sounds", sample_rate_hz=sample_rate_hz, channels=channels)
        assert train("--data", "sounds", "--out", "run", "--steps", 2).code == 0
        assert gancore("generate", "run", "-n", 1).code == 0

    @pytest.mark.slow
    def test_a_recording_of_two_hours_trains(self, train, tmp_path):
        (tmp_path / "sounds").mkdir()
        with soundfile.SoundFile(tmp_path / "sounds" / "long.flac", "w", RATE_HZ, 1) as file:
            minute = noise(60)
            for _ in range(120):
                file.write(minute)
        record(tmp_path / "sounds")
        answer = train("--data", "sounds", "--out", "run", "--steps", 2)
        assert answer.code == 0
        assert "31 clips, 2.0 h" in answer.err

    def test_sounds_in_subfolders_have_labels(self, train, gancore, tmp_path):
        for name in ("high", "low"):
            record(tmp_path / "sounds" / name)
        words = ("--data", "sounds", "--out", "run", "--steps", 2)
        assert train(*words, "--set", "model.conditional=true").code == 0
        assert gancore("generate", "run", "-n", 1, "--label", "low").code == 0

    def test_labels_that_are_not_there_cannot_be_trained_on(self, train, tmp_path):
        record(tmp_path / "sounds")
        answer = train("--data", "sounds", "--out", "run", "--set", "model.conditional=true")
        assert "the data have no labels" in answer.error

    def test_data_root_that_is_no_folder(self, train):
        assert "nowhere" in train("--data-root", "nowhere", "--out", "run").error

    def test_too_few_sounds_to_hold_any_out(self, train, tmp_path):
        record(tmp_path / "sounds", count=1)
        answer = train("--data", "sounds", "--out", "run", "--steps", 2)
        assert answer.code == 0 or answer.error


MISTAKES = {
    "recipe": (("--recipe", "specgam"), "specgan"),
    "domain": (("--domain", "adio"), "audio"),
    "source": (("--data", "percusion"), "percussion"),
    "key": (("--set", "model.widht=3"), "did you mean 'width'?"),
    "section": (("--set", "modell.width=3"), "model"),
    "value": (("--set", "model.width=wide"), "model.width"),
    "value-out-of-range": (("--set", "model.width=-1"), "model.width"),
    "length": (("--recipe", "wavegan-lite", "--set", "data.length=1008"), "data.length"),
    "loss": (("--set", "model.loss=nonsaturatign"), "nonsaturating"),
    "no-equals": (("--set", "model.width"), "key=value"),
    "device": (("--device", "cud"), "cuda"),
    "absent-device": (("--device", "cuda:77"), "cuda:77"),
    "precision": (("--precision", "fp8"), "fp32"),
    "two-budgets": (("--steps", 3, "--time", 4), "one budget"),
    "negative-steps": (("--steps", -3), "steps"),
    "steps-in-words": (("--steps", "many"), "--steps"),
    "seed": (("--seed", -1), "seed"),
    "config": (("--config", "nowhere.yaml"), "nowhere.yaml"),
    "resume": (("--resume", "nowhere"), "nowhere"),
    "init-from": (("--init-from", "nowhere"), "nowhere"),
    "measure": (("--set", "validation.select=mel_distanse"), "mel_distance"),
    "flag": (("--stepps", 3), "--steps"),
}


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_on_the_command_line_names_what_was_meant(train, mistake, tmp_path):
    words, hint = MISTAKES[mistake]
    assert hint in train("--out", "run", *words).error
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_in_a_file_names_the_file_and_the_line(gancore, tmp_path):
    (tmp_path / "mine.yaml").write_text("domain: audio\nmodel:\n  widht: 3\n")
    error = gancore("train", "--config", "mine.yaml").error
    assert "mine.yaml" in error
    assert "width" in error


class TestWhereToWrite:
    def test_under_a_file(self, train, gancore, run, tmp_path):
        (tmp_path / "file").write_text("mine")
        assert "file" in train("--out", "file", "--steps", 1).error
        assert "file" in train("--out", "file/run", "--steps", 1).error
        assert "file" in gancore("generate", run, "-n", 1, "--out", "file").error
        assert "file" in gancore("generate", run, "-n", 1, "--out", "file/sounds").error
        assert (tmp_path / "file").read_text() == "mine"

    def test_where_nobody_may_write(self, train, gancore, run):
        assert "/proc" in train("--out", "/proc/run", "--steps", 1).error
        assert "/proc" in gancore("generate", run, "-n", 1, "--out", "/proc/sounds").error

    def test_a_folder_with_other_things(self, train, tmp_path):
        (tmp_path / "home").mkdir()
        (tmp_path / "home" / "thesis.txt").write_text("mine")
        assert "other files" in train("--out", "home", "--steps", 1).error
        assert digest(tmp_path / "home").keys() == {"thesis.txt"}

    def test_a_folder_that_holds_a_run(self, train, run):
        before = digest(run)
        error = train("--out", run, "--steps", 1).error
        assert f"--resume {run}" in error
        assert digest(run) == before

    def test_an_empty_folder_is_fine(self, train, tmp_path):
        (tmp_path / "run").mkdir()
        assert train("--out", "run", "--steps", 1).code == 0

    def test_a_mistake_does_not_take_the_place(self, train, tmp_path):
        """After a wrong --data the same --out can be given again."""
        train("--out", "run", "--steps", 1, "--data", "sonuds")
        assert train("--out", "run", "--steps", 1).code == 0


class TestGenerate:
    def test_of_nothing(self, gancore, tmp_path):
        assert "nowhere" in gancore("generate", "nowhere").error
        assert "no model" in gancore("generate").error
        (tmp_path / "empty").mkdir()
        assert "empty" in gancore("generate", "empty").error

    def test_none(self, gancore, run):
        assert "-n" in gancore("generate", run, "-n", 0).error

    def test_on_a_device_that_is_not_there(self, gancore, run):
        assert "cuda:77" in gancore("generate", run, "--device", "cuda:77").error


def test_runs_of_a_missing_folder_is_a_mistake(gancore):
    assert "nowhere" in gancore("runs", "nowhere").error


def test_runs_shows_a_damaged_run_beside_whole_ones(gancore, run, tmp_path):
    for name in ("one", "two"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "run.json").write_bytes((run / "run.json").read_bytes())
    (tmp_path / "runs" / "two" / "run.json").write_text("{")
    found = {entry["name"]: entry["status"] for entry in json.loads(gancore("runs", "--json").out)}
    assert found == {"one": "done", "two": "damaged"}


@pytest.mark.slow
def test_training_that_only_gives_nan_stops_and_names_the_player(gancore, tmp_path):
    words = ["train", *TINY, "--precision", "fp32", "--steps", 1000, "--out", "run"]
    words += ["--set", "model.lr=1e30", "--set", "logging.every=50", "--set", "logging.preview_every=100"]
    words += ["--set", "validation.every=100", "--set", "checkpoint.seconds=0.5"]
    error = gancore(*words).error
    assert "generator" in error and "not finite, in 200 steps up to step 200" in error
    status = json.loads((tmp_path / "run" / "run.json").read_text())
    assert status["status"] == "failed"
    assert status["error"] in error
    assert status["step"] == 200
    assert list((tmp_path / "run" / "checkpoints").glob("step-*/manifest.json"))


def test_a_short_run_that_ends_with_masked_updates_fails_though_tokens_are_always_finite(gancore, tmp_path):
    (tmp_path / "texts.txt").write_text("\n".join(f"the cat {i % 7} sees a dog {i % 5}" for i in range(60)))
    words = ["train", "--domain", "text", "--recipe", "lstm-lm", "--data", "texts.txt", "--steps", 12]
    words += ["--out", "run", "--quiet", "--set", "model.lr=1e20", "--set", "model.width=8"]
    answer = gancore(*words)
    assert answer.code == 4 and "12" in answer.error and "not finite" in answer.error
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "failed"


def test_a_folder_and_a_file_whose_names_are_not_utf8_train(gancore, tmp_path):
    record(tmp_path / "sounds")
    place = (tmp_path / "sounds").rename(tmp_path / os.fsdecode(b"m\xe9lodies"))
    (place / "good-00.wav").rename(place / os.fsdecode(b"caf\xe9.wav"))
    answer = gancore("train", *TINY, "--steps", 4, "--data", place, "--out", tmp_path / "run")
    assert answer.code == 0, answer.err
    splits = json.loads((tmp_path / "run" / "data.json").read_text())["splits"]
    assert "caf\udce9.wav" in [name for names in splits.values() for name in names]
    assert gancore("runs", "--json", tmp_path).code == 0
