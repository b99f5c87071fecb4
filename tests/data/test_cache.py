"""The cache: what it holds is listed, cleared by age or as a whole, and nothing of the user's is touched."""

import json
import os
import time
from dataclasses import dataclass

import numpy as np
import pytest

from gancore.cli import main
from gancore.data import cache as stored
from gancore.data import prepared
from gancore.data.packed import PackedArray
from gancore.file_lock import file_lock
from gancore.runtime.kernel_cache import KernelCache


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@dataclass
class Table:
    names: list[str]


def prepare(word, announce=lambda line: None):
    def build(folder):
        with PackedArray.create(folder) as writer:
            writer.append(np.arange(1000, dtype=np.int16))
        return Table([f"{word}.wav"])

    return prepared.open_prepared("audio", [word], Table, build, announce).folder


def age(path, days):
    os.utime(path, (time.time() - days * 86_400,) * 2)


def files(cache):
    """What the user, or another program, keeps in the same folder."""
    for name in ("data/own/notes.txt", "evaluation/mine.txt", "notes.json", "audio/own.wav"):
        (cache / name).parent.mkdir(parents=True, exist_ok=True)
        (cache / name).write_text("mine")
    return {path for path in cache.rglob("*") if path.is_file() and path.read_bytes() == b"mine"}


def test_items_are_listed_with_size_and_what_they_are(cache, capsys):
    folder = prepare("kick")
    entry = cache / "evaluation" / "sets" / "ab" / ("ab" * 32)
    entry.parent.mkdir(parents=True)
    entry.write_bytes(b"12345")
    files(cache)
    items = {item.path: item for item in stored.cache_items()}
    assert set(items) == {folder, entry}
    assert items[folder].size > 2000 and "kick.wav" in items[folder].about
    assert (items[entry].group, items[entry].size) == ("evaluation/sets", 5)
    assert main(["cache", "list", "--json"]) == 0
    assert {item["path"] for item in json.loads(capsys.readouterr().out)} == set(map(str, items))
    assert main(["cache", "list"]) == 0
    assert "kick.wav" in capsys.readouterr().out


def test_what_is_not_used_for_long_goes_and_what_is_used_stays(cache, capsys):
    old, used = prepare("old"), prepare("used")
    for folder in (old, used):
        age(folder, 40)
    assert prepare("used") == used  # opening it is using it
    assert main(["cache", "clear", "--unused-for", "30"]) == 0
    assert not old.exists() and used.exists()
    assert "1 item removed" in capsys.readouterr().out


def test_all_goes_but_what_is_not_gancores_or_is_in_use(cache, capsys):
    mine, (free, busy) = files(cache), (prepare("free"), prepare("busy"))
    with file_lock(busy.with_name(f"{busy.name}.lock")):
        assert main(["cache", "clear", "--all", "--json"]) == 0
    output = json.loads(capsys.readouterr().out)
    assert output == {"removed": [str(free)], "held": [str(busy)]}
    assert busy.exists() and all(path.exists() for path in mine)
    assert prepare("free") == free  # made again


def test_clear_asks_what_to_remove(cache):
    folder = prepare("kick")
    assert main(["cache", "clear"]) == main(["cache", "clear", "--all", "--unused-for", "3"]) == 2
    assert folder.exists()


def test_a_large_cache_is_told_of_where_it_grows(cache, monkeypatch):
    lines = []
    prepare("one", lines.append)
    monkeypatch.setattr(stored, "LARGE_BYTES", 1000)
    prepare("one", lines.append)
    assert lines == []
    prepare("two", lines.append)
    assert len(lines) == 1 and "gancore cache" in lines[0]


def put(path, lock=True):
    """A folder with a file of ten bytes, and a lock beside it as of its own making."""
    path.mkdir(parents=True)
    (path / "file").write_bytes(b"1234567890")
    if lock:
        path.with_name(f"{path.name.removesuffix('.part')}.lock").touch()
    return path


KEY = "0123456789abcdef" * 2
OWN = (
    "data/kicks",
    f"models/{KEY}",
    f"evaluation/judges/dots-judge-{KEY[:24]}",
    f"image/unpacked/{KEY[:24]}",
)


@pytest.mark.parametrize("name", ["mine/thesis", "models/thesis", "evaluation/judges/thesis", "a/b/thesis"])
def test_a_locked_folder_of_somebody_elses_name_is_left_alone(cache, name):
    own, theirs = [put(cache / place) for place in OWN], put(cache / name)
    left = put(theirs.with_name(f".tmp-{theirs.name}-{2**22 + 1}"), lock=False)
    assert {item.path for item in stored.cache_items()} == set(own)
    assert main(["cache", "clear", "--all"]) == 0
    assert theirs.exists() and left.exists() and not any(path.exists() for path in own)


@pytest.mark.parametrize("place", ["data/kicks", f"models/{KEY}", f"image/unpacked/{KEY[:24]}"])
def test_what_is_not_whole_is_listed_and_goes_unless_it_is_being_made(cache, place):
    part = put(cache / f"{place}.part")
    (item,) = stored.cache_items()
    assert (item.path, item.size) == (part, 10)
    age(part, 40)
    assert stored.last_used_before([*stored.cache_items()], 30) == [], "its file has grown since"
    with file_lock(part.with_suffix(".lock")):
        assert stored.delete_items([item]) == ([], [item])
    assert stored.delete_items([item]) == ([item], []) and not part.exists()


def test_files_are_grouped_by_their_folder(cache):
    places = {
        f"kernels/{KEY[:16]}.json": "kernels",
        f"audio/inventories/{KEY[:16]}.json": "audio/inventories",
    }
    for place in places:
        (cache / place).parent.mkdir(parents=True)
        (cache / place).touch()
    assert {str(item.path.relative_to(cache)): item.group for item in stored.cache_items()} == places


def test_known_kernels_are_used_when_they_are_read(cache):
    known = KernelCache(cache / "kernels")
    known["call"] = (0.1, False)
    known.save()
    (file,) = (cache / "kernels").iterdir()
    age(file, 40)
    KernelCache(cache / "kernels")
    assert stored.last_used_before(stored.cache_items(), 30) == []
