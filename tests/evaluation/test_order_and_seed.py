"""No value depends on the order of the rows, nor, beyond its interval, on the evaluation's seed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from metric_inputs import holds

from gancore.data.dataset import Spec
from gancore.evaluation.catalogue import CORE_METRICS
from gancore.metrics.metric import Metric, MetricInputs, SampleSet, once, random_order
from gancore.plugins import plugins
from gancore.random import Key

CORE = {entry.name: plugins().load_metric(entry) for entry in CORE_METRICS}
FREE = {name: measure for name, measure in CORE.items() if "classifier" not in measure.requires}
"""A judge that is trained by the ordinary loop takes what is given in its order, as any training does."""


def with_posteriors(x: torch.Tensor) -> SampleSet:
    """Three classes, by the signs of two coordinates; asked for as they are."""
    logits = torch.stack([3 * x[:, 0], 3 * x[:, 1], -x[:, 0]], 1)
    return SampleSet(x, logits.argmax(1), x, logits.double().log_softmax(1))


def inputs(n: int = 150, m: int = 120, seed: int = 0) -> MetricInputs:
    """Moved and narrowed Gaussians in six dimensions, sorted by the first coordinate."""
    key = Key.of("order")
    fake = 0.8 * (key / "fake").normal(n, 6) + 0.3
    real, train = (key / "real").normal(m, 6), (key / "train").normal(200, 6)
    sets = [with_posteriors(x[x[:, 0].argsort()]) for x in (fake, real, train)]
    log_prob = -sets[1].samples.square().sum(1)
    return MetricInputs(*sets, Spec({}), Key.of("evaluate", seed), log_prob=log_prob, classes="abc")


def permuted(given: MetricInputs) -> MetricInputs:
    orders = [
        Key.of("permuted", name).permutation(n)
        for name, n in (("fake", len(given.fake)), ("real", len(given.real)))
    ]
    train = given.train.select(Key.of("permuted", "train").permutation(len(given.train)))
    assert given.log_prob is not None
    return replace(
        given,
        fake=given.fake.select(orders[0]),
        real=given.real.select(orders[1]),
        train=train,
        log_prob=given.log_prob[orders[1]],
    )


@pytest.mark.parametrize("name", FREE)
def test_the_order_of_rows_changes_nothing(name: str):
    measure, given = FREE[name], inputs()
    assert measure.compute(permuted(given)) == pytest.approx(measure.compute(given), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", FREE)
def test_the_order_of_rows_changes_no_interval(name: str):
    interval, given = FREE[name].interval, inputs()
    assert interval is not None
    assert interval(permuted(given))[:2] == pytest.approx(interval(given)[:2], rel=1e-6, abs=1e-9)


def by_seeds(measure: Metric) -> list[float]:
    return [measure.compute(inputs(seed=seed)) for seed in range(1, 5)]


@pytest.mark.slow
@pytest.mark.parametrize("name", FREE)
def test_the_seed_of_the_evaluation_moves_no_value_out_of_its_interval(name: str):
    measure = FREE[name]
    assert measure.interval is not None
    found = measure.interval(inputs())
    assert [value for value in by_seeds(measure) if not holds(value, found)] == []


def test_equal_rows_are_at_random_among_each_other():
    """Copies that stood together would all fall into one half."""
    rows = torch.arange(10.0).repeat_interleave(20).unsqueeze(1)
    half = rows[random_order(rows, Key.of("copies"))][:100].flatten().long().bincount(minlength=10)
    assert half.min() >= 3 and half.max() <= 17


def test_what_is_kept_of_one_evidence_is_not_given_for_another():
    requests: list[int] = []

    @once
    def count(given: MetricInputs) -> int:
        requests.append(len(given.fake))
        return len(given.fake)

    first, second = inputs(30), inputs(40)
    turns = [first, first, second, first, replace(first)]
    assert [count(given) for given in turns] == [30, 30, 40, 30, 30]
    assert requests == [30, 40, 30, 30]
