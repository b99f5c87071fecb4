"""Number of statistically different bins: which regions of the data get too many samples, which too few.

Richardson and Weiss 2018, "On GANs and GMMs". Bins are the cells of k-means on features of train, each
coordinate divided by its standard deviation on train. The compared counts are those of the samples and of the
reference rows, neither of which the bins were fitted to; the paper's comparison with train is in the details.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.special import entr

from gancore.errors import ConfigError
from gancore.metrics.distances import nearest
from gancore.metrics.intervals import clopper_pearson
from gancore.metrics.metric import Interval, Metric, MetricInputs, once

ROWS_PER_BIN, MAX_BINS = 25, 100
"""K = n / 25, from 2 to 100: 25 rows per bin are the fewest for which the z-test is near its level."""

FITTED_ROWS = 4000
RUNS, MAX_ITERATIONS = 6, 20
"""Runs of k-means, and iterations of each: the cells need not be optimal."""

SIGNIFICANT = 1.96

Rows = npt.NDArray[np.floating[Any]]


class Counts(NamedTuple):
    """Rows in each bin (K), float64, without bins that are empty in all sets."""

    fake: Tensor
    real: Tensor
    train: Tensor


def count_bins(inputs: MetricInputs, run: int = 0) -> Counts:
    """Counts in the cells of k-means on train."""
    fake, real, train = (sampled.sorted_features() for sampled in (inputs.fake, inputs.real, inputs.train))
    k = number_of_bins(min(len(fake), len(real), len(train)))
    scale = train.double().std(0).clamp(min=1e-12)
    fitted = train[(inputs.key / "rows").permutation(len(train))[:FITTED_ROWS]]
    centres = kmeans_centres((fitted / scale).float(), k, (inputs.key / "k-means" / run).seed % 2**32)

    def count(features: Tensor) -> Tensor:
        return nearest(features / scale, centres, 1)[1].flatten().bincount(minlength=k).double()

    counts = torch.stack([count(fake), count(real), count(train)])
    return Counts(*counts[:, counts.sum(0) > 0])


def number_of_bins(n: int) -> int:
    if n < 2 * ROWS_PER_BIN:
        raise ConfigError(f"{n} rows are too few for bins", f"give at least {2 * ROWS_PER_BIN} of each set")
    return min(n // ROWS_PER_BIN, MAX_BINS)


def kmeans_centres(x: Tensor, k: int, seed: int) -> Tensor:
    """Lloyd's algorithm from one k-means++ start; (k, d). With fewer different rows some are equal."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different rows than clusters
        means = KMeans(k, init=draw_centres, n_init=1, max_iter=MAX_ITERATIONS, random_state=seed)
        fit = means.fit(x.numpy())
    return torch.from_numpy(fit.cluster_centers_).double()


def draw_centres(x: Rows, k: int, random_state: np.random.RandomState) -> Rows:
    """k-means++ with several candidates for each centre: Arthur and Vassilvitskii 2007; (n, d) to (k, d).

    The draws and results are those of scikit-learn, which converts all rows to float64 for each centre.
    """
    wide, ones = x.astype(np.float64), np.ones(len(x), dtype=x.dtype)
    norms = np.einsum("ij,ij->i", wide, wide)

    def squared_distances(rows: npt.NDArray[np.int64]) -> Rows:
        squared = -2 * (wide[rows] @ wide.T)
        squared += norms[rows, None]
        squared += norms
        return np.maximum(squared.astype(x.dtype), 0)

    chosen = [int(random_state.choice(len(x), p=ones / ones.sum()))]
    closest = squared_distances(np.array(chosen))[0]
    total = closest @ ones
    for _ in range(1, k):
        drawn = random_state.uniform(size=2 + int(np.log(k))) * total
        rows = np.searchsorted(np.cumsum(closest), drawn).clip(max=len(x) - 1)
        left = np.minimum(closest, squared_distances(rows))
        totals = left @ ones
        best = int(totals.argmin())
        chosen.append(int(rows[best]))
        closest, total = left[best], totals[best]
    return x[chosen]


def z_scores(a: Tensor, b: Tensor) -> Tensor:
    """Two-proportion z-test of each bin: (p - q) / sqrt(P (1 - P) (1/n + 1/m)), P the pooled share; (K)."""
    n, m = a.sum(), b.sum()
    pooled = (a + b) / (n + m)
    error = (pooled * (1 - pooled) * (1 / n + 1 / m)).sqrt()
    return torch.where(error > 0, (a / n - b / m) / error.clamp(min=1e-300), 0.0)


def share_different(a: Tensor, b: Tensor) -> float:
    """NDB / K at 5 %."""
    return float((z_scores(a, b).abs() > SIGNIFICANT).double().mean())


def jensen_shannon_divergence(a: Tensor, b: Tensor) -> float:
    """H((p + q) / 2) - (H(p) + H(q)) / 2, in nats: 0 to log 2."""
    p, q = a / a.sum(), b / b.sum()
    return float(entr((p + q) / 2).sum() - (entr(p) + entr(q)).sum() / 2)


def _interval(inputs: MetricInputs) -> Interval:
    """Clopper-Pearson over the bins; covers the expected NDB / K with these bins and numbers of rows.

    A bin differs or not: a trial with its own probability. The sum of such trials varies no more than a
    binomial of the same mean (Hoeffding 1956), counts with a fixed total are negatively correlated, and a
    mean over runs varies no more than one of them. Subsampling would be wrong: the spread of a share of
    significant tests does not shrink as n^-1/2 (such intervals covered the true value in 50 to 78 % of
    trials).
    """
    runs = all_runs(inputs)
    k = min(len(counts.fake) for counts in runs)
    low, high, _ = clopper_pearson(mean_share_different(runs) * k, k)
    method = f"Clopper-Pearson over {k} bins, mean of {RUNS} runs; of the expectation at this n"
    return Interval(low, high, method)


@once
def all_runs(inputs: MetricInputs) -> list[Counts]:
    """Counts of several runs of k-means: with few bins, one bin makes a large difference."""
    return [count_bins(inputs, run) for run in range(RUNS)]


def mean_share_different(runs: Sequence[Counts]) -> float:
    return sum(share_different(counts.fake, counts.real) for counts in runs) / len(runs)


def _details(inputs: MetricInputs) -> Mapping[str, Any]:
    """Of the first run."""
    counts = all_runs(inputs)[0]
    return {
        "bins": len(counts.fake),
        "Jensen-Shannon divergence, nats": jensen_shannon_divergence(counts.fake, counts.real),
        "against train": share_different(counts.fake, counts.train),
        "reference against train": share_different(counts.real, counts.train),
        "rows in bins": counts.fake.long().tolist(),
        "reference rows in bins": counts.real.long().tolist(),
    }


ndb = Metric(
    compute=lambda inputs: mean_share_different(all_runs(inputs)),
    interval=_interval,
    unit="share of bins",
    details=_details,
    requires=frozenset({"features", "train"}),
)
