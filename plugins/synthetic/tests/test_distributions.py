"""The sources are what their formulas say: against integrals, scipy, and laws of large numbers."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from gancore_synthetic.config import PARAMETERS
from gancore_synthetic.densities import ring
from gancore_synthetic.registry import make_distribution

from gancore.random import Key

WIDE = {  # parameters by which a density is smooth on the mesh of an integral
    "ring": {"std": 0.1, "imbalance": 4.0},
    "grid": {"components": 4, "separation": 1.0, "std": 0.2},
    "mixture": {"components": 5, "std": 0.3, "imbalance": 10.0},
    "spirals": {"std": 0.1, "turns": 1.5, "imbalance": 3.0},
    "circles": {"std": 0.15, "imbalance": 2.0},
    "pieces": {"imbalance": 5.0},
}


def truth(source, seed=0, **parameters):
    return make_distribution(source, {**PARAMETERS[source], **parameters}, seed)


def draw(source, n=1000, seed=0, **parameters):
    return truth(source, seed, **parameters).sample(n, Key.of("test"))[0]


def mesh(low, high, count):
    step = (high - low) / count
    axis = low + step * (torch.arange(count, dtype=torch.float64) + 0.5)
    return torch.cartesian_prod(axis, axis), step**2


@pytest.mark.parametrize("source", WIDE)
def test_a_density_of_the_plane_integrates_to_one(source):
    points, area = mesh(-4.0, 4.0, 200)
    total = truth(source, **WIDE[source]).log_density(points).exp().sum() * area
    assert total.item() == pytest.approx(1, abs=1e-9 if source != "pieces" else 0.06)


def test_a_heavy_tail_integrates_to_one_by_shells():
    """In d dimensions int p = S_(d-1) int p(r) r^(d-1) dr, with r = tan(a) to reach infinity."""
    for d, nu in ((1, 1.0), (2, 0.7), (3, 3.0), (10, 4.0)):
        a = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000 * math.pi / 2
        r = a.tan()
        points = torch.zeros(len(r), d, dtype=torch.float64)
        points[:, 0] = r
        shell = (d - 1) * r.log() + math.log(2) + d / 2 * math.log(math.pi) - math.lgamma(d / 2)
        integrand = (truth("student-t", dimension=d, nu=nu).log_density(points) + shell).exp() / a.cos() ** 2
        assert (integrand.sum() * math.pi / 2 / 200_000).item() == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize(("dimension", "nu"), [(1, 3.0), (2, 0.7), (5, 30.0)])
def test_student_t_is_scipys(dimension, nu):
    points = draw("student-t", 50, dimension=dimension, nu=nu)
    theirs = scipy.stats.multivariate_t(np.zeros(dimension), np.eye(dimension), df=nu).logpdf(points)
    ours = truth("student-t", dimension=dimension, nu=nu).log_density(points)
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)


def test_a_heavy_tail_is_as_heavy_as_it_says():
    """In one dimension the points are those of scipy's t, by Kolmogorov's distance."""
    points = draw("student-t", 5000, dimension=1, nu=1.5)[:, 0].numpy()
    assert scipy.stats.kstest(points, scipy.stats.t(df=1.5).cdf).pvalue > 1e-3


def test_a_mixture_is_scipys():
    own = truth("mixture", components=4, dimension=3, std=0.3, imbalance=8.0)
    points = own.sample(40, Key.of("some"))[0]
    each = [scipy.stats.multivariate_normal(mean, 0.3**2).pdf(points) for mean in own.means.numpy()]
    np.testing.assert_allclose(own.log_density(points), np.log(own.weights.numpy() @ each), rtol=1e-10)


def test_a_noisy_circle_is_an_average_of_gaussians_along_it():
    own = truth("circles", components=1, radius=0.8, std=0.1)
    points = torch.tensor([[0.7, 0.1], [0.0, 0.0], [-0.9, 0.4]], dtype=torch.float64)
    angles = 2 * math.pi * torch.arange(5000, dtype=torch.float64) / 5000
    along = 0.8 * torch.stack([angles.cos(), angles.sin()], dim=1)
    each = torch.exp(-torch.cdist(points, along).square() / (2 * 0.1**2)) / (2 * math.pi * 0.1**2)
    torch.testing.assert_close(own.log_density(points), each.mean(1).log(), rtol=1e-10, atol=1e-10)


def test_a_spirals_density_is_an_average_of_gaussians_along_it():
    """The integral over s by 200,000 equal steps of u = s^2, which is uniform."""
    own = truth("spirals", components=1, turns=1.3, std=0.05)
    points = own.sample(5, Key.of("some"))[0]
    s = ((torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000).sqrt()
    along = own.arm(s, torch.zeros(()))
    each = torch.exp(-torch.cdist(points, along).square() / (2 * 0.05**2)) / (2 * math.pi * 0.05**2)
    torch.testing.assert_close(own.log_density(points), each.mean(1).log(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("source", WIDE)
def test_points_are_drawn_from_the_density(source):
    """Shares of 20,000 points in 8 x 8 squares against the integral over each, by chi^2."""
    own = truth(source, **WIDE[source])
    points, _ = own.sample(20_000, Key.of("drawn"))
    fine, area = mesh(-4.0, 4.0, 200)
    mass = (own.log_density(fine).exp() * area).view(8, 25, 8, 25).sum((1, 3)).flatten().numpy()
    square = ((points + 4).clamp(0, 7.999)).long()
    counts = np.bincount((square[:, 0] * 8 + square[:, 1]).numpy(), minlength=64)
    likely = mass * len(points) > 5
    pooled = [*counts[likely], counts[~likely].sum()]
    expected = np.array([*mass[likely], max(mass[~likely].sum(), 1e-12)])
    if source == "pieces":  # the mesh does not follow the cubes' edges
        np.testing.assert_allclose(np.array(pooled) / len(points), expected, atol=0.03)
    else:
        assert scipy.stats.chisquare(pooled, expected / expected.sum() * sum(pooled)).pvalue > 1e-3


def test_the_ring_is_pacgans():
    own = truth("ring")
    angles = torch.atan2(own.means[:, 1], own.means[:, 0]) % (2 * math.pi)
    torch.testing.assert_close(angles, 2 * math.pi * torch.arange(8, dtype=torch.float64) / 8)
    assert torch.pdist(own.means).min().item() == pytest.approx(2 * math.sin(math.pi / 8))  # no two alike
    torch.testing.assert_close(own.means.norm(dim=1), torch.ones(8, dtype=torch.float64))
    noise = draw("ring", 20_000) - own.means[own.assign(draw("ring", 20_000))]
    assert noise.std().item() == pytest.approx(0.01, rel=0.02)


def test_the_grid_is_pacgans():
    own = truth("grid")
    assert sorted(map(tuple, own.means.tolist())) == [
        (x, y) for x in range(-4, 5, 2) for y in range(-4, 5, 2)
    ]
    assert own.std == 0.05


def test_weights_fall_by_the_imbalance_and_points_follow():
    own = ring(components=4, radius=1.0, std=0.01, imbalance=27.0, seed=0)
    torch.testing.assert_close(own.weights[:-1] / own.weights[1:], torch.full((3,), 3.0, dtype=torch.float64))
    _, component = own.sample(40_000, Key.of("weights"))
    assert scipy.stats.chisquare(torch.bincount(component), own.weights * 40_000).pvalue > 1e-3


@pytest.mark.parametrize(("components", "dimension"), [(2, 1), (10, 2), (40, 7)])
def test_the_nearest_means_of_a_mixture_are_as_far_apart_as_told(components, dimension):
    own = truth("mixture", components=components, dimension=dimension, separation=3.0)
    assert torch.pdist(own.means).min().item() == pytest.approx(3.0)


def test_another_seed_puts_the_means_elsewhere_and_the_same_seed_does_not():
    one, same, other = (truth("mixture", seed).means for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.allclose(one, other)


def test_a_flat_manifold_is_a_plane():
    """At frequency 0 the points have as many directions as the manifold, but for the noise."""
    values = torch.linalg.svdvals(centred(draw("manifold", frequency=0.0, std=1e-4)))
    assert (values[:2] > 10).all() and (values[2:] < 0.01).all()


def test_waves_bend_the_manifold_out_of_its_plane():
    values = torch.linalg.svdvals(centred(draw("manifold", frequency=4.0, std=1e-4)))
    assert (values > 0.1 * values[0]).sum() > 4


def centred(points):
    return points - points.mean(0)


@pytest.mark.parametrize("frequency", [0.0, 1.0, 2.0])
def test_distance_to_the_manifold_is_the_noise_normal_to_it(frequency):
    """Mean square distance: std^2 times the codimension; and points moved off are as far as moved."""
    own = truth("manifold", frequency=frequency, std=0.01)
    near = own.distance(own.sample(4000, Key.of("near"))[0])
    assert near.square().mean().item() == pytest.approx(0.01**2 * 14, rel=0.03)
    on = own.embed(torch.rand(100, 2, dtype=torch.float64) - 0.5)
    assert own.distance(on).max() < 1e-6


def test_lattice_points_are_whole_multiples():
    own = truth("lattice", levels=4, dimension=3, separation=0.5)
    points, index = own.sample(5000, Key.of("lattice"))
    steps = points / 0.5 + 1.5
    torch.testing.assert_close(steps, steps.round())
    assert len(index.unique()) == 64 and steps.min() == 0 and steps.max() == 3
    assert torch.equal(own.assign(points + 0.2), index)
    assert torch.equal(own.points(torch.arange(64)).unique(dim=0), own.points(torch.arange(64)).unique(dim=0))


def test_pieces_lie_in_unit_cubes_with_their_gaps_empty():
    own = truth("pieces", components=4, gap=0.3, dimension=1)
    points = own.sample(20_000, Key.of("pieces"))[0][:, 0].sort().values
    gaps = points.diff()
    assert (gaps > 0.29).sum() == 3  # nothing between the pieces, and no other hole
    assert points.max() - points.min() == pytest.approx(4 + 3 * 0.3, abs=0.01)


def test_gaussian_noise_around_the_arm_is_as_wide_as_told():
    own = truth("spirals", std=0.02)
    assert own.distance(own.sample(5000, Key.of("arm"))[0]).square().mean().sqrt().item() == pytest.approx(
        0.02, rel=0.05
    )
