"""Precision and recall of distributions as a curve: Sajjadi, Bachem, Lucic, Bousquet and Gelly 2018 (PRD).

Both sets are binned alike by k-means on their union, and the curve is that of the two histograms P (real) and
Q (fake). F_8 (weighs recall) and F_1/8 (weighs precision) are its summaries, as in the paper. Arguments stand
in the order (real, fake). The mean over runs of k-means is taken, as there: of Lloyd's algorithm, twice
on each of five halves of the rows, at most 500 of either set, where the authors' code takes mini-batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import pi, sqrt
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gancore.errors import ConfigError
from gancore.evaluation.distances import chunks
from gancore.evaluation.evidence import Evidence
from gancore.evaluation.intervals import Blocks, around, block_jackknife_variance, without
from gancore.evaluation.measure import Anchor, Interval, Measure, Need
from gancore.evaluation.measures.bins import centres_of
from gancore.evaluation.pairs import once, shuffled
from gancore.evaluation.tails import doubt_of_scale
from gancore.runtime.randomness import Key

CLUSTERS = 20
RUNS, STARTS = 10, 2
ANGLES = 1001
FITTED_ROWS = 500
BETA = 8.0
BLOCKS = 20
SHOWN = 101


class Curve(NamedTuple):
    """alpha (precision) and beta (recall), each (..., angles), from recall's end to precision's."""

    precision: Tensor
    recall: Tensor


class Bins(NamedTuple):
    """Cluster of each row in each run: (runs, m) of real rows, (runs, n) of fake ones."""

    real: Tensor
    fake: Tensor


def prd_curve(real: Tensor, fake: Tensor, angles: int = ANGLES) -> Curve:
    """alpha = sum_w min(lambda P(w), Q(w)), beta = alpha / lambda, lambda = tan(i pi / 2(m + 1)), i = 1 to m.

    Histograms P and Q (..., bins), each summing to 1; eq. 6 to 8 there.
    """
    slope = torch.tan(torch.arange(1, angles + 1, dtype=torch.float64) * pi / 2 / (angles + 1))
    precision = torch.minimum(slope[:, None] * real.unsqueeze(-2), fake.unsqueeze(-2)).sum(-1)
    return Curve(precision.clamp(max=1), (precision / slope).clamp(max=1))


def f_beta(curve: Curve, beta: float) -> Tensor:
    """max over the curve of (1 + b^2) p r / (b^2 p + r): b > 1 weighs recall; (...)."""
    p, r = curve
    return ((1 + beta**2) * p * r / (beta**2 * p + r).clamp_min(1e-300)).amax(-1)


def bins(real: Tensor, fake: Tensor, key: Key, runs: int = RUNS) -> Bins:
    """K-means on half of the rows, equally many of both, which two runs share; the nearest centre of each."""
    rows = min(min(len(real), len(fake)) // 2, FITTED_ROWS)
    if rows < CLUSTERS:
        raise ConfigError(
            f"{CLUSTERS} clusters of {2 * rows} rows", f"give {2 * CLUSTERS} samples of each set"
        )

    def fit(half: Key, start: Key) -> Tensor:
        mine = real[(half / "real").permutation(len(real))[:rows]]
        beside = fake[(half / "fake").permutation(len(fake))[:rows]]
        union = torch.cat([mine, beside]).cpu()
        clusters = min(CLUSTERS, len(torch.unique(union, dim=0)))
        return centres_of(union, clusters, start.seed % 2**32).to(real.device)

    fits = [fit(key / "half" / (run // STARTS), key / "start" / run) for run in range(runs)]
    return Bins(_nearest(real, fits), _nearest(fake, fits))


def _nearest(x: Tensor, fits: list[Tensor]) -> Tensor:
    """Number of the nearest of each fit's centres for each row of x, (fits, rows), on the CPU."""
    sizes = [len(centres) for centres in fits]
    found = [
        torch.stack([part.argmin(1) for part in torch.split(chunk.squared, sizes, 1)])
        for chunk in chunks(x, torch.cat(fits))
    ]
    return torch.cat(found, 1).cpu()


def histograms(labels: Tensor) -> Tensor:
    """Shares of the clusters: (runs, rows) -> (runs, CLUSTERS), float64."""
    counts = torch.zeros(len(labels), CLUSTERS, dtype=torch.float64)
    counts.scatter_add_(1, labels, torch.ones_like(labels, dtype=torch.float64))
    return counts / labels.shape[1]


def curve_of(found: Bins) -> Curve:
    """The mean over runs."""
    curves = prd_curve(histograms(found.real), histograms(found.fake))
    return Curve(curves.precision.mean(0), curves.recall.mean(0))


@once
def _bins_of(evidence: Evidence) -> Bins:
    return bins(*shuffled(evidence), evidence.key)


def _score(evidence: Evidence, beta: float) -> float:
    return float(f_beta(curve_of(_bins_of(evidence)), beta))


def _interval(evidence: Evidence, beta: float) -> Interval:
    """Rows left out by blocks, in clusters that stay as they are; and what other rows do to the clusters.

    Too wide where the laws are nearly equal: min(lambda P, Q) has its edge there.
    """
    found = _bins_of(evidence)

    def left(blocks: Blocks) -> float:
        rest = Bins(*(without(labels.T, blocks, BLOCKS).T for labels in found))
        return float(f_beta(curve_of(rest), beta))

    runs = f_beta(prd_curve(histograms(found.real), histograms(found.fake)), beta)
    value, variance = block_jackknife_variance(left, BLOCKS)
    method = f"jackknife over {BLOCKS} blocks and spread of {RUNS} runs, of the expectation at this n"
    low, high, _ = around(value, sqrt(variance + variance_of_clusters(runs)), BLOCKS - 1, method)
    return Interval(max(0.0, low), min(1.0, high), method)


def variance_of_clusters(runs: Tensor) -> float:
    """Of the mean over runs, :data:`STARTS` in turn of which see the same half of the rows.

    Halves without replacement spread as clusters of all rows would over data, since (1/b - 1/n) = 1/n at
    b = n/2: their component of the variance, (MSB - MSW) / starts, is not made less by more runs. What starts
    of k-means add is: MSB / runs, with what few halves leave of their own.
    """
    halves = runs.view(-1, STARTS)
    between, within = STARTS * float(halves.mean(1).var()), float(halves.var(1).mean())
    return max(0.0, between - within) / STARTS + between / len(runs)


def _details(evidence: Evidence) -> Mapping[str, Any]:
    curve = curve_of(_bins_of(evidence))
    every = (ANGLES - 1) // (SHOWN - 1)
    return {"precision": curve.precision[::every].tolist(), "recall": curve.recall[::every].tolist()}


def _measure(beta: float, blind: frozenset[Anchor], **more: Any) -> Measure:
    compute, interval = partial(_score, beta=beta), partial(_interval, beta=beta)
    needs: frozenset[Need] = frozenset({"features"})
    return Measure(
        compute, "F score", "higher", interval, needs=needs, blind=blind, doubt=doubt_of_scale, **more
    )


prd_recall = _measure(BETA, frozenset({"widened"}), kind="diversity", details=_details)
"""F_8: how much of the real distribution the samples reach."""
prd_precision = _measure(1 / BETA, frozenset({"collapse", "points"}), kind="fidelity")
"""F_1/8: how much of the samples' distribution is real."""
