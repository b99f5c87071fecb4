"""Frechet distance: closed forms, its law of bias, an independent library, and features at their worst."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from metric_inputs import featured
from refusals import refused
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from gancore.errors import ConfigError
from gancore.metrics import frechet
from gancore.metrics.frechet import (
    distances_by_division,
    frechet_distance,
    frechet_distance_infinity,
    mean_and_covariance,
)
from gancore.random import Key


def normal(*path: int | str, n: int, d: int) -> Tensor:
    return Key.of("frechet", *path).normal(n, d)


def with_moments(x: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Rows whose sample mean and covariance are exactly these, the covariance diagonal with scale^2."""
    x = x.double() - x.double().mean(0)
    root = torch.linalg.cholesky(x.T @ x / (len(x) - 1))
    return torch.linalg.solve_triangular(root, x.T, upper=False).T * scale + mean


def fidelity(x: Tensor, y: Tensor) -> float:
    found = fid_statistics_to_metric(*map(fid_features_to_statistics, (x, y)), verbose=False)
    return found["frechet_inception_distance"]


def test_of_diagonal_gaussians_it_is_the_closed_form():
    """|m1 - m2|^2 + sum (s1 - s2)^2"""
    m1, m2, s1, s2 = (Key.of("moments", i).uniform(12, low=0.5, high=2).double() for i in range(4))
    x = with_moments(normal("x", n=50, d=12), m1, s1)
    y = with_moments(normal("y", n=70, d=12), m2, s2)
    truth = float((m1 - m2).square().sum() + (s1 - s2).square().sum())
    assert frechet_distance(x, y) == pytest.approx(truth, rel=1e-11)


@pytest.mark.parametrize("d, n, m", [(8, 400, 400), (64, 640, 640), (16, 1000, 100)])
def test_between_samples_of_one_gaussian_it_has_the_law_of_bias(d: int, n: int, m: int):
    """(d(d + 1)/4 + d) (1/n + 1/m): with n of each d^2/2n + 2d/n, and a little."""
    runs = [frechet_distance(normal("x", i, n=m, d=d), normal("y", i, n=n, d=d)) for i in range(40)]
    values = torch.tensor(runs, dtype=torch.float64)
    law = (d * (d + 1) / 4 + d) * (1 / n + 1 / m)
    assert abs(float(values.mean()) / law - 1) < 3 * float(values.std()) / 40**0.5 / law + 0.02
    if n == m:
        assert law == pytest.approx(d * d / (2 * n) + 2 * d / n, abs=d / n)


@pytest.mark.parametrize("n, m", [(400, 300), (40, 1000)], ids=["n > d", "n < d"])
def test_it_is_that_of_torch_fidelity(n: int, m: int):
    shared = normal("mix", n=48, d=48)
    x, y = normal("x", n=n, d=48) @ shared, normal("y", n=m, d=48) @ shared + 0.3
    if n < 48:  # of a singular product the library's eigenvalues lose half of the digits
        assert frechet_distance(x, y) == pytest.approx(fidelity(x.double(), y.double()), rel=1e-5)
    else:
        assert frechet_distance(x, y) == pytest.approx(fidelity(x.double(), y.double()), rel=1e-9)


def test_the_statistics_are_those_of_torch_fidelity():
    x = normal("x", n=300, d=20) * 3 + 5
    mean, covariance = mean_and_covariance(x)
    theirs = fid_features_to_statistics(x.double())
    np.testing.assert_allclose(mean, theirs["mu"], rtol=1e-12)
    np.testing.assert_allclose(covariance, theirs["sigma"], rtol=1e-10, atol=1e-12)


def test_chunks_change_nothing():
    x = normal("x", n=500, d=16)
    one, other = mean_and_covariance(x, rows=7), mean_and_covariance(x)
    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


def test_it_is_made_in_float64():
    """A known code makes float32 of "float64": features far from 0 lose their covariance there."""
    x, y = normal("x", n=200, d=6).double(), 1.5 * normal("y", n=200, d=6).double()
    assert frechet_distance(x + 1e6, y + 1e6) == pytest.approx(frechet_distance(x, y), rel=1e-6)
    far = [(z + 4096).float() for z in (x, y)]  # float32 rows, exact on their grid
    assert frechet_distance(*far) == pytest.approx(frechet_distance(*(z.double() for z in far)), rel=1e-12)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda x: torch.cat([x, torch.zeros(len(x), 5)], 1),
        lambda x: torch.cat([x, torch.full((len(x), 5), 3.0)], 1),
        lambda x: torch.cat([x, x], 1) / 2**0.5,
        lambda x: torch.cat([x, 1e-9 * x], 1),
    ],
    ids=["zero columns", "constant columns", "columns twice", "tiny columns"],
)
def test_columns_that_say_nothing_change_nothing(spoil):
    """Singular covariances, where the root of a matrix gets imaginary parts or NaN."""
    x, y = normal("x", n=300, d=10), normal("y", n=300, d=10) * 1.2 + 0.5
    assert frechet_distance(spoil(x), spoil(y)) == pytest.approx(frechet_distance(x, y), rel=1e-6)


