"""The bound on the Jensen-Shannon divergence stays below the truth, and comes near it."""

from __future__ import annotations

import math

import pytest
import torch
from metric_inputs import featured
from refusals import refused
from scipy.integrate import quad
from scipy.stats import norm
from torch import Tensor

from gancore.errors import ConfigError
from gancore.metrics.jensen_shannon import jensen_shannon, neighbour_log_odds, pool_samples
from gancore.metrics.metric import MetricInputs
from gancore.random import Key


def normal(
    seed: int, n: int, d: int, shift: float = 0.0, scale: float = 1.0, m: int | None = None
) -> MetricInputs:
    """N(0, I) of m real rows beside samples moved along one axis and scaled along all."""
    key = Key.of("informed", seed)
    fake = scale * (key / "fake").normal(n, d)
    fake[:, 0] += shift
    return featured(fake, (key / "real").normal(m or n, d), key=seed)


def mean(runs: int, n: int, d: int, **law: float) -> float:
    return sum(jensen_shannon.compute(normal(seed, n, d, **law)) for seed in range(runs)) / runs


def divergence(shift: float, scale: float = 1.0) -> float:
    """Jensen-Shannon of N(shift, scale^2) and N(0, 1), bits, by integration."""

    def integrand(x: float) -> float:
        p, q = norm.pdf(x, shift, scale), norm.pdf(x)
        return sum(a * math.log2(2 * a / (p + q)) for a in (p, q) if a > 0) / 2

    return quad(integrand, -12, 12, limit=200)[0]


@pytest.mark.parametrize(("shift", "scale"), [(1.0, 1.0), (3.0, 1.0), (0.0, 0.4)])
def test_it_comes_near_the_truth_from_below(shift: float, scale: float):
    found, true = mean(2, 400, 1, shift=shift, scale=scale), divergence(shift, scale)
    assert true - 0.06 < found < true + 0.03  # two standard errors


@pytest.mark.parametrize(("n", "d"), [(30, 2), (50, 8), (60, 64)])
def test_equal_laws_are_near_nought_and_not_above_on_average(n: int, d: int):
    assert -0.06 < mean(5, n, d) < 0.01


def test_disjoint_laws_are_near_one():
    assert jensen_shannon.compute(normal(0, 200, 3, shift=50.0)) > 0.95


def test_it_is_ordered_by_the_size_of_a_shift():
    values = [jensen_shannon.compute(normal(0, 200, 8, shift=shift)) for shift in (0.0, 1.0, 2.0, 4.0)]
    assert values == sorted(values) and values[0] < 0.02 and values[-1] > 0.8


def test_shrinkage_in_64_dimensions_is_seen_in_order():
    """Where accuracy of a neighbour is one half: |x|^2 tells all."""
    values = [jensen_shannon.compute(normal(0, 150, 64, scale=scale)) for scale in (1.0, 0.8, 0.6)]
    assert values[0] < 0.02 and 0.2 < values[1] < values[2] and values[2] > 0.9


def clouds(key: Key, n: int, modes: int) -> Tensor:
    """Of eight on a circle; none of the coordinates has a mode of its own."""
    angle = (key / "mode").integers(modes, n) * math.pi / 4
    return torch.stack([angle.cos(), angle.sin()], 1) + 0.1 * (key / "cloud").normal(n, 2)


def test_lost_modes_are_seen_by_their_number():
    """The divergence of a uniform law on k of 8 modes is known: a lost mode cannot be mistaken."""
    key, values = Key.of("modes"), []
    for kept in (8, 6, 4):
        p = kept / 8
        true = 1 + (math.log2(1 / (1 + p)) + p * math.log2(p / (1 + p)) + (1 - p) * 0) / 2
        value = jensen_shannon.compute(
            featured(clouds(key / "fake", 300, kept), clouds(key / "real", 300, 8))
        )
        assert true - 0.08 < value < true + 0.04
        values.append(value)
    assert values == sorted(values)


def test_unequal_numbers_do_not_make_a_difference():
    assert abs(jensen_shannon.compute(normal(0, 300, 4, m=60))) < 0.04


def test_few_rows_are_refused_in_a_line():
    with refused(ConfigError, 19, fix=20):
        jensen_shannon.compute(normal(0, 19, 2))


def test_neighbours_are_counted_among_the_training_rows_without_the_row_itself():
    inputs = normal(3, 30, 2)
    rows = pool_samples(inputs.fake, inputs.real, inputs.key)
    train = torch.arange(0, 60, 2)
    for tested in (train, torch.arange(1, 60, 2)):
        odds = neighbour_log_odds(rows, train, tested)
        for row, found in zip(tested.tolist(), odds[:, 0].tolist(), strict=True):
            others = [other for other in train.tolist() if other != row]
            nearest = sorted(others, key=lambda other: float(rows.squared[row, other]))[:5]
            fakes = sum(bool(rows.is_fake[other]) for other in nearest)
            assert found == pytest.approx(math.log((fakes + 0.5) / (5 - fakes + 0.5)))
