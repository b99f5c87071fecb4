"""Pixels as levels of 8 bits, and the cells by which likelihoods of images are compared.

Level v, 0 to 255, stands for v / 127.5 - 1; its cell are the values nearer to it than to any other: 2/255
wide, with -1 and 1 in the centres of theirs. A probability P of levels is reported as the density that is
uniform in each cell, p(x) = P / w^D, and a density q of pixels as a bound on the probabilities of cells. So
all likelihoods of images have one unit, and bits per dimension are -log p / (D ln 2) + log2 127.5.
"""

from __future__ import annotations

import math

from torch import Tensor

from gancore import Batch
from gancore.games import Dequantization, Representation

LEVELS = 256
HALF_RANGE = (LEVELS - 1) / 2
CELL_WIDTH = 1 / HALF_RANGE
"""The width of a cell, w."""


def to_levels(x: Tensor) -> Tensor:
    """The nearest level of each pixel, int64."""
    return ((x + 1) * HALF_RANGE).round().clamp(0, LEVELS - 1).long()


def from_levels(level: Tensor) -> Tensor:
    """The pixel value of a level, float32, v / 127.5 - 1."""
    return level.float() / HALF_RANGE - 1


def quantisation_cells(x: Tensor) -> tuple[Tensor, Tensor]:
    """The lower edge and the width of each pixel's cell."""
    return to_levels(x).to(x.dtype) / HALF_RANGE - (1 + CELL_WIDTH / 2), x.new_full((), CELL_WIDTH)


class Levels(Representation):
    """Images as the levels of their pixels, int64, of the same shape: a model gives log P of them.

    ``log_det`` is -D log w, so that a likelihood is that of a density which is uniform in each cell.
    """

    many_to_one = True

    def encode(self, batch: Batch) -> Batch:
        return Batch(to_levels(batch.data), batch.condition)

    def decode(self, outputs: Tensor) -> Tensor:
        return from_levels(outputs)

    def log_det(self, batch: Batch) -> Tensor:
        each = -batch.data[0].numel() * math.log(CELL_WIDTH)
        made: Tensor = batch.data.new_full((len(batch),), each)
        return made


def dequantised_images() -> Dequantization:
    """Images with uniform noise in the cells of their levels (Theis et al. 2016, section 3.1)."""
    return Dequantization(quantisation_cells, low=-1, high=1)