def test_rows_twice_change_only_what_n_minus_one_does():
    x, y = normal("x", n=300, d=10), normal("y", n=300, d=10) + 1
    twice = frechet_distance(torch.cat([x, x]), torch.cat([y, y]))
    mean = float((x.double().mean(0) - y.double().mean(0)).square().sum())
    spread = frechet_distance(x, y) - mean
    assert twice == pytest.approx(mean + spread * (2 * 299) / 599, rel=1e-9)


@pytest.mark.parametrize("n", [2, 5, 30])
def test_a_set_is_at_no_distance_from_itself_however_few_rows(n: int):
    x = normal("x", n=n, d=30)
    assert abs(frechet_distance(x, x)) < 1e-12 * float(x.square().sum())


def test_two_rows_have_the_distance_that_can_be_worked_by_hand():
    """Covariances u u' and v v': tr root = |u . v|."""
    u, v = torch.tensor([3.0, 0, 0]), torch.tensor([1.0, 1, 0])
    x, y = torch.stack([u, -u]) / 2**0.5, torch.stack([v, -v]) / 2**0.5
    assert frechet_distance(x, y) == pytest.approx(9 + 2 - 2 * 3, abs=1e-5)


def test_one_row_has_no_covariance():
    with refused(ConfigError, 1, fix=2):
        frechet_distance(normal("x", n=1, d=3), normal("y", n=5, d=3))


@pytest.mark.parametrize("d", [8, 64])
def test_at_infinite_n_equal_laws_are_at_no_distance_and_others_at_theirs(d: int):
    n, scale = 16 * d, 1.2
    worlds = [(normal("x", i, n=n, d=d), scale * normal("y", i, n=n // 2, d=d)) for i in range(30)]
    values = torch.tensor([frechet_distance_infinity(x, y) for x, y in worlds], dtype=torch.float64)
    error = float(values.std()) / 30**0.5
    assert abs(float(values.mean()) - d * (scale - 1) ** 2) < 3.5 * error
    plain = [frechet_distance(x, y) for x, y in worlds]
    assert min(plain) > d * (scale - 1) ** 2 + 6 * error  # which the distance at n misses by far


def test_the_line_goes_through_the_distances_of_all_the_parts():
    x, y = normal("x", n=240, d=4), normal("y", n=200, d=4)
    points = distances_by_division(x, y, (1, 2))
    assert points[1] == frechet_distance(x, y)
    parts = [frechet_distance(x[i::2], y[i::2]) for i in range(2)]
    assert points[2] == pytest.approx(sum(parts) / 2)
    assert frechet_distance_infinity(x, y, (1, 2)) == pytest.approx(2 * points[1] - points[2])


def test_measures_do_not_hang_on_the_order_of_rows_in_a_way_that_matters():
    """Rows sorted by class: the parts of the extrapolation must not be classes."""
    x = torch.cat([normal("x", n=200, d=4) - 5, normal("y", n=200, d=4) + 5])
    y = torch.cat([normal("z", n=200, d=4) - 5, normal("w", n=200, d=4) + 5])
    low, high, method = frechet.frechet_infinity_metric.interval(featured(y, x))
    assert low < 0.5 and high - low < 4 and "10 blocks" in method  # classes are 20 apart


def test_few_rows_have_a_value_but_no_interval():
    inputs = featured(normal("x", n=20, d=4), normal("y", n=20, d=4))
    assert frechet.frechet_metric.compute(inputs) > 0
    with refused(ConfigError, 10, fix=40):
        frechet.frechet_metric.interval(inputs)


def test_the_details_are_the_points():
    inputs = featured(normal("x", n=256, d=4), normal("y", n=192, d=4))
    details = frechet.frechet_infinity_metric.details(inputs)
    assert details["rows"] == [256, 128, 64]
    line = np.polyfit([1, 2, 4], details["distance"], 1)
    assert frechet.frechet_infinity_metric.compute(inputs) == pytest.approx(line[1], abs=1e-9)


def test_the_argument_order_is_of_no_matter():
    x, y = normal("x", n=100, d=5), normal("y", n=80, d=5) + 1
    swapped = partial(frechet_distance, y, x)
    assert frechet_distance(x, y) == pytest.approx(swapped(), rel=1e-12)
