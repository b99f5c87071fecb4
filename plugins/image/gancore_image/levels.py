"""Pixels as levels of 8 bits, and the cells by which likelihoods of images are compared.

Level v, 0 to 255, stands for v / 127.5 - 1, and its cell is what lies nearer to it than to any other: 2/255
wide, -1 and 1 lying in the middle of theirs. A probability of levels P is told as the density that is even
over each cell, p(x) = P / w^D, and a density q of pixels by a bound on its cells' probabilities; so all
likelihoods of images are in one unit, and bits a dimension are -log p / (D ln 2) + log2 127.5.
"""

from __future__ import annotations

import math

from torch import Tensor

from gancore import Batch
from gancore.games import Dequantised, Representation

LEVELS = 256
HALF = (LEVELS - 1) / 2
STEP = 1 / HALF
"""The width of a cell, w."""


def levels(x: Tensor) -> Tensor:
    """The nearest level of each pixel, int64."""
    return ((x + 1) * HALF).round().clamp(0, LEVELS - 1).long()


def pixels(level: Tensor) -> Tensor:
    """What a level stands for, float32, v / 127.5 - 1."""
    return level.float() / HALF - 1


def cells(x: Tensor) -> tuple[Tensor, Tensor]:
    """The lower edge and the width of each pixel's cell."""
    return levels(x).to(x.dtype) / HALF - (1 + STEP / 2), x.new_full((), STEP)


class Levels(Representation):
    """Images as the levels of their pixels, int64, of the same shape: a model tells log P of them.

    ``log_det`` is -D log w, so that a likelihood is that of a density, even within each cell.
    """

    many_to_one = True

    def encode(self, batch: Batch) -> Batch:
        return Batch(levels(batch.data), batch.condition)

    def decode(self, outputs: Tensor) -> Tensor:
        return pixels(outputs)

    def log_det(self, batch: Batch) -> Tensor:
        each = -batch.data[0].numel() * math.log(STEP)
        made: Tensor = batch.data.new_full((len(batch),), each)
        return made


def dequantised() -> Dequantised:
    """Images spread evenly over the cells of their levels (Theis et al. 2016, section 3.1)."""
    return Dequantised(cells, low=-1, high=1)
