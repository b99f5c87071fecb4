"""Birthday test: how many different samples can the model make? Arora and Zhang 2018.

Among s samples of N equally likely ones about s^2 / 2N pairs coincide. Where some are likelier than others, N
is 1 / sum p^2, the support of a uniform law that repeats as often; the true one is larger. The paper has
people judge the closest pairs. Here two samples are one where they are nearer than h, half of the distance
that different real rows keep (:func:`threshold_of`). K(t) is the chance that two samples lie within
t of each other, and the value 1 / K(h).

What lies near by chance is told from what repeats by a second distance, 2h. Let A = sum p^2 be the chance of
a repeat, and B(t) that two different ones lie within t: K(t) = A + B(t) where copies of one differ by less
than t. Of a law with a density in one dimension or more B(2t) >= 2 B(t) while t is small beside its spread
(what spreads less than h is one to this test). So

    2 K(h) - K(2h) <= A <= K(2h)

whatever the density, and N is within 1 / K(2h) and 1 / (2 K(h) - K(2h)); without end where that is not
positive, as for every law with a density alone: the number is then one of the samples taken, not of the law,
and the reading says that it cannot be told. The same bounds hold 1 / K(t) for every t up to 2h, and so do not
hang on the error of h.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, log, sqrt
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gancore.errors import ConfigError, DataError
from gancore.evaluation.distances import chunks
from gancore.evaluation.evidence import Evidence
from gancore.evaluation.intervals import TAIL
from gancore.evaluation.measure import Interval, Measure

QUANTILE = 0.1
"""Of the distances of real rows to the nearest different one: up to a tenth may have near twins."""
PART = 0.5
"""Of that distance within which two samples are one."""
ROUNDING = 1e-5
"""Of the spread of the real features: rows that differ by less are equal."""


class Collisions(NamedTuple):
    """For each sample how many others lie within h, and within 2h (s, float64); h; and how many real rows
    are equal to another.
    """

    near: Tensor
    wide: Tensor
    threshold: float
    twins: int = 0

    @property
    def pairs(self) -> float:
        return float(self.near.sum()) / 2

    @property
    def wide_pairs(self) -> float:
        return float(self.wide.sum()) / 2

    @property
    def possible(self) -> float:
        s = len(self.near)
        return s * (s - 1) / 2


def threshold_of(real: Tensor) -> tuple[float, int]:
    """h: half of the distance that nine in ten real rows keep to the nearest one that is not equal.

    Equal rows are left out, and near twins of less than a tenth do not reach it, so that duplicates do not
    decide it. Second: how many rows are equal to another.

    Raises:
        DataError: all rows are equal.
    """
    equal = ROUNDING * float(real.double().var(0, correction=0).sum().sqrt())
    others, twins = [], 0
    for chunk in chunks(real, real):
        same = chunk.within(torch.full((len(real),), equal, dtype=torch.float64, device=real.device))
        twins += int((same.sum(1) > 1).sum())
        others.append(chunk.squared.masked_fill_(same, inf).amin(1).sqrt())
    distances = torch.cat(others)
    apart = distances[distances.isfinite()]
    if not len(apart):
        raise DataError("the real rows are all equal in these features", "choose other --features")
    return PART * float(apart.quantile(QUANTILE)), twins


def count_within(x: Tensor, thresholds: tuple[float, ...]) -> list[Tensor]:
    """For each threshold, how many other rows of x (s, d) lie within it of each row; (s)."""
    counts = [x.new_empty(len(x), dtype=torch.float64) for _ in thresholds]
    for chunk in chunks(x, x):
        part = slice(chunk.start, chunk.start + len(chunk.squared))
        for count, threshold in zip(counts, thresholds, strict=True):
            radius = torch.full((len(x),), threshold, dtype=torch.float64, device=x.device)
            count[part] = chunk.within(radius).sum(1) - 1
    return counts


def collisions_of(evidence: Evidence) -> Collisions:
    fake, real = evidence.fake.features, evidence.real.features
    if fake is None or real is None:
        raise ConfigError("a birthday test without features", "choose features")
    if min(len(fake), len(real)) < 2:
        raise ConfigError("pairs among fewer than 2 rows", "give 2 or more samples of each set")
    threshold, twins = threshold_of(real)
    near, wide = count_within(fake, (threshold, 2 * threshold))
    return Collisions(near, wide, threshold, twins)


def support(found: Collisions) -> float:
    """N = s (s - 1) / 2 / (C + 1), at least 1, which no pair leaves finite.

    Of a Poisson C of mean m = s (s - 1) / 2N the expectation is N (1 - exp(-m)): right where pairs are many,
    never too large on average.
    """
    return max(1.0, found.possible / (found.pairs + 1))


def overdispersion(counts: Tensor, signed: Tensor | None = None) -> float:
    """Var C / E C, at least 1: how much more pairs vary than independent ones would.

    C is a U-statistic. Pairs that share a row collide together with P(x ~ x', x ~ x''), of which
    T = sum_i c_i (c_i - 1) / s(s-1)(s-2) is an estimate without bias; so Var C is about
    E C + s(s-1)(s-2) (T - p^2), p = C / (s(s-1)/2). It is 1 where all are equally likely.

    ``signed``: for each row the sum of its pairs' signs, where pairs are counted by sign: then the variance
    is that of the sum of signs, over the number of all pairs.
    """
    s, pairs = len(counts), float(counts.sum()) / 2
    if not pairs or s < 3:
        return 1.0
    summed = counts if signed is None else signed
    p = float(summed.sum()) / (s * (s - 1))
    together = float((summed.square() - counts).sum()) - s * (s - 1) * (s - 2) * p**2
    return max(1.0, 1 + together / pairs)


def poisson_ends(count: float, dispersion: float, tail: float = TAIL) -> tuple[float, float]:
    """Exact ends of a Poisson mean (Garwood 1936), of count / dispersion and scaled back."""
    from scipy.stats import chi2

    scaled = count / dispersion
    low = float(chi2.ppf(tail, 2 * scaled)) / 2 if count else 0.0
    return dispersion * low, dispersion * float(chi2.ppf(1 - tail, 2 * scaled + 2)) / 2


def most_pairs(found: Collisions, tail: float = TAIL) -> float:
    """The upper end of the expected number of pairs within 2h."""
    return poisson_ends(found.wide_pairs, overdispersion(found.wide), tail)[1]


def fewest_pairs(found: Collisions) -> float:
    """The lower end of the expected C(h) - (C(2h) - C(h)), the pairs that are certain to be repeats.

    Of a difference of two counts, from the ends of each (MOVER: Zou and Donner 2008).
    """
    between = found.wide_pairs - found.pairs
    dispersion = overdispersion(found.wide, 2 * found.near - found.wide)
    low, high = poisson_ends(found.pairs, dispersion)[0], poisson_ends(between, dispersion)[1]
    return found.pairs - between - sqrt((found.pairs - low) ** 2 + (high - between) ** 2)


def bounds(found: Collisions) -> tuple[float, float]:
    """95 % bounds of N; the upper one is infinite where near samples may be near by chance."""
    fewest = fewest_pairs(found)
    low = found.possible / most_pairs(found)
    return max(1.0, low), max(1.0, found.possible / fewest) if fewest > 0 else inf


def _interval(evidence: Evidence) -> Interval:
    found = collisions_of(evidence)
    method = (
        f"{found.pairs:g} pairs within {found.threshold:.3g} and {found.wide_pairs:g} within twice that: "
        f"Poisson ends with variance {overdispersion(found.wide):.3g} times their number; at every threshold "
        "up to that"
    )
    return Interval(*bounds(found), method)


def _doubt(evidence: Evidence) -> str:
    """Where there is no upper end, the value is one of n alone."""
    low, high = bounds(collisions_of(evidence))
    return "" if high < inf else f"how many cannot be told from so few samples: at least {low:,.0f}"


def _details(evidence: Evidence) -> Mapping[str, Any]:
    found = collisions_of(evidence)
    return {
        "pairs that coincide": found.pairs,
        "pairs within twice the threshold": found.wide_pairs,
        "at least, 95 %": max(1.0, found.possible / most_pairs(found, 0.05)),
        "samples that occur again": float((found.near > 0).double().mean()),
        "samples for even odds of a pair": 0.5 + sqrt(2 * log(2) * support(found)),
        "one where nearer than": found.threshold,
        "real rows that are equal to another": found.twins,
    }


birthday = Measure(
    compute=lambda evidence: support(collisions_of(evidence)),
    interval=_interval,
    unit="distinct samples",
    better="higher",
    details=_details,
    needs=frozenset({"features"}),
    blind=frozenset({"noise", "shrunk", "widened"}),
    doubt=_doubt,
    kind="diversity",
)
