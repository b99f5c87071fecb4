"""Classifier two-sample tests: can a classifier distinguish samples from real rows? Lopez-Paz and Oquab 2017.

Accuracy with equal numbers of both; 1/2 if it cannot. Two classifiers: the nearest neighbour, leaving each
row out in turn, and small trained networks, each row classified by those that were not trained on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from gancore.errors import ConfigError
from gancore.metrics.distances import nearest
from gancore.metrics.intervals import caveat_one_feature, subsample_error, t_interval
from gancore.metrics.metric import Interval, Metric, MetricInputs, SampleSet, once, random_order
from gancore.random import Key

MAX_ROWS = 1000
"""The nearest-neighbour test uses at most this many rows of each: time grows with their square."""

PERMUTATIONS = 999
SUBSETS, FRACTION, NEIGHBOURS = 40, 0.25, 24
"""A row has one of its 24 nearest in a quarter of the rows in 999 of 1,000 subsets."""

HIDDEN, STEPS, BATCH, RATE = 32, 200, 100, 3e-3
BETAS, EPSILON = (0.9, 0.999), 1e-8
MIN_ROWS = 16
SPLITS = 2
"""Random splits of all rows into halves; each half is classified by a classifier trained on the other."""


class BalancedPair(NamedTuple):
    """Equal numbers of samples and of real rows, in an order drawn by the key."""

    fake: Tensor
    real: Tensor
    key: Key


def balanced_pair(fake: SampleSet, real: SampleSet, key: Key, max_rows: int | None = None) -> BalancedPair:
    """Raises ConfigError: there are no features, or too few rows."""
    x, y = fake.require_features(), real.require_features()
    m = min(len(fake), len(real), max_rows or len(fake))
    if m < MIN_ROWS:
        raise ConfigError(f"a two-sample test on {m} rows of each", f"give at least {MIN_ROWS}")
    return BalancedPair(x[random_order(x, key / "fake")[:m]], y[random_order(y, key / "real")[:m]], key)


# The nearest neighbour.


def shuffled_neighbours(pair: BalancedPair, k: int) -> tuple[Tensor, Tensor]:
    """Labels (2m), true for samples, and the k nearest of each row among all others (2m, k).

    Rows are shuffled first, so that neither label comes first where rows repeat.
    """
    x, is_fake = torch.cat([pair.fake, pair.real]), torch.arange(2 * len(pair.fake)) < len(pair.fake)
    order = (pair.key / "order").permutation(len(x))
    return is_fake[order], nearest(x[order], x[order], min(k, len(x) - 1), exclude_self=True)[1]


def same_label(is_fake: Tensor, neighbour: Tensor) -> Tensor:
    """Which rows have a nearest neighbour of their own label; labels are (..., 2m)."""
    return is_fake == is_fake[..., neighbour]


def subset_accuracy(is_fake: Tensor, neighbours: Tensor, chosen: Tensor) -> float:
    """The accuracy within the chosen rows (booleans), from the lists of neighbours of all rows."""
    inside = chosen[neighbours[chosen]]
    first = inside.double().argmax(1, keepdim=True)
    neighbour = neighbours[chosen].gather(1, first).flatten()
    known = inside.any(1)
    return float((is_fake[chosen] == is_fake[neighbour])[known].double().mean())


def c2st_neighbour_interval(inputs: MetricInputs) -> Interval:
    """Subsets without replacement: rows share neighbours, so that the number of hits is not binomial."""
    pair = balanced_pair(inputs.fake, inputs.real, inputs.key, MAX_ROWS)
    is_fake, neighbours = shuffled_neighbours(pair, NEIGHBOURS)
    m, values = len(pair.fake), []
    for number in range(SUBSETS):
        chosen = torch.zeros(2 * m, dtype=torch.bool)
        for label in (False, True):
            rows = (is_fake == label).nonzero().flatten()
            chosen[
                rows[(pair.key / "subset" / number / int(label)).permutation(m)[: round(FRACTION * m)]]
            ] = True
        values.append(subset_accuracy(is_fake, neighbours, chosen))
    value = float(same_label(is_fake, neighbours[:, 0]).double().mean())
    error = subsample_error(torch.tensor(values), FRACTION)
    method = (
        f"{SUBSETS} subsets of {round(FRACTION * m)} rows without replacement; of the expectation at this n"
    )
    low, high, _ = t_interval(value, max(error, 1 / m), SUBSETS - 1, method)
    return Interval(max(low, 0.0), min(high, 1.0), method)


def _neighbour_accuracy(inputs: MetricInputs) -> float:
    is_fake, neighbours = shuffled_neighbours(
        balanced_pair(inputs.fake, inputs.real, inputs.key, MAX_ROWS), 1
    )
    return float(same_label(is_fake, neighbours[:, 0]).double().mean())


def c2st_neighbour_details(inputs: MetricInputs) -> Mapping[str, Any]:
    """Accuracy by label, and p values from permuted labels.

    If it is far above 1/2 for samples and near 1/2 for real rows, the samples are collapsed. Copies give
    values below 1/2; ``against train`` shows whether they are copies of train.
    """
    pair = balanced_pair(inputs.fake, inputs.real, inputs.key, MAX_ROWS)
    is_fake, neighbours = shuffled_neighbours(pair, 1)
    neighbour, draws = neighbours[:, 0], pair.key / "permutations"
    orders = [(draws / number).permutation(len(is_fake)) for number in range(PERMUTATIONS)]
    null = same_label(is_fake[torch.stack(orders)], neighbour).double().mean(1)
    value = float(same_label(is_fake, neighbour).double().mean())
    more, less = permutation_p_value(null, value), permutation_p_value(-null, -value)
    return {
        **accuracy_by_label(is_fake, neighbour),
        "p value": more,
        "p value, two-sided": min(1.0, 2 * min(more, less)),
        "null": f"{PERMUTATIONS} permutations of the labels",
        "rows of each": len(pair.fake),
        "against train": _against_train(inputs),
    }


def accuracy_by_label(is_fake: Tensor, neighbour: Tensor) -> dict[str, float]:
    hits = same_label(is_fake, neighbour).double()
    return {"of samples": float(hits[is_fake].mean()), "of real rows": float(hits[~is_fake].mean())}


def _against_train(inputs: MetricInputs) -> dict[str, float] | None:
    if inputs.train.features is None or len(inputs.train) < MIN_ROWS:
        return None
    is_fake, neighbours = shuffled_neighbours(
        balanced_pair(inputs.fake, inputs.train, inputs.key, MAX_ROWS), 1
    )
    return accuracy_by_label(is_fake, neighbours[:, 0])


# The trained networks.

BinaryClassifier = Callable[[Tensor], Tensor]


def split_in_half(pair: BalancedPair) -> tuple[BalancedPair, BalancedPair]:
    """The first half, for training, and the second half, for testing."""
    m = len(pair.fake) // 2
    train, test = (
        BalancedPair(pair.fake[rows], pair.real[rows], pair.key) for rows in (slice(m), slice(m, None))
    )
    return train, test


def with_squares(z: Tensor) -> Tensor:
    """Standardised coordinates and their squares, so that a linear model detects spread: (n, 2d)."""
    return torch.cat([z, ((z.square() - 1) / 2**0.5).clamp(-4, 4)], 1)


@torch.enable_grad()
def train_classifier(train: BalancedPair) -> BinaryClassifier:
    """Logits, positive for samples: one hidden layer, a linear path around it, 200 steps of Adam.

    f(x) = relu(s W + b) v + s u, where s are standardised coordinates and squares.
    """
    x, key = torch.cat([train.fake, train.real]).float(), train.key / "judge"
    is_fake = (torch.arange(len(x)) < len(train.fake)).float()
    mean, scale = x.mean(0), x.std(0).clamp(min=1e-12)
    s = with_squares((x - mean) / scale)
    d = s.shape[1]
    W, b, v = (
        (key / "W").normal(d, HIDDEN) / d**0.5,
        torch.zeros(HIDDEN),
        (key / "v").normal(HIDDEN) / HIDDEN**0.5,
    )
    u = torch.zeros(d)
    weights = [part.requires_grad_() for part in (W, b, v, u)]

    def logits(s: Tensor) -> Tensor:
        out: Tensor = (s @ W + b).relu() @ v + s @ u
        return out

    means, squares = ([torch.zeros_like(weight) for weight in weights] for _ in range(2))
    for step, rows in enumerate(batches(len(x), key), start=1):
        loss = binary_cross_entropy_with_logits(logits(s[rows]), is_fake[rows])
        gradients = torch.autograd.grad(loss, weights)
        for parts in zip(weights, gradients, means, squares, strict=True):
            step_adam(*parts, step)
    for weight in weights:
        weight.requires_grad_(False)
    return lambda features: logits(with_squares((features.float() - mean) / scale))


@torch.no_grad()
def step_adam(weight: Tensor, gradient: Tensor, mean: Tensor, square: Tensor, step: int) -> None:
    """One step (from 1) of Adam, Kingma and Ba 2015, in place, with the bits of ``torch.optim.Adam``.

    The first optimizer of a process imports the compiler of torch: 1 to 2 s for 0.1 s of steps.
    """
    first, second = BETAS
    mean.lerp_(gradient, 1 - first)
    square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
    root = (square.sqrt() / (1 - second**step) ** 0.5).add_(EPSILON)
    weight.addcdiv_(mean, root, value=-RATE / (1 - first**step))


def batches(n: int, key: Key) -> Tensor:
    """Rows of each step (steps, batch): passes over all n, each in a new order."""
    size = min(BATCH, n)
    passes = -(-STEPS * size // n)
    orders = [(key / "pass" / number).permutation(n) for number in range(passes)]
    return torch.cat(orders)[: STEPS * size].reshape(STEPS, size)


class HeldOutLogits(NamedTuple):
    """Logits of the held-out half (m each); positive ones are classified as samples."""

    fake: Tensor
    real: Tensor

    @property
    def n_called_fake(self) -> tuple[int, int]:
        """Samples and real rows that were classified as samples."""
        return int((self.fake > 0).sum()), int((self.real > 0).sum())

    @property
    def n_correct(self) -> int:
        fakes, reals = self.n_called_fake
        return fakes + len(self.real) - reals

    @property
    def accuracy(self) -> float:
        return self.n_correct / (len(self.fake) + len(self.real))


class Fold(NamedTuple):
    """The training and the test part, and the row numbers of the test part within the whole pair (m'), of
    each set.
    """

    train: BalancedPair
    test: BalancedPair
    rows: Tensor


def cross_validation_folds(pair: BalancedPair, splits: int = SPLITS) -> Iterator[Fold]:
    """Both halves of several random splits: each row is tested once in each split."""
    m = len(pair.fake)
    for split in range(splits):
        key = pair.key / "split" / split
        order = key.permutation(m)
        for half, rows in enumerate((order[: m // 2], order[m // 2 :])):
            others = order[m // 2 :] if half == 0 else order[: m // 2]
            train = BalancedPair(pair.fake[others], pair.real[others], key / half)
            yield Fold(train, BalancedPair(pair.fake[rows], pair.real[rows], key / half), rows)


class RowScores(NamedTuple):
    """The contribution of each row (m) to a mean over all, from classifiers that were not trained on it;
    float64.
    """

    fake: Tensor
    real: Tensor

    @property
    def mean(self) -> float:
        """The mean over both sets, each with half of the weight."""
        return float(self.fake.mean() + self.real.mean()) / 2

    def standard_error(self, variance_factor: float = 2) -> float:
        """Standard error of the sum of the two means, from ``variance_factor`` times the variance over rows.

        Each half trains the classifier of the other half, so chance patterns of one half also affect its
        score: for equal distributions all variance is of second order, and each pair of rows counts in both
        halves, so that the variance is twice that over rows. For different distributions it is less, unless
        classifiers choose among directions.
        """
        spread = self.fake.var() / len(self.fake) + self.real.var() / len(self.real)
        return float((variance_factor * spread).sqrt())


def combine_folds(m: int, parts: Iterable[tuple[Tensor, Tensor, Tensor]], splits: int = SPLITS) -> RowScores:
    """From each fold its test rows and their contributions, of samples and of real rows: the means over
    splits.
    """
    scores = RowScores(torch.zeros(m, dtype=torch.float64), torch.zeros(m, dtype=torch.float64))
    for rows, fake, real in parts:
        scores.fake[rows] += fake / splits
        scores.real[rows] += real / splits
    return scores


def holdout_logits(fake: SampleSet, real: SampleSet, key: Key) -> HeldOutLogits:
    return fold_logits(next(cross_validation_folds(balanced_pair(fake, real, key))))


def _folds(inputs: MetricInputs) -> Iterator[Fold]:
    return cross_validation_folds(balanced_pair(inputs.fake, inputs.real, inputs.key))


def fold_logits(fold: Fold) -> HeldOutLogits:
    """Logits of the test rows from a classifier that is trained on the training rows."""
    classifier = train_classifier(fold.train)
    return HeldOutLogits(classifier(fold.test.fake), classifier(fold.test.real))


@once
def _first_fold_logits(inputs: MetricInputs) -> HeldOutLogits:
    return fold_logits(next(_folds(inputs)))


@once
def _correct_rows(inputs: MetricInputs) -> RowScores:
    """Which rows are classified correctly, 0 or 1, as a mean over splits."""

    def parts() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for number, fold in enumerate(_folds(inputs)):
            logits = fold_logits(fold) if number else _first_fold_logits(inputs)
            yield fold.rows, (logits.fake > 0).double(), (logits.real <= 0).double()

    return combine_folds(min(len(inputs.fake), len(inputs.real)), parts())


def c2st_trained_interval(inputs: MetricInputs) -> Interval:
    """Covers the expectation at this n; never narrower than the effect of one row."""
    scores = _correct_rows(inputs)
    m = len(scores.fake)
    method = f"rows of {SPLITS} splits, both halves judged; of the expectation at this n"
    low, high, _ = t_interval(scores.mean, max(scores.standard_error() / 2, 1 / m), m - 1, method)
    return Interval(max(low, 0.0), min(high, 1.0), method)


def c2st_trained_details(inputs: MetricInputs) -> Mapping[str, Any]:
    """Of one half of the rows, so that p values are valid given its classifier.

    ``against train``: lower than the value if train is memorised.
    """
    logits = _first_fold_logits(inputs)
    details: dict[str, Any] = {
        "area under ROC": auc(logits.fake, logits.real),
        "p value of accuracy": accuracy_p_value(*logits.n_called_fake, len(logits.fake)),
        "p value of area": auc_p_value(logits.fake, logits.real),
        "held-out rows of each": len(logits.fake),
    }
    if inputs.train.features is not None and len(inputs.train) >= MIN_ROWS:
        against = holdout_logits(inputs.fake, inputs.train, inputs.key)
        details["against train"] = {
            "accuracy": against.accuracy,
            "area under ROC": auc(against.fake, against.real),
            "held-out rows of each": len(against.fake),
        }
    return details


c2st_neighbour = Metric(
    compute=_neighbour_accuracy,
    interval=c2st_neighbour_interval,
    unit="accuracy",
    ideal=0.5,
    details=c2st_neighbour_details,
    caveat=caveat_one_feature,
    equal_sizes=True,
    max_rows=MAX_ROWS,
    requires=frozenset({"features"}),
    optional=frozenset({"train"}),
)
c2st_trained = Metric(
    compute=lambda inputs: _correct_rows(inputs).mean,
    interval=c2st_trained_interval,
    unit="accuracy",
    ideal=0.5,
    details=c2st_trained_details,
    equal_sizes=True,
    requires=frozenset({"features"}),
    optional=frozenset({"train"}),
)


# Ranks of scores.


def placements(x: Tensor, y: Tensor) -> Tensor:
    """For each x (n) the share of y (m) below it, ties half; float64."""
    y = y.contiguous().sort().values
    below = torch.searchsorted(y, x.contiguous()) + torch.searchsorted(y, x.contiguous(), right=True)
    return below.double() / (2 * len(y))


def auc(fake: Tensor, real: Tensor) -> float:
    """AUC = P(score of a fake > score of a real one), ties half: Mann and Whitney 1947."""
    return float(placements(fake, real).mean())


def auc_p_value(fake: Tensor, real: Tensor) -> float:
    """p value of an AUC above 1/2 if all scores are independent and identically distributed."""
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(fake.numpy(), real.numpy(), alternative="greater").pvalue)


def accuracy_p_value(n_fake_called: int, n_real_called: int, n: int) -> float:
    """p value of classifying ``n_fake_called`` of n fakes and ``n_real_called`` of n real rows as fake.

    Fisher's exact test: given how many of the 2n were classified as fake, ``n_fake_called`` is hypergeometric
    if labels mean nothing.
    """
    from scipy.stats import hypergeom

    return float(hypergeom.sf(n_fake_called - 1, 2 * n, n, n_fake_called + n_real_called))


def permutation_p_value(statistics: Tensor, value: float) -> float:
    """p value of a permutation test, (1 + #{draw >= value}) / (1 + draws): exact at every level."""
    return (1 + int((statistics >= value).sum())) / (1 + len(statistics))
