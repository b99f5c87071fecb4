"""Sliced Wasserstein distance: transport on random lines, Rabin et al. 2011, Bonneel et al. 2015."""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor

from gancore.metrics.intervals import (
    BlockIndices,
    block_jackknife_variance,
    caveat_heavy_tails,
    caveat_one_feature,
    drop_blocks,
    first_caveat,
    require_block_rows,
    t_interval,
)
from gancore.metrics.metric import Interval, Metric, MetricInputs
from gancore.random import Key

PROJECTIONS, INTERVAL_PROJECTIONS = 256, 64
BLOCKS = 10
POWER = 2


def directions(d: int, count: int, key: Key) -> Tensor:
    """Uniform on the sphere, (d, count), float64."""
    drawn = key.normal(d, count).double()
    return drawn / drawn.square().sum(0).sqrt()


def wasserstein_1d(x: Tensor, y: Tensor, power: int) -> Tensor:
    """W_p^p on a line, column by column: integral over t of |F_x^-1(t) - F_y^-1(t)|^p; (n, c), (m, c) -> (c).

    The quantile functions are steps, which change at multiples of 1/n and of 1/m: exact for any n and m.
    """
    n, m = len(x), len(y)
    x, y = x.sort(0).values, y.sort(0).values
    # in units of 1 / nm the steps are integers
    ends = torch.unique(torch.cat([torch.arange(1, n + 1) * m, torch.arange(1, m + 1) * n])).to(x.device)
    width = torch.diff(ends, prepend=ends.new_zeros(1))
    return (width[:, None] * (x[(ends - 1) // m] - y[(ends - 1) // n]).abs() ** power).sum(0) / (n * m)


def project(x: Tensor, projections: Tensor) -> Tensor:
    """Rows (n, d) on each of the directions (d, count): (n, count), float64."""
    return x.double() @ projections.to(x.device)


def root_mean_cost(costs: Tensor, power: int) -> float:
    return float(costs.mean() ** (1 / power))


def _projected(inputs: MetricInputs) -> tuple[Tensor, Tensor]:
    real, fake = inputs.shuffled_features()
    projections = directions(real.shape[1], PROJECTIONS, inputs.key / "directions")
    return project(real, projections), project(fake, projections)


def _compute(inputs: MetricInputs) -> float:
    return root_mean_cost(wasserstein_1d(*_projected(inputs), POWER), POWER)


def _interval(inputs: MetricInputs) -> Interval:
    """Block jackknife on a part of the directions, whose mean varies slightly more than that of all, plus the
    variance of the random directions by the delta method.
    """
    real, fake = _projected(inputs)
    require_block_rows(real, fake, BLOCKS)

    def without_blocks(blocks: BlockIndices) -> float:
        x, y = (
            drop_blocks(real[:, :INTERVAL_PROJECTIONS], blocks, BLOCKS),
            drop_blocks(fake[:, :INTERVAL_PROJECTIONS], blocks, BLOCKS),
        )
        return root_mean_cost(wasserstein_1d(x, y, POWER), POWER)

    _, variance = block_jackknife_variance(without_blocks, BLOCKS)
    costs = wasserstein_1d(real, fake, POWER)
    value = root_mean_cost(costs, POWER)
    slope = value ** (1 - POWER) / POWER if value > 0 else 0.0  # of c^(1/p) at the mean cost c
    variance += slope**2 * float(costs.var()) / len(costs)
    method = (
        f"jackknife over {BLOCKS} blocks and spread of {PROJECTIONS} directions, of the expectation at this n"
    )
    return t_interval(value, sqrt(variance), BLOCKS - 1, method)


sliced_wasserstein_metric = Metric(
    _compute,
    "features",
    interval=_interval,
    caveat=first_caveat(caveat_heavy_tails, caveat_one_feature),
    requires=frozenset({"features"}),
)
"""Sliced Wasserstein-2 distance."""
