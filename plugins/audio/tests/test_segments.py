"""Where windows are cut: hits keep their attack, near silence is left out and told, `random` is as it was."""

import numpy as np
import pytest
import torch
from gancore_audio import segments
from gancore_audio.dataset import AudioConfig, data_from_arrays

from gancore.random import Key

SPLITS = ("train", "valid", "test")
LENGTH = 1024


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path / "cache"))


def hit(seed, windows, before=0.0):
    """A sound that dies away within a quarter of a window, ``before`` windows of silence first."""
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, round(windows * LENGTH))
    at = np.arange(len(noise)) - round(before * LENGTH)
    return (noise * np.where(at < 0, 0.0, np.exp(-at / (LENGTH / 16)))).astype(np.float32)


def opened(clips, **config):
    named = [(f"{number}", None, clip) for number, clip in enumerate(clips)]
    return data_from_arrays(named, 8000, AudioConfig(length=LENGTH, min_seconds=0, fade_ms=0, **config))


def everything(data, steps=8):
    views = [data.view(split) for split in SPLITS]
    rows = [
        view.get_batch(torch.arange(len(view)), Key.of(step)).data[:, 0]
        for view in views
        for step in range(steps)
    ]
    return torch.cat(rows)


def loudness(data):
    return everything(data).abs().amax(1)


def result(data):
    return next((line for line in data.summary if line.startswith("cuts: ")), "")


HITS = [hit(seed, 0.9) for seed in range(16)] + [hit(16 + seed, 3.5) for seed in range(4)]


def test_hits_longer_than_a_window_keep_their_attack():
    data = opened(HITS)
    assert (everything(data)[:, : LENGTH // 16].abs().amax(1) > 0.5).all()
    assert sum(len(data.view(split)) for split in SPLITS) == 20
    assert "4 at their start" in result(data)


def test_windows_at_random_are_as_they_were_and_near_silence_is_counted():
    data = opened(HITS, crop="random")
    lengths = data.view("train").packed.lengths
    slack, counts = (lengths - LENGTH).clamp(min=0), (lengths // LENGTH).clamp(min=1)
    clips = torch.arange(len(lengths)).repeat_interleave(counts)
    row = torch.arange(len(clips)) - (counts.cumsum(0) - counts)[clips]
    cuts = data.view("train").segments
    assert torch.equal(cuts.clips, clips)
    assert torch.equal(cuts.first_starts, slack[clips] * row // counts[clips])
    assert torch.equal(cuts.last_starts, slack[clips] * (row + 1) // counts[clips])
    assert loudness(data).min() < 0.01
    assert "nearly silent" in result(data) and "data.crop=auto" in result(data)


def test_the_three_ways_are_different_data():
    assert len({opened(HITS, crop=window).fingerprint for window in ("auto", "random", "start")}) == 3


def test_long_recordings_are_cut_anywhere_but_in_near_silence():
    pause = np.zeros(5 * LENGTH, dtype=np.float32)
    noise = [np.random.default_rng(n).uniform(-0.5, 0.5, 4 * LENGTH).astype(np.float32) for n in range(8)]
    data = opened([np.concatenate([one, pause, two]) for one, two in zip(noise, noise[::-1], strict=True)])
    assert loudness(data).min() > 0.3
    cuts = data.view("train").segments
    assert len(cuts.clips) == 8 * len(data.view("train").packed)  # each sounding stretch holds four windows
    assert (cuts.first_starts == 0).any() and (cuts.last_starts == 12 * LENGTH).any()
    assert "8 anywhere" in result(data) and "left out" in result(data)


@pytest.mark.parametrize("before", [1.2, 1.9])
def test_a_window_begins_at_the_sound_where_a_clip_begins_in_silence(before):
    clips = [hit(seed, 2.3, before) for seed in range(3)] + [hit(seed, 0.9) for seed in range(3, 20)]
    assert loudness(opened(clips)).min() > 0.5
    assert loudness(opened(clips, crop="start")).min() == 0
    assert "3 segments nearly silent" in result(opened(clips, crop="start"))


def noises(count, windows=4):
    """Of each half is silence, first or last."""
    loud = [np.random.default_rng(n).uniform(-0.5, 0.5, windows * LENGTH // 2) for n in range(count)]
    rest = np.zeros(windows * LENGTH // 2)
    pairs = [[one, rest] if number % 2 else [rest, one] for number, one in enumerate(loud)]
    return [np.concatenate(pair).astype(np.float32) for pair in pairs]


def test_long_clips_are_looked_at_in_parts(monkeypatch):
    whole = opened(noises(12)).view("train").segments
    monkeypatch.setattr(segments, "BLOCKS_AT_ONCE", 7)
    parts = opened(noises(12)).view("train").segments
    for column in ("clips", "first_starts", "last_starts"):
        assert torch.equal(getattr(whole, column), getattr(parts, column))
    assert whole.silent_share == parts.silent_share > 0.2


@pytest.mark.parametrize("window, words", [("start", "of the"), ("random", "about")])
def test_where_cuts_do_not_depend_on_silence_some_clips_are_looked_at(monkeypatch, window, words):
    clips = noises(40)
    every = opened(clips, crop=window).view("train").segments
    monkeypatch.setattr(segments, "MAX_SAMPLES_CHECKED", 30 * LENGTH)
    requests = []
    heard = segments._audible_starts

    def counting(values, length):
        requests.append(len(values))
        return heard(values, length)

    monkeypatch.setattr(segments, "_audible_starts", counting)
    data = opened(clips, crop=window)
    assert sum(requests) <= 3 * segments.MAX_SAMPLES_CHECKED
    assert torch.equal(every.first_starts, data.view("train").segments.first_starts) and torch.equal(
        every.last_starts, data.view("train").segments.last_starts
    )
    assert data.view("train").segments.n_checked == 7 < data.view("train").segments.n_longer
    assert words in result(data).partition(";")[2]


def test_one_silent_window_is_one():
    clips = [hit(0, 2.3, 1.2)] + [hit(seed, 0.9) for seed in range(1, 20)]
    assert "1 segment nearly silent" in result(opened(clips, crop="start"))


def test_one_recording_cut_in_time_is_heard_whole():
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 12 * LENGTH).astype(np.float32)
    data = opened([noise])
    starts = {split: data.view(split).segments.last_starts for split in SPLITS}
    assert starts["train"].max() > 8 * LENGTH and starts["valid"].max() > LENGTH // 10


def test_a_silent_stretch_of_a_recording_still_has_windows():
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 16 * LENGTH).astype(np.float32)
    data = opened([np.concatenate([noise, np.zeros(4 * LENGTH, dtype=np.float32)])])
    assert all(len(data.view(split)) for split in SPLITS)


def test_rows_say_which_recording_they_are_of_and_where():
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 12 * LENGTH).astype(np.float32)
    view = opened([noise]).view("test")  # the last tenth of the only recording
    (name,) = view.get_origins(torch.tensor([0]), Key.of(3))
    clip, _, begin = name.partition(" at ")
    start = round(float(begin.split("-")[0]) * 8000)
    assert clip == "0" and 10.8 * LENGTH - 40 <= start <= 11 * LENGTH + 40
    other = view.get_batch(torch.tensor([0]), Key.of(3)).data[0, 0]
    scaled = torch.from_numpy(noise) / np.abs(noise).max()
    windows = scaled.unfold(0, LENGTH, 1)[start - 40 : start + 41]
    assert (windows - other).abs().amax(1).min() < 1e-3
