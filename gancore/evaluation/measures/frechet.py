"""Frechet distance of Gaussians with the moments of features, and its value at infinitely many samples."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from gancore.errors import ConfigError
from gancore.evaluation.evidence import Evidence
from gancore.evaluation.intervals import Blocks, block_jackknife, without
from gancore.evaluation.measure import Interval, Measure, Need
from gancore.evaluation.pairs import on_features, pair, shuffled
from gancore.evaluation.tails import doubt_of_squares

CHUNK_ROWS = 2048
BLOCKS, FEW_BLOCKS = 10, 6
"""Of rows, left out in turn; few where there are more than MANY dimensions, and each distance takes long."""
MANY = 512


class Moments(NamedTuple):
    """Mean (d), and a factor A (d, r) of the covariance A A' with n - 1 below; float64."""

    mean: Tensor
    factor: Tensor


def statistics(x: Tensor, rows: int = CHUNK_ROWS) -> tuple[Tensor, Tensor]:
    """Mean (d) and covariance (d, d) of (n, d) with n - 1 below, summed in float64 about the mean."""
    mean = x.mean(0, dtype=torch.float64)
    covariance = mean.new_zeros(len(mean), len(mean))
    for part in torch.split(x, rows):
        centred = part.double() - mean
        covariance.addmm_(centred.T, centred)
    return mean, covariance / (len(x) - 1)


def moments(x: Tensor) -> Moments:
    """Fewer rows than dimensions are themselves the factor; else that of the covariance."""
    n, d = x.shape
    if n < 2:
        raise ConfigError(f"a covariance of {n} rows", "give 2 or more samples")
    if n <= d:
        mean = x.mean(0, dtype=torch.float64)
        return Moments(mean, (x.double() - mean).T / (n - 1) ** 0.5)
    mean, covariance = statistics(x)
    return Moments(mean, factor(covariance))


def factor(covariance: Tensor) -> Tensor:
    """A (d, r) with A A' = S: Cholesky's, or where S is singular the eigenvectors that are not null."""
    root: Tensor
    root, failed = torch.linalg.cholesky_ex(covariance)
    if failed:
        values, vectors = torch.linalg.eigh(covariance)
        kept = values > len(values) * torch.finfo(values.dtype).eps * values[-1]
        root = vectors[:, kept] * values[kept].sqrt()
    return root


def distance_of(p: Moments, q: Moments) -> float:
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^1/2); Dowson and Landau 1982, Heusel et al. 2017, eq. 6.

    The eigenvalues of S1 S2 are the squared singular values of A1' A2 (r1, r2), so tr (S1 S2)^1/2 is the sum
    of these: no root of a matrix, nothing lost by squaring, and a small matrix where samples are few.
    """
    mean = (p.mean - q.mean).square().sum()
    traces = p.factor.square().sum() + q.factor.square().sum()
    return float(mean + traces - 2 * torch.linalg.svdvals(p.factor.T @ q.factor).sum())


def frechet_distance(real: Tensor, fake: Tensor) -> float:
    """Of features (n, d) and (m, d), in units of the features squared; biased up, by about c/n + c/m."""
    return distance_of(moments(real), moments(fake))


def frechet_distance_infinity(real: Tensor, fake: Tensor, divisions: tuple[int, ...] = ()) -> float:
    """Intercept of a line through the distance against 1/n; Chong and Forsyth 2020. Rows at random.

    Each set is cut at once into s disjoint parts of n/s and m/s rows; the mean over parts is near
    F + (c/n + c'/m) s, so that the line reaches infinite n and m at s = 0. Not biased to first order
    in d/n, so it may come out below 0. ``divisions``: the values of s.
    """
    points = series(real, fake, divisions or divisions_for(real, fake))
    s, values = torch.tensor(list(points.items()), dtype=torch.float64).T
    slope = ((s - s.mean()) * values).sum() / (s - s.mean()).square().sum()
    return float(values.mean() - slope * s.mean())


def divisions_for(real: Tensor, fake: Tensor) -> tuple[int, ...]:
    """The more parts the less noise, as long as a part has twice as many rows as dimensions, and 40."""
    fewest, d = min(len(real), len(fake)), real.shape[1]
    return (1, 2, 4) if fewest >= 4 * max(2 * d, 40) else (1, 2)


def series(real: Tensor, fake: Tensor, divisions: tuple[int, ...]) -> dict[int, float]:
    """By s, the mean distance over s disjoint parts of either set."""
    return {
        s: sum(frechet_distance(real[part::s], fake[part::s]) for part in range(s)) / s for s in divisions
    }


def _jackknife(
    evidence: Evidence, group: int, covers: str, function: Callable[[Tensor, Tensor], float]
) -> Interval:
    real, fake = shuffled(evidence)
    blocks = BLOCKS if real.shape[1] <= MANY else FEW_BLOCKS
    least = 4 * blocks * group
    if min(len(real), len(fake)) < least:
        raise ConfigError(
            f"an interval over {blocks} blocks of few rows", f"give {least} samples of each set"
        )

    def left(out: Blocks) -> float:
        return function(without(real, out, blocks, group), without(fake, out, blocks, group))

    return block_jackknife(left, blocks, covers)


def _distance_interval(evidence: Evidence) -> Interval:
    covers = "of the expectation at this n, which is above the distance of the laws themselves"
    return _jackknife(evidence, 1, covers, frechet_distance)


def _infinity_interval(evidence: Evidence) -> Interval:
    divisions = divisions_for(*pair(evidence))
    covers = f"of the line through 1/n, n/{', n/'.join(map(str, divisions))}"
    extrapolate = partial(frechet_distance_infinity, divisions=divisions)
    return _jackknife(evidence, max(divisions), covers, extrapolate)


def _infinity_details(evidence: Evidence) -> dict[str, list[float]]:
    """The points and the line's other end."""
    real, fake = shuffled(evidence)
    points = series(real, fake, divisions_for(real, fake))
    return {"rows": [len(fake) / s for s in points], "distance": list(points.values())}


FEATURES: frozenset[Need] = frozenset({"features"})

distance = Measure(
    on_features(frechet_distance),
    "features^2",
    interval=_distance_interval,
    doubt=doubt_of_squares,
    needs=FEATURES,
)
"""Frechet distance at this n."""

infinity = Measure(
    lambda evidence: frechet_distance_infinity(*shuffled(evidence)),
    "features^2",
    interval=_infinity_interval,
    details=_infinity_details,
    doubt=doubt_of_squares,
    needs=FEATURES,
)
"""Frechet distance at infinitely many samples of either set."""
