"""Scores of posteriors: what any classifier of labelled data says of the samples, whatever their domain.

p(y|x) are the posteriors (n, classes), p(y) their mean over the samples, H the entropy in nats. The scores
see classes and nothing else: neither memorised samples nor a collapse within each class. With another
classifier they are other numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp
from typing import Any

from torch import Tensor
from torch.special import entr, xlogy

from gancore.errors import ConfigError
from gancore.evaluation.evidence import Evidence, Sampled
from gancore.evaluation.intervals import TAIL, clopper_pearson, of_mean, t_quantile
from gancore.evaluation.measure import Interval, Measure

CLIP = 1e-6
"""Probabilities below count as this where a logarithm of them would be without bound."""

COVERED = 0.25
"""A class is covered from this part of its share among the reference rows on."""


def posteriors(sampled: Sampled) -> Tensor:
    """(n, classes), float64."""
    if sampled.log_posteriors is None:
        raise ConfigError("samples without posteriors", "choose features that classify")
    return sampled.log_posteriors.double().exp()


def log_inception_score(p: Tensor) -> float:
    """E_x KL(p(y|x) || p(y)) = H(p(y)) - E_x H(p(y|x)), in nats: Salimans et al. 2016, without splits."""
    return float(entr(p.mean(0)).sum() - entr(p).sum(1).mean())


def log_modified_score(p: Tensor) -> Tensor:
    """Rows h_i (n) whose mean is the mean of KL(p(y|x_i) || p(y|x_j)) over i /= j.

    Gurumurthy et al. 2017 (DeLiGAN), over all classes; logarithms of at least ``CLIP``. h_i is the mean over
    j of (KL_ij + KL_ji) / 2, in closed form: no pair is looked at.
    """
    n, log_p = len(p), p.clamp(min=CLIP).log()
    own = (p * log_p).sum(1)
    forth = n * own - p @ log_p.sum(0)  # sum over j of KL_ij
    back = own.sum() - log_p @ p.sum(0)  # sum over j of KL_ji
    return (forth + back) / (2 * (n - 1))


def am_score(p: Tensor, marginal: Tensor) -> float:
    """KL(p_train(y) || p(y)) + E_x H(p(y|x)), in nats: Zhou et al. 2018; p(y) at least ``CLIP``."""
    q = p.mean(0).clamp(min=CLIP)
    return float((xlogy(marginal, marginal) - xlogy(marginal, q)).sum() + entr(p).sum(1).mean())


def histogram(p: Tensor) -> Tensor:
    """How many rows have each class as their likeliest (classes), float64."""
    return p.argmax(1).bincount(minlength=p.shape[1]).double()


def _least_covered(evidence: Evidence) -> Tensor:
    real = histogram(posteriors(evidence.real))
    return COVERED * real / real.sum()


def covered(counts: Tensor, least: Tensor) -> Tensor:
    """Which classes (booleans) have at least these shares, of those that the reference has."""
    return (counts / counts.sum() >= least) & (least > 0)


def _inception_interval(evidence: Evidence) -> Interval:
    """Delta method: x moves log IS by KL(p(y|x) || p(y)), whose mean it is.

    The entropy of a mean over n is too low, by sum_y Var p(y|x) / p(y) / 2n. Where all rows move it alike
    (sure posteriors, even classes) the first order vanishes; this variance is then twice that of the second.
    """
    p = posteriors(evidence.fake)
    rows = (xlogy(p, p) - xlogy(p, p.mean(0))).sum(1)
    seen = p.mean(0) > 0
    lost = float((p.var(0)[seen] / p.mean(0)[seen]).sum() / (2 * len(p)))
    value = log_inception_score(p)
    low, high, _ = of_mean(rows)  # of exactly this mean
    method = f"delta method with the bias of order 1/n, {len(p)} samples; of the score at infinite n"
    low, high = min(low + lost, value), max(high + lost, value)
    return Interval(max(exp(low), 1.0), min(exp(high), float(p.shape[1])), method)


def _modified_interval(evidence: Evidence) -> Interval:
    """U-statistic of order 2: error 2 sd(h) / sqrt(n), Hoeffding 1948."""
    rows = log_modified_score(posteriors(evidence.fake))
    value, reach = float(rows.mean()), t_quantile(len(rows) - 1) * 2 * float(rows.std()) / len(rows) ** 0.5
    low, high = exp(max(value - reach, 0.0)), exp(value + reach)
    return Interval(low, high, f"U-statistic variance, {len(rows)} samples")


def _am_interval(evidence: Evidence) -> Interval:
    """Delta method, as for the inception score; train's shares are given."""
    p, marginal = posteriors(evidence.fake), posteriors(evidence.train).mean(0)
    q = p.mean(0).clamp(min=CLIP)
    rows = entr(p).sum(1) - p @ (marginal / q)
    gained = float((marginal * p.var(0) / q.square()).sum() / (2 * len(p)))
    value, around = am_score(p, marginal), of_mean(rows)
    centre, reach = value - gained, (around.high - around.low) / 2
    method = f"delta method with the bias of order 1/n, {len(p)} samples; of the score at infinite n"
    return Interval(max(min(centre - reach, value), 0.0), max(centre + reach, value), method)


