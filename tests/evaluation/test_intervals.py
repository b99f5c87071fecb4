"""Intervals as such: exact binomial, t, subsets and blocks, on statistics whose variance is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from metric_inputs import featured
from refusals import refused
from scipy import stats
from torch import Tensor

from gancore.errors import ConfigError
from gancore.metrics.intervals import (
    binomial_error,
    block_jackknife,
    block_jackknife_variance,
    clopper_pearson,
    drop_blocks,
    mean_interval,
    subsample_error,
    subsampling_interval,
    t_quantile,
)
from gancore.metrics.metric import MetricInputs
from gancore.random import Key


def normal(*path: int | str, n: int, d: int = 1) -> Tensor:
    return Key.of("intervals", *path).normal(n, d).double()


@pytest.mark.parametrize("successes, trials", [(0, 1), (0, 30), (3, 30), (15, 30), (30, 30), (950, 1000)])
def test_clopper_pearson_is_that_of_scipy(successes: int, trials: int):
    theirs = stats.binomtest(successes, trials).proportion_ci(0.95, method="exact")
    low, high, method = clopper_pearson(successes, trials)
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert "Clopper-Pearson" in method


@pytest.mark.parametrize("trials", [5, 20])
def test_clopper_pearson_holds_any_share_at_least_95_times_in_100(trials: int):
    found = [clopper_pearson(s, trials)[:2] for s in range(trials + 1)]
    for p in np.linspace(0.001, 0.999, 97):
        chance = stats.binom.pmf(range(trials + 1), trials, p)
        assert sum(c for c, (low, high) in zip(chance, found, strict=True) if low <= p <= high) >= 0.95


@pytest.mark.parametrize("successes, trials", [(-1, 3), (4, 3), (0, 0)])
def test_no_share_of_what_cannot_be(successes: int, trials: int):
    with refused(ConfigError, "successes", "trials", fix="trials"):
        clopper_pearson(successes, trials)


def test_the_interval_of_a_mean_is_students():
    x = normal("x", n=12)[:, 0]
    theirs = stats.t.interval(0.95, 11, x.mean(), stats.sem(x))
    assert mean_interval(x)[:2] == pytest.approx(theirs, rel=1e-9)
    assert t_quantile(float("inf")) == pytest.approx(1.959964, abs=1e-6)
    with refused(ConfigError, 1, fix=2):
        mean_interval(x[:1])


def subset_means(x: Tensor, fraction: float, draws: int) -> Tensor:
    b = round(fraction * len(x))
    return torch.stack([x[Key.of("b", i).permutation(len(x))[:b]].mean() for i in range(draws)])


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5, 0.8])
def test_subsets_give_the_standard_error_of_a_mean_at_any_fraction(fraction: float):
    x = normal("x", n=200).exp()
    truth = float(x.std()) / 200**0.5
    assert subsample_error(subset_means(x, fraction, 800), fraction) == pytest.approx(truth, rel=0.1)


def biased(inputs: MetricInputs) -> float:
    """A difference of means, and too small at every n: the more so, the fewer rows there are."""
    fake, real = inputs.fake.features, inputs.real.features
    return float(fake.mean() - real.mean()) - 20 / len(fake) - 20 / len(real)


def test_a_bias_that_hangs_on_n_moves_the_interval_nowhere():
    """The subsets' own values lie far below it: a quantile of theirs would miss the truth every time."""
    inputs = featured(normal("fake", n=200), normal("real", n=100))
    low, high, method = subsampling_interval(biased, 0.25, draws=200)(inputs)
    value = biased(inputs)
    assert (low + high) / 2 == pytest.approx(value)
    truth = (1 / 200 + 1 / 100) ** 0.5
    assert (high - low) / 2 == pytest.approx(truth * t_quantile(199), rel=0.2)
    assert "50 and 25 rows without replacement" in method
    small = inputs.subsample(50, 25, Key.of("small"))
    assert abs(biased(small) - value) > high - low


