"""Where windows may begin in clips: at a clip's start, or anywhere that is not nearly silent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gancore.data.packed import Packed

Window: TypeAlias = Literal["auto", "random", "start"]
Stretch: TypeAlias = tuple[int, int]
"""First and last start of windows, both included."""

QUIET_DB = -40.0
"""A window whose loudest value is no more than this, beside the loudest of its clip, is nearly silent."""
BLOCKS = 32
"""Levels are looked at in blocks of so small a part of a window."""
SHORT, SHORT_OF_SINGLE, SINGLE = 2, 4, 0.75
"""``auto`` cuts clips of fewer windows at their start; the second, where this share of clips fits in one."""


@dataclass(frozen=True)
class Cuts:
    """Rows of windows: row i is cut from clip ``clips[i]`` between the starts ``lows[i]`` and ``highs[i]``.

    Of clips ``longer`` than a window ``at_start`` are cut at their start. ``quiet``: the share of all starts
    that clips have whose window is nearly silent; ``quiet_starts``: clips whose first window is.
    """

    clips: Tensor
    lows: Tensor
    highs: Tensor
    longer: int = 0
    at_start: int = 0
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
    in the stretches where a window isn't nearly silent.
    """
    rows: list[tuple[int, int, int]] = []
    longer = at_start = quiet_starts = quiet = starts = 0
    for clip, samples in enumerate(packed.lengths.tolist()):
        slack = max(0, samples - length)
        sounding = list(_sounding(_values(packed, clip), length)) if slack else [(0, 0)]
        longer += slack > 0
        starts += slack + 1
        quiet += slack + 1 - sum(last - first + 1 for first, last in sounding)
        from_start = window == "start" or (window == "auto" and samples < short * length)
        at_start += from_start and slack > 0
        quiet_starts += sounding[0][0] > 0
        if from_start:
            begin = _onset(sounding[0], slack, length) if window == "auto" else 0
            rows.append((clip, begin, begin))
        else:
            for stretch in sounding if window == "auto" else [(0, slack)]:
                rows += [(clip, low, high) for low, high in _parts(stretch, length)]
    columns = torch.tensor(rows, dtype=torch.int64).reshape(-1, 3).unbind(1)
    return Cuts(*columns, longer, at_start, quiet / max(starts, 1), quiet_starts)


def _parts(stretch: Stretch, length: int) -> list[Stretch]:
    """Equal parts of a stretch, as many as whole windows fit in what its windows cover."""
    first, slack = stretch[0], stretch[1] - stretch[0]
    count = slack // length + 1
    return [(first + slack * row // count, first + slack * (row + 1) // count) for row in range(count)]


def _values(packed: Packed, clip: int) -> NDArray[np.int16]:
    begin = int(packed.offsets[clip])
    return packed.values[begin : begin + int(packed.lengths[clip])].numpy()


def _sounding(values: NDArray[np.int16], length: int) -> Iterator[Stretch]:
    """The stretches of starts, ascending, whose windows hold a whole block that is not nearly silent.

    The whole clip, where all of it is zero.
    """
    block, slack = max(1, length // BLOCKS), len(values) - length
    edges = np.arange(0, len(values), block)
    low, high = (bound.reduceat(values, edges).astype(np.int64) for bound in (np.minimum, np.maximum))
    peaks = np.maximum(high, -low)
    loud = edges[peaks > peaks.max() * 10 ** (QUIET_DB / 20)]
    if not len(loud):
        yield 0, slack
        return
    ends = np.minimum(loud + block, len(values))
    firsts, lasts = np.maximum(ends - length, 0), np.minimum(loud, slack)
    breaks = np.flatnonzero(firsts[1:] > lasts[:-1] + 1)  # stretches that touch are one
    begins, stops = firsts[[0, *breaks + 1]], lasts[[*breaks, -1]]
    yield from zip(begins.tolist(), stops.tolist(), strict=True)


def _onset(first: Stretch, slack: int, length: int) -> int:
    """0, unless the window there is nearly silent: then where the first block begins that isn't."""
    return min(first[0] + length - max(1, length // BLOCKS), slack) if first[0] else 0
