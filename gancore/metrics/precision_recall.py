"""Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020) by k-NN balls.

The ball of a row has the distance to the row's k-th neighbour in its own set (itself left out) as radius; its
border belongs to it. Arguments are in the order (real, fake) everywhere. Rows are (n, d); any d, computed in
float64. All four depend on n and are not 1 for equal distributions: only compare them at equal n. Below them,
precision and recall of distributions as a curve (PRD).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from math import nan, pi, sqrt
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from gancore.errors import ConfigError
from gancore.evaluation.result import SPREAD
from gancore.metrics.bins import kmeans_centres
from gancore.metrics.distances import CHUNK_ENTRIES, distance_chunks, nearest
from gancore.metrics.intervals import (
    BlockIndices,
    block_jackknife_variance,
    caveat_few_rows,
    caveat_one_feature,
    drop_blocks,
    first_caveat,
    subsampling_interval,
    t_interval,
)
from gancore.metrics.metric import Control, Interval, Metric, MetricInputs, Requirement, on_features, once
from gancore.random import Key

PRECISION_K = 3
DENSITY_K = 5
DENSITY_FRACTION = 3 / 4
"""Share of the rows in each subset of density's interval. In many dimensions the balls of a few outlying rows
hold most samples, and the error falls more slowly than n^-1/2. At d = 64, 2,000 samples and 300 real rows
subsets of half of the rows give 0.82 of it, and 178 of 200 intervals covered the expectation; of three
quarters 189.
"""


def radii(x: Tensor, k: int, entries: int = CHUNK_ENTRIES) -> Tensor:
    """NND_k: distance of each row of x (n, d) to its k-th nearest other row, (n) float64."""
    return nearest(x, x, k, exclude_self=True, entries=entries)[0][:, -1]


def precision(real: Tensor, fake: Tensor, k: int = PRECISION_K, entries: int = CHUNK_ENTRIES) -> float:
    """1/M sum_j 1[exists i: |y_j - x_i| <= NND_k(x_i)]: share of fakes within any real ball; their eq. 1."""
    radius = radii(real, k, entries)
    return sum(int(c.within(radius).any(1).sum()) for c in distance_chunks(fake, real, entries)) / len(fake)


def recall(real: Tensor, fake: Tensor, k: int = PRECISION_K, entries: int = CHUNK_ENTRIES) -> float:
    """1/N sum_i 1[exists j: |x_i - y_j| <= NND_k(y_j)]: share of real rows within any fake ball; eq. 2."""
    return precision(fake, real, k, entries)


def density(real: Tensor, fake: Tensor, k: int = DENSITY_K, entries: int = CHUNK_ENTRIES) -> float:
    """1/(k M) sum_j sum_i 1[|y_j - x_i| <= NND_k(x_i)]: real balls about a fake, over k; can exceed 1."""
    radius = radii(real, k, entries)
    return sum(int(c.within(radius).sum()) for c in distance_chunks(fake, real, entries)) / (k * len(fake))


def coverage(real: Tensor, fake: Tensor, k: int = DENSITY_K, entries: int = CHUNK_ENTRIES) -> float:
    """1/N sum_i 1[exists j: |y_j - x_i| <= NND_k(x_i)]: share of real balls that hold a fake."""
    radius = radii(real, k, entries)
    closest = nearest(real, fake, 1, entries=entries)[0][:, 0]
    return float((closest <= radius).double().mean())


def relative_spread(real: Tensor, fake: Tensor, k: int = DENSITY_K) -> float:
    """Median distance of a sample to its k-th nearest other sample, over the same of real rows.

    1 on average for equal distributions, 0 for repeated rows; above 1 samples do not repeat, whatever they
    miss. As the distance falls with the number of rows, as many of either set, the first ones, are compared:
    real (m, d), fake (n, d), in random order. NaN if either set has fewer than two rows, or real rows repeat.
    """
    n = min(len(real), len(fake))
    if n < 2:
        return nan
    own, of_real = (float(radii(rows[:n], min(k, n - 1)).median()) for rows in (fake, real))
    return own / of_real if of_real > 0 else nan


def _knn_metric(
    function: Callable[[Tensor, Tensor], float],
    fraction: float,
    share_of: Literal["fake", "real"] | None,
    caveat: Callable[[MetricInputs], str],
    **facts: Any,
) -> Metric:
    compute = once(on_features(function))
    interval = subsampling_interval(
        compute, fraction, 25, min_rows=2 * DENSITY_K, share_of=share_of, minimum=0.0, reduce_to="features"
    )
    return Metric(
        compute,
        "share" if share_of else "ratio",
        higher_is_better=True,
        interval=interval,
        requires=frozenset({"features"}),
        caveat=caveat,
        **facts,
    )


CAVEAT = first_caveat(caveat_few_rows, caveat_one_feature)
INSENSITIVE_TO_REPEATS: frozenset[Control] = frozenset({"collapse", "points"})
INSENSITIVE_TO_SPREAD: frozenset[Control] = frozenset({"widened"})
precision_metric = _knn_metric(
    precision, 1 / 3, "fake", caveat_one_feature, kind="fidelity", insensitive_to=INSENSITIVE_TO_REPEATS
)
"""Share of samples in the region of real rows; a few repeated samples may be there too."""
recall_metric = _knn_metric(
    recall,
    1 / 3,
    "real",
    CAVEAT,
    kind="diversity",
    insensitive_to=INSENSITIVE_TO_SPREAD,
    details=lambda inputs: {SPREAD: relative_spread(*inputs.shuffled_features())},
)
"""Share of real rows in the region of samples; if samples are far from each other, their balls contain
everything.
"""
density_metric = _knn_metric(
    density, DENSITY_FRACTION, None, CAVEAT, kind="fidelity", insensitive_to=INSENSITIVE_TO_REPEATS, ideal=1.0
)
"""Density of real rows around samples: 1 on average for equal distributions, more for samples in their
middle.
"""
coverage_metric = _knn_metric(coverage, 1 / 2, "real", CAVEAT, kind="diversity")
"""Share of real rows with a sample nearby."""


# Precision and recall of distributions as a curve: Sajjadi, Bachem, Lucic, Bousquet and Gelly 2018 (PRD).
# Both sets are binned by k-means on their union, and the curve is that of the two histograms P (real) and Q
# (fake). F_8 (weights recall) and F_1/8 (weights precision) are its summaries, as in the paper. As there, the
# result is the mean over runs of k-means: of Lloyd's algorithm, twice on each of five halves of the rows, at
# most 500 of either set, where the authors' code uses mini-batches.

CLUSTERS = 20
RUNS, STARTS = 10, 2
ANGLES = 1001
PRD_FITTED_ROWS = 500
BETA = 8.0
PRD_BLOCKS = 20
CURVE_POINTS = 101


class PrecisionRecallCurve(NamedTuple):
    """alpha (precision) and beta (recall), each (..., angles), from recall's end to precision's."""

    precision: Tensor
    recall: Tensor


class ClusterLabels(NamedTuple):
    """Cluster of each row in each run: (runs, m) of real rows, (runs, n) of fake ones."""

    real: Tensor
    fake: Tensor


def prd_curve(real: Tensor, fake: Tensor, angles: int = ANGLES) -> PrecisionRecallCurve:
    """alpha = sum_w min(lambda P(w), Q(w)), beta = alpha / lambda, lambda = tan(i pi / 2(m + 1)), i = 1 to m.

    Histograms P and Q (..., bins), each summing to 1; eq. 6 to 8 there.
    """
    slope = torch.tan(torch.arange(1, angles + 1, dtype=torch.float64) * pi / 2 / (angles + 1))
    precision = torch.minimum(slope[:, None] * real.unsqueeze(-2), fake.unsqueeze(-2)).sum(-1)
    return PrecisionRecallCurve(precision.clamp(max=1), (precision / slope).clamp(max=1))


def f_beta(curve: PrecisionRecallCurve, beta: float) -> Tensor:
    """max over the curve of (1 + b^2) p r / (b^2 p + r): b > 1 weighs recall; (...)."""
    p, r = curve
    return ((1 + beta**2) * p * r / (beta**2 * p + r).clamp_min(1e-300)).amax(-1)


def assign_clusters(real: Tensor, fake: Tensor, key: Key, runs: int = RUNS) -> ClusterLabels:
    """The nearest centre of each row by k-means on half of the rows, equally many of both; two runs share a
    half.
    """
    rows = min(min(len(real), len(fake)) // 2, PRD_FITTED_ROWS)
    if rows < CLUSTERS:
        raise ConfigError(
            f"{CLUSTERS} clusters of {2 * rows} rows", f"give {2 * CLUSTERS} samples of each set"
        )

    def fit(half: Key, start: Key) -> Tensor:
        real_rows = real[(half / "real").permutation(len(real))[:rows]]
        fake_rows = fake[(half / "fake").permutation(len(fake))[:rows]]
        union = torch.cat([real_rows, fake_rows]).cpu()
        clusters = min(CLUSTERS, len(torch.unique(union, dim=0)))
        return kmeans_centres(union, clusters, start.seed % 2**32).to(real.device)

    fits = [fit(key / "half" / (run // STARTS), key / "start" / run) for run in range(runs)]
    return ClusterLabels(_nearest_centre(real, fits), _nearest_centre(fake, fits))


def _nearest_centre(x: Tensor, fits: list[Tensor]) -> Tensor:
    """Number of the nearest of each fit's centres for each row of x, (fits, rows), on the CPU."""
    sizes = [len(centres) for centres in fits]
    labels = [
        torch.stack([part.argmin(1) for part in torch.split(chunk.squared, sizes, 1)])
        for chunk in distance_chunks(x, torch.cat(fits))
    ]
    return torch.cat(labels, 1).cpu()


