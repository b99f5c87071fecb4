"""Segments of clips: where they may begin, and one split of them as keyed batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gancore import Batch, View
from gancore.data import PackedArray
from gancore.random import Key
from gancore_audio.preprocess import FULL_SCALE

Crop: TypeAlias = Literal["auto", "random", "start"]
Starts: TypeAlias = NDArray[np.int64]

NEAR_SILENCE_DB = -40.0
"""A segment is nearly silent if its peak, relative to that of its clip, is at most this."""
BLOCKS = 32
"""Number of blocks in which the level of a segment is measured."""
BLOCKS_AT_ONCE = 1 << 18
"""Longer clips are processed in parts."""
MAX_SAMPLES_CHECKED = 1 << 24
"""Samples checked for the summary, from clips all over the set, if segments do not depend on them."""
SHORT_CLIP_SEGMENTS, SHORT_ONE_SHOT_SEGMENTS, ONE_SHOT_SHARE = 2, 4, 0.75
"""``auto`` cuts clips of fewer segments at their start; the second, if this share of clips fits in one."""


@dataclass(frozen=True)
class Segments:
    """Example i is cut from clip ``clips[i]``, with a start in ``first_starts[i]`` to ``last_starts[i]``.

    ``n_longer`` clips are longer than a segment; ``n_at_start`` of them are cut at their start.
    ``silent_share`` (of all starts) and ``n_silent_starts`` (of clips) are measured on ``n_checked`` clips.
    """

    clips: Tensor
    first_starts: Tensor
    last_starts: Tensor
    n_longer: int = 0
    n_at_start: int = 0
    n_checked: int = 0
    silent_share: float = 0.0
    n_silent_starts: int = 0


def short_clip_segments(lengths: Tensor, length: int) -> int:
    """Clips of fewer segments of ``length`` samples are cut at their start, in a set of these lengths (n).

    If most clips fit in one segment, the set consists of single sounds, and longer ones decay.
    """
    one_shots = float((lengths <= length).double().mean()) >= ONE_SHOT_SHARE
    return SHORT_ONE_SHOT_SEGMENTS if one_shots else SHORT_CLIP_SEGMENTS


def find_segments(packed: PackedArray, length: int, crop: Crop, short: int = 0) -> Segments:
    """Where segments of ``length`` samples are cut from the clips of ``packed``.

    ``start``: one segment per clip, at its start. ``random``: a clip of k segments counts as k examples, and
    example j starts in the j-th of k equal ranges. ``auto``: a clip of fewer than ``short`` segments is cut
    at its start, or at the onset of its sound if it is nearly silent before; a longer one as with ``random``,
    in the ranges in which segments are not nearly silent. Only ``auto`` reads every sample.
    """
    max_start = (packed.lengths - length).clamp(min=0)
    longer = max_start.nonzero().flatten()
    checked, samples = longer, packed.lengths[longer]
    if crop != "auto":
        checked, samples = _subsample_clips(checked, samples)
    audible = _audible_ranges(packed, checked, samples, length)
    first_ranges = audible[_first_of_each(audible[:, 0])]  # of each checked clip, (n, 3)
    limit = {"start": torch.iinfo(torch.int64).max, "random": 0, "auto": short * length}[crop]
    at_start = packed.lengths < limit
    if crop == "auto":
        ranges = _audible_segments(audible, first_ranges, at_start, max_start, length)
    else:
        ranges = torch.stack([torch.arange(len(max_start)), 0 * max_start, max_start.where(~at_start, 0)], 1)
    starts = int((samples - length + 1).sum())
    silent = starts - int((audible[:, 2] - audible[:, 1] + 1).sum())
    return Segments(
        *_divide(ranges, length),
        n_longer=len(longer),
        n_at_start=int((at_start & (max_start > 0)).sum()),
        n_checked=len(checked),
        silent_share=silent
        * int((max_start[longer] + 1).sum())
        / max(1, starts * int((max_start + 1).sum())),
        n_silent_starts=int((first_ranges[:, 1] > 0).sum()),
    )


def _subsample_clips(clips: Tensor, samples: Tensor) -> tuple[Tensor, Tensor]:
    """Some clips from all over the set, and how many samples of each to check."""
    total = int(samples.sum())
    if total <= MAX_SAMPLES_CHECKED:
        return clips, samples
    count = max(1, len(clips) * MAX_SAMPLES_CHECKED // total)
    chosen = torch.arange(count) * len(clips) // count
    return clips[chosen], samples[chosen].clamp(max=MAX_SAMPLES_CHECKED // count)


def _audible_ranges(packed: PackedArray, clips: Tensor, samples: Tensor, length: int) -> Tensor:
    """Clip, first and last start, (k, 3), of the audible ranges (:func:`_audible_starts`) of these clips."""
    found = [np.empty((0, 3), dtype=np.int64)]
    for clip, count in zip(clips.tolist(), samples.tolist(), strict=True):
        begin = int(packed.offsets[clip])
        firsts, lasts = _audible_starts(packed.values[begin : begin + count].numpy(), length)
        found.append(np.stack([np.full_like(firsts, clip), firsts, lasts], axis=1))
    return torch.from_numpy(np.concatenate(found))


def _first_of_each(clips: Tensor) -> Tensor:
    """Whether each of these values (n, ascending) is the first of its value."""
    return torch.cat([torch.ones_like(clips[:1], dtype=torch.bool), clips[1:] != clips[:-1]])


def _audible_segments(
    audible: Tensor, first_ranges: Tensor, at_start: Tensor, max_start: Tensor, length: int
) -> Tensor:
    """The ranges of ``auto``, (k, 3), ascending by clip.

    Clips ``at_start`` start there, unless the segment there is nearly silent: then at the first block that is
    not.
    """
    clips, first, _ = first_ranges.unbind(1)
    begin = torch.minimum(first + length - _block_length(length), max_start[clips]).where(first > 0, 0)
    onsets = torch.stack([clips, begin, begin], 1)[at_start[clips]]
    short = torch.nn.functional.pad((max_start == 0).nonzero(), (0, 2))
    rows = torch.cat([audible[~at_start[audible[:, 0]]], onsets, short])
    return rows[rows[:, 0].argsort(stable=True)]


def _divide(ranges: Tensor, length: int) -> tuple[Tensor, Tensor, Tensor]:
    """Clips, first_starts and last_starts of equal parts of each range (k, 3).

    A range has as many parts as whole segments fit in the samples that it covers.
    """
    clips, firsts, lasts = ranges.unbind(1)
    max_start = lasts - firsts
    counts = max_start // length + 1
    which, ends = torch.repeat_interleave(counts), counts.cumsum(0)
    index = torch.arange(len(which)) - (ends - counts)[which]
    first_starts = firsts[which] + max_start[which] * index // counts[which]
    last_starts = first_starts.roll(-1)
    last_starts[ends - 1] = lasts
    return clips[which], first_starts, last_starts


def _audible_starts(values: NDArray[np.int16], length: int) -> tuple[Starts, Starts]:
    """First and last of the ranges of starts whose segments contain a whole block that is not nearly silent.

    Both are included; ranges ascend and do not touch. The whole clip, if all of it is zero.
    """
    block, max_start = _block_length(length), len(values) - length
    parts = range(0, len(values), block * BLOCKS_AT_ONCE)
    peak = max(_peak(values[at : at + parts.step]) for at in parts)
    if not peak:
        return np.array([0]), np.array([max_start])
    found = []
    for at in parts:
        loud = at + _loud_blocks(values[at : at + parts.step], block, peak * 10 ** (NEAR_SILENCE_DB / 20))
        ends = np.minimum(loud + block, len(values))
        found.append(_merge_ranges(np.maximum(ends - length, 0), np.minimum(loud, max_start)))
    firsts, lasts = zip(*found, strict=True)
    return _merge_ranges(np.concatenate(firsts), np.concatenate(lasts))


def _block_length(length: int) -> int:
    return max(1, length // BLOCKS)


def _peak(values: NDArray[np.int16]) -> int:
    return max(int(values.max()), -int(values.min()))


def _loud_blocks(values: NDArray[np.int16], block: int, level: float) -> Starts:
    """Starts of the blocks that have an absolute value over ``level``."""
    edges = np.arange(0, len(values), block)
    low, high = (bound.reduceat(values, edges).astype(np.int32) for bound in (np.minimum, np.maximum))
    return edges[np.maximum(high, -low) > level]


def _merge_ranges(firsts: Starts, lasts: Starts) -> tuple[Starts, Starts]:
    """Merge ranges (n, ascending) that touch."""
    begins = np.ones(len(firsts), dtype=bool)
    begins[1:] = firsts[1:] > lasts[:-1] + 1
    stops = np.ones(len(firsts), dtype=bool)
    stops[:-1] = begins[1:]
    return firsts[begins], lasts[stops]


@dataclass(frozen=True)
class ClipOrigins:
    """For each clip: its recording, and its start in that recording in samples."""

    names: Sequence[str]
    begins: Tensor
    sample_rate_hz: int

    def describe(self, clip: int, start: int, length: int) -> str:
        """``kick.wav at 0.25-0.51 s``."""
        begin = int(self.begins[clip]) + start
        first, last = begin / self.sample_rate_hz, (begin + length) / self.sample_rate_hz
        return f"{self.names[clip]} at {first:.2f}-{last:.2f} s"


@dataclass(frozen=True)
class SegmentView(View):
    """Segments of ``length`` samples in [-1, 1], (batch, 1, length), with the labels of their clips, if any.

    Each row is cut from one clip, between two starts: see :func:`find_segments`. Shorter clips
    are padded with zeros at the end. Ends that cut into a clip are faded.
    """

    packed: PackedArray
    segments: Segments
    """For each example its clip, an item of ``packed``, and its first and last start."""
    labels: Tensor | None
    length: int
    fade_gains: Tensor
    """Gains of a fade in, per sample."""
    clip_origins: ClipOrigins | None = None
    """The recordings of the clips."""

    @classmethod
    def from_clips(
        cls,
        packed: PackedArray,
        segments: Segments,
        labels: Tensor | None,
        length: int,
        fade_samples: int = 0,
        clip_origins: ClipOrigins | None = None,
    ) -> SegmentView:
        """The view of these segments of ``packed``, whose clips have ``labels`` (n)."""
        samples = min(fade_samples, length // 4)
        fade_gains = 0.5 - 0.5 * torch.cos(torch.pi * (torch.arange(samples) + 0.5) / max(samples, 1))
        labels = None if labels is None else labels[segments.clips]
        return cls(packed, segments, labels, length, fade_gains, clip_origins)

    def __len__(self) -> int:
        return len(self.segments.clips)

    @property
    def size_mb(self) -> float:
        """Memory that :meth:`to` takes on a device; the splits of one source share it."""
        return self.packed.size_mb

    def to(self, device: torch.device | str) -> SegmentView:
        """The view with all clips on ``device``; otherwise they are streamed from the mapped cache."""
        return replace(self, packed=self.packed.to(device))

    def get_batch(self, indices: Tensor, key: Key) -> Batch:
        clips, starts = self.segments.clips[indices], self._draw_starts(indices, key)
        data = self.packed.windows(clips, starts, self.length, key.device).float().div_(FULL_SCALE)
        self._apply_fades(data, starts > 0, starts + self.length < self.packed.lengths[clips])
        labels = None if self.labels is None else self.labels[indices].to(key.device, non_blocking=True)
        return Batch(data[:, None], labels)

    def get_origins(self, indices: Tensor, key: Key) -> list[str]:
        """The recording and the position in it of each example; empty if there are no recordings."""
        if not self.clip_origins:
            return []
        clips, starts = self.segments.clips[indices], self._draw_starts(indices, key)
        lengths = self.packed.lengths[clips].clamp(max=self.length)
        rows = zip(clips.tolist(), starts.tolist(), lengths.tolist(), strict=True)
        return [self.clip_origins.describe(*row) for row in rows]

    def _draw_starts(self, indices: Tensor, key: Key) -> Tensor:
        """Drawn on the CPU, where the tables are, so that starts are equal on every device."""
        share = (key / "window").to("cpu").uniform(len(indices)).double()
        low, high = self.segments.first_starts[indices], self.segments.last_starts[indices]
        return low + (share * (high - low + 1)).long().clamp_(max=high - low)

    def _apply_fades(self, data: Tensor, cut_before: Tensor, cut_after: Tensor) -> None:
        """Fade ``data`` (batch, length) in place."""
        if not (samples := len(self.fade_gains)):
            return
        gain, one = self.fade_gains.to(data.device), torch.ones((), device=data.device)
        before, after = (cut.to(data.device, non_blocking=True)[:, None] for cut in (cut_before, cut_after))
        data[:, :samples] *= torch.where(before, gain, one)
        data[:, -samples:] *= torch.where(after, gain.flip(0), one)
