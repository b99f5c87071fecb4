"""PRD curves: histograms whose curve is known by hand, what F_8 and F_1/8 see, and the order of arguments."""

from __future__ import annotations

from math import sqrt

import pytest
import torch
from metric_inputs import featured
from refusals import refused
from torch import Tensor

from gancore.errors import ConfigError
from gancore.metrics import precision_recall
from gancore.metrics.precision_recall import ClusterLabels, cluster_shares, f_beta, mean_curve, prd_curve
from gancore.random import Key


def histogram(*shares: float) -> Tensor:
    return torch.tensor(shares, dtype=torch.float64)


def f(p: float, r: float, beta: float) -> float:
    return (1 + beta**2) * p * r / (beta**2 * p + r)


def ring(key: Key, n: int, modes: int, of: int = 10) -> Tensor:
    """Small clouds on ``modes`` of ``of`` places."""
    place = (key / "place").integers(modes, n)
    angle = place * (2 * torch.pi / of)
    return 10 * torch.stack([angle.cos(), angle.sin()], 1) + 0.3 * (key / "cloud").normal(n, 2)


def test_equal_histograms_have_the_whole_square():
    p = histogram(0.2, 0.3, 0.5)
    curve = prd_curve(p, p)
    assert curve.precision.max() == 1 and curve.recall.max() == pytest.approx(1)
    assert f_beta(curve, 8) == pytest.approx(1) and f_beta(curve, 1 / 8) == pytest.approx(1)


def test_histograms_that_share_no_bin_have_none_of_it():
    curve = prd_curve(histogram(0.5, 0.5, 0, 0), histogram(0, 0, 0.5, 0.5))
    assert curve.precision.max() == 0 and curve.recall.max() == 0 and f_beta(curve, 8) == 0


def test_of_half_the_real_bins_the_curve_is_known():
    """P = (1/2, 1/2), Q = (1, 0): alpha = min(lambda/2, 1), beta = min(1/2, 1/lambda)."""
    curve = prd_curve(histogram(0.5, 0.5), histogram(1, 0))
    slope = torch.tan(torch.arange(1, 1002, dtype=torch.float64) * torch.pi / 2004)
    torch.testing.assert_close(curve.precision, (slope / 2).clamp(max=1), rtol=1e-6, atol=0)
    torch.testing.assert_close(curve.recall, (1 / slope).clamp(max=0.5), rtol=1e-6, atol=1e-9)
    # the corner (1, 1/2) lies between two of the angles
    assert f_beta(curve, 8) == pytest.approx(f(1, 0.5, 8), abs=2e-3)
    assert f_beta(curve, 1 / 8) == pytest.approx(f(1, 0.5, 1 / 8), abs=2e-3)


def test_the_order_is_real_then_fake():
    """A known code documents (reference, evaluated) and is called with both orders."""
    some, all_of_them = histogram(1, 0, 0, 0), histogram(0.25, 0.25, 0.25, 0.25)
    drops, invents = prd_curve(all_of_them, some), prd_curve(some, all_of_them)
    assert drops.precision.max() == 1 and drops.recall.max() == pytest.approx(0.25)
    assert invents.precision.max() == pytest.approx(0.25) and invents.recall.max() == pytest.approx(1)


def test_the_curve_turned_round_is_that_of_swapped_histograms():
    p, q = histogram(0.1, 0.2, 0.7), histogram(0.4, 0.4, 0.2)
    one, other = prd_curve(p, q), prd_curve(q, p)
    torch.testing.assert_close(one.precision, other.recall.flip(0), rtol=1e-9, atol=1e-9)


def test_precision_falls_and_recall_rises_along_it():
    curve = prd_curve(histogram(0.1, 0.2, 0.7), histogram(0.4, 0.4, 0.2))
    assert (curve.precision.diff() >= 0).all() and (curve.recall.diff() <= 1e-12).all()


