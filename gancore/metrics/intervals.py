"""95 % intervals over samples, and caveats where the rows do not support one.

A metric names the interval that is valid for it; a plain bootstrap is valid for few.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from math import sqrt
from typing import Literal

import torch
from scipy.stats import beta, t
from torch import Tensor

from gancore.errors import ConfigError
from gancore.metrics.metric import Interval, MetricInputs

TAIL = 0.025
"""The probability beyond each end of an interval of 95 %."""

BlockIndices = tuple[int, ...]
"""Numbers of blocks of rows that are left out."""


def t_quantile(degrees: float) -> float:
    """Standard errors on either side, for an error with this many degrees of freedom; 1.96 for many."""
    return float(t.ppf(1 - TAIL, degrees))


def t_interval(value: float, error: float, degrees: float, method: str) -> Interval:
    """value -+ t * standard error."""
    half_width = t_quantile(degrees) * error
    return Interval(value - half_width, value + half_width, method)


def clopper_pearson(successes: float, trials: float, tail: float = TAIL) -> Interval:
    """The exact interval of a share from independent trials: covers at least 95 % for every share.

    ``tail``: how often the share may lie beyond either end; smaller if several shares are bounded at once.
    Clopper and Pearson 1934: quantiles of Beta(s, n - s + 1) and Beta(s + 1, n - s); numbers need not be
    whole.
    """
    if not 0 <= successes <= trials or trials < 1:
        raise ConfigError(
            f"{successes} successes in {trials} trials", "give 0 <= successes <= trials, 1 or more"
        )
    failures = trials - successes
    low = float(beta.ppf(tail, successes, failures + 1)) if successes else 0.0
    high = float(beta.ppf(1 - tail, successes + 1, failures)) if failures else 1.0
    return Interval(low, high, f"Clopper-Pearson, {trials} trials")


def mean_interval(values: Tensor) -> Interval:
    """Student's t for the mean of independent rows (n)."""
    n = len(values)
    if n < 2:
        raise ConfigError(f"an interval of a mean from {n} rows", "give 2 or more")
    values = values.double()
    return t_interval(float(values.mean()), float(values.std()) / n**0.5, n - 1, f"Student's t over {n} rows")


def block_jackknife(value: Callable[[BlockIndices], float], blocks: int = 10, target: str = "") -> Interval:
    """value() -+ t * jackknife error; ``value(left_out)`` is computed without the rows of those blocks.

    Blocks are numbers below ``blocks``, an even number: disjoint random rows, equally many of each set.
    ``target`` names what the interval covers: the expectation of ``value()``, including its bias.
    """
    whole, variance = block_jackknife_variance(value, blocks)
    method = f"jackknife over {blocks} blocks" + (target and f", {target}")
    return t_interval(whole, variance**0.5, blocks - 1, method)


def block_jackknife_variance(value: Callable[[BlockIndices], float], blocks: int) -> tuple[float, float]:
    """The value and the variance of its error."""
    whole = value(())
    leave_one_out = torch.tensor([value((j,)) for j in range(blocks)], dtype=torch.float64)
    pairs = torch.tensor([value((j, j + 1)) for j in range(0, blocks, 2)], dtype=torch.float64)
    return whole, jackknife_variance(whole, leave_one_out, pairs)


def jackknife_variance(whole: float, leave_one_out: Tensor, pairs: Tensor) -> float:
    """Variance of a symmetric statistic, from its values without each of g blocks (``leave_one_out``, g even)
    and without blocks 0 and 1, 2 and 3, ... (``pairs``).

    J = (g - 1)/g sum_j (v_j - mean v)^2 (Quenouille, Tukey) is V1 + 2 V2 on average, where the parts of first
    and second order in the rows have variances V1 and V2; for a distance between equal distributions V1 is 0.
    The interaction of two blocks, P = g v - (g - 1)(v_j + v_k) + (g - 2) v_jk, has no first order and
    E P^2 = 2 V2 (g + 2)/g (after Efron and Stein 1981). The result is J - V2, and at least J / 2.
    """
    g = len(leave_one_out)
    jackknife = float((g - 1) / g * (leave_one_out - leave_one_out.mean()).square().sum())
    together = g * whole - (g - 1) * (leave_one_out[0::2] + leave_one_out[1::2]) + (g - 2) * pairs
    second = float(together.square().mean() / 2 * g / (g + 2))
    return jackknife - min(second, jackknife / 2)