def cluster_shares(row_labels: Tensor) -> Tensor:
    """Shares of the clusters: (runs, rows) -> (runs, CLUSTERS), float64."""
    counts = torch.zeros(len(row_labels), CLUSTERS, dtype=torch.float64)
    counts.scatter_add_(1, row_labels, torch.ones_like(row_labels, dtype=torch.float64))
    return counts / row_labels.shape[1]


def mean_curve(labels: ClusterLabels) -> PrecisionRecallCurve:
    """The mean over runs."""
    curves = prd_curve(cluster_shares(labels.real), cluster_shares(labels.fake))
    return PrecisionRecallCurve(curves.precision.mean(0), curves.recall.mean(0))


@once
def _labels_of(inputs: MetricInputs) -> ClusterLabels:
    return assign_clusters(*inputs.shuffled_features(), inputs.key)


def _f_score(inputs: MetricInputs, beta: float) -> float:
    return float(f_beta(mean_curve(_labels_of(inputs)), beta))


def _f_interval(inputs: MetricInputs, beta: float) -> Interval:
    """Block jackknife within fixed clusters, plus the variance of the clusters over other rows.

    Too wide if the distributions are nearly equal, because min(lambda P, Q) has a kink there.
    """
    labels = _labels_of(inputs)

    def without_blocks(blocks: BlockIndices) -> float:
        rest = ClusterLabels(*(drop_blocks(row_labels.T, blocks, PRD_BLOCKS).T for row_labels in labels))
        return float(f_beta(mean_curve(rest), beta))

    runs = f_beta(prd_curve(cluster_shares(labels.real), cluster_shares(labels.fake)), beta)
    value, variance = block_jackknife_variance(without_blocks, PRD_BLOCKS)
    method = f"jackknife over {PRD_BLOCKS} blocks and spread of {RUNS} runs, of the expectation at this n"
    low, high, _ = t_interval(value, sqrt(variance + variance_of_clusters(runs)), PRD_BLOCKS - 1, method)
    return Interval(max(0.0, low), min(1.0, high), method)


