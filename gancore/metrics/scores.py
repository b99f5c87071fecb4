"""Scores of probabilities: of a classifier's posteriors, of labels, and of a model's likelihood.

p(y|x) are the posteriors (n, classes), p(y) their mean over the samples, H the entropy in nats. Scores of
posteriors depend on classes only: they detect neither memorised samples nor a collapse within each class.
With another classifier the numbers are different.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp
from typing import Any

import torch
from torch import Tensor
from torch.special import entr, xlogy

from gancore.data.dataset import Batch, Data, Spec, TensorView
from gancore.digests import digest_json, digest_tensors
from gancore.errors import ConfigError
from gancore.metrics.intervals import TAIL, clopper_pearson, mean_interval, subsampling_interval, t_quantile
from gancore.metrics.metric import Interval, Metric, MetricInputs, SampleSet, once
from gancore.random import Key
from gancore.trees import tree_map, tree_slice

MIN_PROBABILITY = 1e-6
"""Smaller probabilities count as this where their logarithm would be unbounded."""

COVERAGE_SHARE = 0.25
"""A class is covered if samples have at least this part of its share among the reference rows."""


def posteriors(sampled: SampleSet) -> Tensor:
    """(n, classes), float64. Raises ConfigError: there are none."""
    if sampled.log_posteriors is None:
        raise ConfigError("this metric needs posteriors, and there are none", "choose features that classify")
    return sampled.log_posteriors.double().exp()


def log_inception_score(p: Tensor) -> float:
    """E_x KL(p(y|x) || p(y)) = H(p(y)) - E_x H(p(y|x)), in nats: Salimans et al. 2016, without splits."""
    return float(entr(p.mean(0)).sum() - entr(p).sum(1).mean())


def log_modified_score(p: Tensor) -> Tensor:
    """Rows h_i (n) whose mean is the mean of KL(p(y|x_i) || p(y|x_j)) over i /= j.

    Gurumurthy et al. 2017 (DeLiGAN), over all classes; logarithms of at least ``MIN_PROBABILITY``. h_i is the
    mean over j of (KL_ij + KL_ji) / 2, in closed form, without a loop over pairs.
    """
    n, log_p = len(p), p.clamp(min=MIN_PROBABILITY).log()
    own = (p * log_p).sum(1)
    forth = n * own - p @ log_p.sum(0)  # sum over j of KL_ij
    back = own.sum() - log_p @ p.sum(0)  # sum over j of KL_ji
    return (forth + back) / (2 * (n - 1))


def am_score(p: Tensor, marginal: Tensor) -> float:
    """KL(p_train(y) || p(y)) + E_x H(p(y|x)), nats: Zhou et al. 2018; p(y) at least ``MIN_PROBABILITY``."""
    q = p.mean(0).clamp(min=MIN_PROBABILITY)
    return float((xlogy(marginal, marginal) - xlogy(marginal, q)).sum() + entr(p).sum(1).mean())


def class_counts(p: Tensor) -> Tensor:
    """For each class the number of rows for which it is the most probable class, (classes), float64."""
    return p.argmax(1).bincount(minlength=p.shape[1]).double()


def _coverage_thresholds(inputs: MetricInputs) -> Tensor:
    real = class_counts(posteriors(inputs.real))
    return COVERAGE_SHARE * real / real.sum()


def is_covered(counts: Tensor, thresholds: Tensor) -> Tensor:
    """Which classes (booleans) have at least these shares, of those that the reference has."""
    return (counts / counts.sum() >= thresholds) & (thresholds > 0)


def _inception_interval(inputs: MetricInputs) -> Interval:
    """Delta method: log IS is the mean of KL(p(y|x) || p(y)) over rows x.

    The entropy of a mean over n is too low by sum_y Var p(y|x) / p(y) / 2n. If all rows contribute the same
    (certain posteriors, equally frequent classes), the first order vanishes; the variance used here is then
    twice that of the second order.
    """
    p = posteriors(inputs.fake)
    rows = (xlogy(p, p) - xlogy(p, p.mean(0))).sum(1)
    occurring = p.mean(0) > 0
    bias = float((p.var(0)[occurring] / p.mean(0)[occurring]).sum() / (2 * len(p)))
    value = log_inception_score(p)
    low, high, _ = mean_interval(rows)  # of exactly this mean
    method = f"delta method with the bias of order 1/n, {len(p)} samples; of the score at infinite n"
    low, high = min(low + bias, value), max(high + bias, value)
    return Interval(max(exp(low), 1.0), min(exp(high), float(p.shape[1])), method)


def _modified_interval(inputs: MetricInputs) -> Interval:
    """U-statistic of order 2: error 2 sd(h) / sqrt(n), Hoeffding 1948."""
    rows = log_modified_score(posteriors(inputs.fake))
    value = float(rows.mean())
    half_width = t_quantile(len(rows) - 1) * 2 * float(rows.std()) / len(rows) ** 0.5
    low, high = exp(max(value - half_width, 0.0)), exp(value + half_width)
    return Interval(low, high, f"U-statistic variance, {len(rows)} samples")


def _am_interval(inputs: MetricInputs) -> Interval:
    """Delta method, as for the inception score; train's shares are given."""
    p, marginal = posteriors(inputs.fake), posteriors(inputs.train).mean(0)
    q = p.mean(0).clamp(min=MIN_PROBABILITY)
    rows = entr(p).sum(1) - p @ (marginal / q)
    bias = float((marginal * p.var(0) / q.square()).sum() / (2 * len(p)))
    value, interval = am_score(p, marginal), mean_interval(rows)
    centre, half_width = value - bias, (interval.high - interval.low) / 2
    method = f"delta method with the bias of order 1/n, {len(p)} samples; of the score at infinite n"
    return Interval(max(min(centre - half_width, value), 0.0), max(centre + half_width, value), method)


