"""Which share of the samples are copies of train rows? The test of :mod:`gancore.evaluation.copying`.

Unseen are the rows of the reference. Let s be the share of the samples that are as near to a train row as the
share q of the reference rows are. Of copies the share f is seen, f being the share of train that was looked
at; a copy of any other row is like an unseen row. So s = c f + (1 - c f) q, and the share of copies is

    c = (s - q) / (1 - q) / f.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import isnan, sqrt
from typing import Any, NamedTuple

from scipy.stats import beta
from torch import Tensor

from gancore.errors import ConfigError, DataError
from gancore.evaluation.copying import ALARM, CROWD, Copying, judge
from gancore.evaluation.distances import nearest
from gancore.evaluation.evidence import Evidence
from gancore.evaluation.intervals import TAIL
from gancore.evaluation.measure import Interval, Measure
from gancore.evaluation.measures.birthday import count_within, threshold_of


class Found(NamedTuple):
    """``alike``: with how many samples one coincides on average, itself included."""

    copying: Copying
    alike: float


def found_in(evidence: Evidence) -> Found:
    """Raises ConfigError: no features, or train has too few rows; DataError: the reference is part of it."""
    fake, real, train = (part.features for part in (evidence.fake, evidence.real, evidence.train))
    if fake is None or real is None or train is None:
        raise ConfigError("a measure of copies without features", "choose features")
    return _found(fake, real, train)


@lru_cache(maxsize=2)
def _found(fake: Tensor, real: Tensor, train: Tensor) -> Found:
    """Kept, since value, interval, details and doubt ask for the same; tensors are known by identity."""
    (ours, rows), (theirs, _) = _crowd(fake, train), _crowd(real, train)
    copying = judge(ours, theirs, rows[:, 0])
    if isnan(copying.level):
        raise ConfigError(f"no copies can be told: {copying.why_not}", "give more rows")
    if copying.level == 1:
        raise DataError("all reference rows stand in train", "hold out rows that do not")
    return Found(copying, 1 + float(count_within(fake, (_radius(real),))[0].mean()))


@lru_cache(maxsize=4)
def _crowd(x: Tensor, train: Tensor) -> tuple[Tensor, Tensor]:
    return nearest(x, train, min(CROWD, len(train)))


def _radius(real: Tensor) -> float:
    """Within which two samples are one, as in the birthday test."""
    try:
        return threshold_of(real)[0]
    except DataError:  # real rows that are all equal
        return 0.0


def share_of(difference: float, level: float, seen: float) -> float:
    """c of s - q, within [0, 1]."""
    return min(1.0, max(0.0, difference / (1 - level) / seen))


def _compute(evidence: Evidence) -> float:
    found = found_in(evidence).copying
    return share_of(found.near / found.n - found.level, found.level, evidence.share_of_train)


def _interval(evidence: Evidence) -> Interval:
    """From 0 where there is no sign of copies."""
    low, high = _ends(evidence)
    trained = evidence.train_size or len(evidence.train)
    method = (
        f"Clopper-Pearson of samples and of reference rows, from 0 where p is over {ALARM:.0%}; "
        f"{len(evidence.train):,} of {trained:,} rows of train looked at"
    )
    return Interval(low if sign_of(evidence) else 0.0, high, method)


def _ends(evidence: Evidence) -> tuple[float, float]:
    """Low of s - q by the ends of each (MOVER: Zou and Donner 2008): s a binomial share, q one of the
    reference rows, of which the threshold is an order statistic. High of s alone: samples that are no
    copies may be near less often than the reference rows are.

    Where a part of train is looked at, it is a matter of chance whether a row is among it that many samples
    copy. They are then one trial together: n over the mean number of samples that coincide.
    """
    (found, alike), seen = found_in(evidence), evidence.share_of_train
    trials = found.n if seen == 1 else found.n / alike
    s, q = found.near / found.n, found.level
    s_low, s_high = ends(s * trials, trials)
    q_high = ends(round(q * found.held_out), found.held_out)[1]
    low = s - q - sqrt((s - s_low) ** 2 + (q_high - q) ** 2)
    return share_of(low, q, seen), share_of(s_high, 0.0, seen)


def ends(successes: float, trials: float) -> tuple[float, float]:
    """Clopper and Pearson's, of numbers that need not be whole."""
    failures = trials - successes
    low = float(beta.ppf(TAIL, successes, failures + 1)) if successes > 0 else 0.0
    return low, float(beta.ppf(1 - TAIL, successes + 1, failures)) if failures > 0 else 1.0


def sign_of(evidence: Evidence) -> bool:
    """Whether there is a sign of copies."""
    return found_in(evidence).copying.chance < ALARM


def _doubt(evidence: Evidence) -> str:
    """Where samples are near to the same few rows, they may be so by chance, however many they are."""
    found = found_in(evidence).copying
    if found.why_not:
        return found.why_not.replace("held-out", "reference")
    by_chance = not sign_of(evidence) and _ends(evidence)[0] > 0
    return f"{found.near:,} samples are near to a few rows, which may be chance" if by_chance else ""


def _details(evidence: Evidence) -> Mapping[str, Any]:
    """``p value``: of as many near ones, where samples are like reference rows."""
    found = found_in(evidence).copying
    return {
        "p value": found.chance,
        "samples as near to a train row": found.near,
        "share of reference rows as near": found.level,
        "reference rows that stand in train": found.equal,
        "rows of train looked at": len(evidence.train),
        "rows of train": evidence.train_size or len(evidence.train),
        "share of train looked at": evidence.share_of_train,
    }


copies = Measure(
    compute=_compute,
    interval=_interval,
    unit="share of samples",
    details=_details,
    needs=frozenset({"features", "train"}),
    blind=frozenset({"noise", "collapse", "shrunk", "widened", "points"}),
    doubt=_doubt,
    kind="memory",
)
