"""The cache: built once, by one process, whole or not at all, and each content stored once."""

import multiprocessing
import os
import signal
import time

import numpy as np
import pytest
import torch
from gancore_audio.cache import Preparation, Recording, open_cache
from gancore_audio.reading import Refused

from gancore.data.sources import cache_folder
from gancore.errors import DataError


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path / "cache"))


def wave(seed, frames=4000, peak=0.25):
    noise = np.random.default_rng(seed).uniform(-1, 1, frames).astype(np.float32)
    return noise / np.abs(noise).max() * np.float32(peak)


def recording(name, samples, seconds=None):
    identity = str(hash(samples.tobytes()))
    seconds = len(samples) / 16_000 if seconds is None else seconds
    return Recording(name, identity, seconds, lambda rate_hz: iter(np.array_split(samples, 3)))


def build(recordings, content="content", **preparation):
    return open_cache(content, lambda: recordings, Preparation(16_000, **preparation), lambda line: None)


def stored(cache, row=0):
    item = torch.tensor([cache.table.items[row]])
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
    assert cache.table.names == ["a", "b", "copy of a"] and cache.table.items == [0, 1, 0]
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
    assert cache.table.names == ["good"]
    assert [row[0] for row in cache.table.skipped] == ["bad", "bad too"]
    assert all(reason in row[1] for row in cache.table.skipped)


def test_a_recording_that_breaks_half_way_leaves_no_trace():
    def blocks(rate_hz):
        yield wave(0)
        raise Refused("it is truncated")

    for seconds in (1, 10_000):
        broken = Recording("bad", "bad", seconds, blocks)
        cache = build([broken, recording("good", wave(1))], content=str(seconds))
        assert cache.table.skipped == [["bad", "it is truncated"]]
        assert len(cache.packed) == 1 and cache.packed.values.numel() == 4000


def test_it_is_built_once_per_content_and_settings():
    made = []

    def make():
        made.append(1)
        return [recording("a", wave(0))]

    for content, silence_db in [("x", -60), ("x", -60), ("y", -60), ("x", -50), ("y", -60)]:
        open_cache(content, make, Preparation(16_000, silence_db=silence_db), lambda line: None)
    assert len(made) == 3


@pytest.mark.parametrize("name", ["values.bin", "clips.json", "manifest.json"])
def test_a_damaged_cache_is_built_again(name):
    path = build([recording("a", wave(0))]).folder / name
    path.write_bytes(path.read_bytes()[:-2])
    assert np.abs(stored(build([recording("a", wave(0))]))).max() == 32767


def test_a_cache_nobody_can_write_is_one_clear_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match="GANCORE_CACHE"):
        build([recording("a", wave(0))])


def slow_recordings():
    """Says when it has begun, then takes its time."""
    (cache_folder() / f"begun-{os.getpid()}").touch()
    for number in range(20):
        time.sleep(0.02)
        yield recording(f"clip {number}", wave(number))


def build_slowly(results):
    cache = open_cache("slow", slow_recordings, Preparation(16_000), lambda line: None)
    results.put((len(cache.packed), int(cache.packed.values.long().sum())))


def begun():
    return list(cache_folder().glob("begun-*"))


def test_two_processes_build_it_once():
    cache_folder().mkdir()
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=build_slowly, args=(results,)) for _ in range(3)]
    for process in processes:
        process.start()
    outcomes = {results.get(timeout=30) for _ in processes}
    for process in processes:
        process.join()
    assert len(outcomes) == 1 and outcomes.pop()[0] == 20
    assert len(begun()) == 1


def test_a_killed_build_is_begun_anew_and_cleared_away():
    cache_folder().mkdir()
    context = multiprocessing.get_context("fork")
    process = context.Process(target=build_slowly, args=(context.Queue(),))
    process.start()
    while not begun():
        time.sleep(0.005)
    time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    cache = open_cache("slow", slow_recordings, Preparation(16_000), lambda line: None)
    assert len(cache.packed) == 20
    assert sorted(path.name for path in cache.folder.parent.iterdir()) == [
        cache.folder.name,
        f"{cache.folder.name}.lock",
    ]