def _coverage_interval(inputs: MetricInputs) -> Interval:
    """From the number of classes that are certainly covered to that of classes that may be covered.

    Each share is bounded by Clopper-Pearson; the 5 % are divided over the classes.
    """
    counts, thresholds = class_counts(posteriors(inputs.fake)), _coverage_thresholds(inputs)
    present = thresholds > 0
    tail = TAIL / max(int(present.sum()), 1)
    n = int(counts.sum())
    shares = [clopper_pearson(int(count), n, tail) for count in counts[present]]
    pairs = list(zip(shares, thresholds[present].tolist(), strict=True))
    low, high = (sum(share[end] >= threshold for share, threshold in pairs) for end in (0, 1))
    return Interval(low, high, f"Clopper-Pearson of every class's share at once, {n} samples")


def _coverage(inputs: MetricInputs) -> float:
    counts = class_counts(posteriors(inputs.fake))
    return float(is_covered(counts, _coverage_thresholds(inputs)).sum())


def _coverage_details(inputs: MetricInputs) -> Mapping[str, Any]:
    counts, real = (class_counts(posteriors(sampled)) for sampled in (inputs.fake, inputs.real))
    names = list(inputs.classes) or [str(number) for number in range(len(counts))]
    covered = is_covered(counts, _coverage_thresholds(inputs))
    return {
        "shares": dict(zip(names, (counts / counts.sum()).tolist(), strict=True)),
        "shares of the reference": dict(zip(names, (real / real.sum()).tolist(), strict=True)),
        "entropy of shares, nats": float(entr(counts / counts.sum()).sum()),
        "classes of the reference": int((real > 0).sum()),
        "missing": [name for name, here, rows in zip(names, covered, real, strict=True) if rows and not here],
        "covered from, of its share": COVERAGE_SHARE,
    }


def _correct_labels(sampled: SampleSet) -> Tensor:
    """Which rows (booleans) are classified as their label."""
    labels, p = require_labels(sampled), posteriors(sampled)
    correct: Tensor = p.argmax(1) == labels
    return correct


