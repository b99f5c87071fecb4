"""From a source to :class:`gancore.Data`: recordings found, prepared, labelled, split, told about."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gancore.data.classes import class_facts, numbered
from gancore.data.inventory import Found
from gancore.data.labels import FileSet, Labels, in_folder, read_labels
from gancore.data.refusal import Refusal, some
from gancore.data.splits import SPLITS, Split, assign_splits, by_split, own_splits
from gancore.data.telling import Announce
from gancore.domain import Data, Source, Spec
from gancore.errors import DataError
from gancore.texts import counted
from gancore_audio.cache import Cache, Preparation, Recording, open_cache
from gancore_audio.config import AudioConfig
from gancore_audio.contract import Account, data_contract
from gancore_audio.cutting import cut, short_windows
from gancore_audio.inventory import take_inventory
from gancore_audio.labels import pitches_of
from gancore_audio.percussion import PITCHES_HZ
from gancore_audio.reading import Block, Clip, read_blocks
from gancore_audio.sources import LAYOUTS, PERCUSSION, Layout
from gancore_audio.windows import ClipView, Sources

__all__ = ["AudioConfig", "ClipView", "data_from_arrays", "open_clips"]

DEFAULT_HIGHEST_RATE_HZ = 16_000
SHORTEST_LENGTH, LONGEST_LENGTH, COVERED = 16, 65_536, 0.75
SHORTEST_PIECE_SECONDS = 0.1


@dataclass(frozen=True)
class Supply:
    """Recordings to prepare: a name for their content, how to get them, and what is known already."""

    content: str
    make: Callable[[], Iterable[Recording]]
    rate_hz: int
    skipped: Sequence[Refusal] = ()
    others: Counter[str] = field(default_factory=Counter)
    root: Path | None = None
    layout: Layout = field(default_factory=Layout)


@dataclass(frozen=True)
class Pieces:
    """What is trained and judged on, by column: clips, or stretches of clips where those are too few."""

    names: list[str]
    """Where a piece is a stretch of a recording, with its times; ``files`` are the recordings' own."""
    files: list[str]
    items: Tensor
    begins: Tensor
    lengths: Tensor
    labels: list[str | None]
    splits: list[Split]
    clips: list[int]
    """The items of the clips that the pieces are of, one for each clip."""


def open_clips(source: Source, config: AudioConfig, announce: Announce = lambda line: None) -> Data:
    """Reads a source: a folder of recordings, one recording, or the built-in percussion.

    Raises:
        DataError: nothing there that can be used.
    """
    supply = _percussion() if source.path is None else _folder(source, config, announce)
    return _open(supply, source, config, announce)


def data_from_arrays(
    clips: Sequence[tuple[str, str | None, Block]],
    rate_hz: int,
    config: AudioConfig | None = None,
    name: str = "arrays",
) -> Data:
    """The same from memory: (name, label or None, samples (time) in [-1, 1]) of each clip."""
    content = hashlib.sha256(repr((name, rate_hz)).encode())
    for clip, label, samples in clips:
        content.update(repr((clip, label)).encode() + samples.tobytes())
    supply = Supply(content.hexdigest(), lambda: _recordings_of(clips, rate_hz), rate_hz)
    return _open(supply, Source(name), config or AudioConfig(), lambda line: None)


def _recordings_of(clips: Iterable[tuple[str, str | None, Block]], from_hz: int) -> Iterator[Recording]:
    for name, label, samples in clips:
        identity = hashlib.sha256(samples.tobytes()).hexdigest()[:32]
        yield Recording(name, identity, len(samples) / from_hz, _resampled(samples, from_hz), label)


def _resampled(samples: Block, from_hz: int) -> Callable[[int], Iterator[Block]]:
    def blocks(rate_hz: int) -> Iterator[Block]:
        import soxr

        yield samples if rate_hz == from_hz else soxr.resample(samples, from_hz, rate_hz)

    return blocks


def _percussion() -> Supply:
    from gancore_audio import percussion

    version = hashlib.sha256(Path(percussion.__file__).read_bytes()).hexdigest()
    rate_hz = percussion.SAMPLE_RATE_HZ
    return Supply(version, lambda: _recordings_of(percussion.synthesize(), rate_hz), rate_hz)


