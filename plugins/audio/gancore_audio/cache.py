"""Recordings decoded once: one channel, one rate, int16, memory-mapped, keyed by content and settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gancore.data.packed import Packed, PackedWriter
from gancore.data.prepared import Prepared, each_once, open_prepared
from gancore.data.refusal import Refusal, Refused
from gancore.data.telling import Announce
from gancore_audio.reading import Block

FULL_SCALE = 32_768
"""An int16 sample over this is a sample in [-1, 1)."""

_FORMAT = 2
_LOUDEST = FULL_SCALE - 1
_HELD_SAMPLES = 1 << 22  # a longer recording is decoded twice rather than held (16 MB)


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
    skipped: list[Refusal] = field(default_factory=list)

    def add(self, recording: Recording, item: int, peak: float) -> None:
        self.names.append(recording.name)
        self.identities.append(recording.identity)
        self.labels.append(recording.label)
        self.items.append(item)
        self.peaks.append(round(peak, 6))


Cache = Prepared[Table]


def open_cache(
    content: str, make: Callable[[], Iterable[Recording]], preparation: Preparation, announce: Announce
) -> Cache:
    """The prepared recordings; ``make`` is asked for them only if no cache for ``content`` is there.

    Raises:
        DataError: the cache cannot be written.
    """

    def build(folder: Path) -> Table:
        table = Table()
        with Packed.create(folder) as writer:

            def store(recording: Recording) -> tuple[int, float]:
                return _store(writer, recording, preparation)

            for recording, stored in each_once(make(), store, table.skipped, announce, "recordings"):
                table.add(recording, *stored)
        return table

    return open_prepared("audio", [_FORMAT, content, asdict(preparation)], Table, build, announce)


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
