"""The files of a data set with their headers, which are cached until a file changes; skipped items."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Container, Sequence
from dataclasses import astuple, dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from gancore.data.cache import cache_folder
from gancore.data.metadata import METADATA_FILES
from gancore.errors import GancoreError
from gancore.file_lock import RUN_LOCK
from gancore.files import atomic_write, mark_used
from gancore.progress import Announce, throttle
from gancore.text import count_noun, escape_unprintable

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SkippedItem: TypeAlias = tuple[str, str]
"""The name of an item that cannot be used, and the reason."""

LISTED = 20
"""The number of skipped items that are listed; all others are in skipped.txt."""


MAX_ITEM_BYTES = 1 << 29
"""The largest item that is read into memory."""


class SkipItem(Exception):  # noqa: N818 - it is never printed as an error
    """Raised for an item that cannot be used; the message is the reason."""


def first_skipped(skipped: Sequence[SkippedItem], most: int = 3) -> str:
    """The first skipped items and the number of others, in one line."""
    listed = "; ".join(f"{escape_unprintable(name)}: {reason}" for name, reason in skipped[:most])
    return listed + (f"; and {len(skipped) - most} more" if len(skipped) > most else "")


def skipped_lines(skipped: Sequence[SkippedItem], folder: Path, heading: str = "") -> list[str]:
    """Summary lines of the data: the number of skipped items, and the reason for each one.

    Items beyond ``LISTED`` are written to ``skipped.txt`` in ``folder``. ``heading`` replaces the number.
    """
    if not skipped:
        return ["skipped: none"]
    lines = [f"skipped: {heading or f'{len(skipped):,}'}"]
    lines += [f"  {escape_unprintable(name)}: {reason}" for name, reason in skipped[:LISTED]]
    if len(skipped) > LISTED:
        path = folder / "skipped.txt"
        lines.append(f"  and {len(skipped) - LISTED:,} more, all in {path}")
        with contextlib.suppress(OSError):  # the cache may be read-only
            path.write_text("".join(f"{escape_unprintable(name)}\t{reason}\n" for name, reason in skipped))
    return lines


_FORMAT = 3

Header = TypeVar("Header", bound="DataclassInstance")


@dataclass(frozen=True, slots=True)
class InspectedFile(Generic[Header]):
    """A usable file: its path below the root of the data set (with /), header and content hash."""

    name: str
    header: Header
    content_hash: str


@dataclass(frozen=True)
class FileInspector(Generic[Header]):
    """Functions of a file name that inspect a file; they raise SkipItem or OSError for an unusable file.

    ``stat_key`` gives numbers that change when the file changes; ``read_header`` gives the header and a hash
    of the content. ``header`` is the class of the header, a dataclass of JSON values.
    """

    header: type[Header]
    stat_key: Callable[[str], list[int]]
    read_header: Callable[[str], tuple[Header, str]]


@dataclass
class Inventory(Generic[Header]):
    """The usable files, in order, and the skipped files."""

    found: list[InspectedFile[Header]] = field(default_factory=list)
    skipped: list[SkippedItem] = field(default_factory=list)


def build_inventory(
    kind: str,
    location: Path | str,
    names: Sequence[str],
    inspector: FileInspector[Header],
    announce: Announce,
) -> Inventory[Header]:
    """Inspect every file of ``names``; a file with an unchanged ``stat_key`` is not read again.

    The index of the data set at ``location``, a path or any text that names it, is stored in the folder
    ``kind`` of the cache.
    """
    index = _index_file(kind, location)
    previous, current = _read_index(index), {}
    if previous:
        mark_used(index)
    inventory: Inventory[Header] = Inventory()
    report = throttle(announce)
    for number, name in enumerate(names, start=1):
        try:
            current[name] = record = _record(name, inspector, previous.get(name))
            inventory.found.append(
                InspectedFile(name, inspector.header(*record["header"]), record["identity"])
            )
        except SkipItem as skipped:
            inventory.skipped.append((name, str(skipped)))
        report(f"  {number:,} of {len(names):,} files inspected")
    if current != previous:
        _write_index(index, current)
    return inventory


def _record(name: str, inspector: FileInspector[Header], previous: dict[str, Any] | None) -> dict[str, Any]:
    try:
        stat_key = inspector.stat_key(name)
        if previous is not None and previous["stamp"] == stat_key:
            return previous
        header, content_hash = inspector.read_header(name)
    except OSError as error:
        raise SkipItem(f"it cannot be read ({error.strerror})") from None
    return {"stamp": stat_key, "header": list(astuple(header)), "identity": content_hash}


def _index_file(kind: str, location: Path | str) -> Path:
    place = location.resolve() if isinstance(location, Path) else location
    name = hashlib.sha256(os.fsencode(place)).hexdigest()[:16]
    return cache_folder() / kind / "inventories" / f"{name}.json"


def _read_index(path: Path) -> dict[str, dict[str, Any]]:
    try:
        content = json.loads(path.read_text())
        return content["files"] if content["format"] == _FORMAT else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _write_index(path: Path, files: dict[str, dict[str, Any]]) -> None:
    """Write the index. A cache that is not writable is not an error: the index only saves time."""
    with contextlib.suppress(OSError, GancoreError):
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, json.dumps({"format": _FORMAT, "files": files}))


def file_stat_key(status: os.stat_result) -> list[int]:
    """Numbers that change when a file is written or replaced, also by a file of equal size and date.

    A program can set a file's modification time, but neither its status change time nor its inode.
    """
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


@dataclass(frozen=True)
class FolderListing:
    """The files below a folder: their sorted names (with /), and the skipped folders."""

    names: list[str]
    skipped: list[SkippedItem]


def list_files(root: Path) -> FolderListing:
    """List all files below ``root`` that are not hidden. A folder is entered once, also if links lead to it.

    Run folders below ``root`` are skipped: their files are generated samples.
    """
    names: list[str] = []
    skipped: list[SkippedItem] = []
    entered: set[tuple[int, int]] = set()
    waiting = [""]
    while waiting:
        below = waiting.pop()
        try:
            status = os.stat(root / below)
            if (status.st_dev, status.st_ino) in entered:
                continue
            entered.add((status.st_dev, status.st_ino))
            with os.scandir(root / below) as entries:
                shown = sorted(
                    (entry for entry in entries if not is_hidden(entry.name)), key=attrgetter("name")
                )
        except OSError as error:
            skipped.append((below or str(root), f"the folder cannot be read ({error.strerror})"))
            continue
        if below and any(entry.name == RUN_LOCK for entry in shown):
            skipped.append((below, "it is a run folder, whose files are generated"))
            continue
        folders = {entry.name for entry in shown if _is_folder(entry)}
        names += [below + entry.name for entry in shown if entry.name not in folders]
        waiting += [f"{below}{name}/" for name in sorted(folders, reverse=True)]
    return FolderListing(sorted(names), skipped)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def count_other_suffixes(names: Sequence[str], suffixes: Container[str]) -> Counter[str]:
    """The number of files with other suffixes, by suffix, without metadata files."""
    kinds = (os.path.splitext(name)[1].lower() for name in names if name not in METADATA_FILES)
    return Counter(kind for kind in kinds if kind not in suffixes)


def other_suffix_lines(others: Counter[str]) -> list[str]:
    """The summary line about files with other suffixes; empty if there are none."""
    if not others:
        return []
    shown = ", ".join(f"{escape_unprintable(kind) or 'no suffix'} {n:,}" for kind, n in others.most_common(6))
    more = ", ..." if len(others) > 6 else ""
    return [f"not used: {count_noun(others.total(), 'file')} of other kinds by suffix ({shown}{more})"]


def is_hidden(name: str) -> bool:
    """Whether the name begins with a dot, or with the name of the folder that macOS adds to archives."""
    return name.startswith((".", "__MACOSX"))
