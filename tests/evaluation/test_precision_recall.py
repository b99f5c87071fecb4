"""k-NN measures and the distances below them: brute force, prdc, and what equal laws give in closed form."""

from __future__ import annotations

import math

import pytest
import torch
from metric_inputs import featured
from prdc import compute_prdc
from refusals import refused
from torch import Tensor

from gancore.errors import ConfigError
from gancore.metrics import precision_recall
from gancore.metrics.distances import distance_chunks, nearest
from gancore.metrics.precision_recall import coverage, density, precision, radii, recall, relative_spread
from gancore.random import Key

ALL = {"precision": precision, "recall": recall, "density": density, "coverage": coverage}


def normal(*path: int | str, n: int, d: int) -> Tensor:
    return Key.of("neighbours", *path).normal(n, d)


def brute(x: Tensor, y: Tensor) -> Tensor:
    return (x.double()[:, None] - y.double()).norm(dim=2)


@pytest.mark.parametrize("entries", [1, 100, 10**6])
def test_the_nearest_are_those_of_brute_force(entries: int):
    x, y = normal("x", n=40, d=7), normal("y", n=30, d=7)
    values, indices = nearest(x, y, 4, entries=entries)
    expected = brute(x, y).topk(4, largest=False)
    torch.testing.assert_close(values, expected.values, rtol=1e-14, atol=0)
    assert torch.equal(indices, expected.indices)
    others = brute(x, x).fill_diagonal_(torch.inf).topk(3, largest=False)
    torch.testing.assert_close(nearest(x, x, 3, True, entries)[0], others.values, rtol=1e-14, atol=0)


def test_equal_rows_are_at_distance_zero_and_a_row_is_not_its_own_neighbour():
    x = normal("x", n=30, d=5) + 1000
    twice = torch.cat([x, x])
    values, indices = nearest(twice, twice, 2, exclude_self=True)
    assert torch.equal(values[:, 0], torch.zeros(60, dtype=torch.float64))
    assert torch.equal(indices[:, 0], (torch.arange(60) + 30) % 60)
    assert (values[:, 1] > 0).all()


def test_distances_far_from_the_origin_keep_their_digits():
    """Products of float32 or float16, as in known codes, lose them all there."""
    x, y = normal("x", n=50, d=8).double(), normal("y", n=50, d=8).double()
    near = nearest(x, y, 3)
    far = nearest(x + 1e5, y + 1e5, 3)
    torch.testing.assert_close(far[0], near[0], rtol=1e-9, atol=1e-9)
    assert torch.equal(far[1], near[1])


def test_more_neighbours_than_there_are_is_said_so():
    x = normal("x", n=3, d=2)
    with refused(ConfigError, fix=4):
        radii(x, 3)


def test_a_row_on_the_border_is_within():
    x, y = torch.tensor([[0.0], [3.0]]), torch.tensor([[3.0], [6.0], [6.1]])
    inside = torch.cat([chunk.within(torch.tensor([3.0, 3.0]).double()) for chunk in distance_chunks(y, x)])
    assert inside.tolist() == [[True, True], [False, True], [False, False]]


@pytest.mark.parametrize("n, m, d", [(500, 500, 16), (500, 300, 64)])
def test_they_are_those_of_prdc(n: int, m: int, d: int):
    real, fake = normal("real", n=m, d=d), normal("fake", n=n, d=d) * 0.9 + 0.1
    theirs = compute_prdc(real.double().numpy(), fake.double().numpy(), nearest_k=5)
    ours = {name: function(real, fake, 5) for name, function in ALL.items()}
    assert ours == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_chunks_change_nothing(name):
    real, fake = normal("real", n=90, d=6), normal("fake", n=70, d=6)
    assert ALL[name](real, fake, 4, entries=333) == ALL[name](real, fake, 4)


def test_precision_and_recall_are_not_swapped():
    """Samples of one of two modes are precise and reach half; a known code had them the wrong way round."""
    modes = torch.cat([normal("a", n=100, d=2), normal("b", n=100, d=2) + 50])
    one = normal("c", n=100, d=2)
    assert precision(modes, one) > 0.9 and recall(modes, one) == pytest.approx(0.5, abs=0.1)
    assert coverage(modes, one) == pytest.approx(0.5, abs=0.05)
    assert precision(one, modes) == pytest.approx(0.5, abs=0.1) and recall(one, modes) > 0.9