def _folder(source: Source, config: AudioConfig, announce: Announce) -> Supply:
    assert source.path is not None
    layout = LAYOUTS.get(source.entry.name, Layout()) if source.entry else Layout()
    inventory = take_inventory(source.path, layout.keeps, announce)
    content = hashlib.sha256(json.dumps([(found.name, found.identity) for found in inventory.found]).encode())

    def make() -> Iterator[Recording]:
        announce(f"Preparing {len(inventory.found):,} recordings of {source.name}, once")
        return (_recording(inventory.base, found) for found in inventory.found)

    rate_hz = min(inventory.commonest_rate_hz, DEFAULT_HIGHEST_RATE_HZ)
    return Supply(
        content.hexdigest(), make, rate_hz, inventory.skipped, inventory.others, inventory.base, layout
    )


def _recording(base: Path, found: Found[Clip]) -> Recording:
    def blocks(rate_hz: int) -> Iterator[Block]:
        return read_blocks(base / found.name, found.header, rate_hz)

    return Recording(found.name, found.identity, found.header.seconds, blocks)


def _open(supply: Supply, source: Source, config: AudioConfig, announce: Announce) -> Data:
    rate_hz = config.rate_hz or supply.rate_hz
    preparation = Preparation(rate_hz, config.normalize, config.min_seconds, config.silence_db)
    cache = open_cache(supply.content, supply.make, preparation, announce)
    skipped = [*supply.skipped, *((name, reason) for name, reason in cache.table.skipped)]
    if not cache.table.names:
        raise DataError(
            f"none of the {len(skipped)} recordings of {source.name} can be used: {some(skipped)}",
            "give others, or let shorter and softer ones in with data.min_seconds and data.silence_db",
        )
    labels = _labels(supply, cache, config)
    kept = [row for row, label in enumerate(labels.values) if label is not None or not labels.origin]
    skipped += [
        (name, "it has no label")
        for name, label in zip(cache.table.names, labels.values, strict=True)
        if label is None and labels.origin
    ]
    pieces = _pieces(cache, supply, labels, kept, config, rate_hz)
    return _data(source, config, cache, pieces, labels, skipped, supply.others, rate_hz)


def _labels(supply: Supply, cache: Cache, config: AudioConfig) -> Labels:
    """The configuration's way; else the set's own; else as :func:`read_labels` finds."""
    names, own = cache.table.names, cache.table.labels
    if config.labels == "none":
        return Labels([None] * len(names))
    if any(own) or supply.root is None:
        return Labels(own, "the source" if any(own) else "")
    if config.labels == "auto" and not config.label_pattern and not config.label_column:
        told = {"label_pattern": supply.layout.label_pattern, "label_column": supply.layout.label_column}
        config = config.model_copy(update=told)
    return read_labels(FileSet(names, str(supply.root), in_folder(supply.root)), config)


def _pieces(
    cache: Cache, supply: Supply, labels: Labels, kept: list[int], config: AudioConfig, rate_hz: int
) -> Pieces:
    table = cache.table
    names, identities = [table.names[row] for row in kept], [table.identities[row] for row in kept]
    items = torch.tensor([table.items[row] for row in kept])
    lengths, own = cache.packed.lengths[items], [labels.values[row] for row in kept]
    if len(set(identities)) < len(SPLITS):
        return _in_time(names, items, lengths, own, config, rate_hz)
    held_out = ((name, split) for name, split in zip(names, own_splits(names), strict=True))
    fixed = {name: split for name, split in held_out if split in ("valid", "test")}
    fixed |= supply.layout.official_splits(names, supply.root) if supply.root else {}
    splits = _splits(names, identities, fixed, config)
    return Pieces(names, names, items, torch.zeros_like(lengths), lengths, own, splits, items.tolist())


def _splits(
    names: list[str], identities: list[str], fixed: dict[str, Split], config: AudioConfig
) -> list[Split]:
    """By content; where the set fixes a split, equal clips follow, so that none is in two."""
    placed = {
        identity: fixed[name] for name, identity in zip(names, identities, strict=True) if name in fixed
    }
    rest = sorted({identity for identity in identities if identity not in placed})
    taken = set(placed.values())
    shares = (
        1 - config.valid_share - config.test_share,
        0.0 if "valid" in taken else config.valid_share,
        0.0 if "test" in taken else config.test_share,
    )
    placed |= dict(zip(rest, assign_splits(rest, shares), strict=True))
    return [placed[identity] for identity in identities]


