"""Metrics of images: bits per dimension, and a Frechet distance of wavelet energies."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d

from gancore import ConfigError, Interval, Metric, MetricInputs, SampleSet
from gancore.metrics import frechet_metric, mean_interval
from gancore_image.levels import CELL_WIDTH, LEVELS


def bits(log_prob: Tensor, dimensions: int) -> Tensor:
    """-log2 P(v) / D of D pixels' levels, (n), from the density's log p(x) in nats, (n), of x in [-1, 1].

    The probability of a cell of width w = 1 / 127.5 in each of D dimensions is p(x) w^D for a density that is
    uniform in it, so -log2 P / D = -log p / (D ln 2) + log2 127.5. (An image of D dimensions has C side^2
    numbers; to store each costs 8 bits.)
    """
    return -log_prob.double() / (dimensions * math.log(2)) - math.log2(CELL_WIDTH)


def _bits(inputs: MetricInputs) -> Tensor:
    if inputs.log_prob is None:
        raise ConfigError(
            "bits_per_dimension needs log_prob, and this model has none", "leave out bits_per_dimension"
        )
    return bits(inputs.log_prob, inputs.real.samples[0].numel())


bits_per_dimension = Metric(
    lambda inputs: float(_bits(inputs).mean()),
    unit=f"bits a dimension at {LEVELS.bit_length() - 1} bit",
    interval=lambda inputs: mean_interval(_bits(inputs)),
    details=lambda inputs: {
        "likelihood": "at most this: a bound" if inputs.log_prob_is_bound else "exact",
        "formula": "-log p / (D ln 2) + log2 127.5",
        "nats an image": float(-inputs.log_prob.mean()) if inputs.log_prob is not None else None,
    },
    requires=frozenset({"log_prob"}),
    insensitive_to=frozenset({"collapse"}),
)
"""Bits of the reference examples. Margins of one level, as in padded images, cost next to nothing."""


CELLS = 4


def wavelet_statistics(images: Tensor) -> Tensor:
    """Haar's pyramid: (n, channels, side, side) -> (n, 16 channels + 4 scales), float64.

    a_0 = x; a_{j+1} is the mean of 2x2 pixels of a_j, d_j = a_j - a_{j+1} repeated. Returned are the last a
    (4x4 pixels, or means over such cells), and of each scale the RMS of d_j in the quarters of the image.
    """
    level, energies = images.double(), []
    while level.shape[-1] >= 2 * CELLS and level.shape[-1] % 2 == 0:
        coarse = avg_pool2d(level, 2)
        detail = level - coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)
        energies.append(adaptive_avg_pool2d(detail.square().mean(1, keepdim=True), 2).sqrt().flatten(1))
        level = coarse
    return torch.cat([adaptive_avg_pool2d(level, CELLS).flatten(1), *energies], dim=1)


def _described(inputs: MetricInputs) -> MetricInputs:
    def one(sampled: SampleSet) -> SampleSet:
        return replace(sampled, features=wavelet_statistics(sampled.samples))

    return replace(inputs, fake=one(inputs.fake), real=one(inputs.real))


def _interval(inputs: MetricInputs) -> Interval:
    assert frechet_metric.interval is not None
    return frechet_metric.interval(_described(inputs))


wavelet_frechet = Metric(
    lambda inputs: frechet_metric.compute(_described(inputs)),
    unit="levels^2, of 2 in all",
    interval=_interval,
)
"""Frechet distance of :func:`wavelet_statistics`; small enough to select a model on valid."""
