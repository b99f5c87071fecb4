"""Frechet distance of Gaussians with the moments of features, and its value at infinitely many samples."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from gancore.errors import ConfigError
from gancore.metrics.intervals import (
    BlockIndices,
    block_jackknife,
    caveat_heavy_tails,
    drop_blocks,
    require_block_rows,
)
from gancore.metrics.metric import Interval, Metric, MetricInputs, Requirement, on_features

CHUNK_ROWS = 2048
BLOCKS, FEW_BLOCKS = 10, 6
"""Blocks of rows, left out in turn; fewer with more than MANY_DIMENSIONS, where each distance is expensive.
"""
MANY_DIMENSIONS = 512


class Moments(NamedTuple):
    """Mean (d), and a factor A (d, r) of the covariance A A' with n - 1 below; float64."""

    mean: Tensor
    factor: Tensor


def mean_and_covariance(x: Tensor, rows: int = CHUNK_ROWS) -> tuple[Tensor, Tensor]:
    """Mean (d) and covariance (d, d) of (n, d) with n - 1 below, summed in float64 about the mean."""
    mean = x.mean(0, dtype=torch.float64)
    covariance = mean.new_zeros(len(mean), len(mean))
    for part in torch.split(x, rows):
        centred = part.double() - mean
        covariance.addmm_(centred.T, centred)
    return mean, covariance / (len(x) - 1)


def moments(x: Tensor) -> Moments:
    """With at most as many rows as dimensions the centred rows are the factor; else it is that of the
    covariance.
    """
    n, d = x.shape
    if n < 2:
        raise ConfigError(f"{n} rows have no covariance", "give 2 or more samples")
    if n <= d:
        mean = x.mean(0, dtype=torch.float64)
        return Moments(mean, (x.double() - mean).T / (n - 1) ** 0.5)
    mean, covariance = mean_and_covariance(x)
    return Moments(mean, covariance_factor(covariance))


def covariance_factor(covariance: Tensor) -> Tensor:
    """A (d, r) with A A' = S: Cholesky's, or for a singular S the eigenvectors with non-zero eigenvalues."""
    root: Tensor
    root, failed = torch.linalg.cholesky_ex(covariance)
    if failed:
        values, vectors = torch.linalg.eigh(covariance)
        kept = values > len(values) * torch.finfo(values.dtype).eps * values[-1]
        root = vectors[:, kept] * values[kept].sqrt()
    return root


def distance_of_moments(p: Moments, q: Moments) -> float:
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^1/2); Dowson and Landau 1982, Heusel et al. 2017, eq. 6.

    The eigenvalues of S1 S2 are the squared singular values of A1' A2 (r1, r2), so tr (S1 S2)^1/2 is their
    sum: no matrix square root, no loss of precision by squaring, and a small matrix if there are few samples.
    """
    mean = (p.mean - q.mean).square().sum()
    traces = p.factor.square().sum() + q.factor.square().sum()
    return float(mean + traces - 2 * torch.linalg.svdvals(p.factor.T @ q.factor).sum())


def frechet_distance(real: Tensor, fake: Tensor) -> float:
    """Distance of features (n, d) and (m, d), in squared units of the features; biased up, by about c/n +
    c/m.
    """
    return distance_of_moments(moments(real), moments(fake))


def frechet_distance_infinity(real: Tensor, fake: Tensor, divisions: tuple[int, ...] = ()) -> float:
    """Intercept of a line through the distance against 1/n; Chong and Forsyth 2020. Rows at random.

    Each set is cut into s disjoint parts of n/s and m/s rows; the mean over parts is near F + (c/n + c'/m) s,
    so that the line reaches infinite n and m at s = 0. Unbiased to first order in d/n, so it may be below 0.
    ``divisions``: the values of s.
    """
    points = distances_by_division(real, fake, divisions or choose_divisions(real, fake))
    s, values = torch.tensor(list(points.items()), dtype=torch.float64).T
    slope = ((s - s.mean()) * values).sum() / (s - s.mean()).square().sum()
    return float(values.mean() - slope * s.mean())


def choose_divisions(real: Tensor, fake: Tensor) -> tuple[int, ...]:
    """More parts give less noise, as long as a part has twice as many rows as dimensions, and 40."""
    smaller, d = min(len(real), len(fake)), real.shape[1]
    return (1, 2, 4) if smaller >= 4 * max(2 * d, 40) else (1, 2)


def distances_by_division(real: Tensor, fake: Tensor, divisions: tuple[int, ...]) -> dict[int, float]:
    """By s, the mean distance over s disjoint parts of either set."""
    return {
        s: sum(frechet_distance(real[part::s], fake[part::s]) for part in range(s)) / s for s in divisions
    }


def _jackknife(
    inputs: MetricInputs, group: int, target: str, function: Callable[[Tensor, Tensor], float]
) -> Interval:
    real, fake = inputs.shuffled_features()
    blocks = BLOCKS if real.shape[1] <= MANY_DIMENSIONS else FEW_BLOCKS
    require_block_rows(real, fake, blocks, group)

    def without_blocks(left_out: BlockIndices) -> float:
        return function(
            drop_blocks(real, left_out, blocks, group), drop_blocks(fake, left_out, blocks, group)
        )

    return block_jackknife(without_blocks, blocks, target)


def _distance_interval(inputs: MetricInputs) -> Interval:
    target = "of the expectation at this n, which is above the distance of the laws themselves"
    return _jackknife(inputs, 1, target, frechet_distance)


def _infinity_interval(inputs: MetricInputs) -> Interval:
    divisions = choose_divisions(*inputs.feature_pair())
    target = f"of the line through 1/n, n/{', n/'.join(map(str, divisions))}"
    extrapolate = partial(frechet_distance_infinity, divisions=divisions)
    return _jackknife(inputs, max(divisions), target, extrapolate)


def _infinity_details(inputs: MetricInputs) -> dict[str, list[float]]:
    """The points that the line is fitted to."""
    real, fake = inputs.shuffled_features()
    points = distances_by_division(real, fake, choose_divisions(real, fake))
    return {"rows": [len(fake) / s for s in points], "distance": list(points.values())}


FEATURES: frozenset[Requirement] = frozenset({"features"})

frechet_metric = Metric(
    on_features(frechet_distance),
    "features^2",
    interval=_distance_interval,
    caveat=caveat_heavy_tails,
    requires=FEATURES,
)
"""Frechet distance at this n."""

frechet_infinity_metric = Metric(
    lambda inputs: frechet_distance_infinity(*inputs.shuffled_features()),
    "features^2",
    interval=_infinity_interval,
    details=_infinity_details,
    caveat=caveat_heavy_tails,
    requires=FEATURES,
)
"""Frechet distance at infinitely many samples of either set."""
