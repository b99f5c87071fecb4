"""Pictures decoded once: squares of bytes, memory-mapped, keyed by content and settings."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from gancore.data.lock import exclusive
from gancore.data.packed import Packed, PackedWriter
from gancore.data.sources import cache_folder
from gancore.data.splits import Split
from gancore.errors import DataError
from gancore_image.preparing import Picture, Pixels, Preparation, Refused, prepare

_FORMAT = 2
_REPORT_SECONDS = 5.0
_TABLE, _WIDE = "pictures.json", "wide"

Announce = Callable[[str], None]


@dataclass
class Table:
    """The pictures by column; equal ones share an item of the packed set."""

    names: list[str] = field(default_factory=list)
    identities: list[str] = field(default_factory=list)
    labels: list[str | None] = field(default_factory=list)
    splits: list[Split | None] = field(default_factory=list)
    items: list[int] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    """Width and height before preparation."""
    skipped: list[tuple[str, str]] = field(default_factory=list)
    transparent: int = 0
    """How many have alpha."""
    side: int = 0
    channels: int = 0
    classes: list[str] = field(default_factory=list)
    """In the set's own order; empty: it has none."""

    def add(self, picture: Picture, item: int, size: tuple[int, int]) -> None:
        self.names.append(picture.name)
        self.identities.append(picture.identity)
        self.labels.append(picture.label)
        self.splits.append(picture.split)
        self.items.append(item)
        self.sizes.append(size)


@dataclass(frozen=True)
class Made:
    """What a source gives: its pictures, the side that suits them, its order of classes, what it refuses."""

    pictures: Iterable[Picture]
    side: int
    classes: Sequence[str] = ()
    skipped: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Cache:
    folder: Path
    packed: Packed
    table: Table


def open_cache(content: str, make: Callable[[], Made], preparation: Preparation, announce: Announce) -> Cache:
    """The prepared pictures; ``make`` is asked for them only if no cache for ``content`` is there.

    Several processes may call this at once: one builds, the others wait. A killed build leaves nothing.

    Raises:
        DataError: the cache cannot be written.
    """
    words = json.dumps([_FORMAT, content, asdict(preparation)], sort_keys=True)
    folder = cache_folder() / "image" / hashlib.sha256(words.encode()).hexdigest()[:24]
    if cache := _load(folder):  # whole since it has its name; may lie where nobody can write
        return cache
    try:
        with exclusive(folder.with_name(f"{folder.name}.lock"), announce):
            if (cache := _load(folder)) is None:
                _build(folder, make(), preparation, announce)
                cache = _load(folder)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DataError(
                f"the disk is full; the cache {folder} needs room", "free some, or set GANCORE_CACHE"
            ) from None
        raise DataError(
            f"the cache {folder} cannot be written: {error.strerror}", "set GANCORE_CACHE"
        ) from None
    if cache is None:
        raise DataError(f"the cache {folder} cannot be read back", "delete it, or set GANCORE_CACHE")
    return cache


def _load(folder: Path) -> Cache | None:
    """None if it is missing or damaged: then it is built again."""
    try:
        columns = json.loads((folder / _TABLE).read_text())
        return Cache(folder, Packed.open(folder), Table(**columns))
    except (DataError, OSError, ValueError, TypeError):
        return None


def _build(folder: Path, made: Made, preparation: Preparation, announce: Announce) -> None:
    for left_over in folder.parent.glob(f"{folder.name}.part-*"):  # of killed builds: the lock is ours
        shutil.rmtree(left_over, ignore_errors=True)
    aside = folder.with_name(f"{folder.name}.part-{os.getpid()}")
    aside.mkdir(parents=True)
    side = preparation.side or made.side
    preparation = replace(preparation, side=side)
    try:
        with Packed.create(aside / _WIDE, "uint8") as writer:
            table, grey = _store_all(writer, made.pictures, preparation, announce)
        table.channels = preparation.channels or (1 if grey else 3)
        table.side, table.classes = side, list(made.classes)
        table.skipped = [*made.skipped, *table.skipped]
        _settle(aside, narrow=preparation.channels is None and grey, side=side)
        (aside / _TABLE).write_text(json.dumps(asdict(table)))
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _settle(folder: Path, narrow: bool, side: int) -> None:
    """The packed set into its place; ``narrow``: of three equal channels the first."""
    if not narrow:
        for file in (folder / _WIDE).iterdir():
            file.rename(folder / file.name)
    else:
        wide = Packed.open(folder / _WIDE).values.view(-1, 3, side, side)
        with Packed.create(folder, "uint8") as writer:
            for picture in wide:
                writer.append(picture[0].numpy())
    shutil.rmtree(folder / _WIDE)


def _store_all(
    writer: PackedWriter, pictures: Iterable[Picture], preparation: Preparation, announce: Announce
) -> tuple[Table, bool]:
    """The table, and whether every picture is grey."""
    table, grey = Table(), True
    stored: dict[str, tuple[int, tuple[int, int]] | str] = {}  # by identity: item and size, or the refusal
    reported = time.monotonic()
    for number, picture in enumerate(pictures):
        if picture.identity not in stored:
            try:
                image = picture.read()
                pixels = prepare(image, preparation)
                stored[picture.identity] = writer.append(pixels), image.size
                grey = grey and _is_grey(pixels)
                table.transparent += image.mode.endswith("A")
            except Refused as refused:
                stored[picture.identity] = str(refused)
        result = stored[picture.identity]
        if isinstance(result, str):
            table.skipped.append((picture.name, result))
        else:
            table.add(picture, *result)
        if time.monotonic() - reported > _REPORT_SECONDS:
            reported = time.monotonic()
            announce(f"  {number + 1:,} pictures prepared")
    return table, grey


def _is_grey(pixels: Pixels) -> bool:
    return len(pixels) < 3 or (np.array_equal(pixels[0], pixels[1]) and np.array_equal(pixels[0], pixels[2]))
