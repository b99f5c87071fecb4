"""The area under the divergence curve of two sets of features, as MAUVE's (Pillutla et al. 2021).

Not MAUVE: that is a number of GPT-2's features, and of its own clusters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gancore import ConfigError, Interval, Metric, MetricInputs
from gancore.metrics import block_jackknife, distance_chunks, drop_blocks, kmeans_centres

SCALE = 5.0
"""c: how fast a divergence makes a point of the curve small."""
ROWS_PER_CLUSTER, MAX_CLUSTERS, MIN_ROWS = 10, 100, 100
RUNS, MIXTURES, BLOCKS = 3, 100, 10


class ClusterLabels(NamedTuple):
    """The cluster of each row in each run, (runs, rows)."""

    fake: Tensor
    real: Tensor


def area(p: Tensor, q: Tensor, scale: float = SCALE) -> float:
    """Area under the points (exp(-c KL(q | r)), exp(-c KL(p | r))), r = t p + (1 - t) q, t from 0 to 1.

    1 if p = q; c!^2 / (2 c)! if they are disjoint. p, q: (clusters).
    """
    t = torch.linspace(0, 1, MIXTURES + 1, dtype=torch.float64)[:, None]
    mixed = t * p + (1 - t) * q
    x, y = (torch.exp(-scale * _divergence(s.expand_as(mixed), mixed)) for s in (q, p))
    zero, one = x.new_zeros(1), x.new_ones(1)
    return float(-torch.trapezoid(torch.cat([zero, y, one]), torch.cat([one, x, zero])))


def _divergence(p: Tensor, q: Tensor) -> Tensor:
    """Kullback-Leibler divergence along the last axis."""
    divergence: Tensor = (torch.special.xlogy(p, p) - torch.special.xlogy(p, q)).sum(-1)
    return divergence


def label_clusters(inputs: MetricInputs) -> ClusterLabels:
    """K-means on both sets, features divided by their norm, rows in an order drawn by the key."""
    real, fake = inputs.shuffled_features()
    rows = min(len(real), len(fake))
    if rows < MIN_ROWS:
        raise ConfigError(f"clusters of {rows} rows", f"give at least {MIN_ROWS} of each set")
    real, fake = (x / x.norm(dim=1, keepdim=True).clamp_min(1e-12) for x in (real, fake))
    union = torch.cat([real[:rows], fake[:rows]]).cpu()
    clusters = min(rows // ROWS_PER_CLUSTER, MAX_CLUSTERS)
    found = []
    for run in range(RUNS):
        centres = kmeans_centres(union, clusters, (inputs.key / "k-means" / run).seed % 2**32)
        found.append([_nearest(x, centres.to(x)) for x in (fake, real)])
    return ClusterLabels(*(torch.stack(labels) for labels in zip(*found, strict=True)))


def _nearest(x: Tensor, centres: Tensor) -> Tensor:
    return torch.cat([chunk.squared.argmin(1) for chunk in distance_chunks(x, centres)]).cpu()


def _mean_area(labels: ClusterLabels) -> float:
    areas = []
    for fake, real in zip(*labels, strict=True):
        size = int(max(fake.max(), real.max())) + 1
        q, p = (x.bincount(minlength=size).double() / len(x) for x in (fake, real))
        areas.append(area(p, q))
    return sum(areas) / len(areas)


def _interval(inputs: MetricInputs) -> Interval:
    labels = label_clusters(inputs)

    def value(left_out: tuple[int, ...]) -> float:
        return _mean_area(ClusterLabels(*(drop_blocks(x.T, left_out, BLOCKS).T for x in labels)))

    low, high, method = block_jackknife(value, BLOCKS, "given the clusters, of the expectation at this n")
    return Interval(max(0.0, low), min(1.0, high), method)


def _details(inputs: MetricInputs) -> Mapping[str, Any]:
    rows = min(len(inputs.fake), len(inputs.real))
    return {"clusters": min(rows // ROWS_PER_CLUSTER, MAX_CLUSTERS), "runs of k-means": RUNS, "scale": SCALE}


divergence_curve = Metric(
    lambda inputs: _mean_area(label_clusters(inputs)),
    unit="0 to 1",
    higher_is_better=True,
    interval=_interval,
    details=_details,
    requires=frozenset({"features"}),
    quick=False,
)
"""It depends on the number of rows: compare it with that of real rows at the same number."""
