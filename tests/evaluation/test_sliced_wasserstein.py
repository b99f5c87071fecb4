"""Sliced Wasserstein distance: POT, the closed form of what is only shifted or scaled, unequal sizes."""

from __future__ import annotations

import ot
import pytest
import torch
from metric_inputs import featured
from refusals import refused
from torch import Tensor

from gancore.errors import ConfigError
from gancore.metrics.sliced_wasserstein import (
    directions,
    project,
    root_mean_cost,
    sliced_wasserstein_metric,
    wasserstein_1d,
)
from gancore.random import Key


def normal(*path: int | str, n: int, d: int) -> Tensor:
    return Key.of("sliced", *path).normal(n, d)


def sliced_wasserstein(x: Tensor, y: Tensor, across: Tensor, power: int = 2) -> float:
    """(mean over directions u of W_p^p(u . x, u . y))^(1/p)."""
    return root_mean_cost(wasserstein_1d(project(x, across), project(y, across), power), power)


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("n, m", [(50, 50), (40, 60), (97, 13)])
def test_it_is_that_of_pot(power: int, n: int, m: int):
    x, y = normal("x", n=m, d=6), normal("y", n=n, d=6) * 1.3 + 0.4
    across = directions(6, 30, Key.of("u"))
    theirs = ot.sliced_wasserstein_distance(
        x.double().numpy(), y.double().numpy(), p=power, projections=across.numpy()
    )
    assert sliced_wasserstein(x, y, across, power) == pytest.approx(float(theirs), rel=1e-9)


def test_directions_are_uniform_on_the_sphere():
    across = directions(5, 4000, Key.of("u"))
    torch.testing.assert_close(across.norm(dim=0), torch.ones(4000, dtype=torch.float64))
    torch.testing.assert_close(across @ across.T / 4000, torch.eye(5).double() / 5, atol=0.01, rtol=0)


def test_of_a_shift_it_is_the_shift_over_the_root_of_d():
    """W_2^2 on a line is (u . shift)^2, on average |shift|^2 / d: for Gaussians, and for anything else."""
    x, shift = normal("x", n=40, d=8).exp(), normal("shift", n=1, d=8)
    across = directions(8, 20_000, Key.of("u"))
    truth = float(shift.norm()) / 8**0.5
    assert sliced_wasserstein(x, x + shift, across, 2) == pytest.approx(truth, rel=0.01)
    ordered = sliced_wasserstein(x, x + shift, across, 1)
    mean_cosine = float((shift.double() @ across).abs().mean())
    assert ordered == pytest.approx(mean_cosine, rel=1e-6)


def test_between_gaussians_of_two_widths_it_is_the_difference_of_widths():
    """N(m, s^2) on a line: W_2^2 = (u . shift)^2 + (s - t)^2."""
    x, y = normal("x", n=10_000, d=3), 1.5 * normal("y", n=10_000, d=3)
    y[:, 0] += 1
    across = directions(3, 60, Key.of("u"))
    truth = float((across[0] ** 2).mean()) + 0.5**2
    assert sliced_wasserstein(x, y, across, 2) ** 2 == pytest.approx(truth, rel=0.04)


def test_rows_repeated_change_nothing():
    x, y, across = normal("x", n=21, d=4), normal("y", n=34, d=4), directions(4, 20, Key.of("u"))
    twice = sliced_wasserstein(torch.cat([x, x]), y, across)
    assert twice == pytest.approx(sliced_wasserstein(x, y, across), rel=1e-12)


def test_it_is_nothing_to_itself_and_the_same_both_ways():
    x, y, across = normal("x", n=20, d=4), normal("y", n=31, d=4), directions(4, 20, Key.of("u"))
    assert sliced_wasserstein(x, x, across) == 0
    assert sliced_wasserstein(x, y, across) == pytest.approx(sliced_wasserstein(y, x, across), rel=1e-12)


def test_transport_by_hand():
    """Halves of {0, 1} go to thirds of {0, 0, 3}: 1/6 from 1 to 0 and 1/3 from 1 to 3."""
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [0.0], [3.0]])
    assert float(wasserstein_1d(x, y, 1)) == pytest.approx(1 / 6 + 2 / 3)
    assert float(wasserstein_1d(x, y, 2)) == pytest.approx(1 / 6 + 4 / 3)


def test_float32_rows_are_projected_in_float64():
    x, y, across = normal("x", n=40, d=4), normal("y", n=40, d=4), directions(4, 20, Key.of("u"))
    assert sliced_wasserstein(x, y, across) == sliced_wasserstein(x.double(), y.double(), across)


def test_constant_features_are_at_no_distance_for_sure_and_few_rows_have_no_interval():
    same = torch.ones(50, 3)
    low, high, _ = sliced_wasserstein_metric.interval(featured(same, same))
    assert (low, high) == (0, 0)
    with refused(ConfigError, fix=40):
        sliced_wasserstein_metric.interval(featured(same[:30], same))
