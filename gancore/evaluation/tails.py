"""Whether an interval can rest on the rows at hand: they may be few, or few of them carry all that there is.

An error of a mean is estimated from squares of what each row adds. Where the fourth moment of that is not
finite, the largest square stands for the sum of all, however many rows there are, and the interval misses the
truth.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import torch
from torch import Tensor

from gancore.evaluation.evidence import Evidence
from gancore.evaluation.pairs import pair

LEAST = 0.6
"""Rows that carry the error, over sqrt(n). Measured in 95 % of draws of 1,000 rows in 8 dimensions: 6 or more
of Gaussians, 0.7 at most of Student's t with 3 degrees; of pictures and spectra 3 to 13 in the median."""

ENOUGH = 100
"""Rows."""
ALONE = 0.99
"""Share of all variance that one feature has, from which distances are of this one alone."""


def carrying(added: Tensor) -> float:
    """How many of rows that add a_i (n): (sum w)^2 / sum w^2, w_i = (a_i - mean a)^2; 1 if one has all."""
    added = added.double()
    weights = (added - added.mean()).square()
    total = weights.square().sum()
    return float(weights.sum() ** 2 / total) if total > 0 else float(len(added))


def heavy(added: Tensor) -> bool:
    """``added`` (n): how far each row can move the value, up to a factor."""
    return carrying(added) < LEAST * sqrt(len(added))


def doubt_of(real: Tensor, fake: Tensor) -> str:
    """Of what the rows of either set (m) and (n) add; empty where all is well."""
    for name, added in (("the reference", real), ("the samples", fake)):
        if heavy(added):
            return f"heavy tail: {carrying(added):.0f} of {len(added):,} rows of {name} carry its error"
    return ""


def doubt_of_few(evidence: Evidence) -> str:
    """Of measures whose interval held the truth in 80 to 85 % of pairs of 50 rows, on some laws."""
    fewest = min(len(evidence.fake), len(evidence.real))
    return f"few rows: {fewest} of {ENOUGH}" if fewest < ENOUGH else ""


def doubt_of_scale(evidence: Evidence) -> str:
    """Of measures by Euclidean distances: one feature may be all that these see."""
    d = pair(evidence)[0].shape[1]
    for name, x in zip(("the reference", "the samples"), pair(evidence), strict=True):
        variances = x.double().var(0)
        share = float(variances.max() / variances.sum().clamp_min(1e-300))
        if d > 1 and share > ALONE:
            return f"one of {d} features has {100 * share:.1f} % of the variance of {name}"
    return ""


def first(*doubts: Callable[[Evidence], str]) -> Callable[[Evidence], str]:
    """Of several doubts the first that there is."""
    return lambda evidence: next(filter(None, (doubt(evidence) for doubt in doubts)), "")


def doubt_of_squares(evidence: Evidence) -> str:
    """Of measures that rest on second moments: a row moves them by |x_i - mean|^2."""

    def added(x: Tensor) -> Tensor:
        return (x.double() - x.mean(0, dtype=torch.float64)).square().sum(1)

    return doubt_of(*map(added, pair(evidence)))
