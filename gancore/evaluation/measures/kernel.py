"""Kernel distances: unbiased squared MMD over all pairs, of a cubic kernel (KID) and of a Gaussian one (KAD).

Binkowski et al. 2018 take the cubic kernel, Chung et al. 2025 (section 3) the Gaussian whose bandwidth is
the median distance between rows of the reference. Pairs are summed by blocks, so that no matrix of all of
them stands anywhere and no subsets are needed; what is known as KID is the mean of the same estimate over
small subsets: the same expectation, more noise. What is known as KAD is this times a constant, on features of
another network; other features and another constant give other numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, sqrt
from typing import NamedTuple

import torch
from torch import Tensor

from gancore.errors import ConfigError, DataError
from gancore.evaluation.distances import CHUNK_ENTRIES
from gancore.evaluation.evidence import Evidence
from gancore.evaluation.intervals import t_quantile
from gancore.evaluation.measure import Interval, Measure
from gancore.evaluation.pairs import once, pair
from gancore.evaluation.tails import doubt_of, doubt_of_few
from gancore.runtime.randomness import Key

BANDWIDTH_ROWS = 2000
"""Of the reference, whose pairs the median is of."""


class Sums(NamedTuple):
    """Of a kernel matrix K (m, n): over each row (m), each column (n), and of the squares of all entries."""

    rows: Tensor
    columns: Tensor
    squares: Tensor


Kernel = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""Rows (m, d) and (n, d), float64, give (m, n); into the third, where that is a tensor of this shape."""


def cubic(x: Tensor, y: Tensor, out: Tensor | None = None) -> Tensor:
    """k(x, y) = (x . y / d + 1)^3."""
    return torch.mm(x, y.T, out=out).div_(x.shape[1]).add_(1).pow_(3)


def gaussian(bandwidth: float, centre: Tensor) -> Kernel:
    """k(x, y) = exp(-|x - y|^2 / 2 h^2); ``centre`` (d) lies near the rows, so that |x - y| is precise."""

    def kernel(x: Tensor, y: Tensor, out: Tensor | None = None) -> Tensor:
        x, y = x - centre, y - centre
        squares = x.square().sum(1, keepdim=True) + y.square().sum(1)
        products = torch.mm(x, y.T, out=out)
        return products.mul_(-2).add_(squares).clamp_(min=0).div_(-2 * bandwidth**2).exp_()

    return kernel


def of_reference(real: Tensor) -> Kernel:
    """The Gaussian kernel whose bandwidth is the median distance between rows of the reference (m, d)."""
    rows = real[Key.of("bandwidth").permutation(len(real))[:BANDWIDTH_ROWS]].double()
    bandwidth = float(torch.pdist(rows).median())
    if bandwidth == 0:
        raise DataError("half of the pairs of reference rows are equal", "hold out rows that differ")
    return gaussian(bandwidth, real.mean(0, dtype=torch.float64))