def drop_blocks(rows: Tensor, left_out: BlockIndices, blocks: int, group: int = 1) -> Tensor:
    """The rows without those of some blocks; ``group`` successive rows stay together. Rows are in random
    order.
    """
    block_of = torch.arange(len(rows)) // group * blocks // max(1, len(rows) // group)
    return rows[~torch.isin(block_of, torch.tensor(left_out, dtype=torch.int64))]


def require_block_rows(real: Tensor, fake: Tensor, blocks: int, group: int = 1) -> None:
    """Raises ConfigError: either set has fewer than four groups of rows per block."""
    min_rows = 4 * blocks * group
    if min(len(real), len(fake)) < min_rows:
        raise ConfigError(
            f"an interval over {blocks} blocks of few rows", f"give {min_rows} samples of each set"
        )


def subsample_error(values: Tensor, fraction: float) -> float:
    """Standard error at n rows from values at b = fraction * n rows drawn without replacement.

    Given the data, such values spread with variance (1/b - 1/n) s^2 where the error at n is s^2 / n:
    sd(values) * sqrt(f / (1 - f)). The rate is sqrt(n); 1 - f is the correction for a finite population.
    """
    return float(values.double().std() * (fraction / (1 - fraction)) ** 0.5)


def subsampling_interval(
    compute: Callable[[MetricInputs], float],
    fraction: float = 0.25,
    draws: int = 40,
    min_rows: int = 8,
    share_of: Literal["fake", "real"] | None = None,
    minimum: float = -math.inf,
    reduce_to: Literal["features", "log_posteriors"] | None = None,
) -> Callable[[MetricInputs], Interval]:
    """Subsets without replacement, Politis and Romano 1994; the interval covers the expectation at this n.

    ``compute`` runs on ``draws`` subsets of ``fraction`` of the rows of either set, and of at least
    ``min_rows`` if available. The value at n is the centre, and the subsets give only the spread about
    *their own* mean, so a bias that depends on n (as every k-NN metric has) does not move the interval.
    Valid if the value is approximately normal with an error of order n^-1/2 and if the spread times sqrt(n)
    at b rows is about that at n; the variance of a part of order h in the rows comes out too large by (1 -
    f^h) / (1 - f), at most a third at f = 1/4, never too small; of an error that falls as n^-r, r < 1/2, too
    small by f^(1 - 2r), so take f near 1. The rows of ``train`` are fixed.

    ``share_of``: the value is a share of those rows, so the interval stays within [0, 1] and is never
    narrower than a binomial one with two more of each outcome, since all subsets may agree by chance.
    ``minimum``: the smallest possible value; the interval does not go below it. ``reduce_to``: all that
    ``compute`` reads of the rows, so that subsets copy nothing else.
    """

    def interval(inputs: MetricInputs) -> Interval:
        n, m = len(inputs.fake), len(inputs.real)
        if min_rows > 0.5 * min(n, m):
            raise ConfigError(
                f"an interval by subsampling needs more than {n} samples and {m} real rows",
                f"give at least {2 * min_rows} of each",
            )
        f = max(fraction, min_rows / min(n, m))
        b = round(f * n), round(f * m)
        value = compute(inputs)  # before those of subsets: it may be known by :func:`once`
        sorted_rows = (inputs.reduced_to(reduce_to) if reduce_to else inputs).sorted_by_content()
        values = [compute(sorted_rows.subsample(*b, inputs.key / "subset" / i)) for i in range(draws)]
        error = subsample_error(torch.tensor(values, dtype=torch.float64), f)
        method = (
            f"{draws} subsets of {b[0]} and {b[1]} rows without replacement; of the expectation at this n"
        )
        if share_of is not None:
            error = max(error, binomial_error(value, n if share_of == "fake" else m))
        low, high, _ = t_interval(value, error, draws - 1, method)
        if share_of is None:
            return Interval(max(low, minimum), high, method)
        return Interval(max(low, 0.0), min(high, 1.0), method)

    return interval


def binomial_error(share: float, n: int) -> float:
    """Standard error of a share of n rows, with two more of each outcome (Agresti and Coull 1998)."""
    p = (share * n + 2) / (n + 4)
    return float((p * (1 - p) / (n + 4)) ** 0.5)


# Caveats: there may be too few rows, or a few rows may dominate the variance. The error of a mean is
# estimated from the squares of each row's contribution. If their fourth moment is not finite, the largest
# square is about as large as the sum of all, however many rows there are, and the interval misses the true
# value.

