"""Which files a data set has, what is kept of their headers, and what is said of those that are skipped."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gancore.data.cache import cache_folder
from gancore.data.inventory import (
    FileInspector,
    InspectedFile,
    SkipItem,
    build_inventory,
    count_other_suffixes,
    first_skipped,
    list_files,
    other_suffix_lines,
    skipped_lines,
)
from gancore.text import escape_unprintable


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path) -> Path:
    for name in ("b.txt", "a/2.txt", "a/1.txt", "a/deep/3.txt", ".git/x", ".hidden", "__MACOSX/a/1.txt"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_text(name)
    return tmp_path / "set"


@dataclass(frozen=True)
class Size:
    """A header."""

    letters: int
    first: str


class Looker:
    """Looks at text files, and remembers at which."""

    def __init__(self, root: Path) -> None:
        self.root, self.seen = root, []

    def stamp(self, name: str) -> list[int]:
        status = (self.root / name).stat()
        return [status.st_size, status.st_mtime_ns]

    def inspect(self, name: str) -> tuple[Size, str]:
        self.seen.append(name)
        text = (self.root / name).read_text()
        if not text:
            raise SkipItem("it is empty")
        return Size(len(text), text[0]), hashlib.sha256(text.encode()).hexdigest()

    def take(self, names=None, announce=lambda line: None):
        self.seen.clear()
        looking = FileInspector(Size, self.stamp, self.inspect)
        return build_inventory("texts", self.root, names or list_files(self.root).names, looking, announce)


NAMES = ["a/1.txt", "a/2.txt", "a/deep/3.txt", "b.txt"]


def test_files_are_found_in_order_and_hidden_ones_passed_over(root):
    assert list_files(root).names == NAMES


def test_circles_of_links_are_entered_once(root):
    (root / "a" / "round").symlink_to(root)
    (root / "z").symlink_to(root / "a" / "deep")
    assert list_files(root).names == NAMES


def test_every_file_is_found_with_its_header(root):
    inventory = Looker(root).take()
    assert [found.name for found in inventory.found] == NAMES and inventory.skipped == []
    digest = hashlib.sha256(b"a/2.txt").hexdigest()
    assert inventory.found[1] == InspectedFile("a/2.txt", Size(7, "a"), digest)


def test_what_is_known_is_not_inspected_again_until_it_changes(root):
    looker = Looker(root)
    first = looker.take()
    assert looker.seen == NAMES
    (memory,) = (cache_folder() / "texts" / "inventories").iterdir()
    os.utime(memory, (0, 0))
    assert looker.take().found == first.found and looker.seen == []
    assert memory.stat().st_mtime > 0, "reading it is using it"
    (root / "b.txt").write_text("changed")
    changed = looker.take()
    assert looker.seen == ["b.txt"] and changed.found[3].header == Size(7, "c")
    (root / "b.txt").unlink()
    assert [found.name for found in looker.take().found] == NAMES[:3]


def test_what_cannot_be_used_is_skipped_with_the_reason_and_asked_again(root):
    (root / "empty.txt").write_text("")
    looker = Looker(root)
    inventory = looker.take([*NAMES, "empty.txt", "gone.txt"])
    assert [found.name for found in inventory.found] == NAMES
    assert inventory.skipped == [
        ("empty.txt", "it is empty"),
        ("gone.txt", "it cannot be read (No such file or directory)"),
    ]
    looker.take([*NAMES, "empty.txt"])
    assert looker.seen == ["empty.txt"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1, "files": {"b.txt": []}}'])
def test_a_damaged_memory_costs_time_and_nothing_else(root, content):
    looker = Looker(root)
    first = looker.take()
    (memory,) = (cache_folder() / "texts" / "inventories").iterdir()
    memory.write_text(content)
    assert looker.take().found == first.found and looker.seen == NAMES


def test_a_cache_that_nobody_can_write_costs_time_and_nothing_else(root, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path / "file"))
    looker = Looker(root)
    assert looker.take().found == looker.take().found and looker.seen == NAMES


def test_now_and_then_it_says_how_far_it_is(root, monkeypatch):
    monkeypatch.setattr("gancore.progress.REPORT_SECONDS", -1.0)
    messages: list[str] = []
    Looker(root).take(announce=messages.append)
    assert messages == [f"  {number} of 4 files inspected" for number in (1, 2, 3, 4)]


def test_folders_deeper_than_the_stack_are_listed(tmp_path):
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(os.open("x.txt", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    try:
        assert list_files(tmp_path).names == ["d/" * 1200 + "x.txt"]
    finally:
        subprocess.run(["rm", "-r", tmp_path / "d"], check=True)  # pytest cannot remove it


def test_a_folder_that_cannot_be_read_is_named(root, monkeypatch):
    scandir = os.scandir

    def refusing(path):
        if Path(path).name == "deep":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    listing = list_files(root)
    assert listing.names == ["a/1.txt", "a/2.txt", "b.txt"]
    assert [name for name, _ in listing.skipped] == ["a/deep/"]


def test_what_a_run_below_the_folder_holds_is_no_data(tmp_path):
    for name in ("a.wav", "runs/first/run.lock", "runs/first/samples/1.wav", "runs/notes/b.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    listing = list_files(tmp_path)
    assert listing.names == ["a.wav", "runs/notes/b.wav"]
    assert [name for name, _ in listing.skipped] == ["runs/first/"]
    assert "1.wav" in list_files(tmp_path / "runs/first/samples").names


def test_files_of_other_kinds_are_counted_by_suffix():
    others = count_other_suffixes(["a.wav", "b.m4a", "c/d.M4A", "metadata.csv", "e"], {".wav"})
    assert others == {".m4a": 2, "": 1}
    assert ".m4a 2" in other_suffix_lines(others)[0] and other_suffix_lines(Counter()) == []


THIRTY = [(f"file {number}", "it is empty") for number in range(30)]


def test_a_few_are_told_in_a_line_and_the_rest_counted():
    assert first_skipped(THIRTY[:2]) == "file 0: it is empty; file 1: it is empty"
    assert first_skipped(THIRTY, most=1) == "file 0: it is empty; and 29 more"


def test_none_is_said():
    assert skipped_lines([], None) == ["skipped: none"]


def test_many_are_listed_in_a_file(tmp_path):
    lines = skipped_lines(THIRTY, tmp_path)
    assert lines[:2] == ["skipped: 30", "  file 0: it is empty"] and len(lines) == 22
    assert lines[-1] == f"  and 10 more, all in {tmp_path / 'skipped.txt'}"
    assert (tmp_path / "skipped.txt").read_text().splitlines() == [
        f"{name}\t{reason}" for name, reason in THIRTY
    ]


def test_a_heading_stands_for_the_count():
    assert skipped_lines(THIRTY[:1], None, "1, alas") == ["skipped: 1, alas", "  file 0: it is empty"]


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path):
    assert len(skipped_lines(THIRTY, tmp_path / "gone")) == 22


@given(st.binary(min_size=1, max_size=20))
def test_any_name_can_be_printed_on_one_line(name):
    text = escape_unprintable(name.decode("utf-8", "surrogateescape"))
    assert text.isprintable() and text.encode()


@given(st.text(st.characters(categories=["L", "N", "P"]), max_size=20))
def test_names_that_are_text_stay_as_they_are(name):
    assert escape_unprintable(name) == name
