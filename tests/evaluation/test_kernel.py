"""KID: the exact U-statistic over all pairs, its closed form for Gaussians, and an independent library."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
import torch
from gaussians import mmd2_of_gaussians
from metric_inputs import featured
from refusals import refused
from torch import Tensor
from torch_fidelity.metric_kid import kid_features_to_metric

from gancore.errors import ConfigError
from gancore.metrics.distances import CHUNK_ENTRIES
from gancore.metrics.kernel import (
    cubic,
    kernel_sums,
    kid,
    mmd2,
    mmd_interval,
    second_order_variance,
    u_statistic_variance,
)
from gancore.random import Key


def normal(*path: int | str, n: int, d: int) -> Tensor:
    return Key.of("kernel", *path).normal(n, d).double()


def mmd2_of(x: Tensor, y: Tensor, entries: int = CHUNK_ENTRIES) -> float:
    return mmd2(kernel_sums(x, y, entries))


def all_matrices(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    within = cubic(x, x).fill_diagonal_(0), cubic(y, y).fill_diagonal_(0)
    return *within, cubic(x, y)


@pytest.mark.parametrize("entries", [1, 70, 10**6])
def test_sums_of_blocks_are_those_of_whole_matrices(entries: int):
    x, y = normal("x", n=31, d=5), normal("y", n=23, d=5) + 0.3
    xx, yy, xy = all_matrices(x, y)
    whole = xx.sum() / (31 * 30) + yy.sum() / (23 * 22) - 2 * xy.mean()
    assert mmd2_of(x, y, entries) == pytest.approx(float(whole), rel=1e-12)


def test_it_is_that_of_torch_fidelity_on_equal_subsets():
    x, y = normal("x", n=120, d=30), normal("y", n=120, d=30) * 1.3
    settings = dict(kid_kernel="poly", kid_kernel_poly_degree=3, kid_kernel_poly_gamma=None)
    settings |= dict(kid_kernel_poly_coef0=1.0, kid_subsets=1, kid_subset_size=120, rng_seed=0, verbose=False)
    theirs = kid_features_to_metric(x, y, **settings)["kernel_inception_distance_mean"]
    assert mmd2_of(x, y) == pytest.approx(float(theirs), rel=1e-10)


@pytest.mark.parametrize("shift, d", [(0.0, 4), (0.5, 4), (1.0, 16)])
def test_without_bias_it_is_the_closed_form_of_gaussians(shift: float, d: int):
    a, b = torch.zeros(d).double(), torch.full((d,), shift).double()
    runs = [mmd2_of(normal("x", i, n=60, d=d), normal("y", i, n=40, d=d) + b) for i in range(300)]
    values = torch.tensor(runs, dtype=torch.float64)
    assert abs(float(values.mean()) - mmd2_of_gaussians(a, b)) < 3 * float(values.std()) / 300**0.5


def test_few_equal_rows_can_be_below_nought():
    runs = [mmd2_of(normal("x", i, n=20, d=4), normal("y", i, n=20, d=4)) for i in range(20)]
    assert min(runs) < 0 < max(runs)


def test_the_variance_of_second_order_is_that_of_centred_matrices():
    x, y = normal("x", n=31, d=5), normal("y", n=23, d=5)
    xx, yy, xy = all_matrices(x, y)

    def centred(k: Tensor) -> Tensor:
        r = k.sum(1) / (len(k) - 1)
        return (k - r[:, None] - r + r.mean()).fill_diagonal_(0).square().sum()

    cross = xy - xy.mean(1, keepdim=True) - xy.mean(0) + xy.mean()
    brute = 2 * centred(xx) / (31 * 30) ** 2 + 2 * centred(yy) / (23 * 22) ** 2
    brute += 4 * cross.square().sum() / (31 * 23) ** 2
    assert second_order_variance(kernel_sums(x, y, entries=50)) == pytest.approx(float(brute), rel=1e-9)


def test_both_variances_are_those_that_repeated_draws_show():
    """Equal laws have the second order alone, and the jackknife counts it twice; far off it is right."""

    def spread(shift: float) -> tuple[float, float, float]:
        found = [
            kernel_sums(normal("x", i, n=80, d=6), normal("y", i, n=80, d=6) + shift) for i in range(200)
        ]
        true = torch.tensor([mmd2(k) for k in found]).var()
        second = sum(map(second_order_variance, found)) / 200
        return float(true), second, sum(map(u_statistic_variance, found)) / 200

    true, second, jackknife = spread(0.0)
    assert second / true == pytest.approx(1, abs=0.3) and jackknife / second == pytest.approx(2, abs=0.3)
    true, second, jackknife = spread(1.0)
    assert jackknife / true == pytest.approx(1, abs=0.3) and second / true < 0.2


def test_the_interval_holds_nought_just_where_a_test_would_not_reject():
    for i in range(40):
        k = kernel_sums(normal("x", i, n=60, d=3), normal("y", i, n=60, d=3) + 0.1 * (i % 5))
        low, high, _ = mmd_interval(k)
        rejected = mmd2(k) > 1.959964 * second_order_variance(k) ** 0.5
        assert (low > 0) == rejected
        assert low <= mmd2(k) <= high


def test_constant_features_are_at_no_distance_for_sure():
    same = torch.ones(10, 3)
    low, high, _ = kid.interval(featured(same, same))
    assert low == pytest.approx(0, abs=1e-9) and high == pytest.approx(0, abs=1e-9)


def test_features_in_float32_are_summed_in_float64():
    x, y = normal("x", n=100, d=8).float(), normal("y", n=100, d=8).float()
    assert mmd2_of(x, y) == mmd2_of(x.double(), y.double())


def test_one_row_makes_no_pair():
    with refused(ConfigError, fix=2):
        mmd2_of(normal("x", n=1, d=3), normal("y", n=5, d=3))


def test_sums_hold_one_block_at_a_time():
    """Not all of them: a small tensor kept of each would leave room between freed blocks that none fits."""
    from forks import Fork

    x, y = normal("x", n=6000, d=4), normal("y", n=6000, d=4)
    mmd2_of(x[:1000], y[:1000])

    def grow() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        mmd2_of(x, y)  # matrices of 288 MB
        return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before > 250_000)

    assert Fork(Path.cwd(), grow, Path("/dev/null")).join() == 0
