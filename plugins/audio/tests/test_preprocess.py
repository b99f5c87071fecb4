"""The cache: peaks, 16 bits, what is left out, and each content stored once."""

import numpy as np
import pytest
import torch
from gancore_audio.preprocess import PreprocessConfig, Recording, open_cache

from gancore.data.inventory import SkipItem


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path / "cache"))


def wave(seed, frames=4000, peak=0.25):
    noise = np.random.default_rng(seed).uniform(-1, 1, frames).astype(np.float32)
    return noise / np.abs(noise).max() * np.float32(peak)


def recording(name, samples, seconds=None):
    identity = str(hash(samples.tobytes()))
    seconds = len(samples) / 16_000 if seconds is None else seconds
    return Recording(name, identity, seconds, lambda sample_rate_hz: iter(np.array_split(samples, 3)))


def build(recordings, content="content", **preparation):
    return open_cache(content, lambda: recordings, PreprocessConfig(16_000, **preparation), lambda line: None)


def stored(cache, row=0):
    item = torch.tensor([cache.metadata.items[row]])
    length = int(cache.packed.lengths[item])
    return cache.packed.windows(item, torch.tensor([0]), length, "cpu")[0].numpy()


def test_a_clip_is_stored_at_full_scale_in_all_16_bits():
    quiet = wave(0, peak=0.01)
    samples = stored(build([recording("a", quiet)])) / 32768
    assert np.abs(samples).max() == 32767 / 32768
    assert np.abs(samples - quiet * 100 * 32767 / 32768).max() <= 0.5001 / 32768


def test_without_normalisation_16_bit_samples_come_back_exactly():
    original = np.random.default_rng(0).integers(-32767, 32767, 5000).astype(np.int16)
    cache = build([recording("a", original.astype(np.float32) / 32768)], normalize="none")
    assert np.array_equal(stored(cache), original)


def test_what_is_over_full_scale_is_clipped_not_wrapped():
    cache = build([recording("a", wave(0, peak=3.0))], normalize="none")
    assert stored(cache).max() == 32767 and stored(cache).min() == -32767


def test_long_recordings_are_stored_like_short_ones():
    """A long one is decoded twice, block by block, instead of being held."""
    short = build([recording("a", wave(0))], "short")
    long = build([recording("a", wave(0), seconds=10_000)], "long")
    assert np.array_equal(stored(short), stored(long))


def test_equal_recordings_are_stored_once_and_counted_each():
    cache = build([recording("a", wave(0)), recording("b", wave(1)), recording("copy of a", wave(0))])
    assert cache.metadata.names == ["a", "b", "copy of a"] and cache.metadata.items == [0, 1, 0]
    assert len(cache.packed) == 2


@pytest.mark.parametrize(
    "samples, reason",
    [
        (np.zeros(4000, dtype=np.float32), "silent"),
        (wave(0, peak=0.0005), "silent"),
        (wave(0, frames=100), "6.25 ms"),
        (np.zeros(0, dtype=np.float32), "0 ms"),
    ],
)
def test_silent_and_short_clips_are_left_out_by_name(samples, reason):
    cache = build([recording("bad", samples), recording("good", wave(1)), recording("bad too", samples)])
    assert cache.metadata.names == ["good"]
    assert [row[0] for row in cache.metadata.skipped] == ["bad", "bad too"]
    assert all(reason in row[1] for row in cache.metadata.skipped)


def test_a_recording_that_breaks_half_way_leaves_no_trace():
    def blocks(sample_rate_hz):
        yield wave(0)
        raise SkipItem("it is truncated")

    for seconds in (1, 10_000):
        broken = Recording("bad", "bad", seconds, blocks)
        cache = build([broken, recording("good", wave(1))], content=str(seconds))
        assert cache.metadata.skipped == [["bad", "it is truncated"]]
        assert len(cache.packed) == 1 and cache.packed.values.numel() == 4000


def test_it_is_built_once_per_content_and_settings():
    made = []

    def make():
        made.append(1)
        return [recording("a", wave(0))]

    for content, silence_db in [("x", -60), ("x", -60), ("y", -60), ("x", -50), ("y", -60)]:
        open_cache(content, make, PreprocessConfig(16_000, silence_db=silence_db), lambda line: None)
    assert len(made) == 3
