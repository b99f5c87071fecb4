"""Where windows may begin in clips: at a clip's start, or anywhere that is not nearly silent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gancore.data.packed import Packed

Window: TypeAlias = Literal["auto", "random", "start"]
Starts: TypeAlias = NDArray[np.int64]

QUIET_DB = -40.0
"""A window whose loudest value is no more than this, beside the loudest of its clip, is nearly silent."""
BLOCKS = 32
"""Levels are looked at in blocks of so small a part of a window."""
BLOCKS_AT_ONCE = 1 << 18
"""Longer clips are looked at in parts."""
LOOKED_AT = 1 << 24
"""Samples that are looked at, of clips spread over the set, where the cuts do not depend on them."""
SHORT, SHORT_OF_SINGLE, SINGLE = 2, 4, 0.75
"""``auto`` cuts clips of fewer windows at their start; the second, where this share of clips fits in one."""


@dataclass(frozen=True)
class Cuts:
    """Rows of windows: row i is cut from clip ``clips[i]`` between the starts ``lows[i]`` and ``highs[i]``.

    Of clips ``longer`` than a window ``at_start`` are cut at their start, and ``looked_at`` are what is said
    of silence: ``quiet``, the share of all starts that clips have whose window is nearly silent, and
    ``quiet_starts``, how many clips' first window is.
    """

    clips: Tensor
    lows: Tensor
    highs: Tensor
    longer: int = 0
    at_start: int = 0
    looked_at: int = 0
    quiet: float = 0.0
    quiet_starts: int = 0


def short_windows(lengths: Tensor, length: int) -> int:
    """Below how many windows of ``length`` samples a clip is cut at its start, in a set of these lengths (n).

    Where most clips fit in one window the set is of single sounds: what is longer is one that dies away.
    """
    single = float((lengths <= length).double().mean()) >= SINGLE
    return SHORT_OF_SINGLE if single else SHORT


def cut(packed: Packed, length: int, window: Window, short: int = 0) -> Cuts:
    """Where windows of ``length`` samples are cut from the clips of ``packed``.

    ``start``: one window a clip, at its start. ``random``: a clip that holds k windows counts as k rows, and
    row j begins in the j-th of k equal stretches. ``auto``: a clip of fewer than ``short`` windows is cut at
    its start, or where its sound begins, if nearly nothing is heard before; a longer one as ``random`` does,
    in the stretches where a window isn't nearly silent. Only ``auto`` looks at every sample.
    """
    slack = (packed.lengths - length).clamp(min=0)
    longer = slack.nonzero().flatten()
    looked_at, samples = longer, packed.lengths[longer]
    if window != "auto":
        looked_at, samples = _spread(looked_at, samples)
    heard = _heard(packed, looked_at, samples, length)
    opening = heard[_leading(heard[:, 0])]  # of each clip that is looked at, (n, 3)
    limit = {"start": torch.iinfo(torch.int64).max, "random": 0, "auto": short * length}[window]
    at_start = packed.lengths < limit
    if window == "auto":
        stretches = _where_it_sounds(heard, opening, at_start, slack, length)
    else:
        stretches = torch.stack([torch.arange(len(slack)), 0 * slack, slack.where(~at_start, 0)], 1)
    starts = int((samples - length + 1).sum())
    silent = starts - int((heard[:, 2] - heard[:, 1] + 1).sum())
    return Cuts(
        *_parts(stretches, length),
        longer=len(longer),
        at_start=int((at_start & (slack > 0)).sum()),
        looked_at=len(looked_at),
        quiet=silent * int((slack[longer] + 1).sum()) / max(1, starts * int((slack + 1).sum())),
        quiet_starts=int((opening[:, 1] > 0).sum()),
    )


def _spread(clips: Tensor, samples: Tensor) -> tuple[Tensor, Tensor]:
    """Some of the ``clips``, from all over the set, and of each so many samples: :data:`LOOKED_AT` in all."""
    total = int(samples.sum())
    if total <= LOOKED_AT:
        return clips, samples
    count = max(1, len(clips) * LOOKED_AT // total)
    chosen = torch.arange(count) * len(clips) // count
    return clips[chosen], samples[chosen].clamp(max=LOOKED_AT // count)


def _heard(packed: Packed, clips: Tensor, samples: Tensor, length: int) -> Tensor:
    """Clip, first and last start, (k, 3), of what is heard (:func:`_sounding`) in those samples of clips."""
    found = [np.empty((0, 3), dtype=np.int64)]
    for clip, count in zip(clips.tolist(), samples.tolist(), strict=True):
        begin = int(packed.offsets[clip])
        firsts, lasts = _sounding(packed.values[begin : begin + count].numpy(), length)
        found.append(np.stack([np.full_like(firsts, clip), firsts, lasts], axis=1))
    return torch.from_numpy(np.concatenate(found))


def _leading(clips: Tensor) -> Tensor:
    """Whether each of these (n, ascending) is the first of its kind."""
    return torch.cat([torch.ones_like(clips[:1], dtype=torch.bool), clips[1:] != clips[:-1]])


def _where_it_sounds(heard: Tensor, opening: Tensor, at_start: Tensor, slack: Tensor, length: int) -> Tensor:
    """The stretches of ``auto``, (k, 3), ascending by clip.

    Clips ``at_start`` begin there, unless the window there is nearly silent: then where the first block
    begins that isn't.
    """
    clips, first, _ = opening.unbind(1)
    begin = torch.minimum(first + length - _block(length), slack[clips]).where(first > 0, 0)
    onsets = torch.stack([clips, begin, begin], 1)[at_start[clips]]
    short = torch.nn.functional.pad((slack == 0).nonzero(), (0, 2))
    rows = torch.cat([heard[~at_start[heard[:, 0]]], onsets, short])
    return rows[rows[:, 0].argsort(stable=True)]


def _parts(stretches: Tensor, length: int) -> tuple[Tensor, Tensor, Tensor]:
    """Clips, lows and highs of equal parts of each stretch (k, 3).

    They are as many as whole windows fit in what the windows of the stretch cover.
    """
    clips, firsts, lasts = stretches.unbind(1)
    slack = lasts - firsts
    counts = slack // length + 1
    own, ends = torch.repeat_interleave(counts), counts.cumsum(0)
    part = torch.arange(len(own)) - (ends - counts)[own]
    lows = firsts[own] + slack[own] * part // counts[own]
    highs = lows.roll(-1)
    highs[ends - 1] = lasts
    return clips[own], lows, highs


def _sounding(values: NDArray[np.int16], length: int) -> tuple[Starts, Starts]:
    """First and last of the stretches of starts whose windows hold a whole block that is not nearly silent.

    Both are included; stretches ascend and do not touch. The whole clip, where all of it is zero.
    """
    block, slack = _block(length), len(values) - length
    parts = range(0, len(values), block * BLOCKS_AT_ONCE)
    peak = max(_peak(values[at : at + parts.step]) for at in parts)
    if not peak:
        return np.array([0]), np.array([slack])
    found = []
    for at in parts:
        loud = at + _loud(values[at : at + parts.step], block, peak * 10 ** (QUIET_DB / 20))
        ends = np.minimum(loud + block, len(values))
        found.append(_joined(np.maximum(ends - length, 0), np.minimum(loud, slack)))
    firsts, lasts = zip(*found, strict=True)
    return _joined(np.concatenate(firsts), np.concatenate(lasts))


def _block(length: int) -> int:
    return max(1, length // BLOCKS)


def _peak(values: NDArray[np.int16]) -> int:
    return max(int(values.max()), -int(values.min()))


def _loud(values: NDArray[np.int16], block: int, level: float) -> Starts:
    """Where blocks begin that hold a value over ``level``, up or down."""
    edges = np.arange(0, len(values), block)
    low, high = (bound.reduceat(values, edges).astype(np.int32) for bound in (np.minimum, np.maximum))
    return edges[np.maximum(high, -low) > level]


def _joined(firsts: Starts, lasts: Starts) -> tuple[Starts, Starts]:
    """Stretches (n, ascending) that touch become one."""
    begins = np.ones(len(firsts), dtype=bool)
    begins[1:] = firsts[1:] > lasts[:-1] + 1
    stops = np.ones(len(firsts), dtype=bool)
    stops[:-1] = begins[1:]
    return firsts[begins], lasts[stops]
