"""Birthday test: how many different samples can the model generate? Arora and Zhang 2018.

Among s samples of N equally likely ones about s^2 / 2N pairs coincide. If some are likelier than others, N is
1 / sum p^2, the support of a uniform distribution that repeats as often; the true support is larger. In the
paper people compare the closest pairs. Here two samples coincide if they are nearer than h, half of the
distance that different real rows keep (:func:`coincidence_threshold`). K(t) is the probability that two
samples are within t of each other, and the value 1 / K(h).

A second distance, 2h, separates repeats from samples that are near by chance. Let A = sum p^2 be the
probability of a repeat, and B(t) that two different samples are within t: K(t) = A + B(t) if copies of one
differ by less than t. For a distribution with a density in one dimension or more, B(2t) >= 2 B(t) while t is
small relative to its spread (what varies by less than h is one sample to this test). So

    2 K(h) - K(2h) <= A <= K(2h)

for every density, and N is within 1 / K(2h) and 1 / (2 K(h) - K(2h)). There is no upper bound if that is not
positive, as for every distribution with a density alone: the value then depends on the number of samples, not
on the distribution, and the caveat says so. The same bounds hold for 1 / K(t) for every t up to 2h, so they
do not depend on the error of h.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, log, sqrt
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gancore.errors import ConfigError, DataError
from gancore.metrics.distances import distance_chunks
from gancore.metrics.intervals import TAIL
from gancore.metrics.metric import Interval, Metric, MetricInputs, once

QUANTILE = 0.1
"""Quantile of the distances of real rows to the nearest different row: up to a tenth may have near
duplicates.
"""
THRESHOLD_FACTOR = 0.5
"""Part of that distance within which two samples coincide."""
ROUNDING = 1e-5
"""Relative to the spread of the real features: rows that differ by less are equal."""


class Collisions(NamedTuple):
    """For each sample how many others are within h, and within 2h (s, float64); h (``threshold``); and how
    many real rows are equal to another.
    """

    within_h: Tensor
    within_2h: Tensor
    threshold: float
    n_duplicates: int = 0

    @property
    def pairs(self) -> float:
        return float(self.within_h.sum()) / 2

    @property
    def wide_pairs(self) -> float:
        return float(self.within_2h.sum()) / 2

    @property
    def possible_pairs(self) -> float:
        s = len(self.within_h)
        return s * (s - 1) / 2


def coincidence_threshold(real: Tensor) -> tuple[float, int]:
    """h, half of the distance to the nearest different row that nine in ten real rows exceed.

    Also returns how many rows are equal to another. Equal rows are left out, and near duplicates of less
    than a tenth of the rows do not affect the quantile.

    Raises:
        DataError: all rows are equal.
    """
    equal = ROUNDING * float(real.double().var(0, correction=0).sum().sqrt())
    nearest_other, n_duplicates = [], 0
    for chunk in distance_chunks(real, real):
        equal_rows = chunk.within(torch.full((len(real),), equal, dtype=torch.float64, device=real.device))
        n_duplicates += int((equal_rows.sum(1) > 1).sum())
        nearest_other.append(chunk.squared.masked_fill_(equal_rows, inf).amin(1).sqrt())
    distances = torch.cat(nearest_other)
    distances_to_other = distances[distances.isfinite()]
    if not len(distances_to_other):
        raise DataError("the real rows are all equal in these features", "choose other --feature-extractor")
    return THRESHOLD_FACTOR * float(distances_to_other.quantile(QUANTILE)), n_duplicates


def count_neighbours_within(x: Tensor, thresholds: tuple[float, ...]) -> list[Tensor]:
    """For each threshold, how many other rows of x (s, d) lie within it of each row; (s)."""
    counts = [x.new_empty(len(x), dtype=torch.float64) for _ in thresholds]
    for chunk in distance_chunks(x, x):
        part = slice(chunk.start, chunk.start + len(chunk.squared))
        for count, threshold in zip(counts, thresholds, strict=True):
            radius = torch.full((len(x),), threshold, dtype=torch.float64, device=x.device)
            count[part] = chunk.within(radius).sum(1) - 1
    return counts


@once
def count_collisions(inputs: MetricInputs) -> Collisions:
    fake, real = inputs.fake.require_features(), inputs.real.require_features()
    if min(len(fake), len(real)) < 2:
        raise ConfigError("fewer than 2 rows have no pairs", "give 2 or more samples of each set")
    threshold, n_duplicates = coincidence_threshold(real)
    within_h, within_2h = count_neighbours_within(fake, (threshold, 2 * threshold))
    return Collisions(within_h, within_2h, threshold, n_duplicates)


def support_size(collisions: Collisions) -> float:
    """N = s (s - 1) / 2 / (C + 1), at least 1; finite without any pair.

    For a Poisson C with mean m = s (s - 1) / 2N the expectation is N (1 - exp(-m)): right if there are many
    pairs, never too large on average.
    """
    return max(1.0, collisions.possible_pairs / (collisions.pairs + 1))


def overdispersion(counts: Tensor, signed: Tensor | None = None) -> float:
    """Var C / E C, at least 1: how much more pairs vary than independent ones would.

    C is a U-statistic. Pairs that share a row collide together with P(x ~ x', x ~ x''), of which
    T = sum_i c_i (c_i - 1) / s(s-1)(s-2) is an unbiased estimate; so Var C is about
    E C + s(s-1)(s-2) (T - p^2), p = C / (s(s-1)/2). It is 1 if all samples are equally likely.

    ``signed``: for each row the sum of its pairs' signs, if pairs are counted by sign; the variance is then
    that of the sum of signs, over the number of all pairs.
    """
    s, pairs = len(counts), float(counts.sum()) / 2
    if not pairs or s < 3:
        return 1.0
    summed = counts if signed is None else signed
    p = float(summed.sum()) / (s * (s - 1))
    together = float((summed.square() - counts).sum()) - s * (s - 1) * (s - 2) * p**2
    return max(1.0, 1 + together / pairs)


def poisson_interval(count: float, dispersion: float, tail: float = TAIL) -> tuple[float, float]:
    """Exact bounds of a Poisson mean (Garwood 1936), of count / dispersion and scaled back."""
    from scipy.stats import chi2

    scaled = count / dispersion
    low = float(chi2.ppf(tail, 2 * scaled)) / 2 if count else 0.0
    return dispersion * low, dispersion * float(chi2.ppf(1 - tail, 2 * scaled + 2)) / 2


def max_expected_pairs(collisions: Collisions, tail: float = TAIL) -> float:
    """The upper bound of the expected number of pairs within 2h."""
    return poisson_interval(collisions.wide_pairs, overdispersion(collisions.within_2h), tail)[1]


def min_expected_pairs(collisions: Collisions) -> float:
    """The lower bound of the expected C(h) - (C(2h) - C(h)), the pairs that are certain to be repeats.

    For a difference of two counts, from the bounds of each (MOVER: Zou and Donner 2008).
    """
    between = collisions.wide_pairs - collisions.pairs
    dispersion = overdispersion(collisions.within_2h, 2 * collisions.within_h - collisions.within_2h)
    low, high = poisson_interval(collisions.pairs, dispersion)[0], poisson_interval(between, dispersion)[1]
    return collisions.pairs - between - sqrt((collisions.pairs - low) ** 2 + (high - between) ** 2)


def support_bounds(collisions: Collisions) -> tuple[float, float]:
    """95 % bounds of N; the upper one is infinite if near samples may be near by chance."""
    min_pairs = min_expected_pairs(collisions)
    low = collisions.possible_pairs / max_expected_pairs(collisions)
    return max(1.0, low), max(1.0, collisions.possible_pairs / min_pairs) if min_pairs > 0 else inf


def _interval(inputs: MetricInputs) -> Interval:
    collisions = count_collisions(inputs)
    method = (
        f"{collisions.pairs:g} pairs within {collisions.threshold:.3g} and {collisions.wide_pairs:g} "
        "within twice that: "
        f"Poisson ends with variance {overdispersion(collisions.within_2h):.3g} times their number; "
        "at every threshold up to that"
    )
    return Interval(*support_bounds(collisions), method)


def _caveat(inputs: MetricInputs) -> str:
    """Without an upper bound the value depends on n alone."""
    low, high = support_bounds(count_collisions(inputs))
    return "" if high < inf else f"the number is not known from so few samples: at least {low:,.0f}"


def _details(inputs: MetricInputs) -> Mapping[str, Any]:
    collisions = count_collisions(inputs)
    return {
        "pairs that coincide": collisions.pairs,
        "pairs within twice the threshold": collisions.wide_pairs,
        "at least, 95 %": max(1.0, collisions.possible_pairs / max_expected_pairs(collisions, 0.05)),
        "samples that occur again": float((collisions.within_h > 0).double().mean()),
        "samples for even odds of a pair": 0.5 + sqrt(2 * log(2) * support_size(collisions)),
        "one where nearer than": collisions.threshold,
        "real rows that are equal to another": collisions.n_duplicates,
    }


birthday = Metric(
    compute=lambda inputs: support_size(count_collisions(inputs)),
    interval=_interval,
    unit="distinct samples",
    higher_is_better=True,
    details=_details,
    requires=frozenset({"features"}),
    insensitive_to=frozenset({"noise", "shrunk", "widened"}),
    caveat=_caveat,
    kind="diversity",
)