def test_by_hand_on_a_line():
    """Balls of k = 1 about 0, 1, 10: radii 1, 1, 9; about 0.5, 30: radii 29.5."""
    real, fake = torch.tensor([[0.0], [1.0], [10.0]]), torch.tensor([[0.5], [30.0]])
    assert precision(real, fake, 1) == 1 / 2
    assert recall(real, fake, 1) == 1
    assert density(real, fake, 1) == 2 / 2  # in the balls of 0 and 1, and in none; 10 reaches to 1
    assert coverage(real, fake, 1) == 2 / 3


def test_real_rows_that_repeat_have_balls_that_hold_the_same_row_alone():
    real = torch.zeros(6, 3) + 0.1
    assert precision(real, torch.full((4, 3), 0.1)) == 1
    assert precision(real, torch.full((4, 3), 0.1001)) == 0
    assert coverage(real, torch.full((4, 3), 0.1)) == 1


def test_the_density_of_equal_laws_is_one_on_average():
    """A new row is within the k-th neighbour of x_i, one of N, with chance k/N: for any law, n, m, d."""
    runs = [density(normal("r", i, n=60, d=3).exp(), normal("f", i, n=40, d=3).exp()) for i in range(150)]
    values = torch.tensor(runs)
    assert abs(float(values.mean()) - 1) < 3 * float(values.std()) / 150**0.5


@pytest.mark.parametrize("n, m", [(60, 60), (30, 90)])
def test_the_coverage_of_equal_laws_is_known(n: int, m: int):
    """1 - prod_j (m - 1 - j) / (m - 1 + n - j), Naeem's lemma: of the k nearest to x_i not all are real."""
    k = 5
    law = 1 - math.prod((m - 1 - j) / (m - 1 + n - j) for j in range(k))
    runs = [coverage(normal("r", i, n=m, d=3), normal("f", i, n=n, d=3)) for i in range(150)]
    values = torch.tensor(runs)
    assert abs(float(values.mean()) - law) < 3 * float(values.std()) / 150**0.5


@pytest.mark.parametrize("name", ["precision", "recall", "coverage"])
def test_the_interval_of_a_share_is_one_even_where_all_subsets_agree(name):
    x = normal("x", n=100, d=2)
    measure = getattr(precision_recall, f"{name}_metric")
    low, high, method = measure.interval(featured(x, x))
    assert high == 1 and 0.9 < low < 1 and "without replacement" in method


def test_too_few_rows_have_no_interval():
    x = normal("x", n=15, d=2)
    with refused(ConfigError, 15, fix=20):
        precision_recall.density_metric.interval(featured(x, x))


@pytest.mark.long
def test_the_figures_that_prdc_publishes_for_equal_gaussians():
    """Its page: 10,000 rows of 1,000 dimensions, k = 5: .477, .471, 1.056, .974."""
    real, fake = (normal("page", i, n=10_000, d=1000) for i in range(2))
    assert precision(real, fake, 5) == pytest.approx(0.477, abs=0.03)
    assert recall(real, fake, 5) == pytest.approx(0.471, abs=0.03)
    assert density(real, fake, 5) == pytest.approx(1.056, abs=0.1)
    assert coverage(real, fake, 5) == pytest.approx(0.974, abs=0.01)


def test_the_relative_spread_is_that_of_scale_repeats_and_numbers():
    x, y = normal("real", n=600, d=3).double(), normal("fake", n=600, d=3).double()
    same = relative_spread(x, y)
    assert same == pytest.approx(1, abs=0.1)
    assert relative_spread(x, 3 * y) == pytest.approx(3 * same, rel=1e-12)
    assert relative_spread(x, y + 100) == pytest.approx(same, rel=1e-3)
    assert relative_spread(x, y[:30].repeat(20, 1)) == 0
    assert relative_spread(x[:150], y) == relative_spread(x[:150], y[:150])
    assert relative_spread(x[:3], y) > 0
    assert math.isnan(relative_spread(x[:1], y)) and math.isnan(relative_spread(x[:30].repeat(20, 1), y))


def test_what_recall_says_besides_its_value_tells_a_collapse_from_samples_that_miss_the_data():
    real = normal("real", n=500, d=8)
    spreads = {
        name: precision_recall.recall_metric.details(featured(fake, real))["spread"]
        for name, fake in {"collapsed": real[:25].repeat(20, 1), "elsewhere": 1.5 * real + 5}.items()
    }
    assert spreads["collapsed"] == 0 and spreads["elsewhere"] > 1
