"""Kernel distances: unbiased squared MMD over all pairs, of a cubic kernel (KID) and of a Gaussian one (KAD).

Binkowski et al. 2018 use the cubic kernel, Chung et al. 2025 (section 3) the Gaussian whose bandwidth is the
median distance between rows of the reference. Pairs are summed by tiles, so that the matrix of all pairs is
never in memory and no subsets are needed; KID in the literature is the mean of the same estimate over small
subsets: the same expectation, more noise. KAD in the literature is this times a constant, on features of
another network; other features and another constant give other numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf, isqrt, sqrt
from typing import NamedTuple

import torch
from torch import Tensor

from gancore.errors import ConfigError, DataError
from gancore.metrics.intervals import caveat_few_rows, heavy_tail_caveat, t_quantile
from gancore.metrics.metric import Interval, Metric, MetricInputs, once
from gancore.random import evaluation_key

TILE_ENTRIES = 512 * 512
"""Entries of a tile of a kernel matrix: 2 MB in float64, which a processor's cache holds."""
BANDWIDTH_ROWS = 2000
"""Rows of the reference from whose pairs the median distance is computed."""


class PairSums(NamedTuple):
    """Sums of a kernel matrix K (m, n): of each row (m), of each column (n), and of the squares of all
    entries.
    """

    row_sums: Tensor
    column_sums: Tensor
    sum_of_squares: Tensor


