"""Recordings decoded once: one channel, one rate, int16, memory-mapped, keyed by content and settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gancore.data import (
    Announce,
    PackedArray,
    PackedArrayWriter,
    PreparedData,
    SkipItem,
    SkippedItem,
    open_prepared,
    store_unique,
)
from gancore_audio.recordings import AudioBlock

FULL_SCALE = 32_768
"""An int16 sample divided by this is in [-1, 1)."""

_FORMAT = 2
_MAX_LEVEL = FULL_SCALE - 1
_MAX_DECODED_SAMPLES = 1 << 22  # a longer recording is decoded twice instead of kept in memory (16 MB)


@dataclass(frozen=True)
class PreprocessConfig:
    """How a recording is changed before it is stored, and which recordings are skipped."""

    sample_rate_hz: int
    normalize: Literal["peak", "none"] = "peak"
    min_seconds: float = 0.01
    silence_db: float = -60.0


@dataclass(frozen=True)
class Recording:
    """A recording to store. ``blocks(sample_rate_hz)`` returns a new iterator of its samples, or raises
    SkipItem."""

    name: str
    content_hash: str
    seconds: float
    blocks: Callable[[int], Iterator[AudioBlock]]
    label: str | None = None


@dataclass(frozen=True)
class ClipIndex:
    """The clips by column; equal recordings share an item of the packed array."""

    names: list[str] = field(default_factory=list)
    identities: list[str] = field(default_factory=list)
    labels: list[str | None] = field(default_factory=list)
    items: list[int] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)
    skipped: list[SkippedItem] = field(default_factory=list)

    def add(self, recording: Recording, item: int, peak: float) -> None:
        self.names.append(recording.name)
        self.identities.append(recording.content_hash)
        self.labels.append(recording.label)
        self.items.append(item)
        self.peaks.append(round(peak, 6))


Cache = PreparedData[ClipIndex]


def open_cache(
    content_hash: str,
    recordings: Callable[[], Iterable[Recording]],
    preparation: PreprocessConfig,
    announce: Announce,
) -> Cache:
    """The preprocessed recordings; ``recordings()`` is called only if no cache for ``content_hash`` exists.

    Raises:
        DataError: the cache cannot be written.
    """

    def build(folder: Path) -> ClipIndex:
        table = ClipIndex()
        with PackedArray.create(folder) as writer:

            def store(recording: Recording) -> tuple[int, float]:
                return _store(writer, recording, preparation)

            for recording, stored in store_unique(recordings(), store, table.skipped, announce, "recordings"):
                table.add(recording, *stored)
        return table

    return open_prepared("audio", [_FORMAT, content_hash, asdict(preparation)], ClipIndex, build, announce)


def _store(
    writer: PackedArrayWriter, recording: Recording, preparation: PreprocessConfig
) -> tuple[int, float]:
    """Append a recording; return its item and its peak before normalisation."""

    fits_in_memory = recording.seconds * preparation.sample_rate_hz <= _MAX_DECODED_SAMPLES
    decoded = list(recording.blocks(preparation.sample_rate_hz)) if fits_in_memory else None

    def blocks() -> Iterable[AudioBlock]:
        return recording.blocks(preparation.sample_rate_hz) if decoded is None else decoded

    peak = _measure_peak(blocks(), preparation)
    gain = _MAX_LEVEL / peak if preparation.normalize == "peak" else float(FULL_SCALE)
    return writer.append(_quantize(block, gain) for block in blocks()), peak


def _measure_peak(blocks: Iterable[AudioBlock], preparation: PreprocessConfig) -> float:
    """The peak. Raises SkipItem if the recording is too short or silent."""
    peak, count = 0.0, 0
    for block in blocks:
        count += block.size
        peak = max(peak, float(np.abs(block).max(initial=0.0)))
    seconds = count / preparation.sample_rate_hz
    if not count or seconds < preparation.min_seconds:
        raise SkipItem(f"it is {seconds * 1000:.3g} ms long, less than data.min_seconds")
    if peak <= 10 ** (preparation.silence_db / 20):
        level = f"{20 * np.log10(peak):.0f} dB" if peak else "zero"
        raise SkipItem(f"it is silent: its peak is {level} (as one channel)")
    return peak


def _quantize(block: AudioBlock, gain: float) -> NDArray[np.int16]:
    return np.rint(block * np.float64(gain)).clip(-_MAX_LEVEL, _MAX_LEVEL).astype(np.int16)
