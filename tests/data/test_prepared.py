"""A prepared set: built once, by one process, whole or not at all, and each content stored once."""

from __future__ import annotations

import errno
import gc
import json
import multiprocessing
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from refusals import refused

from gancore.data.cache import cache_folder
from gancore.data.inventory import SkipItem
from gancore.data.packed import PackedArray
from gancore.data.prepared import open_prepared, store_unique
from gancore.errors import DataError


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path / "cache"))


@dataclass(frozen=True)
class Word:
    name: str
    content_hash: str


@dataclass
class Table:
    names: list[str] = field(default_factory=list)
    items: list[int] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def quiet(line: str) -> None:
    pass


def built_of(words):
    """What builds a set of the letters of each word's content."""

    def build(folder: Path) -> Table:
        table = Table()
        with PackedArray.create(folder, "uint8") as writer:

            def store(word: Word) -> int:
                return writer.append(np.frombuffer(word.content_hash.encode(), np.uint8))

            for word, item in store_unique(words, store, table.skipped, quiet, "words"):
                table.names.append(word.name)
                table.items.append(item)
        return table

    return build


def opened(words, key="key"):
    return open_prepared("words", [key], Table, built_of(words), quiet)


def letters(kept) -> list[str]:
    parts = zip(kept.packed.offsets.tolist(), kept.packed.lengths.tolist(), strict=True)
    return [bytes(kept.packed.values[start : start + length].tolist()).decode() for start, length in parts]


TWO = [Word("first", "one"), Word("second", "three"), Word("copy of first", "one")]


def test_equal_items_are_stored_once_and_counted_each():
    kept = opened(TWO)
    assert letters(kept) == ["one", "three"]
    assert kept.metadata.names == ["first", "second", "copy of first"] and kept.metadata.items == [0, 1, 0]


def test_what_is_kept_comes_back_as_it_was_made():
    first, again = opened(TWO), opened([])
    assert (
        again.metadata == first.metadata and letters(again) == letters(first) and again.folder == first.folder
    )


def test_it_is_built_once_per_key():
    made = []
    for key in ("x", "x", "y", ["x", 1], "y", ["x", 1]):
        opened((made.append(word) or word for word in TWO[:1]), key)
    assert len(made) == 3


def test_a_refused_item_is_named_for_each_of_its_copies_and_asked_about_once():
    requests, skipped = [], []

    def store(word: Word) -> int:
        requests.append(word.name)
        if word.content_hash == "bad":
            raise SkipItem("it is bad")
        return len(requests)

    words = [Word("a", "bad"), Word("b", "good"), Word("c", "bad"), Word("d", "good")]
    assert [(word.name, got) for word, got in store_unique(words, store, skipped, quiet, "words")] == [
        ("b", 2),
        ("d", 2),
    ]
    assert requests == ["a", "b"] and skipped == [("a", "it is bad"), ("c", "it is bad")]


def test_a_refused_item_is_not_held_in_memory():
    class Content:
        alive = 0

        def __init__(self) -> None:
            Content.alive += 1

        def __del__(self) -> None:
            Content.alive -= 1

    def store(word: Word) -> int:
        content = Content()
        raise SkipItem(f"{content.alive} at a time")

    skipped: list[tuple[str, str]] = []
    gc.disable()
    try:
        list(store_unique([Word(str(n), str(n)) for n in range(9)], store, skipped, quiet, "words"))
        assert Content.alive == 0 and {reason for _, reason in skipped} == {"1 at a time"}
    finally:
        gc.enable()


def test_now_and_then_it_says_how_far_it_is(monkeypatch):
    monkeypatch.setattr("gancore.progress.REPORT_SECONDS", -1.0)
    messages: list[str] = []
    list(store_unique(TWO, lambda word: 0, [], messages.append, "words"))
    assert messages == [f"  {number} words prepared" for number in (1, 2, 3)]


@pytest.mark.parametrize("name", ["values.bin", "lengths.npy", "table.json", "manifest.json"])
@pytest.mark.parametrize("spoil", [lambda data: data[:-2], lambda data: b"{}", None])
def test_a_damaged_set_is_built_again(name, spoil):
    path = opened(TWO).folder / name
    if spoil is None:
        path.unlink()
    else:
        path.write_bytes(spoil(path.read_bytes()))
    if name == "table.json" and path.exists() and path.read_bytes() == b"{}":
        path.write_text(json.dumps({"foreign": 1}))
    kept = opened(TWO)
    assert letters(kept) == ["one", "three"] and kept.metadata.items == [0, 1, 0]
    assert left_over() == []


def left_over() -> list[str]:
    home = cache_folder() / "words"
    entries = {path.name for path in home.iterdir() if path.suffix != ".lock"}
    return sorted(entries - {path.parent.name for path in home.glob("*/table.json")})


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, MemoryError])
def test_an_interrupted_build_leaves_nothing(error):
    def broken():
        yield TWO[0]
        raise error

    with pytest.raises(error):
        opened(broken())
    assert list(cache_folder().glob("words/*/*")) == [] and left_over() == []
    assert letters(opened(TWO)) == ["one", "three"]


def test_a_full_disk_is_one_line():
    def full():
        raise OSError(errno.ENOSPC, "No space left on device")
        yield

    with refused(DataError, "disk", "cache", fix="GANCORE_CACHE"):
        opened(full())


def test_a_cache_nobody_can_write_is_one_clear_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path / "file"))
    with refused(DataError, tmp_path / "file", fix="GANCORE_CACHE"):
        opened(TWO)


def slow_words():
    """Says when it has begun, then takes its time."""
    (cache_folder() / f"begun-{os.getpid()}").touch()
    for number in range(20):
        time.sleep(0.02)
        yield Word(f"word {number}", f"word {number}")


def build_slowly(results):
    results.put(tuple(letters(opened(slow_words()))))


def begun():
    return list(cache_folder().glob("begun-*"))


def test_several_processes_build_it_once():
    cache_folder().mkdir()
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=build_slowly, args=(results,)) for _ in range(3)]
    for process in processes:
        process.start()
    outcomes = {results.get(timeout=30) for _ in processes}
    for process in processes:
        process.join()
    assert outcomes == {tuple(f"word {number}" for number in range(20))}
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
    assert len(left_over()) == 1
    kept = opened(slow_words())
    assert len(kept.packed) == 20 and len(begun()) == 2
    assert left_over() == []