def _coverage_interval(evidence: Evidence) -> Interval:
    """Classes that surely are, and may be, covered: each share by Clopper-Pearson at 5 % over the classes."""
    counts, least = histogram(posteriors(evidence.fake)), _least_covered(evidence)
    asked = least > 0
    tail = TAIL / max(int(asked.sum()), 1)
    n = int(counts.sum())
    shares = [clopper_pearson(int(count), n, tail) for count in counts[asked]]
    pairs = list(zip(shares, least[asked].tolist(), strict=True))
    low, high = (sum(share[end] >= floor for share, floor in pairs) for end in (0, 1))
    return Interval(low, high, f"Clopper-Pearson of every class's share at once, {n} samples")


def _coverage(evidence: Evidence) -> float:
    counts = histogram(posteriors(evidence.fake))
    return float(covered(counts, _least_covered(evidence)).sum())


def _shares(evidence: Evidence) -> Mapping[str, Any]:
    counts, real = (histogram(posteriors(sampled)) for sampled in (evidence.fake, evidence.real))
    names = list(evidence.classes) or [str(number) for number in range(len(counts))]
    present = covered(counts, _least_covered(evidence))
    return {
        "shares": dict(zip(names, (counts / counts.sum()).tolist(), strict=True)),
        "shares of the reference": dict(zip(names, (real / real.sum()).tolist(), strict=True)),
        "entropy of shares, nats": float(entr(counts / counts.sum()).sum()),
        "classes of the reference": int((real > 0).sum()),
        "missing": [
            name for name, here, asked in zip(names, present, real, strict=True) if asked and not here
        ],
        "covered from, of its share": COVERED,
    }


def _hits(sampled: Sampled) -> Tensor:
    """Which rows (booleans) are of the class that they were asked to be."""
    asked, p = sampled.condition, posteriors(sampled)
    if not isinstance(asked, Tensor) or asked.shape != (len(p),) or asked.is_floating_point():
        raise ConfigError("label accuracy needs one label a sample", "use it where the condition is a class")
    hits: Tensor = p.argmax(1) == asked
    return hits


def _accuracy_details(evidence: Evidence) -> Mapping[str, Any]:
    hits, asked = _hits(evidence.fake), evidence.fake.condition
    classes = sorted(set(asked.tolist()))
    names = list(evidence.classes) or [str(number) for number in range(max(classes) + 1)]
    of_real = evidence.real.condition is not None and evidence.real.log_posteriors is not None
    return {
        "by class": {names[label]: float(hits[asked == label].double().mean()) for label in classes},
        "of reference rows": float(_hits(evidence.real).double().mean()) if of_real else None,
    }


def _mean_entropy(evidence: Evidence) -> Tensor:
    entropies: Tensor = entr(posteriors(evidence.fake)).sum(1)
    return entropies


inception_score = Measure(
    compute=lambda evidence: exp(log_inception_score(posteriors(evidence.fake))),
    interval=_inception_interval,
    unit="classes",
    better="higher",
    needs=frozenset({"log_posteriors"}),
    blind=frozenset({"collapse"}),
)
modified_inception_score = Measure(
    compute=lambda evidence: float(log_modified_score(posteriors(evidence.fake)).mean().exp()),
    interval=_modified_interval,
    unit="exp of nats",
    better="higher",
    details=lambda evidence: {"probabilities at least": CLIP},
    needs=frozenset({"log_posteriors"}),
    blind=frozenset({"collapse"}),
)
am = Measure(
    compute=lambda evidence: am_score(posteriors(evidence.fake), posteriors(evidence.train).mean(0)),
    interval=_am_interval,
    unit="nats",
    details=lambda evidence: {"a share counts as at least": CLIP},
    needs=frozenset({"log_posteriors", "train"}),
    blind=frozenset({"collapse"}),
)
posterior_entropy = Measure(
    compute=lambda evidence: float(_mean_entropy(evidence).mean()),
    interval=lambda evidence: of_mean(_mean_entropy(evidence)),
    unit="nats",
    better=None,
    details=lambda evidence: {"of reference rows": float(entr(posteriors(evidence.real)).sum(1).mean())},
    needs=frozenset({"log_posteriors"}),
)
class_coverage = Measure(
    compute=_coverage,
    interval=_coverage_interval,
    unit="classes",
    better="higher",
    details=_shares,
    needs=frozenset({"log_posteriors"}),
    blind=frozenset({"collapse", "noise"}),
    kind="diversity",
)
label_accuracy = Measure(
    compute=lambda evidence: float(_hits(evidence.fake).double().mean()),
    interval=lambda evidence: clopper_pearson(int(_hits(evidence.fake).sum()), len(evidence.fake)),
    unit="share",
    better="higher",
    details=_accuracy_details,
    needs=frozenset({"log_posteriors", "condition"}),
    blind=frozenset({"collapse"}),
    kind="fidelity",
)
