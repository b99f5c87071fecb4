"""A lower bound on the Jensen-Shannon divergence of two distributions, on an absolute scale.

Krimmel et al. 2025, "PolyGraph Discrepancy": a classifier that gives the probability q that a row is a sample
has, on rows that it was not trained on, D = 1 + (E_fake log2 q + E_real log2 (1 - q)) / 2 <= JS(fake, real),
in bits: 0 for equal distributions, 1 for disjoint ones. Only the true posterior reaches the divergence; what
a classifier does not learn is missing. In the paper the classifier is TabPFN on descriptors of graphs; here
it is a logistic regression on any features: coordinates, their squares, and shares of neighbours.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from gancore.errors import ConfigError
from gancore.metrics.intervals import t_interval
from gancore.metrics.metric import Interval, Metric, MetricInputs, SampleSet, once, random_order
from gancore.metrics.two_sample import RowScores, with_squares
from gancore.random import Key

MAX_ROWS = 1000
MIN_ROWS = 20
FOLDS, INNER = 4, 3
COMPONENTS = 64
NEIGHBOURS = (5, 25)
REGULARISATION = (1e-3, 1e-2, 1e-1)
"""C of the logistic regression: the inverse of the penalty on standardised columns."""
TEMPERATURES = (0.0, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0, 8.0)
"""Factors on the log-odds, selected on held-out rows within the training rows."""
BITS = 1 / 0.6931471805599453


class PooledSamples(NamedTuple):
    """Samples and real rows (N): coordinates (N, d), which rows are samples, squared distances (N, N)."""

    x: Tensor
    is_fake: Tensor
    squared: Tensor

    def weights(self, rows: Tensor) -> Tensor:
        """Weights of these rows, so that both sets have equal weight; 1 on average."""
        fake = self.is_fake[rows]
        return torch.where(fake, 0.5 / fake.double().mean(), 0.5 / (~fake).double().mean())


def pool_samples(fake: SampleSet, real: SampleSet, key: Key) -> PooledSamples:
    """At most :data:`MAX_ROWS` of each, in an order drawn by the key."""
    sets = {"fake": fake.require_features(), "real": real.require_features()}
    if min(len(fake), len(real)) < MIN_ROWS:
        raise ConfigError(
            f"{min(len(fake), len(real))} rows are too few to train a classifier",
            f"give at least {MIN_ROWS} of each",
        )
    parts = [x[random_order(x, key / name)[:MAX_ROWS]] for name, x in sets.items()]
    x = components(torch.cat(parts).double())
    is_fake = torch.arange(len(x)) < len(parts[0])
    return PooledSamples(x, is_fake, torch.cdist(x.float(), x.float()).square())


def components(x: Tensor) -> Tensor:
    """Leading principal components (N, r) of (N, d), unscaled; they do not depend on the labels."""
    x = (x - x.mean(0)) / x.std(0).clamp(min=1e-12)
    if x.shape[1] <= COMPONENTS:
        return x
    left, sizes, _ = torch.linalg.svd(x, full_matrices=False)
    leading: Tensor = (left * sizes)[:, :COMPONENTS]
    return leading


def folds(rows: PooledSamples, count: int, among: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Numbers of training and test rows among those given; equal shares of both sets in each fold."""
    fold_of = torch.empty(len(among), dtype=torch.int64)
    for label in (False, True):
        members = (rows.is_fake[among] == label).nonzero().flatten()
        fold_of[members] = torch.arange(len(members)) % count
    for fold in range(count):
        yield among[fold_of != fold], among[fold_of == fold]


def neighbour_log_odds(rows: PooledSamples, train_rows: Tensor, test_rows: Tensor) -> Tensor:
    """Log-odds of samples among the nearest training rows, one column per number of neighbours; without the
    row itself.
    """
    squared = rows.squared.index_select(0, test_rows).index_select(1, train_rows)
    column_of = torch.full((len(rows.x),), -1)
    column_of[train_rows] = torch.arange(len(train_rows))
    own = column_of[test_rows]
    squared[own >= 0, own[own >= 0]] = torch.inf
    order = squared.topk(min(max(NEIGHBOURS), len(train_rows) - 1), largest=False).indices
    fakes = rows.is_fake[train_rows][order].double().cumsum(1)
    sizes = [min(k, order.shape[1]) for k in NEIGHBOURS]
    return torch.stack([((fakes[:, k - 1] + 0.5) / (k - fakes[:, k - 1] + 0.5)).log() for k in sizes], 1)


class Design(NamedTuple):
    """Standardised columns of the training rows and of the test rows."""

    train: Tensor
    test: Tensor


