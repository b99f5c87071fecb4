"""Number of statistically different bins: which regions of the data get too many samples, which too few.

Richardson and Weiss 2018, "On GANs and GMMs". Bins are the cells of k-means on features of train, each
coordinate divided by its standard deviation there. The counts compared are those of the samples and of the
reference rows, strangers to the bins alike; the paper's comparison with train stands in the details.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.special import entr

from gancore.errors import ConfigError
from gancore.evaluation.distances import nearest
from gancore.evaluation.evidence import Evidence
from gancore.evaluation.intervals import clopper_pearson
from gancore.evaluation.measure import Interval, Measure
from gancore.evaluation.pairs import features_of, once

ROWS_PER_BIN, MOST_BINS = 25, 100
"""K = n / 25, from 2 to 100: 25 rows a bin are the fewest for which the z-test is near its level."""

FITTED_ROWS = 4000
RUNS, ROUNDS = 6, 20
"""Of k-means, and rounds of each: the cells need not be the best ones."""

SIGNIFICANT = 1.96


class Counts(NamedTuple):
    """Rows in each bin (K), float64; a bin without rows of any set is none."""

    fake: Tensor
    real: Tensor
    train: Tensor


def counts_of(evidence: Evidence, run: int = 0) -> Counts:
    """K-means on train, and who falls where."""
    fake, real, train = (features_of(sampled) for sampled in (evidence.fake, evidence.real, evidence.train))
    k = number_of_bins(min(len(fake), len(real), len(train)))
    scale = train.double().std(0).clamp(min=1e-12)
    fitted = train[(evidence.key / "rows").permutation(len(train))[:FITTED_ROWS]]
    centres = centres_of((fitted / scale).float(), k, (evidence.key / "k-means" / run).seed % 2**32)

    def count(features: Tensor) -> Tensor:
        return nearest(features / scale, centres, 1)[1].flatten().bincount(minlength=k).double()

    counts = torch.stack([count(fake), count(real), count(train)])
    return Counts(*counts[:, counts.sum(0) > 0])


def number_of_bins(n: int) -> int:
    if n < 2 * ROWS_PER_BIN:
        raise ConfigError(f"bins for {n} rows", f"give at least {2 * ROWS_PER_BIN} of each set")
    return min(n // ROWS_PER_BIN, MOST_BINS)


def centres_of(x: Tensor, k: int, seed: int) -> Tensor:
    """Lloyd's algorithm from one k-means++ start; (k, d). Where fewer rows differ, some are equal."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it says that fewer rows differ
        fit = KMeans(k, n_init=1, max_iter=ROUNDS, random_state=seed).fit(x.numpy())
    return torch.from_numpy(fit.cluster_centers_).double()


def z_scores(a: Tensor, b: Tensor) -> Tensor:
    """Two-proportion z-test of each bin: (p - q) / sqrt(P (1 - P) (1/n + 1/m)), P the pooled share; (K)."""
    n, m = a.sum(), b.sum()
    pooled = (a + b) / (n + m)
    error = (pooled * (1 - pooled) * (1 / n + 1 / m)).sqrt()
    return torch.where(error > 0, (a / n - b / m) / error.clamp(min=1e-300), 0.0)


def share_different(a: Tensor, b: Tensor) -> float:
    """NDB / K at 5 %."""
    return float((z_scores(a, b).abs() > SIGNIFICANT).double().mean())


def jensen_shannon(a: Tensor, b: Tensor) -> float:
    """H((p + q) / 2) - (H(p) + H(q)) / 2, in nats: 0 to log 2."""
    p, q = a / a.sum(), b / b.sum()
    return float(entr((p + q) / 2).sum() - (entr(p) + entr(q)).sum() / 2)


def _interval(evidence: Evidence) -> Interval:
    """Clopper-Pearson over the bins; the truth is the expected NDB / K with these bins and numbers of rows.

    A bin differs or not: a trial of its own probability. The sum of such trials spreads no wider than a
    binomial of the same mean (Hoeffding 1956), and counts that share a total lean against each other; a mean
    over runs spreads no wider than one of them. To subsample would be wrong: the spread of a share of
    significant tests does not shrink as n^-1/2 (it covered the truth in 50 to 78 % of trials).
    """
    found = runs_of(evidence)
    k = min(len(counts.fake) for counts in found)
    low, high, _ = clopper_pearson(mean_different(found) * k, k)
    method = f"Clopper-Pearson over {k} bins, mean of {RUNS} runs; of the expectation at this n"
    return Interval(low, high, method)


@once
def runs_of(evidence: Evidence) -> list[Counts]:
    """Of several runs of k-means: where bins are few, one bin more or less is much."""
    return [counts_of(evidence, run) for run in range(RUNS)]


def mean_different(found: Sequence[Counts]) -> float:
    return sum(share_different(counts.fake, counts.real) for counts in found) / len(found)


def _details(evidence: Evidence) -> Mapping[str, Any]:
    """Of the first run."""
    counts = runs_of(evidence)[0]
    return {
        "bins": len(counts.fake),
        "Jensen-Shannon divergence, nats": jensen_shannon(counts.fake, counts.real),
        "against train": share_different(counts.fake, counts.train),
        "reference against train": share_different(counts.real, counts.train),
        "rows in bins": counts.fake.long().tolist(),
        "reference rows in bins": counts.real.long().tolist(),
    }


ndb = Measure(
    compute=lambda evidence: mean_different(runs_of(evidence)),
    interval=_interval,
    unit="share of bins",
    details=_details,
    needs=frozenset({"features", "train"}),
)
