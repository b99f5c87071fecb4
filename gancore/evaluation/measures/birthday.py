"""Birthday test: how many different samples can the model make? Arora and Zhang 2018.

Among s samples of N equally likely ones about s^2 / 2N pairs coincide, and even odds of one need
s = 1.18 sqrt(N). Where some are likelier than others, N is 1 / sum p^2, the support of a uniform law that
repeats as often; the true one is larger. The paper has people judge the closest pairs. Here two samples are
one where they are as close as only one in a thousand real rows is to another.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log, sqrt
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gancore.errors import ConfigError
from gancore.evaluation.distances import chunks, nearest
from gancore.evaluation.evidence import Evidence
from gancore.evaluation.intervals import TAIL
from gancore.evaluation.measure import Interval, Measure

QUANTILE = 0.001
"""Of the distances of real rows to the nearest other, among as many rows as there are samples."""


class Collisions(NamedTuple):
    """For each sample how many others are one with it (s, float64), and the distance that makes them one."""

    of_row: Tensor
    threshold: float

    @property
    def pairs(self) -> float:
        return float(self.of_row.sum()) / 2

    @property
    def possible(self) -> float:
        s = len(self.of_row)
        return s * (s - 1) / 2


def threshold_of(real: Tensor) -> float:
    """The distance that real rows keep, but for one in a thousand; 0 where more of them repeat."""
    distances = nearest(real, real, 1, exclude_self=True)[0].flatten()
    return float(distances.quantile(QUANTILE))


def count_within(x: Tensor, threshold: float) -> Tensor:
    """How many other rows of x (s, d) lie within the threshold of each; (s)."""
    radius = torch.full((len(x),), threshold, dtype=torch.float64)
    counts = x.new_empty(len(x), dtype=torch.float64)
    for chunk in chunks(x, x):
        counts[chunk.start : chunk.start + len(chunk.squared)] = chunk.within(radius).sum(1)
    return counts - 1


def collisions_of(evidence: Evidence) -> Collisions:
    fake, real = evidence.fake.features, evidence.real.features
    if fake is None or real is None:
        raise ConfigError("a birthday test without features", "choose features")
    few = real[(evidence.key / "real").permutation(len(real))[: len(fake)]]
    threshold = threshold_of(few)
    return Collisions(count_within(fake, threshold), threshold)


def support(found: Collisions) -> float:
    """N = s (s - 1) / 2 / (C + 1), which no pair leaves finite.

    Of a Poisson C of mean m = s (s - 1) / 2N the expectation is N (1 - exp(-m)): right where pairs are many,
    never too large on average.
    """
    return found.possible / (found.pairs + 1)


def overdispersion(found: Collisions) -> float:
    """Var C / E C, at least 1: how much more pairs vary than independent ones would.

    C is a U-statistic. Pairs that share a row collide together with P(x ~ x', x ~ x''), of which
    T = sum_i c_i (c_i - 1) / s(s-1)(s-2) is an estimate without bias; so Var C is about
    E C + s(s-1)(s-2) (T - p^2), p = C / (s(s-1)/2). It is 1 where all are equally likely.
    """
    c, s = found.of_row, len(found.of_row)
    if not found.pairs:
        return 1.0
    p = found.pairs / found.possible
    together = float((c * (c - 1)).sum()) - s * (s - 1) * (s - 2) * p**2
    return max(1.0, 1 + together / found.pairs)


def poisson_ends(count: float, dispersion: float, tail: float = TAIL) -> tuple[float, float]:
    """Exact ends of a Poisson mean (Garwood 1936), of count / dispersion and scaled back."""
    from scipy.stats import chi2

    scaled = count / dispersion
    low = float(chi2.ppf(tail, 2 * scaled)) / 2 if count else 0.0
    return dispersion * low, dispersion * float(chi2.ppf(1 - tail, 2 * scaled + 2)) / 2


def _interval(evidence: Evidence) -> Interval:
    """Poisson ends of the expected number of pairs, the threshold given; without a pair no upper end."""
    found = collisions_of(evidence)
    dispersion = overdispersion(found)
    low, high = poisson_ends(found.pairs, dispersion)
    method = f"Poisson, {found.pairs:g} pairs with variance {dispersion:.3g} times their number"
    return Interval(found.possible / high, found.possible / low if low else float("inf"), method)


def _details(evidence: Evidence) -> Mapping[str, Any]:
    found = collisions_of(evidence)
    return {
        "pairs that coincide": found.pairs,
        "at least, 95 %": found.possible / poisson_ends(found.pairs, overdispersion(found), 0.05)[1],
        "samples that occur again": float((found.of_row > 0).double().mean()),
        "samples for even odds of a pair": 0.5 + sqrt(2 * log(2) * support(found)),
        "one where nearer than": found.threshold,
    }


birthday = Measure(
    compute=lambda evidence: support(collisions_of(evidence)),
    interval=_interval,
    unit="distinct samples",
    better="higher",
    details=_details,
    needs=frozenset({"features"}),
    blind=frozenset({"noise"}),
    kind="diversity",
)