def _in_time(
    names: list[str],
    items: Tensor,
    lengths: Tensor,
    labels: list[str | None],
    config: AudioConfig,
    rate_hz: int,
) -> Pieces:
    """One or two recordings: the beginning of each to train on, the end to judge by."""
    shares = (1 - config.valid_share - config.test_share, config.valid_share, config.test_share)
    edges = torch.tensor([0.0, *np.cumsum(shares)], dtype=torch.float64)
    borders = (lengths[:, None] * edges).long()  # (clips, 4)
    begins, sizes = borders[:, :-1].reshape(-1), borders.diff().reshape(-1)
    if int(sizes.min()) < SHORTEST_PIECE_SECONDS * rate_hz:
        raise DataError(
            f"{counted(len(names), 'recording')} can be used, too few for 3 splits and too short to be cut",
            "give at least 3, or longer ones, so that some can be held out",
        )
    told = [
        f"{name} [{begin / rate_hz:.2f}-{(begin + size) / rate_hz:.2f} s]"
        for name, begin, size in zip(np.repeat(names, 3), begins.tolist(), sizes.tolist(), strict=True)
    ]
    repeated = [label for label in labels for _ in SPLITS]
    splits = list(SPLITS) * len(names)
    files = [name for name in names for _ in SPLITS]
    return Pieces(told, files, items.repeat_interleave(3), begins, sizes, repeated, splits, items.tolist())


def _data(
    source: Source,
    config: AudioConfig,
    cache: Cache,
    pieces: Pieces,
    labels: Labels,
    skipped: list[Refusal],
    others: Counter[str],
    rate_hz: int,
) -> Data:
    classes = sorted({label for label in pieces.labels if label is not None})
    length = config.length or _covering(pieces.lengths)
    views: dict[str, ClipView] = {
        split: _view(split, cache, pieces, classes, length, config, rate_hz) for split in SPLITS
    }
    spec: dict[str, Any] = {"rate_hz": rate_hz, "length": length, "channels": 1, "source": source.name}
    spec["licence"] = source.entry.licence if source.entry else ""
    if classes:
        spec |= class_facts(classes, views["train"].labels)
        built_in = source.path is None and source.name == PERCUSSION.name
        if any(pitches := pitches_of(classes, PITCHES_HZ if built_in else {})):
            spec["class_pitches_hz"] = [pitch and list(pitch) for pitch in pitches]
    words = [
        cache.folder.name,
        pieces.names,
        pieces.labels,
        pieces.splits,
        length,
        config.window,
        config.fade_ms,
    ]
    used, left_out = (pieces.clips, pieces.splits, pieces.lengths), (skipped, others)
    account = Account(source, cache, *used, views, classes, labels, *left_out, rate_hz, length, config.window)
    return Data(
        **views,
        spec=Spec(spec),
        contract=data_contract(account),
        fingerprint=hashlib.sha256(json.dumps(words).encode()).hexdigest()[:32],
        splits=by_split(pieces.names, pieces.splits),
    )


def _covering(lengths: Tensor) -> int:
    """The shortest 16 * 4^k that is no shorter than 75 % of the clips, at most 65536."""
    reach = sorted(lengths.tolist())[int(np.ceil(COVERED * len(lengths))) - 1]
    length = SHORTEST_LENGTH
    while length < min(reach, LONGEST_LENGTH):
        length *= 4
    return length


def _view(
    split: Split,
    cache: Cache,
    pieces: Pieces,
    classes: list[str],
    length: int,
    config: AudioConfig,
    rate_hz: int,
) -> ClipView:
    rows = torch.tensor([row for row, own in enumerate(pieces.splits) if own == split], dtype=torch.int64)
    labels = numbered([pieces.labels[row] for row in rows.tolist()], classes)
    packed = cache.packed.part(pieces.items[rows], pieces.begins[rows], pieces.lengths[rows])
    fade_samples = round(config.fade_ms / 1000 * rate_hz)
    whole = len(pieces.clips) == len(pieces.names)
    cuts = cut(packed, length, config.window, short_windows(pieces.lengths, length) if whole else 0)
    sources = Sources([pieces.files[row] for row in rows.tolist()], pieces.begins[rows], rate_hz)
    return ClipView.over(packed, cuts, labels, length, fade_samples, sources)
