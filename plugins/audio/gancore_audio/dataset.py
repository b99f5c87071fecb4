"""Open a source: find, preprocess, label and split its recordings, and summarise them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gancore import Data, Source, Spec
from gancore.data import (
    SPLITS,
    Announce,
    Labels,
    SkippedItem,
    Split,
    assign_splits,
    class_fields,
    class_indices,
    first_skipped,
    group_by_split,
    other_suffix_lines,
    skipped_lines,
)
from gancore.errors import DataError
from gancore.text import count_noun
from gancore_audio.config import AudioConfig
from gancore_audio.ffmpeg import missing_decoder_lines
from gancore_audio.percussion import PITCHES_HZ
from gancore_audio.preprocess import Cache, PreprocessConfig, open_cache
from gancore_audio.recordings import AudioBlock
from gancore_audio.segments import ClipOrigins, Crop, SegmentView, find_segments, short_clip_segments
from gancore_audio.sources import PERCUSSION, AudioSource, class_pitches, recordings_of_arrays, resolve_audio

SHORTEST_LENGTH, LONGEST_LENGTH, COVERED_SHARE = 16, 65_536, 0.75
MIN_SEGMENT_SECONDS = 0.1
MIN_REPORTED_SHARE = 0.005
"""Shares of nearly silent segments below this are not reported."""


@dataclass(frozen=True)
class SegmentTable:
    """Examples before segments are cut, by column: clips, or parts of clips if there are too few clips."""

    names: list[str]
    """Of a part of a recording with its times; ``files`` are the names of the recordings."""
    files: list[str]
    cache_items: Tensor
    starts: Tensor
    lengths: Tensor
    labels: list[str | None]
    splits: list[Split]
    clips: list[int]
    """The cache items of the clips that are used, one per clip; equal clips share an item."""


def open_audio(source: Source, config: AudioConfig, announce: Announce = lambda line: None) -> Data:
    """Open a source: a folder or shards of recordings, one recording, or the built-in percussion.

    Raises:
        DataError: no recording can be used.
    """
    audio_source = resolve_audio(source, config, announce)
    return _build(audio_source, source, config, announce)


def data_from_arrays(
    clips: Sequence[tuple[str, str | None, AudioBlock]],
    sample_rate_hz: int,
    config: AudioConfig | None = None,
    name: str = "arrays",
) -> Data:
    """Data from memory: (name, label or None, samples (time) in [-1, 1]) of each clip."""
    content = hashlib.sha256(repr((name, sample_rate_hz)).encode())
    for clip, label, samples in clips:
        content.update(repr((clip, label)).encode() + samples.tobytes())
    audio_source = AudioSource(
        content.hexdigest(), lambda: recordings_of_arrays(clips, sample_rate_hz), sample_rate_hz
    )
    return _build(audio_source, Source(name), config or AudioConfig(), lambda line: None)


def _build(audio_source: AudioSource, source: Source, config: AudioConfig, announce: Announce) -> Data:
    sample_rate_hz = config.sample_rate_hz or audio_source.sample_rate_hz
    preparation = PreprocessConfig(sample_rate_hz, config.normalize, config.min_seconds, config.silence_db)
    cache = open_cache(audio_source.content_hash, audio_source.recordings, preparation, announce)
    skipped = [*audio_source.skipped, *((name, reason) for name, reason in cache.metadata.skipped)]
    if not cache.metadata.names:
        raise DataError(
            f"none of the {len(skipped)} recordings of {source.name} can be used: {first_skipped(skipped)}",
            "give other recordings, or lower data.min_seconds and data.silence_db",
        )
    labels = _choose_labels(audio_source, cache, config)
    kept = [row for row, label in enumerate(labels.values) if label is not None or not labels.source]
    skipped += [
        (name, "it has no label")
        for name, label in zip(cache.metadata.names, labels.values, strict=True)
        if label is None and labels.source
    ]
    segments = _segment_table(cache, audio_source, labels, kept, config, sample_rate_hz)
    return _make_data(source, config, audio_source, cache, segments, labels, skipped, sample_rate_hz)


def _choose_labels(audio_source: AudioSource, cache: Cache, config: AudioConfig) -> Labels:
    """Labels as configured; else those of the set; else those that :func:`read_labels` finds."""
    names, own_labels = cache.metadata.names, cache.metadata.labels
    if config.labels == "none":
        return Labels([None] * len(names))
    if any(own_labels) or audio_source.files is None:
        return Labels(own_labels, "the source" if any(own_labels) else "")
    if config.labels == "auto" and not config.label_pattern and not config.label_column:
        layout_settings = {
            "label_pattern": audio_source.layout.label_pattern,
            "label_column": audio_source.layout.label_column,
        }
        config = config.model_copy(update=layout_settings)
    return audio_source.files.labels(names, config)


def _segment_table(
    cache: Cache,
    audio_source: AudioSource,
    labels: Labels,
    kept: list[int],
    config: AudioConfig,
    sample_rate_hz: int,
) -> SegmentTable:
    table = cache.metadata
    names, identities = [table.names[row] for row in kept], [table.identities[row] for row in kept]
    items = torch.tensor([table.items[row] for row in kept])
    lengths = cache.packed.lengths[items]
    row_labels = [labels.values[row] for row in kept]
    if len(set(identities)) < len(SPLITS):
        return _split_in_time(names, items, lengths, row_labels, config, sample_rate_hz)
    official = audio_source.layout.official_splits(names, audio_source.files) if audio_source.files else {}
    splits = _assign_splits(names, identities, official, config)
    return SegmentTable(
        names, names, items, torch.zeros_like(lengths), lengths, row_labels, splits, items.tolist()
    )


def _assign_splits(
    names: list[str], identities: list[str], official: dict[str, Split], config: AudioConfig
) -> list[Split]:
    """Splits by content; official splits also apply to equal clips, so that none is in two splits."""
    by_hash = {
        identity: official[name] for name, identity in zip(names, identities, strict=True) if name in official
    }
    rest = sorted({identity for identity in identities if identity not in by_hash})
    official_splits = set(by_hash.values())
    shares = (
        1 - config.valid_fraction - config.test_fraction,
        0.0 if "valid" in official_splits else config.valid_fraction,
        0.0 if "test" in official_splits else config.test_fraction,
    )
    by_hash |= dict(zip(rest, assign_splits(rest, shares), strict=True))
    return [by_hash[identity] for identity in identities]


def _split_in_time(
    names: list[str],
    items: Tensor,
    lengths: Tensor,
    labels: list[str | None],
    config: AudioConfig,
    sample_rate_hz: int,
) -> SegmentTable:
    """Split one or two recordings in time: the beginning is train, the end valid and test."""
    shares = (1 - config.valid_fraction - config.test_fraction, config.valid_fraction, config.test_fraction)
    edges = torch.tensor([0.0, *np.cumsum(shares)], dtype=torch.float64)
    borders = (lengths[:, None] * edges).long()  # (clips, 4)
    begins, sizes = borders[:, :-1].reshape(-1), borders.diff().reshape(-1)
    if int(sizes.min()) < MIN_SEGMENT_SECONDS * sample_rate_hz:
        raise DataError(
            f"{count_noun(len(names), 'recording')} can be used: too few for 3 splits,"
            " and too short to divide",
            "give at least 3 recordings, or longer ones",
        )
    segment_names = [
        f"{name} [{begin / sample_rate_hz:.2f}-{(begin + size) / sample_rate_hz:.2f} s]"
        for name, begin, size in zip(np.repeat(names, 3), begins.tolist(), sizes.tolist(), strict=True)
    ]
    repeated = [label for label in labels for _ in SPLITS]
    splits = list(SPLITS) * len(names)
    files = [name for name in names for _ in SPLITS]
    return SegmentTable(
        segment_names, files, items.repeat_interleave(3), begins, sizes, repeated, splits, items.tolist()
    )


def _make_data(
    source: Source,
    config: AudioConfig,
    audio_source: AudioSource,
    cache: Cache,
    segments: SegmentTable,
    labels: Labels,
    skipped: list[SkippedItem],
    sample_rate_hz: int,
) -> Data:
    classes = sorted({label for label in segments.labels if label is not None})
    length = config.length or _covering_length(segments.lengths)
    views: dict[str, SegmentView] = {
        split: _make_view(split, cache, segments, classes, length, config, sample_rate_hz) for split in SPLITS
    }
    spec = {"sample_rate_hz": sample_rate_hz, "length": length, "channels": 1, **_source_fields(source)}
    if classes:
        spec |= class_fields(classes, views["train"].labels) | _pitch_fields(source, classes)
    content = [cache.folder.name, segments.names, segments.labels, segments.splits]
    parts = [*content, length, config.crop, config.fade_ms]
    summary = [
        _source_line(source, segments, sample_rate_hz),
        f"rate: {sample_rate_hz:,} Hz, 1 channel (mean), int16, {cache.packed.size_mb:,.1f} MiB in the cache",
        _peak_line(cache),
        labels.summary_line(classes),
        _segments_line(segments.lengths, views["train"], sample_rate_hz),
        *_crop_lines(views, config.crop),
        _splits_line(segments.splits, views),
        *other_suffix_lines(audio_source.other_suffixes),
        *missing_decoder_lines(audio_source.other_suffixes),
        *_skipped_lines(skipped, cache),
    ]
    return Data(
        **views,
        spec=Spec(spec),
        summary=summary,
        fingerprint=hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32],
        splits=group_by_split(segments.names, segments.splits),
    )


def _source_fields(source: Source) -> dict[str, Any]:
    return {"source": source.name, "licence": source.entry.licence if source.entry else ""}


def _pitch_fields(source: Source, classes: list[str]) -> dict[str, Any]:
    """``class_pitches_hz``, if the pitch of a class is known."""
    built_in = source.path is None and source.name == PERCUSSION.name
    pitches = class_pitches(classes, PITCHES_HZ if built_in else {})
    return {"class_pitches_hz": [pitch and list(pitch) for pitch in pitches]} if any(pitches) else {}


def _covering_length(lengths: Tensor) -> int:
    """The smallest 16 * 4^k that covers 75 % of the clips, at most 65536."""
    covered_length = sorted(lengths.tolist())[int(np.ceil(COVERED_SHARE * len(lengths))) - 1]
    length = SHORTEST_LENGTH
    while length < min(covered_length, LONGEST_LENGTH):
        length *= 4
    return length


def _make_view(
    split: Split,
    cache: Cache,
    segments: SegmentTable,
    classes: list[str],
    length: int,
    config: AudioConfig,
    sample_rate_hz: int,
) -> SegmentView:
    rows = torch.tensor(
        [row for row, row_split in enumerate(segments.splits) if row_split == split], dtype=torch.int64
    )
    labels = class_indices([segments.labels[row] for row in rows.tolist()], classes)
    packed = cache.packed.slices(segments.cache_items[rows], segments.starts[rows], segments.lengths[rows])
    fade_samples = round(config.fade_ms / 1000 * sample_rate_hz)
    whole = len(segments.clips) == len(segments.names)
    found = find_segments(
        packed, length, config.crop, short_clip_segments(segments.lengths, length) if whole else 0
    )
    origins = ClipOrigins(
        [segments.files[row] for row in rows.tolist()], segments.starts[rows], sample_rate_hz
    )
    return SegmentView.from_clips(packed, found, labels, length, fade_samples, origins)


def _source_line(source: Source, segments: SegmentTable, sample_rate_hz: int) -> str:
    seconds, count = int(segments.lengths.sum()) / sample_rate_hz, len(segments.clips)
    distinct = len(set(segments.clips))
    copies = f" ({distinct:,} distinct)" if distinct < count else ""
    licence = f", licence {source.entry.licence}" if source.entry else ""
    return f"data: {source.name}, {count_noun(count, 'clip')}{copies}, {_duration(seconds)}{licence}"


def _peak_line(cache: Cache) -> str:
    peaks = 20 * np.log10(np.asarray(cache.metadata.peaks).clip(1e-9))
    loud = int((peaks > -0.01).sum())
    return (
        f"peak: median {np.median(peaks):.1f} dB, from {peaks.min():.1f} to {peaks.max():.1f} dB, "
        f"{count_noun(loud, 'clip')} at or above full scale; before preprocessing"
    )


def _segments_line(lengths: Tensor, train: SegmentView, sample_rate_hz: int) -> str:
    fits = float((lengths <= train.length).float().mean())
    seconds = train.length / sample_rate_hz
    return (
        f"segments: {train.length:,} samples ({seconds:.3g} s), {fits:.0%} of the clips fit in one; "
        f"padding {padding_share(train):.0%}"
    )


def _crop_lines(views: Mapping[str, SegmentView], crop: Crop) -> list[str]:
    """Where segments are cut from longer clips, and how many are nearly silent."""
    found = [view.segments for view in views.values()]
    counts = ((s.n_longer, s.n_at_start, s.n_checked, s.n_silent_starts) for s in found)
    longer, at_start, checked, silent_starts = map(sum, zip(*counts, strict=True))
    if not longer:
        return []
    where = [f"{at_start:,} at their start"] if at_start else []
    where += [f"{longer - at_start:,} anywhere"] if at_start < longer else []
    lines = [f"cuts: of {count_noun(longer, 'clip')} longer than a segment {' and '.join(where)}"]
    share = views["train"].segments.silent_share
    of, about = (f" of the {checked:,} checked", "about ") if checked < longer else ("", "")
    if crop == "start" and silent_starts:
        silent = f"{count_noun(silent_starts, 'segment')}{of} nearly silent"
        lines.append(f"{silent}; data.crop=auto cuts audible segments only")
    elif crop == "random" and share >= MIN_REPORTED_SHARE:
        lines.append(f"{about}{share:.0%} of the segments are nearly silent; data.crop=auto leaves them out")
    elif crop == "auto" and share >= MIN_REPORTED_SHARE and at_start < longer:
        lines.append("near silence is left out")
    return ["; ".join(lines)]


def padding_share(view: SegmentView) -> float:
    """The mean share of a segment that is padded with zeros."""
    lengths = view.packed.lengths[view.segments.clips].clamp(max=view.length)
    return 1.0 - float(lengths.double().mean()) / view.length


def _splits_line(splits: Sequence[Split], views: Mapping[str, SegmentView]) -> str:
    segments = {split: count_noun(len(views[split]), "segment") for split in SPLITS}
    counts = (f"{splits.count(split):,} {split} ({segments[split]})" for split in SPLITS)
    return f"splits: {', '.join(counts)}"


def _skipped_lines(skipped: Sequence[SkippedItem], cache: Cache) -> list[str]:
    silent = sum("silent" in reason for _, reason in skipped)
    return skipped_lines(
        skipped, cache.folder, f"{count_noun(len(skipped), 'file')}, {silent:,} of them silent"
    )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
