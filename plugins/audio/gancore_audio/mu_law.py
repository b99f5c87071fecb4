"""Mu-law companding (ITU-T G.711), and the 256 cells in which likelihoods of waveforms are compared.

A waveform's density is reported as that of its 8-bit codes, with the probability of each code uniform in its
cell: log p(x) = log P(codes) - sum log w(x), w the width of a sample's cell. So digital silence, which is
also the padding, has at most the density of one cell, 5,760 per unit, whatever a model gives.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gancore import Batch
from gancore.games import Representation

MU = 255
LEVELS = 256


def compand(x: Tensor) -> Tensor:
    """sgn(x) ln(1 + mu |x|) / ln(1 + mu): [-1, 1] onto itself, expanding values near 0."""
    return x.sign() * torch.log1p(MU * x.abs()) / math.log1p(MU)


def expand(y: Tensor) -> Tensor:
    """The inverse of :func:`compand`: sgn(y) ((1 + mu)^|y| - 1) / mu."""
    return y.sign() * torch.expm1(y.abs() * math.log1p(MU)) / MU


def encode(x: Tensor) -> Tensor:
    """The cell of each sample, 0 to 255, int64. Cells are equally wide after companding; 0 is an edge."""
    return ((compand(x) + 1) * (LEVELS / 2)).floor().clamp(0, LEVELS - 1).long()


def cell_edges(dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Tensor:
    """The edges of the cells, from -1 to 1: (257)."""
    return expand(torch.linspace(-1, 1, LEVELS + 1, dtype=torch.float64)).to(device, dtype)


def quantisation_cells(x: Tensor) -> tuple[Tensor, Tensor]:
    """The lower edge and the width of each sample's cell."""
    edges, code = cell_edges(x.dtype, x.device), encode(x)
    return edges[code], edges.diff()[code]


class MuLaw(Representation):
    """Waveforms (batch, 1, time) as the codes of their samples, (batch, time), int64, 8 bits each.

    ``decode`` gives the centres of cells after companding: at most 0.022 away, where cells are widest. With
    ``log_det``, -sum log w(x), a probability P of codes becomes the density P / prod w, uniform in each cell.
    So nats per sample of a waveform are those of its density, and bits on 8-bit mu-law are (nll - sum log w)
    / (time log 2).
    """

    many_to_one = True

    def encode(self, batch: Batch) -> Batch:
        return Batch(encode(batch.data[:, 0]), batch.condition)

    def decode(self, outputs: Tensor) -> Tensor:
        middles = expand((torch.arange(LEVELS, device=outputs.device) + 0.5) * (2 / LEVELS) - 1)
        return middles[outputs][:, None]

    def log_det(self, batch: Batch) -> Tensor:
        return -quantisation_cells(batch.data)[1].log().flatten(1).sum(1)
