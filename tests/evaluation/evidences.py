"""Evidence from plain tensors, where the features are the samples."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gancore.domain import Spec
from gancore.evaluation.evidence import Evidence, Sampled
from gancore.evaluation.measure import Interval, Measure
from gancore.runtime.randomness import Key


def featured(fake: Tensor, real: Tensor, train: Tensor | None = None, key: int = 0) -> Evidence:
    sets = [Sampled(x, features=x) for x in (fake, real, real if train is None else train)]
    return Evidence(*sets, Spec({}), key=Key.of("evaluate", key))


def classified(
    fake: Tensor, real: Tensor | None = None, train: Tensor | None = None, condition: Tensor | None = None
) -> Evidence:
    """Each set by its posteriors (n, classes)."""
    real = fake if real is None else real
    sets = [Sampled(p, log_posteriors=p.log()) for p in (fake, real, real if train is None else train)]
    sets[0] = Sampled(fake, condition=condition, log_posteriors=fake.log())
    return Evidence(*sets, Spec({}))


def holds(truth: float, interval: Interval) -> bool:
    return interval.low <= truth <= interval.high


def coverage(
    measure: Measure, make: Callable[[Key], Evidence], truth: float | Callable[[Evidence], float], runs: int
) -> float:
    """How often the interval of fresh evidence holds the truth, which may be one of that evidence."""
    hits = []
    for number in range(runs):
        evidence = make(Key.of("world", number))
        true = truth(evidence) if callable(truth) else truth
        hits.append(holds(true, measure.interval(evidence)))
    return sum(hits) / runs


def expectation(measure: Measure, make: Callable[[Key], Evidence], runs: int) -> float:
    """The mean of the measure over many worlds, none of which coverage() looks at."""
    values = [measure.compute(make(Key.of("truth", number))) for number in range(runs)]
    return float(torch.tensor(values, dtype=torch.float64).mean())