def variance_of_clusters(runs: Tensor) -> float:
    """Variance of the mean over runs; :data:`STARTS` successive runs use the same half of the rows.

    It has two parts. Halves drawn without replacement vary as clusters of all rows would vary over data
    sets, since (1/b - 1/n) = 1/n at b = n/2; this part, (MSB - MSW) / starts, does not decrease with more
    runs. The part of the random starts of k-means, MSB / runs, does; it includes the error of the first
    part from few halves.
    """
    halves = runs.view(-1, STARTS)
    between, within = STARTS * float(halves.mean(1).var()), float(halves.var(1).mean())
    return max(0.0, between - within) / STARTS + between / len(runs)


def _curve_details(inputs: MetricInputs) -> Mapping[str, Any]:
    curve = mean_curve(_labels_of(inputs))
    every = (ANGLES - 1) // (CURVE_POINTS - 1)
    return {"precision": curve.precision[::every].tolist(), "recall": curve.recall[::every].tolist()}


def _prd_metric(beta: float, insensitive_to: frozenset[Control], **options: Any) -> Metric:
    compute, interval = partial(_f_score, beta=beta), partial(_f_interval, beta=beta)
    requires: frozenset[Requirement] = frozenset({"features"})
    return Metric(
        compute,
        "F score",
        True,
        interval,
        requires=requires,
        insensitive_to=insensitive_to,
        caveat=caveat_one_feature,
        **options,
    )


prd_recall = _prd_metric(BETA, frozenset({"widened"}), kind="diversity", details=_curve_details)
"""F_8: how much of the real distribution the samples reach."""
prd_precision = _prd_metric(1 / BETA, frozenset({"collapse", "points"}), kind="fidelity")
"""F_1/8: how much of the samples' distribution is real."""