MIN_EFFECTIVE_ROWS = 0.6
"""Effective rows over sqrt(n), below which the tail is heavy. Measured in 95 % of draws of 1,000 rows in 8
dimensions: 6 or more for Gaussians, at most 0.7 for Student's t with 3 degrees; for pictures and spectra 3 to
13 in the median.
"""
FEW_TAIL_ROWS = 300
"""With fewer rows :func:`moment_ratio` is checked too: :func:`effective_rows` alone miss Student's t with 3
degrees in a fifth of pairs of 50 rows.
"""
MOMENT_RATIO, MOMENT_RATE = 0.61, 0.2
"""The tail of n < 300 rows is heavy where :func:`moment_ratio` is above 0.61 n^0.2: 1.33 at 50 rows, 1.53 at
100. No pair of 400 Gaussian ones of 50 rows in 8 dimensions is above it, one of ten in one dimension.
"""
MIN_ROWS = 100
"""Rows of either set below which :func:`caveat_few_rows` warns."""
MAX_VARIANCE_SHARE = 0.99
"""Share of all variance in one feature, above which distances are practically distances of that feature."""


def effective_rows(contributions: Tensor) -> float:
    """Effective number of rows that contribute a_i (n): (sum w)^2 / sum w^2, w_i = (a_i - mean a)^2; 1 if one
    row contributes everything.
    """
    contributions = contributions.double()
    weights = (contributions - contributions.mean()).square()
    total = weights.square().sum()
    return float(weights.sum() ** 2 / total) if total > 0 else float(len(contributions))


def is_heavy_tailed(contributions: Tensor) -> bool:
    """Whether too few rows dominate; ``contributions`` (n): how far each row can move the value, up to a
    factor.
    """
    return effective_rows(contributions) < MIN_EFFECTIVE_ROWS * sqrt(len(contributions))


def heavy_tail_caveat(real: Tensor, fake: Tensor) -> str:
    """From the contributions of the rows of either set, (m) and (n); empty if neither is heavy-tailed."""
    for name, rows in (("the reference", real), ("the samples", fake)):
        if is_heavy_tailed(rows):
            return f"heavy tail: {effective_rows(rows):.0f} of {len(rows):,} rows of {name} carry its error"
    return ""


def caveat_few_rows(inputs: MetricInputs) -> str:
    """For metrics whose interval covered the true value in 80 to 85 % of pairs of 50 rows, on some
    distributions.
    """
    smaller = min(len(inputs.fake), len(inputs.real))
    return f"few rows: {smaller} of {MIN_ROWS}" if smaller < MIN_ROWS else ""


def caveat_one_feature(inputs: MetricInputs) -> str:
    """For metrics by Euclidean distances: one feature may dominate them."""
    d = inputs.feature_pair()[0].shape[1]
    for name, x in zip(("the reference", "the samples"), inputs.feature_pair(), strict=True):
        variances = x.double().var(0)
        share = float(variances.max() / variances.sum().clamp_min(1e-300))
        if d > 1 and share > MAX_VARIANCE_SHARE:
            return f"one of {d} features has {100 * share:.1f} % of the variance of {name}"
    return ""


def first_caveat(*caveats: Callable[[MetricInputs], str]) -> Callable[[MetricInputs], str]:
    """The first non-empty one of several caveats."""
    return lambda inputs: next(filter(None, (caveat(inputs) for caveat in caveats)), "")


def moment_ratio(x: Tensor) -> float:
    """E |z|^4 / ((tr S)^2 + 2 tr S^2) of centred rows z (n, d) of covariance S: 1 for a Gaussian of any S.

    The kurtosis over 3, averaged over directions: the denominator is E |z|^4 of N(0, S) (Isserlis 1918). It
    grows without bound in n where the fourth moment is not finite, and is n / 3 at most, for one row that is
    all variance. 1 where all rows are equal.
    """
    z = x.double() - x.mean(0, dtype=torch.float64)
    gram = z @ z.T
    squares = gram.diagonal()
    gaussian = squares.mean() ** 2 + 2 * gram.square().mean()  # tr S^2 = |Z Z'|^2 / n^2
    return float(squares.square().mean() / gaussian) if gaussian > 0 else 1.0


def caveat_heavy_tails(inputs: MetricInputs) -> str:
    """For metrics of second moments: a row moves them by |x_i - mean|^2."""
    for name, x in zip(("the reference", "the samples"), inputs.feature_pair(), strict=True):
        if len(x) < FEW_TAIL_ROWS and (ratio := moment_ratio(x)) > MOMENT_RATIO * len(x) ** MOMENT_RATE:
            return f"heavy tail: 4th moment of {len(x)} rows of {name} is {ratio:.1f} times a Gaussian's"

    def contributions(x: Tensor) -> Tensor:
        return (x.double() - x.mean(0, dtype=torch.float64)).square().sum(1)

    return heavy_tail_caveat(*map(contributions, inputs.feature_pair()))