def test_the_same_key_draws_the_same_subsets():
    inputs = featured(normal("fake", n=64), normal("real", n=64))
    assert subsampling_interval(biased)(inputs) == subsampling_interval(biased)(inputs)


def test_of_few_rows_subsets_are_larger_and_of_fewer_there_are_none():
    few = featured(normal("fake", n=16), normal("real", n=40))
    assert "of 8 and 20 rows" in subsampling_interval(biased, 0.25, min_rows=8)(few).method
    with refused(ConfigError, 15, 40, fix=16):
        subsampling_interval(biased, 0.25, min_rows=8)(few.subsample(15, 40, Key.of("fewer")))


def share_above(inputs: MetricInputs) -> float:
    return float((inputs.fake.features > -9).double().mean())


def test_a_share_has_an_interval_within_0_and_1_that_never_is_a_point():
    inputs = featured(normal("fake", n=100), normal("real", n=100))
    low, high, _ = subsampling_interval(share_above, share_of="fake")(inputs)
    assert high == 1 and low == pytest.approx(1 - t_quantile(39) * binomial_error(1, 100))
    assert 1 - stats.binom.cdf(99, 100, low) > 0.001  # such a share is not beyond belief


@pytest.mark.parametrize("group", [1, 2, 4])
@pytest.mark.parametrize("n", [80, 83, 121])
def test_blocks_are_disjoint_whole_and_of_nearly_equal_size(n: int, group: int):
    rows = torch.arange(n)
    out = [set(rows.tolist()) - set(drop_blocks(rows, (j,), 10, group).tolist()) for j in range(10)]
    assert len(set().union(*out)) == sum(map(len, out)) >= n - group + 1
    assert max(map(len, out)) - min(map(len, out)) <= group
    assert set(drop_blocks(rows, (2, 3), 10, group).tolist()) == set(rows.tolist()) - out[2] - out[3]
    assert drop_blocks(rows, (), 10, group).tolist() == rows.tolist()
    if n % group == 0:  # what is every group-th row stays so
        assert torch.equal(
            drop_blocks(rows, (1,), 10, group)[1::group] % group,
            drop_blocks(rows % group, (1,), 10, group)[1::group],
        )


def of_rows(function: Callable[[Tensor], Tensor], x: Tensor, blocks: int) -> tuple[float, float]:
    return block_jackknife_variance(lambda out: float(function(drop_blocks(x, out, blocks))), blocks)


def test_of_a_mean_the_jackknife_is_the_variance_of_block_means():
    """No second order: nothing is taken off but rounding."""
    x = normal("x", n=100)
    value, variance = of_rows(torch.mean, x, 10)
    assert value == pytest.approx(float(x.mean()))
    assert variance == pytest.approx(float(x.view(10, 10).mean(1).var()) / 10, rel=1e-9)


def mean_variance(shift: float) -> float:
    """Of |mean|^2 of 100 rows of 20 dimensions, on average over fresh rows."""
    worlds = [normal("v", i, n=100, d=20) + shift for i in range(150)]
    runs = [of_rows(lambda x: x.mean(0).square().sum(), x, 20)[1] for x in worlds]
    return sum(runs) / len(runs)


def test_of_a_square_whose_root_is_nought_it_is_not_twice_the_variance():
    """Then |mean|^2 is of second order alone, 2d / n^2, of which the plain jackknife makes twice as much."""
    assert 0.9 < mean_variance(0.0) / (2 * 20 / 100**2) < 1.5


def test_of_a_square_far_from_nought_it_is_the_variance():
    """4 |mu|^2 / n + 2d / n^2"""
    assert mean_variance(0.5) / (4 * 20 * 0.25 / 100 + 2 * 20 / 100**2) == pytest.approx(1, abs=0.15)


def test_the_block_jackknife_says_what_it_did():
    x = normal("x", n=100)
    interval = block_jackknife(lambda out: float(drop_blocks(x, out, 10).mean()), 10, "of a mean")
    assert interval.low < float(x.mean()) < interval.high
    assert interval.method == "jackknife over 10 blocks, of a mean"
