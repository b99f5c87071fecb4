"""Mu-law companding (ITU-T G.711), and the 256 cells by which likelihoods of waveforms are compared.

A waveform's density is told as that of its 8-bit codes, the probability of each code spread evenly over its
cell: log p(x) = log P(codes) - sum log w(x), w the width of a sample's cell. Digital silence, of which
padding is made, so has no more than one cell's density, 5,760 per unit, whatever a model would say of it.
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
    """sgn(x) ln(1 + mu |x|) / ln(1 + mu): [-1, 1] onto itself, silence drawn apart."""
    return x.sign() * torch.log1p(MU * x.abs()) / math.log1p(MU)


def expand(y: Tensor) -> Tensor:
    """The inverse of :func:`compand`: sgn(y) ((1 + mu)^|y| - 1) / mu."""
    return y.sign() * torch.expm1(y.abs() * math.log1p(MU)) / MU


def codes(x: Tensor) -> Tensor:
    """The cell of each sample, 0 to 255, int64: cells are equally wide once companded, and 0 begins one."""
    return ((compand(x) + 1) * (LEVELS / 2)).floor().clamp(0, LEVELS - 1).long()


def edges(dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Tensor:
    """Where cells begin, and the last one ends, from -1 to 1: (257)."""
    return expand(torch.linspace(-1, 1, LEVELS + 1, dtype=torch.float64)).to(device, dtype)


def cells(x: Tensor) -> tuple[Tensor, Tensor]:
    """The lower edge and the width of each sample's cell."""
    borders, code = edges(x.dtype, x.device), codes(x)
    return borders[code], borders.diff()[code]


class MuLaw(Representation):
    """Waveforms (batch, 1, time) as the codes of their samples, (batch, time), int64, 8 bits each.

    ``decode`` gives the middles of cells, once companded: at most 0.022 away, where cells are widest. With
    ``log_det``, -sum log w(x), a probability of codes P becomes the density P / prod w, that lies evenly
    within each cell. So nats a sample of a waveform are those of its density, and bits on 8-bit mu-law are
    (nll - sum log w) / (time log 2).
    """

    many_to_one = True

    def encode(self, batch: Batch) -> Batch:
        return Batch(codes(batch.data[:, 0]), batch.condition)

    def decode(self, outputs: Tensor) -> Tensor:
        middles = expand((torch.arange(LEVELS, device=outputs.device) + 0.5) * (2 / LEVELS) - 1)
        return middles[outputs][:, None]

    def log_det(self, batch: Batch) -> Tensor:
        return -cells(batch.data)[1].log().flatten(1).sum(1)
