"""Inputs of metrics from plain tensors; the features are the samples."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gancore.data.dataset import Spec
from gancore.metrics.metric import Interval, Metric, MetricInputs, SampleSet
from gancore.random import Key


def featured(fake: Tensor, real: Tensor, train: Tensor | None = None, key: int = 0) -> MetricInputs:
    sets = [SampleSet(x, features=x) for x in (fake, real, real if train is None else train)]
    return MetricInputs(*sets, Spec({}), key=Key.of("evaluate", key))


def classified(
    fake: Tensor, real: Tensor | None = None, train: Tensor | None = None, condition: Tensor | None = None
) -> MetricInputs:
    """Each set by its posteriors (n, classes)."""
    real = fake if real is None else real
    sets = [SampleSet(p, log_posteriors=p.log()) for p in (fake, real, real if train is None else train)]
    sets[0] = SampleSet(fake, condition=condition, log_posteriors=fake.log())
    return MetricInputs(*sets, Spec({}))


def holds(truth: float, interval: Interval) -> bool:
    return interval.low <= truth <= interval.high


def coverage(
    measure: Metric,
    make: Callable[[Key], MetricInputs],
    truth: float | Callable[[MetricInputs], float],
    runs: int,
) -> float:
    """How often the interval of fresh inputs covers the true value, which may be a function of the inputs."""
    hits = []
    for number in range(runs):
        inputs = make(Key.of("world", number))
        true = truth(inputs) if callable(truth) else truth
        hits.append(holds(true, measure.interval(inputs)))
    return sum(hits) / runs


def expectation(measure: Metric, make: Callable[[Key], MetricInputs], runs: int) -> float:
    """The mean of the measure over many worlds, none of which coverage() looks at."""
    values = [measure.compute(make(Key.of("truth", number))) for number in range(runs)]
    return float(torch.tensor(values, dtype=torch.float64).mean())