def _accuracy_details(inputs: MetricInputs) -> Mapping[str, Any]:
    correct, labels = _correct_labels(inputs.fake), require_labels(inputs.fake)
    classes = sorted(set(labels.tolist()))
    names = list(inputs.classes) or [str(number) for number in range(max(classes) + 1)]
    of_real = inputs.real.condition is not None and inputs.real.log_posteriors is not None
    return {
        "by class": {names[label]: float(correct[labels == label].double().mean()) for label in classes},
        "of reference rows": float(_correct_labels(inputs.real).double().mean()) if of_real else None,
    }


def _mean_entropy(inputs: MetricInputs) -> Tensor:
    entropies: Tensor = entr(posteriors(inputs.fake)).sum(1)
    return entropies


inception_score = Metric(
    compute=lambda inputs: exp(log_inception_score(posteriors(inputs.fake))),
    interval=_inception_interval,
    unit="classes",
    higher_is_better=True,
    requires=frozenset({"log_posteriors"}),
    insensitive_to=frozenset({"collapse"}),
)
modified_inception_score = Metric(
    compute=lambda inputs: float(log_modified_score(posteriors(inputs.fake)).mean().exp()),
    interval=_modified_interval,
    unit="exp of nats",
    higher_is_better=True,
    details=lambda inputs: {"probabilities at least": MIN_PROBABILITY},
    requires=frozenset({"log_posteriors"}),
    insensitive_to=frozenset({"collapse"}),
)
am_score_metric = Metric(
    compute=lambda inputs: am_score(posteriors(inputs.fake), posteriors(inputs.train).mean(0)),
    interval=_am_interval,
    unit="nats",
    details=lambda inputs: {"a share counts as at least": MIN_PROBABILITY},
    requires=frozenset({"log_posteriors", "train"}),
    insensitive_to=frozenset({"collapse"}),
)
posterior_entropy = Metric(
    compute=lambda inputs: float(_mean_entropy(inputs).mean()),
    interval=lambda inputs: mean_interval(_mean_entropy(inputs)),
    unit="nats",
    higher_is_better=None,
    details=lambda inputs: {"of reference rows": float(entr(posteriors(inputs.real)).sum(1).mean())},
    requires=frozenset({"log_posteriors"}),
)
class_coverage = Metric(
    compute=_coverage,
    interval=_coverage_interval,
    unit="classes",
    higher_is_better=True,
    details=_coverage_details,
    requires=frozenset({"log_posteriors"}),
    insensitive_to=frozenset({"collapse", "noise"}),
    kind="diversity",
)
label_accuracy = Metric(
    compute=lambda inputs: float(_correct_labels(inputs.fake).double().mean()),
    interval=lambda inputs: clopper_pearson(int(_correct_labels(inputs.fake).sum()), len(inputs.fake)),
    unit="share",
    higher_is_better=True,
    details=_accuracy_details,
    requires=frozenset({"log_posteriors", "condition"}),
    insensitive_to=frozenset({"collapse"}),
    kind="fidelity",
)


# Shares of classes by maximum likelihood, since a classifier may be wrong: which class do samples lack?

EM_ITERATIONS = 200
MIN_CLASS_ROWS = 8
"""Expected rows of a class in either set, from which the class is included."""
MIN_SHARE = 1e-9
SUBSET_FRACTION = 0.5
"""Share of the rows in each subset of the interval. With smaller subsets the smallest ratio is often that
of another class. Of 60 sets of 300 rows with a poor classifier, 54 and 55 intervals covered the true
value (with a quarter of the rows 51 and 54).
"""


def estimate_class_shares(p: Tensor, prior: Tensor) -> Tensor:
    """The shares w of the classes, (classes), with the largest likelihood of posteriors p (n, classes).

    Saerens et al. 2002, equations 2.1 to 2.4 (EM): with a classifier trained at shares ``prior``, w_k <-
    mean over rows of (p_k w_k / prior_k) over their sum. This corrects for classes that the classifier
    often confuses; counts of the most probable class do not.
    """
    scaled, shares = p / prior, prior
    for _ in range(EM_ITERATIONS):
        shares = (shares * ((1 / (scaled @ shares)) @ scaled) / len(p)).clamp_min(MIN_SHARE)
    return shares / shares.sum()


