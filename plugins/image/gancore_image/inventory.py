"""Which pictures a folder or an archive holds, by content; asked once per file, remembered by its stamp."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gancore.data.sources import cache_folder
from gancore.errors import DataError
from gancore_image.files import Files
from gancore_image.preparing import Refused
from gancore_image.reading import SUFFIXES, Header, inspect

Announce = Callable[[str], None]
_REPORT_SECONDS = 5.0
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Found:
    """A picture: its name, its header, a hash of its content."""

    name: str
    header: Header
    identity: str


@dataclass
class Inventory:
    files: Files
    found: list[Found] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    """(name, reason) of each file that cannot be used."""
    others: Counter[str] = field(default_factory=Counter)
    """How many files were passed over as no pictures, by their suffix."""


def take_inventory(files: Files, announce: Announce) -> Inventory:
    """Every picture of ``files``.

    Raises:
        DataError: none that looks like a picture; none that can be used.
    """
    inventory = Inventory(files, skipped=list(files.refused))
    names = [name for name in files.names if _suffix(name) in SUFFIXES]
    inventory.others.update(_suffix(name) for name in files.names if _suffix(name) not in SUFFIXES)
    _inspect_all(inventory, names, announce)
    if not inventory.found and not inventory.skipped:
        raise DataError(
            f"no pictures in {files.place}", f"it should hold files that end in {', '.join(sorted(SUFFIXES))}"
        )
    if not inventory.found:
        raise DataError(
            f"none of the {len(inventory.skipped)} pictures in {files.place} can be used: "
            f"{some(inventory.skipped)}",
            "give pictures that other programs can show",
        )
    return inventory


def some(skipped: list[tuple[str, str]], most: int = 3) -> str:
    told = "; ".join(f"{name}: {reason}" for name, reason in skipped[:most])
    return told + (f"; and {len(skipped) - most} more" if len(skipped) > most else "")


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _inspect_all(inventory: Inventory, names: list[str], announce: Announce) -> None:
    memory = _memory_path(inventory.files.place)
    known, seen = _recall(memory), {}
    reported = time.monotonic()
    for number, name in enumerate(names):
        try:
            seen[name] = row = _describe(inventory.files, name, known.get(name))
            inventory.found.append(Found(name, Header(*row["header"]), row["identity"]))
        except Refused as refused:
            inventory.skipped.append((name, str(refused)))
        if time.monotonic() - reported > _REPORT_SECONDS:
            reported = time.monotonic()
            announce(f"  {number:,} of {len(names):,} files looked at")
    if seen != known:
        _remember(memory, seen)


def _describe(files: Files, name: str, known: dict[str, Any] | None) -> dict[str, Any]:
    stamp = files.stamp(name)
    if known is not None and known["stamp"] == stamp:
        return known
    content = files.read(name)
    header = inspect(content)
    identity = hashlib.sha256(content).hexdigest()[:32]
    return {
        "stamp": stamp,
        "identity": identity,
        "header": [header.width, header.height, header.animated],
    }


def _memory_path(place: Path) -> Path:
    name = hashlib.sha256(os.fsencode(place.resolve())).hexdigest()[:16]
    return cache_folder() / "image" / "inventories" / f"{name}.json"


def _recall(path: Path) -> dict[str, dict[str, Any]]:
    try:
        remembered = json.loads(path.read_text())
        return remembered["files"] if remembered["format"] == _FORMAT else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _remember(path: Path, files: dict[str, dict[str, Any]]) -> None:
    """Only saves time, so that a cache that cannot be written is no error here."""
    aside = path.with_name(f"{path.name}.{os.getpid()}.part")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(json.dumps({"format": _FORMAT, "files": files}))
        aside.replace(path)