def sums(
    x: Tensor, y: Tensor, same: bool = False, entries: int = CHUNK_ENTRIES, kernel: Kernel = cubic
) -> Sums:
    """Of the kernel between all rows, in float64. ``same``: x is y, and no row is paired with itself.

    One block serves all: blocks allocated one after another can leave a heap of gaps as large as all pairs.
    """
    height = max(1, entries // max(len(y), 1))
    y = y.double()
    rows, columns, squares = y.new_zeros(len(x)), y.new_zeros(len(y)), y.new_zeros(())
    room = y.new_empty(min(height, len(x)), len(y))
    for start in range(0, len(x), height):
        part = x[start : start + height].double()
        block = kernel(part, y, room[: len(part)])
        if same:
            block.diagonal(start).zero_()
        rows[start : start + height] = block.sum(1)
        columns += block.sum(0)
        squares += block.square_().sum()
    return Sums(rows, columns, squares)


class Pairs(NamedTuple):
    """Sums over the real rows (m), the fake (n), and between them."""

    real: Sums
    fake: Sums
    cross: Sums


def pairs_of(real: Tensor, fake: Tensor, entries: int = CHUNK_ENTRIES, kernel: Kernel = cubic) -> Pairs:
    if min(len(real), len(fake)) < 2:
        raise ConfigError("pairs among fewer than 2 rows", "give 2 or more samples of each set")
    return Pairs(
        sums(real, real, True, entries, kernel),
        sums(fake, fake, True, entries, kernel),
        sums(real, fake, False, entries, kernel),
    )


def mmd2(k: Pairs) -> float:
    """sum_{i != j} k(x_i, x_j) / m(m-1) + sum_{i != j} k(y_i, y_j) / n(n-1) - 2 sum_ij k(x_i, y_j) / mn.

    Gretton et al. 2012, eq. 3; can be below 0.
    """
    m, n = len(k.real.rows), len(k.fake.rows)
    within = k.real.rows.sum() / (m * (m - 1)) + k.fake.rows.sum() / (n * (n - 1))
    return float(within - 2 * k.cross.rows.sum() / (m * n))


def kernel_distance(
    real: Tensor, fake: Tensor, entries: int = CHUNK_ENTRIES, kernel: Kernel = cubic
) -> float:
    """Unbiased MMD^2 of features (m, d) and (n, d)."""
    return mmd2(pairs_of(real, fake, entries, kernel))


def jackknife_variance(k: Pairs) -> float:
    """4 var(a) / m + 4 var(b) / n with a_i = mean_j k(x_i, x_j) - mean_j k(x_i, y_j), and b alike.

    V1 + 2 V2 on average, where the parts of first and second order have variances V1 and V2.
    """
    m, n = len(k.real.rows), len(k.fake.rows)
    a = k.real.rows / (m - 1) - k.cross.rows / n
    b = k.fake.rows / (n - 1) - k.cross.columns / m
    return float(4 * a.var() / m + 4 * b.var() / n)


def second_order_variance(k: Pairs) -> float:
    """V2 = 2 |K~xx|^2 / (m(m-1))^2 + 2 |K~yy|^2 / (n(n-1))^2 + 4 |K~xy|^2 / (mn)^2.

    All there is for equal laws. K~ are kernel matrices less the means of their rows and columns, without the
    diagonal within a set (Hoeffding's decomposition: Serfling 1980, 5.1 to 5.3).
    """
    m, n = len(k.real.rows), len(k.fake.rows)
    a, b = k.cross.rows / n, k.cross.columns / m
    cross = k.cross.squares - n * a.square().sum() - m * b.square().sum() + m * n * a.mean() ** 2
    within = sum(
        2 * _centred_squares(side) / (size * (size - 1)) ** 2 for side, size in ((k.real, m), (k.fake, n))
    )
    return max(0.0, float(within + 4 * cross / (m * n) ** 2))


def _centred_squares(k: Sums) -> Tensor:
    """sum_{i != j} (k_ij - r_i - r_j + mean r)^2 with r_i = mean_{j != i} k_ij, by expanding the square."""
    m = len(k.rows)
    r = k.rows / (m - 1)
    return k.squares - 2 * m * r.square().sum() + m * (m + 1) * r.mean() ** 2


def interval_of(k: Pairs) -> Interval:
    """All truths T with |U - T| <= z sqrt(V2 + T (J - V2) / U), where U is the estimate.

    The variance of the first order grows in proportion to the truth, from V2 alone where the laws are equal;
    at U it is the jackknife's J. So the interval holds 0 just where a test of equal laws would not reject. A
    plain U -+ z sqrt(J) would be too wide near 0, and too narrow where U happens to be small.
    """
    u, v2 = mmd2(k), second_order_variance(k)
    slope = max(0.0, jackknife_variance(k) - v2) / max(u, sqrt(v2), 1e-300)
    z = t_quantile(inf)
    middle = u + z * z * slope / 2
    reach = z * sqrt(max(0.0, v2 + slope * u + z * z * slope * slope / 4))
    method = "variance of the U-statistic, as it would be at each truth"
    return Interval(middle - reach, middle + reach, method)


def _measure(choose: Callable[[Tensor], Kernel], doubt: Callable[[Evidence], str] | None) -> Measure:
    """``choose``: the kernel for a reference (m, d)."""

    @once
    def pairs(evidence: Evidence) -> Pairs:
        real, fake = pair(evidence)
        return pairs_of(real, fake, kernel=choose(real))

    return Measure(
        lambda evidence: mmd2(pairs(evidence)),
        "MMD^2",
        interval=lambda evidence: interval_of(pairs(evidence)),
        doubt=doubt,
        needs=frozenset({"features"}),
    )


def kid_doubt(evidence: Evidence) -> str:
    """A row moves MMD^2 by 2 sqrt(k(x, x)) MMD at most (Cauchy and Schwarz): as |x|^3 where x is large."""
    few = doubt_of_few(evidence)
    return few or doubt_of(*((x.double().square().mean(1) + 1) ** 1.5 for x in pair(evidence)))


kid = _measure(lambda real: cubic, kid_doubt)
"""Unbiased squared MMD with the cubic kernel."""
mmd_gaussian = _measure(of_reference, None)
"""Unbiased squared MMD with the Gaussian kernel whose bandwidth is the reference's median distance."""