Kernel = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""Rows (m, d) and (n, d), float64, to (m, n); written into the third argument, if that is a tensor of this
shape.
"""


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


def gaussian_for(real: Tensor) -> Kernel:
    """The Gaussian kernel whose bandwidth is the median distance between rows of the reference (m, d)."""
    rows = real[evaluation_key("bandwidth").permutation(len(real))[:BANDWIDTH_ROWS]].double()
    bandwidth = float(torch.pdist(rows).median())
    if bandwidth == 0:
        raise DataError("half of the pairs of reference rows are equal", "use reference rows that differ")
    return gaussian(bandwidth, real.mean(0, dtype=torch.float64))


def sum_kernel(
    x: Tensor, y: Tensor, same: bool = False, entries: int = TILE_ENTRIES, kernel: Kernel = cubic
) -> PairSums:
    """Sums of the kernel between all rows, in float64. ``same``: x is y, and no row is paired with itself.

    The matrix is computed in square tiles, one at a time in one buffer: separate allocations can fragment
    the heap by as much as the matrix of all pairs. Of two tiles that are each other's transpose, where x is
    y, one is computed.
    """
    y, side = y.double(), max(1, isqrt(entries))
    rows, columns, squares = y.new_zeros(len(x)), y.new_zeros(len(y)), y.new_zeros(())
    buffer = y.new_empty(side * side)
    for top in range(0, len(x), side):
        part = x[top : top + side].double()
        across = slice(top, top + len(part))
        for left in range(top if same else 0, len(y), side):
            other = y[left : left + side]
            down = slice(left, left + len(other))
            tile = kernel(part, other, buffer[: len(part) * len(other)].view(len(part), len(other)))
            if same and left == top:
                tile.fill_diagonal_(0)
            of_rows, of_columns = tile.sum(1), tile.sum(0)
            rows[across] += of_rows
            columns[down] += of_columns
            mirrored = same and left > top
            if mirrored:
                rows[down] += of_columns
                columns[across] += of_rows
            squares += tile.square_().sum() * (2 if mirrored else 1)
    return PairSums(rows, columns, squares)


class KernelSums(NamedTuple):
    """Sums over the real rows (m), the fake (n), and between them."""

    real: PairSums
    fake: PairSums
    cross: PairSums


def kernel_sums(
    real: Tensor,
    fake: Tensor,
    entries: int = TILE_ENTRIES,
    kernel: Kernel = cubic,
    within_real: PairSums | None = None,
) -> KernelSums:
    """``within_real``: the sums over the real rows, if they are known."""
    if min(len(real), len(fake)) < 2:
        raise ConfigError("fewer than 2 rows have no pairs", "give 2 or more samples of each set")
    return KernelSums(
        within_real or sum_kernel(real, real, True, entries, kernel),
        sum_kernel(fake, fake, True, entries, kernel),
        sum_kernel(real, fake, False, entries, kernel),
    )


def mmd2(k: KernelSums) -> float:
    """sum_{i != j} k(x_i, x_j) / m(m-1) + sum_{i != j} k(y_i, y_j) / n(n-1) - 2 sum_ij k(x_i, y_j) / mn.

    Gretton et al. 2012, eq. 3; can be below 0.
    """
    m, n = len(k.real.row_sums), len(k.fake.row_sums)
    within = k.real.row_sums.sum() / (m * (m - 1)) + k.fake.row_sums.sum() / (n * (n - 1))
    return float(within - 2 * k.cross.row_sums.sum() / (m * n))


def u_statistic_variance(k: KernelSums) -> float:
    """4 var(a) / m + 4 var(b) / n with a_i = mean_j k(x_i, x_j) - mean_j k(x_i, y_j), and b likewise.

    V1 + 2 V2 on average, where the parts of first and second order have variances V1 and V2.
    """
    m, n = len(k.real.row_sums), len(k.fake.row_sums)
    a = k.real.row_sums / (m - 1) - k.cross.row_sums / n
    b = k.fake.row_sums / (n - 1) - k.cross.column_sums / m
    return float(4 * a.var() / m + 4 * b.var() / n)


def second_order_variance(k: KernelSums) -> float:
    """V2 = 2 |K~xx|^2 / (m(m-1))^2 + 2 |K~yy|^2 / (n(n-1))^2 + 4 |K~xy|^2 / (mn)^2.

    The whole variance for equal distributions. K~ are kernel matrices minus the means of their rows and
    columns, without the diagonal within a set (Hoeffding's decomposition: Serfling 1980, 5.1 to 5.3).
    """
    m, n = len(k.real.row_sums), len(k.fake.row_sums)
    a, b = k.cross.row_sums / n, k.cross.column_sums / m
    cross = k.cross.sum_of_squares - n * a.square().sum() - m * b.square().sum() + m * n * a.mean() ** 2
    within = sum(
        2 * _centred_squares(side) / (size * (size - 1)) ** 2 for side, size in ((k.real, m), (k.fake, n))
    )
    return max(0.0, float(within + 4 * cross / (m * n) ** 2))


def _centred_squares(k: PairSums) -> Tensor:
    """sum_{i != j} (k_ij - r_i - r_j + mean r)^2 with r_i = mean_{j != i} k_ij, by expanding the square."""
    m = len(k.row_sums)
    r = k.row_sums / (m - 1)
    return k.sum_of_squares - 2 * m * r.square().sum() + m * (m + 1) * r.mean() ** 2


def mmd_interval(k: KernelSums) -> Interval:
    """All values T with |U - T| <= z sqrt(V2 + T (J - V2) / U), where U is the estimate.

    The first-order variance grows in proportion to the true value T, from V2 alone for equal distributions;
    at U the variance is the jackknife's J. So the interval contains 0 exactly if a test of equal
    distributions does not reject. A plain U -+ z sqrt(J) would be too wide near 0, and too narrow where U
    happens to be small.
    """
    u, v2 = mmd2(k), second_order_variance(k)
    slope = max(0.0, u_statistic_variance(k) - v2) / max(u, sqrt(v2), 1e-300)
    z = t_quantile(inf)
    centre = u + z * z * slope / 2
    half_width = z * sqrt(max(0.0, v2 + slope * u + z * z * slope * slope / 4))
    method = "variance of the U-statistic, as it would be at each truth"
    return Interval(centre - half_width, centre + half_width, method)


def _mmd_metric(
    kernel_for: Callable[[Tensor], Kernel], caveat: Callable[[MetricInputs], str] | None
) -> Metric:
    """``kernel_for``: the kernel for a reference (m, d)."""

    @partial(once, part=lambda inputs: inputs.real)  # controls and subsets of samples have the same
    def of_reference(inputs: MetricInputs) -> tuple[Kernel, PairSums]:
        real = inputs.real.sorted_features(inputs.device)
        kernel = kernel_for(real)
        return kernel, sum_kernel(real, real, True, kernel=kernel)

    @once
    def cached_sums(inputs: MetricInputs) -> KernelSums:
        kernel, within_real = of_reference(inputs)
        return kernel_sums(*inputs.feature_pair(), kernel=kernel, within_real=within_real)

    return Metric(
        lambda inputs: mmd2(cached_sums(inputs)),
        "MMD^2",
        interval=lambda inputs: mmd_interval(cached_sums(inputs)),
        caveat=caveat,
        requires=frozenset({"features"}),
    )


def kid_caveat(inputs: MetricInputs) -> str:
    """A row moves MMD^2 by 2 sqrt(k(x, x)) MMD at most (Cauchy and Schwarz): as |x|^3 where x is large."""
    few = caveat_few_rows(inputs)
    return few or heavy_tail_caveat(
        *((x.double().square().mean(1) + 1) ** 1.5 for x in inputs.feature_pair())
    )


kid = _mmd_metric(lambda real: cubic, kid_caveat)
"""Unbiased squared MMD with the cubic kernel."""
mmd_gaussian = _mmd_metric(gaussian_for, None)
"""Unbiased squared MMD with the Gaussian kernel whose bandwidth is the reference's median distance."""
