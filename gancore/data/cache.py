"""The cache folder: its items, their size and last use, and their deletion.

Only what gancore wrote is listed and deleted: folders at the depths and with the names that gancore uses,
each with its lock file, and files with the names of inventories, evaluations and kernel checks. Other files
stay.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gancore.errors import DataError
from gancore.file_lock import LockedError, file_lock
from gancore.files import LEFTOVER, is_process_alive, remove

LARGE_BYTES = 20 << 30
"""The size above which a warning is printed when the cache grows."""
DAY_SECONDS = 86_400.0
_CACHED_FILE = re.compile(
    r"evaluation/\w+/[0-9a-f]{2}/[0-9a-f]{64}|[\w.-]+/inventories/[0-9a-f]{16}\.json"
    r"|kernels/[0-9a-f]{16}\.json"
)
_CACHED_FOLDER = re.compile(
    r"data/[^/]+|models/[0-9a-f]{32}|evaluation/judges/[^/]+-[0-9a-f]{24}"
    r"|[\w.-]+/[0-9a-f]{24}|[\w.-]+/unpacked/[0-9a-f]{24}"
)
"""Glob patterns of data sets, models and classifiers; of prepared data; of unpacked archives."""
_DEPTHS = ("*", "*/*")
"""Glob patterns of the depths of these folders below the cache."""
_PARTIAL = ".part"
"""Suffix of incomplete downloads and incompletely unpacked archives."""


def cache_folder() -> Path:
    """The cache folder: ``$GANCORE_CACHE``, otherwise a folder in the user's cache folder.

    Raises:
        DataError: the home folder is unknown: HOME is not set, and the user has no entry in the password
            database.
    """
    own, shared = os.environ.get("GANCORE_CACHE"), os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(own).expanduser() if own else Path(shared or "~/.cache").expanduser() / "gancore"
    except RuntimeError as error:
        where = "GANCORE_CACHE" if own else "XDG_CACHE_HOME" if shared else "the user's cache folder"
        raise DataError(
            f"{where} is in the home folder, which is unknown because HOME is not set", "set GANCORE_CACHE"
        ) from error


def data_folder() -> Path:
    """The folder of downloaded data sets."""
    return cache_folder() / "data"


@dataclass(frozen=True)
class CacheItem:
    """One item of the cache: a folder or a file.

    ``used`` is the time of its last use, in seconds since 1970; ``group`` is its parent folder, such as
    ``data`` or ``evaluation/sets``; ``about`` is a description.
    """

    path: Path
    group: str
    size: int
    used: float
    about: str


def cache_items(root: Path | None = None) -> list[CacheItem]:
    """All items of the cache, the largest first."""
    root = cache_folder() if root is None else root
    found = [_folder_item(root, path) for path in _folders(root)]
    listed = {item.path for item in found}
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if Path(folder, name) not in listed]
        places = (Path(folder, name) for name in files)
        found += [
            _file_item(root, path)
            for path in places
            if _CACHED_FILE.fullmatch(path.relative_to(root).as_posix())
        ]
    return sorted(found, key=lambda item: (-item.size, str(item.path)))


def delete_items(items: Iterable[CacheItem]) -> tuple[list[CacheItem], list[CacheItem]]:
    """Delete items. Return those that are deleted and those that another process has locked."""
    gone: list[CacheItem] = []
    held: list[CacheItem] = []
    for item in items:
        try:
            with _locked(item.path):
                remove(item.path)
        except (LockedError, OSError):
            held.append(item)
        else:
            (held if item.path.exists() else gone).append(item)
    return gone, held


def last_used_before(items: Iterable[CacheItem], days: float) -> list[CacheItem]:
    """The items whose last use is more than ``days`` days ago."""
    border = time.time() - days * DAY_SECONDS
    return [item for item in items if item.used < border]


def warn_if_large(announce: Callable[[str], None]) -> None:
    """Announce one line if the cache is larger than LARGE_BYTES."""
    size = sum(item.size for item in cache_items())
    if size > LARGE_BYTES:
        announce(
            f"the cache {cache_folder()} has {size / 2**30:,.0f} GiB; `gancore cache list` lists its items, "
            "`gancore cache clear --unused-for DAYS` deletes old ones"
        )


def _folders(root: Path) -> Iterator[Path]:
    """Folders with a lock file, incomplete folders, and leftovers of killed processes."""
    for place in _DEPTHS:
        for lock in root.glob(f"{place}/*.lock"):
            complete = lock.with_suffix("")
            for folder in (complete, complete.with_name(f"{complete.name}{_PARTIAL}")):
                if _is_cached_folder(root, complete) and folder.is_dir() and not folder.is_symlink():
                    yield folder
    for place in _DEPTHS:
        for path in root.glob(f"{place}/.*"):
            found = LEFTOVER.fullmatch(path.name)
            if not found or not _is_cached_folder(root, path.with_name(found["name"].removesuffix(_PARTIAL))):
                continue
            if path.is_dir() and not is_process_alive(int(found["pid"])):
                yield path


def _is_cached_folder(root: Path, path: Path) -> bool:
    return _CACHED_FOLDER.fullmatch(path.relative_to(root).as_posix()) is not None


def _folder_item(root: Path, path: Path) -> CacheItem:
    inside = [status for status in map(_status, path.rglob("*")) if status is not None]
    size = sum(status.st_size for status in inside)
    own = _status(path)
    last = own.st_mtime if own else 0.0
    if path.suffix == _PARTIAL:  # writing to a file in it does not change the date of the folder
        last = max([last, *(status.st_mtime for status in inside)])
    return CacheItem(path, path.parent.relative_to(root).as_posix(), size, last, _description(path))


def _file_item(root: Path, path: Path) -> CacheItem:
    status = _status(path)
    size, last = (status.st_size, status.st_mtime) if status else (0, 0.0)
    return CacheItem(path, "/".join(path.parent.relative_to(root).parts[:2]), size, last, "")


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except OSError:
        return None


def _description(path: Path) -> str:
    """For prepared data, the number of items and the name of the first; otherwise the name of the folder."""
    if LEFTOVER.fullmatch(path.name):
        return "left by a process that ended"
    if path.suffix == _PARTIAL:
        return f"{path.stem}, incomplete"
    try:
        names = json.loads((path / "table.json").read_text())["names"]
        return f"{len(names):,} prepared, first {names[0]}"
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return path.name


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Context manager that holds the lock of a folder; for a partial folder, that of its final name."""
    lock = path.with_name(f"{path.name.removesuffix(_PARTIAL)}.lock")
    if not lock.is_file():
        yield
        return
    with file_lock(lock):
        yield
