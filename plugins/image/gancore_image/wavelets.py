"""A quick distance of sets of pictures: where they are light, and where their detail is, at each scale."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d

from gancore import Evidence, Interval, Measure, Sampled
from gancore.evaluation.measures import frechet

CELLS = 4


def describe(pictures: Tensor) -> Tensor:
    """Haar's pyramid: (n, channels, side, side) -> (n, 16 channels + 4 scales), float64.

    a_0 = x; a_{j+1} is the mean of 2x2 pixels of a_j, d_j = a_j - a_{j+1} repeated. Told are the last a, of
    4x4 pixels (or the mean over such cells), and of each scale the RMS of d_j in the quarters of the picture.
    """
    level, energies = pictures.double(), []
    while level.shape[-1] >= 2 * CELLS and level.shape[-1] % 2 == 0:
        coarse = avg_pool2d(level, 2)
        detail = level - coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)
        energies.append(adaptive_avg_pool2d(detail.square().mean(1, keepdim=True), 2).sqrt().flatten(1))
        level = coarse
    return torch.cat([adaptive_avg_pool2d(level, CELLS).flatten(1), *energies], dim=1)


def _described(evidence: Evidence) -> Evidence:
    def one(sampled: Sampled) -> Sampled:
        return replace(sampled, features=describe(sampled.samples))

    return replace(evidence, fake=one(evidence.fake), real=one(evidence.real))


def _interval(evidence: Evidence) -> Interval:
    assert frechet.distance.interval is not None
    return frechet.distance.interval(_described(evidence))


wavelet_frechet = Measure(
    lambda evidence: frechet.distance.compute(_described(evidence)),
    unit="levels^2, of 2 in all",
    interval=_interval,
)
"""Frechet distance of :func:`describe`'s numbers; small enough to select a model on valid."""
