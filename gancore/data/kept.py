"""What the cache folder holds: how large each item is, when it was last used; removal by age or of all.

Only what gancore itself keeps there is seen: folders in the places and under the names that it gives them,
each with its lock file beside it, and files under the names that inventories, evaluations and checks of
kernels have. Whatever else lies in the folder is left alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gancore.data.sources import cache_folder
from gancore.data.telling import Announce
from gancore.files import LEFTOVER, discard, is_alive
from gancore.locking import LockedError, hold

LARGE_BYTES = 20 << 30
"""A cache of more is told of when something is added to it."""
DAY_SECONDS = 86_400.0
_KEPT_FILE = re.compile(
    r"evaluation/\w+/[0-9a-f]{2}/[0-9a-f]{64}|[\w.-]+/inventories/[0-9a-f]{16}\.json"
    r"|kernels/[0-9a-f]{16}\.json"
)
_KEPT_FOLDER = re.compile(
    r"data/[^/]+|models/[0-9a-f]{32}|evaluation/judges/[^/]+-[0-9a-f]{24}"
    r"|[\w.-]+/[0-9a-f]{24}|[\w.-]+/unpacked/[0-9a-f]{24}"
)
"""Data sets, models and judges; what is prepared of a kind; and its archives, unpacked."""
_PLACES = ("*", "*/*")
"""How deep these lie below the cache."""
_PART = ".part"
"""A folder of this suffix is a download or an archive that is not whole yet."""


@dataclass(frozen=True)
class Kept:
    """One item of the cache: a folder, or a file. ``used``: when it was last used, seconds since 1970.

    ``group``: the folder that it is in, as ``data`` or ``evaluation/sets``; ``about``: what it is.
    """

    path: Path
    group: str
    size: int
    used: float
    about: str


def kept_items(root: Path | None = None) -> list[Kept]:
    """All items of the cache, the largest first."""
    root = cache_folder() if root is None else root
    found = [_folder_item(root, path) for path in _folders(root)]
    taken = {item.path for item in found}
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if Path(folder, name) not in taken]
        places = (Path(folder, name) for name in files)
        found += [_file_item(root, path) for path in places if _is_kept(path.relative_to(root))]
    return sorted(found, key=lambda item: (-item.size, str(item.path)))


def clear(items: Iterable[Kept]) -> tuple[list[Kept], list[Kept]]:
    """Remove items; those that are gone, and those that another process holds."""
    gone: list[Kept] = []
    held: list[Kept] = []
    for item in items:
        try:
            with _locked(item.path):
                discard(item.path)
        except (LockedError, OSError):
            held.append(item)
        else:
            (held if item.path.exists() else gone).append(item)
    return gone, held


def unused_for(items: Iterable[Kept], days: float) -> list[Kept]:
    """Those that were last used more than so many days ago."""
    border = time.time() - days * DAY_SECONDS
    return [item for item in items if item.used < border]


def tell_if_large(announce: Announce) -> None:
    """One line where the cache has grown large."""
    size = sum(item.size for item in kept_items())
    if size > LARGE_BYTES:
        announce(
            f"the cache {cache_folder()} holds {size / 2**30:,.0f} GiB; `gancore cache list` says of what, "
            "`gancore cache clear --unused-for DAYS` frees room"
        )


def _folders(root: Path) -> Iterator[Path]:
    """Folders that a lock stands beside, what is not whole of them, and what dead processes left of such."""
    for place in _PLACES:
        for lock in root.glob(f"{place}/*.lock"):
            whole = lock.with_suffix("")
            for folder in (whole, whole.with_name(f"{whole.name}{_PART}")):
                if _is_kept_folder(root, whole) and folder.is_dir() and not folder.is_symlink():
                    yield folder
    for place in _PLACES:
        for path in root.glob(f"{place}/.*"):
            found = LEFTOVER.fullmatch(path.name)
            if not found or not _is_kept_folder(root, path.with_name(found["name"].removesuffix(_PART))):
                continue
            if path.is_dir() and not is_alive(int(found["pid"])):
                yield path


def _is_kept_folder(root: Path, path: Path) -> bool:
    return _KEPT_FOLDER.fullmatch(path.relative_to(root).as_posix()) is not None


def _is_kept(path: Path) -> bool:
    return _KEPT_FILE.fullmatch(path.as_posix()) is not None


def _folder_item(root: Path, path: Path) -> Kept:
    inside = [status for status in map(_status, path.rglob("*")) if status is not None]
    size = sum(status.st_size for status in inside)
    own = _status(path)
    last = own.st_mtime if own else 0.0
    if path.suffix == _PART:  # bytes are added to a file in it, and its own date stands still
        last = max([last, *(status.st_mtime for status in inside)])
    return Kept(path, path.parent.relative_to(root).as_posix(), size, last, _about(path))


def _file_item(root: Path, path: Path) -> Kept:
    status = _status(path)
    size, last = (status.st_size, status.st_mtime) if status else (0, 0.0)
    return Kept(path, "/".join(path.parent.relative_to(root).parts[:2]), size, last, "")


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except OSError:
        return None


def _about(path: Path) -> str:
    """Of prepared items how many, and the first one's name; else the folder's own name."""
    if LEFTOVER.fullmatch(path.name):
        return "left by a process that ended"
    if path.suffix == _PART:
        return f"{path.stem}, not whole yet"
    try:
        names = json.loads((path / "table.json").read_text())["names"]
        return f"{len(names):,} prepared, first {names[0]}"
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return path.name


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a folder, or of what a part will become, if there is one."""
    lock = path.with_name(f"{path.name.removesuffix(_PART)}.lock")
    if not lock.is_file():
        yield
        return
    with hold(lock):
        yield