def test_the_mean_over_runs_is_of_curves():
    real = torch.tensor([[0, 0, 1, 1], [0, 1, 2, 3]])
    fake = torch.tensor([[0, 0, 0, 0], [0, 1, 2, 3]])
    curve = mean_curve(ClusterLabels(real, fake))
    half = prd_curve(histogram(0.5, 0.5), histogram(1, 0))
    whole = prd_curve(histogram(1), histogram(1))
    torch.testing.assert_close(curve.precision, (half.precision + whole.precision) / 2)
    assert cluster_shares(real)[0, :3].tolist() == [0.5, 0.5, 0]


@pytest.mark.parametrize("dropped", [2, 5])
def test_modes_that_are_dropped_are_lost_to_recall_alone(dropped: int):
    real, fake = ring(Key.of("real"), 600, 10), ring(Key.of("fake"), 600, 10 - dropped)
    inputs = featured(fake, real)
    kept = 1 - dropped / 10
    assert precision_recall.prd_recall.compute(inputs) == pytest.approx(kept, abs=0.07)
    assert precision_recall.prd_precision.compute(inputs) > 0.9
    swapped = featured(real, fake)
    assert precision_recall.prd_precision.compute(swapped) == pytest.approx(kept, abs=0.07)
    assert precision_recall.prd_recall.compute(swapped) > 0.9


def test_sets_of_unequal_size_are_weighed_alike():
    inputs = featured(ring(Key.of("fake"), 2000, 10), ring(Key.of("real"), 200, 10))
    assert (
        precision_recall.prd_recall.compute(inputs) > 0.9
        and precision_recall.prd_precision.compute(inputs) > 0.9
    )


def test_the_same_key_gives_the_same_value_and_details_hold_the_curve():
    inputs = featured(ring(Key.of("fake"), 200, 5), ring(Key.of("real"), 200, 10))
    assert precision_recall.prd_recall.compute(inputs) == precision_recall.prd_recall.compute(inputs)
    details = precision_recall.prd_recall.details(inputs)
    assert len(details["precision"]) == len(details["recall"]) == 101
    assert max(details["recall"]) < 0.7 < max(details["precision"])


def test_fewer_different_rows_than_clusters_are_clusters_of_their_own():
    """A collapse to a few rows, and rows that repeat."""
    real = torch.eye(4).repeat(20, 1)
    assert precision_recall.prd_recall.compute(featured(real, real)) == pytest.approx(1)
    one = torch.eye(4)[:1].repeat(80, 1)
    assert precision_recall.prd_recall.compute(featured(one, real)) == pytest.approx(f(1, 0.25, 8), abs=0.01)


def test_too_few_rows_make_no_clusters():
    x = Key.of("few").normal(30, 2)
    with refused(ConfigError, 20, 30, fix=40):
        precision_recall.prd_recall.compute(featured(x, x))


def test_f_weighs_recall_by_beta():
    curve = precision_recall.PrecisionRecallCurve(torch.tensor([0.8]), torch.tensor([0.2]))
    assert float(f_beta(curve, 1)) == pytest.approx(2 * 0.8 * 0.2)
    assert float(f_beta(curve, 8)) == pytest.approx(0.2, abs=0.01)
    assert float(f_beta(curve, 1 / 8)) == pytest.approx(0.8, abs=0.04)
    assert sqrt(float(f_beta(curve, 8)) * float(f_beta(curve, 1 / 8))) == pytest.approx(0.4, abs=0.02)


def test_the_variance_of_clusters_is_that_of_halves_and_what_starts_leave_of_theirs():
    """Halves of variance a^2 and starts of e^2, five by two: a^2 + (2 a^2 + e^2) / 10 on average."""
    a, e, worlds = 2.0, 0.5, 4000
    key = Key.of("components")
    runs = a * (key / "half").normal(worlds, 5, 1) + e * (key / "start").normal(worlds, 5, 2)
    found = sum(precision_recall.variance_of_clusters(run.flatten()) for run in runs.double()) / worlds
    assert found == pytest.approx(a**2 + (2 * a**2 + e**2) / 10, rel=0.05)
