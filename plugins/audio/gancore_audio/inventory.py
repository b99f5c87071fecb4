"""Which recordings a folder holds, by content; asked once per file, remembered by size and time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gancore.data.sources import cache_folder
from gancore.errors import DataError
from gancore_audio.reading import SUFFIXES, Clip, Refused, find_recordings, inspect

Announce = Callable[[str], None]
_REPORT_SECONDS = 5.0
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Found:
    """A usable recording: its name below the root (with /), its header, a hash of its content."""

    name: str
    clip: Clip
    identity: str


@dataclass(frozen=True)
class Inventory:
    """``found`` below the folder ``base``."""

    base: Path
    found: list[Found]
    skipped: list[tuple[str, str]]
    """(name, reason) of each file that cannot be used."""

    @property
    def commonest_rate_hz(self) -> int:
        """Of equally common rates the highest."""
        counts = Counter(found.clip.rate_hz for found in self.found)
        return max(counts, key=lambda rate_hz: (counts[rate_hz], rate_hz))


def take_inventory(root: Path, keep: Callable[[str], bool], announce: Announce) -> Inventory:
    """Every audio file below ``root`` whose name ``keep`` accepts.

    Raises:
        DataError: no such folder; none that is audio; none that can be used.
    """
    if not root.exists():
        raise DataError(f"no file or folder {root} exists", "check the path")
    base = root.parent if root.is_file() else root
    names = [root.name] if root.is_file() else [name for name in find_recordings(root) if keep(name)]
    if not names:
        raise DataError(
            f"no audio in {root}", f"it should hold files that end in {', '.join(sorted(SUFFIXES))}"
        )
    inventory = _inspect_all(base, names, announce)
    if not inventory.found:
        raise DataError(
            f"none of the {len(names)} audio files in {root} can be used: {_some(inventory.skipped)}",
            "give recordings that other programs can play",
        )
    return inventory


def _some(skipped: list[tuple[str, str]], most: int = 3) -> str:
    told = "; ".join(f"{name}: {reason}" for name, reason in skipped[:most])
    return told + (f"; and {len(skipped) - most} more" if len(skipped) > most else "")


def _inspect_all(base: Path, names: list[str], announce: Announce) -> Inventory:
    memory = _memory_path(base)
    known = _recall(memory)
    seen: dict[str, list[Any]] = {}
    inventory = Inventory(base, [], [])
    reported = time.monotonic()
    for number, name in enumerate(names):
        try:
            seen[name] = row = _describe(base / name, known.get(name))
        except Refused as refused:
            inventory.skipped.append((name, str(refused)))
            continue
        inventory.found.append(Found(name, Clip(*row[3:]), row[2]))
        if time.monotonic() - reported > _REPORT_SECONDS:
            reported = time.monotonic()
            announce(f"  {number:,} of {len(names):,} files looked at")
    if seen != known:
        _remember(memory, seen)
    return inventory


def _describe(path: Path, known: list[Any] | None) -> list[Any]:
    """[size, time, content hash, rate, channels, frames]."""
    try:
        status = path.stat()
        if known is not None and known[:2] == [status.st_size, status.st_mtime_ns]:
            return known
        clip = inspect(path)
        with path.open("rb") as file:
            identity = hashlib.file_digest(file, "sha256").hexdigest()[:32]
    except OSError as error:
        raise Refused(f"it cannot be read ({error.strerror})") from None
    return [status.st_size, status.st_mtime_ns, identity, clip.rate_hz, clip.channels, clip.frames]


def _memory_path(base: Path) -> Path:
    place = hashlib.sha256(os.fsencode(base.resolve())).hexdigest()[:16]
    return cache_folder() / "audio" / "inventories" / f"{place}.json"


def _recall(path: Path) -> dict[str, list[Any]]:
    try:
        remembered = json.loads(path.read_text())
        return remembered["files"] if remembered["format"] == _FORMAT else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _remember(path: Path, files: dict[str, list[Any]]) -> None:
    """Only saves time, so that a cache that cannot be written is no error here."""
    aside = path.with_name(f"{path.name}.{os.getpid()}.part")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(json.dumps({"format": _FORMAT, "files": files}))
        aside.replace(path)
