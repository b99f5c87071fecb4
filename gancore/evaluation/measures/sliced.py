"""Sliced Wasserstein distance: transport on random lines, Rabin et al. 2011, Bonneel et al. 2015."""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor

from gancore.errors import ConfigError
from gancore.evaluation.evidence import Evidence
from gancore.evaluation.intervals import Blocks, around, block_jackknife_variance, without
from gancore.evaluation.measure import Interval, Measure
from gancore.evaluation.pairs import shuffled
from gancore.evaluation.tails import doubt_of_scale, doubt_of_squares, first
from gancore.runtime.randomness import Key

PROJECTIONS, FEW = 256, 64
BLOCKS = 10
POWER = 2


def directions(d: int, count: int, key: Key) -> Tensor:
    """Uniform on the sphere, (d, count), float64."""
    drawn = key.normal(d, count).double()
    return drawn / drawn.square().sum(0).sqrt()


def transport(x: Tensor, y: Tensor, power: int) -> Tensor:
    """W_p^p on a line, column by column: integral over t of |F_x^-1(t) - F_y^-1(t)|^p; (n, c), (m, c) -> (c).

    The quantile functions are steps, which change at multiples of 1/n and of 1/m: exact for any n and m.
    """
    n, m = len(x), len(y)
    x, y = x.sort(0).values, y.sort(0).values
    # in units of 1 / nm the steps are whole numbers
    ends = torch.unique(torch.cat([torch.arange(1, n + 1) * m, torch.arange(1, m + 1) * n])).to(x.device)
    width = torch.diff(ends, prepend=ends.new_zeros(1))
    return (width[:, None] * (x[(ends - 1) // m] - y[(ends - 1) // n]).abs() ** power).sum(0) / (n * m)


def lines(x: Tensor, across: Tensor) -> Tensor:
    """Rows (n, d) on each of the directions (d, count): (n, count), float64."""
    return x.double() @ across.to(x.device)


def sliced_wasserstein(real: Tensor, fake: Tensor, across: Tensor, power: int = POWER) -> float:
    """(mean over directions u of W_p^p(u . x, u . y))^(1/p), features (m, d), (n, d), ``across`` (d, count).

    In units of the features. Above 0 for finite samples of equal laws, by about n^-1/2.
    """
    return mean_of(transport(lines(real, across), lines(fake, across), power), power)


def mean_of(costs: Tensor, power: int) -> float:
    return float(costs.mean() ** (1 / power))


def _lines_of(evidence: Evidence) -> tuple[Tensor, Tensor]:
    real, fake = shuffled(evidence)
    across = directions(real.shape[1], PROJECTIONS, evidence.key / "directions")
    return lines(real, across), lines(fake, across)


def _compute(evidence: Evidence) -> float:
    return mean_of(transport(*_lines_of(evidence), POWER), POWER)


def _interval(evidence: Evidence) -> Interval:
    """Rows left out by blocks, on few of the directions, whose mean spreads a bit more than that of all.

    And directions, which are a sample too, by the delta method.
    """
    real, fake = _lines_of(evidence)
    least = 4 * BLOCKS
    if min(len(real), len(fake)) < least:
        raise ConfigError(
            f"an interval over {BLOCKS} blocks of few rows", f"give {least} samples of each set"
        )

    def left(blocks: Blocks) -> float:
        x, y = without(real[:, :FEW], blocks, BLOCKS), without(fake[:, :FEW], blocks, BLOCKS)
        return mean_of(transport(x, y, POWER), POWER)

    _, variance = block_jackknife_variance(left, BLOCKS)
    costs = transport(real, fake, POWER)
    value = mean_of(costs, POWER)
    slope = value ** (1 - POWER) / POWER if value > 0 else 0.0  # of c^(1/p) at the mean cost c
    variance += slope**2 * float(costs.var()) / len(costs)
    method = (
        f"jackknife over {BLOCKS} blocks and spread of {PROJECTIONS} directions, of the expectation at this n"
    )
    return around(value, sqrt(variance), BLOCKS - 1, method)


sliced = Measure(
    _compute,
    "features",
    interval=_interval,
    doubt=first(doubt_of_squares, doubt_of_scale),
    needs=frozenset({"features"}),
)
"""Sliced Wasserstein-2 distance."""
