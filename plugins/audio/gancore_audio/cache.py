"""Recordings decoded once: one channel, one rate, int16, memory-mapped, keyed by content and settings."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gancore.data.lock import exclusive
from gancore.data.packed import Packed, PackedWriter
from gancore.data.sources import cache_folder
from gancore.errors import DataError
from gancore_audio.reading import Block, Refused

FULL_SCALE = 32_768
"""An int16 sample over this is a sample in [-1, 1)."""

_FORMAT = 1
_LOUDEST = FULL_SCALE - 1
_HELD_SAMPLES = 1 << 22  # a longer recording is decoded twice rather than held (16 MB)
_REPORT_SECONDS = 5.0
_TABLE = "clips.json"

Announce = Callable[[str], None]


@dataclass(frozen=True)
class Preparation:
    """What is done to a recording before it is stored, and which ones are left out."""

    rate_hz: int
    normalize: Literal["peak", "none"] = "peak"
    min_seconds: float = 0.01
    silence_db: float = -60.0


@dataclass(frozen=True)
class Recording:
    """Something to store: ``blocks(rate_hz)`` yields its samples anew at each call, or raises Refused."""

    name: str
    identity: str
    seconds: float
    blocks: Callable[[int], Iterator[Block]]
    label: str | None = None


@dataclass(frozen=True)
class Table:
    """The clips by column. Equal recordings share an item of the packed set."""

    names: list[str] = field(default_factory=list)
    identities: list[str] = field(default_factory=list)
    labels: list[str | None] = field(default_factory=list)
    items: list[int] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def add(self, recording: Recording, item: int, peak: float) -> None:
        self.names.append(recording.name)
        self.identities.append(recording.identity)
        self.labels.append(recording.label)
        self.items.append(item)
        self.peaks.append(round(peak, 6))


@dataclass(frozen=True)
class Cache:
    folder: Path
    packed: Packed
    table: Table


def open_cache(
    content: str, make: Callable[[], Iterable[Recording]], preparation: Preparation, announce: Announce
) -> Cache:
    """The prepared recordings; ``make`` is asked for them only if no cache for ``content`` is there.

    Several processes may call this at once: one builds, the others wait. A killed build leaves nothing.

    Raises:
        DataError: the cache cannot be written.
    """
    words = json.dumps([_FORMAT, content, asdict(preparation)], sort_keys=True)
    folder = cache_folder() / "audio" / hashlib.sha256(words.encode()).hexdigest()[:24]
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


def _build(
    folder: Path, recordings: Iterable[Recording], preparation: Preparation, announce: Announce
) -> None:
    for left_over in folder.parent.glob(f"{folder.name}.part-*"):  # of killed builds: the lock is ours
        shutil.rmtree(left_over, ignore_errors=True)
    aside = folder.with_name(f"{folder.name}.part-{os.getpid()}")
    aside.mkdir(parents=True)
    try:
        with Packed.create(aside) as writer:
            table = _store_all(writer, recordings, preparation, announce)
            (aside / _TABLE).write_text(json.dumps(asdict(table)))
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _store_all(
    writer: PackedWriter, recordings: Iterable[Recording], preparation: Preparation, announce: Announce
) -> Table:
    table = Table()
    stored: dict[str, tuple[int, float] | str] = {}  # by identity: (item, peak), or why it was refused
    reported = time.monotonic()
    for number, recording in enumerate(recordings):
        if recording.identity not in stored:
            try:
                stored[recording.identity] = _store(writer, recording, preparation)
            except Refused as refused:
                stored[recording.identity] = str(refused)
        result = stored[recording.identity]
        if isinstance(result, str):
            table.skipped.append((recording.name, result))
        else:
            table.add(recording, *result)
        if time.monotonic() - reported > _REPORT_SECONDS:
            reported = time.monotonic()
            announce(f"  {number + 1:,} recordings prepared")
    return table


def _store(writer: PackedWriter, recording: Recording, preparation: Preparation) -> tuple[int, float]:
    """Appends one recording; its item and its peak before any normalisation."""

    short = recording.seconds * preparation.rate_hz <= _HELD_SAMPLES
    held = list(recording.blocks(preparation.rate_hz)) if short else None

    def blocks() -> Iterable[Block]:
        return recording.blocks(preparation.rate_hz) if held is None else held

    peak = _check(blocks(), preparation)
    gain = _LOUDEST / peak if preparation.normalize == "peak" else float(FULL_SCALE)
    return writer.append(_quantize(block, gain) for block in blocks()), peak


def _check(blocks: Iterable[Block], preparation: Preparation) -> float:
    """The peak; raises Refused for what is too short or silent."""
    peak, count = 0.0, 0
    for block in blocks:
        count += block.size
        peak = max(peak, float(np.abs(block).max(initial=0.0)))
    seconds = count / preparation.rate_hz
    if not count or seconds < preparation.min_seconds:
        raise Refused(f"it is {seconds * 1000:.3g} ms long, less than data.min_seconds")
    if peak <= 10 ** (preparation.silence_db / 20):
        level = f"{20 * np.log10(peak):.0f} dB" if peak else "zero"
        raise Refused(f"it is silent: its peak is {level} (as one channel)")
    return peak


def _quantize(block: Block, gain: float) -> NDArray[np.int16]:
    return np.rint(block * np.float64(gain)).clip(-_LOUDEST, _LOUDEST).astype(np.int16)