def _class_prior(inputs: MetricInputs) -> Tensor:
    """Class shares of train, on which the classifier was trained; equal if the data do not give them."""
    shares = inputs.spec.get("class_shares") or [1.0] * len(inputs.classes)
    prior = torch.tensor(shares, dtype=torch.float64).clamp_min(MIN_SHARE)
    return prior / prior.sum()


def _common_classes(inputs: MetricInputs) -> Tensor:
    """Classes that are not too rare, (classes) booleans. Raises ConfigError: all are."""
    n = min(len(inputs.fake), len(inputs.real))
    common = _class_prior(inputs) * n >= MIN_CLASS_ROWS
    if not common.any():
        raise ConfigError(
            f"{n:,} rows of {len(common):,} classes have fewer than {MIN_CLASS_ROWS} rows of each class",
            "give more samples, or rows",
        )
    return common


def class_share_ratios(inputs: MetricInputs) -> Tensor:
    """For each class the samples' share over the reference's share, (classes), float64."""
    prior = _class_prior(inputs)
    fake, real = (estimate_class_shares(posteriors(sampled), prior) for sampled in (inputs.fake, inputs.real))
    return fake / real.clamp_min(1 / len(inputs.real))


@once
def min_share_ratio(inputs: MetricInputs) -> float:
    """The smallest ratio of a common class, at most 1."""
    common = _common_classes(inputs)
    return min(1.0, float(class_share_ratios(inputs)[common].min()))


def _scarcest_details(inputs: MetricInputs) -> Mapping[str, Any]:
    common, ratios, prior = _common_classes(inputs), class_share_ratios(inputs), _class_prior(inputs)
    names = list(inputs.classes) or [str(number) for number in range(len(ratios))]
    shares = {
        f"shares of {name}": dict(
            zip(names, estimate_class_shares(posteriors(sampled), prior).tolist(), strict=True)
        )
        for name, sampled in (("samples", inputs.fake), ("the reference", inputs.real))
    }
    return {
        "scarcest": names[int(ratios.masked_fill(~common, torch.inf).argmin())],
        "classes looked at": int(common.sum()),
        **shares,
    }


scarcest_class = Metric(
    compute=min_share_ratio,
    unit="of its share",
    higher_is_better=True,
    interval=subsampling_interval(min_share_ratio, SUBSET_FRACTION, minimum=0.0, reduce_to="log_posteriors"),
    details=_scarcest_details,
    requires=frozenset({"log_posteriors"}),
    insensitive_to=frozenset({"collapse", "noise"}),
    kind="diversity",
)
"""The share of the class that samples lack most, relative to its share in the reference. For equal
distributions some class is the scarcest by chance: the more rows, the nearer to 1 is its value.
"""


# Classification accuracy score: how well a classifier that is trained on samples alone classifies real rows.
# Ravuri and Vinyals 2019, "Classification Accuracy Score for Conditional Generative Models". The classifier
# is the domain's own with its defaults; with another classifier the numbers are different.

CHUNK_ROWS = 256
"""Rows that a classifier processes at once."""
VALIDATION_SHARE = 0.1


def classifier_data(rows: Batch, spec: Spec, key: Key) -> Data:
    """The data of a classifier: a tenth of the rows, drawn by ``key``, is for validation, the others for
    training.
    """
    order = key.permutation(len(rows))
    count = len(rows) - max(1, round(VALIDATION_SHARE * len(rows)))
    parts = [rows.select(order[:count]), rows.select(order[count:])]
    train, valid = (TensorView(part.data, part.condition) for part in parts)
    content = digest_tensors([train.data, train.condition, valid.data, valid.condition])
    return Data(train, valid, valid, spec, fingerprint=digest_json(content, count, dict(spec.fields)))


