"""95 % intervals over samples. A measure names the one that is valid for it; a plain bootstrap suits few."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from scipy.stats import beta, t
from torch import Tensor

from gancore.errors import ConfigError
from gancore.evaluation.evidence import Evidence
from gancore.evaluation.measure import Interval
from gancore.evaluation.pairs import in_order

TAIL = 0.025

Blocks = tuple[int, ...]
"""Numbers of blocks of rows that are left out."""


def t_quantile(degrees: float) -> float:
    """Standard errors on either side, where the error has so many degrees of freedom; 1.96 for many."""
    return float(t.ppf(1 - TAIL, degrees))


def around(value: float, error: float, degrees: float, method: str) -> Interval:
    """value -+ t * standard error."""
    reach = t_quantile(degrees) * error
    return Interval(value - reach, value + reach, method)


def clopper_pearson(successes: float, trials: int, tail: float = TAIL) -> Interval:
    """The exact interval of a share from independent trials: at least 95 %, whatever the share.

    ``tail``: how often the share may lie beyond either end; smaller where several shares are bounded at once.
    Clopper and Pearson 1934: quantiles of Beta(s, n - s + 1) and Beta(s + 1, n - s).
    """
    if not 0 <= successes <= trials or trials < 1:
        raise ConfigError(
            f"{successes} successes in {trials} trials", "give 0 <= successes <= trials, 1 or more"
        )
    failures = trials - successes
    low = float(beta.ppf(tail, successes, failures + 1)) if successes else 0.0
    high = float(beta.ppf(1 - tail, successes + 1, failures)) if failures else 1.0
    return Interval(low, high, f"Clopper-Pearson, {trials} trials")


def of_mean(values: Tensor) -> Interval:
    """Student's t for the mean of independent rows (n)."""
    n = len(values)
    if n < 2:
        raise ConfigError(f"an interval of a mean from {n} rows", "give 2 or more")
    values = values.double()
    return around(float(values.mean()), float(values.std()) / n**0.5, n - 1, f"Student's t over {n} rows")


def block_jackknife(value: Callable[[Blocks], float], blocks: int = 10, covers: str = "") -> Interval:
    """value() -+ t * jackknife error; ``value(left_out)`` is taken without the rows of those blocks.

    Blocks are numbers below ``blocks``, an even number: disjoint rows, of each set equally many, at random.
    ``covers`` says of what: the truth is the expectation of ``value()``, bias included, if it has one.
    """
    whole, variance = block_jackknife_variance(value, blocks)
    method = f"jackknife over {blocks} blocks" + (covers and f", {covers}")
    return around(whole, variance**0.5, blocks - 1, method)


def block_jackknife_variance(value: Callable[[Blocks], float], blocks: int) -> tuple[float, float]:
    """The value and the variance of its error."""
    whole = value(())
    without = torch.tensor([value((j,)) for j in range(blocks)], dtype=torch.float64)
    pairs = torch.tensor([value((j, j + 1)) for j in range(0, blocks, 2)], dtype=torch.float64)
    return whole, jackknife_variance(whole, without, pairs)


def jackknife_variance(whole: float, without: Tensor, pairs: Tensor) -> float:
    """Of a symmetric statistic; without each of g blocks (g even), and without blocks 0 and 1, 2 and 3, ...

    J = (g - 1)/g sum_j (v_j - mean v)^2 (Quenouille, Tukey) is V1 + 2 V2 on average where the parts of first
    and second order in the rows have variances V1 and V2; V2 is all there is where a distance compares equal
    laws. What two blocks do together, P = g v - (g - 1)(v_j + v_k) + (g - 2) v_jk, has no first order and
    E P^2 = 2 V2 (g + 2)/g (after Efron and Stein 1981). So J - V2, and at least J / 2.
    """
    g = len(without)
    jackknife = float((g - 1) / g * (without - without.mean()).square().sum())
    together = g * whole - (g - 1) * (without[0::2] + without[1::2]) + (g - 2) * pairs
    second = float(together.square().mean() / 2 * g / (g + 2))
    return jackknife - min(second, jackknife / 2)


def without(rows: Tensor, left_out: Blocks, blocks: int, group: int = 1) -> Tensor:
    """The rows but those of some blocks; ``group`` rows in turn stay together. Rows stand at random."""
    block_of = torch.arange(len(rows)) // group * blocks // max(1, len(rows) // group)
    return rows[~torch.isin(block_of, torch.tensor(left_out, dtype=torch.int64))]


def subset_error(values: Tensor, fraction: float) -> float:
    """Standard error at n rows from values at b = fraction * n rows drawn without replacement.

    Given the data, such values spread with variance (1/b - 1/n) s^2 where the error at n is s^2 / n:
    sd(values) * sqrt(f / (1 - f)). The rate is sqrt(n); 1 - f is the correction for a finite population.
    """
    return float(values.double().std() * (fraction / (1 - fraction)) ** 0.5)


def subsampling(
    compute: Callable[[Evidence], float],
    fraction: float = 0.25,
    draws: int = 40,
    least: int = 8,
    share_of: Literal["fake", "real"] | None = None,
    lowest: float = -math.inf,
) -> Callable[[Evidence], Interval]:
    """Subsets without replacement, Politis and Romano 1994; the truth is the expectation at this n.

    ``compute`` is taken on ``draws`` subsets of ``fraction`` of the rows of either set, and at least
    ``least`` where that many can be had. The value at n is kept as the centre and the subsets give the spread
    about *their own* mean alone, so that a bias which depends on n (as every k-NN measure has) moves
    nothing. Valid where the value is about normal with an error of order n^-1/2 and where the spread times
    sqrt(n) at b rows is about that at n; the variance of a part of order h in the rows comes out too large by
    (1 - f^h) / (1 - f), at most a third at f = 1/4, never too small. Rows of ``train`` stay: they are given.

    ``share_of``: the value is a share of those rows, so the interval stays within [0, 1] and is never
    narrower than a binomial one with two more of each outcome: subsets that all agree prove no certainty.
    ``lowest``: the least that a value can be, which the interval doesn't pass.
    """

    def interval(evidence: Evidence) -> Interval:
        n, m = len(evidence.fake), len(evidence.real)
        f = max(fraction, least / min(n, m))
        if f > 0.5:
            raise ConfigError(
                f"an interval by subsampling from {n} samples beside {m}",
                f"give at least {2 * least} of each",
            )
        b = round(f * n), round(f * m)
        sorted_rows = in_order(evidence)
        values = [compute(sorted_rows.subset(*b, evidence.key / "subset" / i)) for i in range(draws)]
        value, error = compute(evidence), subset_error(torch.tensor(values, dtype=torch.float64), f)
        method = (
            f"{draws} subsets of {b[0]} and {b[1]} rows without replacement; of the expectation at this n"
        )
        if share_of is None:
            low, high, _ = around(value, error, draws - 1, method)
            return Interval(max(low, lowest), high, method)
        error = max(error, binomial_error(value, n if share_of == "fake" else m))
        low, high, _ = around(value, error, draws - 1, method)
        return Interval(max(low, 0.0), min(high, 1.0), method)

    return interval


def binomial_error(share: float, n: int) -> float:
    """Of a share of n rows, with two more of each outcome (Agresti and Coull 1998)."""
    p = (share * n + 2) / (n + 4)
    return float((p * (1 - p) / (n + 4)) ** 0.5)