def design_matrices(rows: PooledSamples, train_rows: Tensor, test_rows: Tensor) -> Design:
    mean, scale = rows.x[train_rows].mean(0), rows.x[train_rows].std(0).clamp(min=1e-12)

    def columns(rows_wanted: Tensor) -> Tensor:
        z = (rows.x[rows_wanted] - mean) / scale
        radius = z.square().mean(1, keepdim=True).clamp(min=1e-12).log()
        return torch.cat([with_squares(z), radius, neighbour_log_odds(rows, train_rows, rows_wanted)], 1)

    matrices = columns(train_rows)
    centre, spread = matrices.mean(0), matrices.std(0).clamp(min=1e-6)
    return Design((matrices - centre) / spread, (columns(test_rows) - centre) / spread)


def log_odds(rows: PooledSamples, train_rows: Tensor, matrices: Design, strength: float) -> Tensor:
    """Log-odds of the test rows by a logistic regression on the training rows."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # early stopping costs no accuracy here
        classifier = LogisticRegression(C=strength, max_iter=50, tol=1e-3)
        classifier.fit(
            matrices.train.numpy(), rows.is_fake[train_rows].numpy(), rows.weights(train_rows).numpy()
        )
    return torch.from_numpy(classifier.decision_function(matrices.test.numpy()))


def bits(odds: Tensor, is_fake: Tensor, n_train: int) -> Tensor:
    """1 + log2 of the probability of each row's own label (n); odds are limited by the number of training
    rows.
    """
    limit = float(torch.tensor(float(n_train)).log())
    odds = odds.clamp(-limit, limit)
    return 1 + BITS * logsigmoid(torch.where(is_fake, odds, -odds))


def held_out_bits(rows: PooledSamples) -> Tensor:
    """The bits of each row by a classifier that was not trained on it (N)."""
    scores = torch.empty(len(rows.x), dtype=torch.float64)
    for train_rows, test_rows in folds(rows, FOLDS, torch.arange(len(rows.x))):
        strength, temperature = select_hyperparameters(rows, train_rows)
        odds = temperature * log_odds(
            rows, train_rows, design_matrices(rows, train_rows, test_rows), strength
        )
        scores[test_rows] = bits(odds, rows.is_fake[test_rows], len(train_rows))
    return scores


def select_hyperparameters(rows: PooledSamples, train_rows: Tensor) -> tuple[float, float]:
    """Regularisation and temperature with the most bits on the training rows, each by classifiers not trained
    on it.
    """
    odds = torch.empty(len(REGULARISATION), len(rows.x), dtype=torch.float64)
    for inner_train, test_rows in folds(rows, INNER, train_rows):
        matrices = design_matrices(rows, inner_train, test_rows)
        for number, strength in enumerate(REGULARISATION):
            odds[number, test_rows] = log_odds(rows, inner_train, matrices, strength)
    weights, fake = rows.weights(train_rows), rows.is_fake[train_rows]
    scores = {
        (strength, t): float((weights * bits(t * odds[number, train_rows], fake, len(train_rows))).mean())
        for number, strength in enumerate(REGULARISATION)
        for t in TEMPERATURES
    }
    return max(scores, key=scores.__getitem__)


@once
def _row_scores(inputs: MetricInputs) -> RowScores:
    rows = pool_samples(inputs.fake, inputs.real, inputs.key)
    scores = held_out_bits(rows)
    return RowScores(scores[rows.is_fake], scores[~rows.is_fake])


def _interval(inputs: MetricInputs) -> Interval:
    """Covers the expectation; the error is at least that of two rows, for classifiers that are always
    undecided.
    """
    scores = _row_scores(inputs)
    smaller = min(len(scores.fake), len(scores.real))
    error = max(scores.standard_error() / 2, 1 / smaller)
    method = f"rows judged by {FOLDS} judges that have not seen them; of the expectation at this n"
    low, high, _ = t_interval(scores.mean, error, smaller - 1, method)
    return Interval(low, min(high, 1.0), method)


def _details(inputs: MetricInputs) -> Mapping[str, Any]:
    """Bits of samples and of real rows, and the share of each that is classified correctly."""
    scores = _row_scores(inputs)
    return {
        "bits of samples": float(scores.fake.mean()),
        "bits of real rows": float(scores.real.mean()),
        "samples called samples": float((scores.fake > 0).double().mean()),
        "real rows called real": float((scores.real > 0).double().mean()),
    }


jensen_shannon = Metric(
    compute=lambda inputs: _row_scores(inputs).mean,
    interval=_interval,
    unit="bits, at least",
    details=_details,
    max_rows=MAX_ROWS,
    requires=frozenset({"features"}),
)
"""A lower bound on the Jensen-Shannon divergence: 0 for equal distributions, by chance slightly less; 1 for
disjoint.
"""