def correct_rows(inputs: MetricInputs, training_set: SampleSet) -> Tensor:
    """Which reference rows (booleans) get their label from a classifier that is trained on ``training_set``
    alone.
    """
    if inputs.train_classifier is None:
        raise ConfigError("no classifier can be trained here", "use a domain with a recipe that classifies")
    labels, rows = require_labels(inputs.real), Batch(training_set.samples, require_labels(training_set))
    classifier = inputs.train_classifier(classifier_data(rows, inputs.spec, inputs.key / "selecting"))
    predicted = []
    for start in range(0, len(labels), CHUNK_ROWS):
        part = tree_slice(inputs.real.samples, start, start + CHUNK_ROWS)
        with torch.no_grad():
            log_posteriors = classifier.log_posteriors(tree_map(lambda leaf: leaf.to(inputs.device), part))
        predicted.append(log_posteriors.argmax(1).cpu())
    correct: Tensor = torch.cat(predicted) == labels
    return correct


def require_labels(sampled: SampleSet) -> Tensor:
    """The class of each row (n). Raises ConfigError: the condition is not one class per row."""
    labels = sampled.condition
    if not isinstance(labels, Tensor) or labels.shape != (len(sampled),) or labels.is_floating_point():
        raise ConfigError("this metric needs one label per row", "use it where the condition is a class")
    return labels


def real_baseline(inputs: MetricInputs) -> SampleSet:
    """Real rows of train, as many as there are samples, or all."""
    order = (inputs.key / "ceiling").permutation(len(inputs.train))
    return inputs.train.select(order[: len(inputs.fake)])


def _cas_interval(inputs: MetricInputs) -> Interval:
    correct = correct_rows(inputs, inputs.fake)
    low, high, method = clopper_pearson(int(correct.sum()), len(correct))
    return Interval(low, high, f"{method}, given the one judge trained")


def _cas_details(inputs: MetricInputs) -> Mapping[str, Any]:
    real, correct = real_baseline(inputs), correct_rows(inputs, inputs.fake)
    real_correct, labels = correct_rows(inputs, real), require_labels(inputs.real)
    low, high, _ = clopper_pearson(int(real_correct.sum()), len(real_correct))
    names, present = list(inputs.spec.get("classes") or []), sorted(set(labels.tolist()))
    return {
        "taught by real rows of train": {
            "value": float(real_correct.double().mean()),
            "low": low,
            "high": high,
            "rows": len(real),
        },
        "by class": {names[c]: float(correct[labels == c].double().mean()) for c in present},
        "by class, taught by real rows": {
            names[c]: float(real_correct[labels == c].double().mean()) for c in present
        },
        "samples": len(inputs.fake),
        "share of them that selects the judge": VALIDATION_SHARE,
    }


classification_accuracy = Metric(
    compute=lambda inputs: float(correct_rows(inputs, inputs.fake).double().mean()),
    interval=_cas_interval,
    unit="share",
    higher_is_better=True,
    details=_cas_details,
    requires=frozenset({"condition", "classifier"}),
    quick=False,
)


def require_log_prob(inputs: MetricInputs) -> Tensor:
    """Nats per reference row (n). Raises ConfigError: the model has no likelihood."""
    if inputs.log_prob is None:
        raise ConfigError("the model has no likelihood", "leave out nll")
    return inputs.log_prob.double()


nll = Metric(
    compute=lambda inputs: -float(require_log_prob(inputs).mean()),
    interval=lambda inputs: mean_interval(-require_log_prob(inputs)),
    unit="nats a sample",
    details=lambda inputs: {"likelihood": "at most this: a bound" if inputs.log_prob_is_bound else "exact"},
    requires=frozenset({"log_prob"}),
    insensitive_to=frozenset({"collapse"}),
)
"""-E log p(x) over the reference rows; of a lower bound on log p it is an upper bound on this."""
