"""Rounded logistic laws against their cumulative distributions, sums and counts."""

import math

import pytest
import scipy.stats
import torch
from gancore_image.levels import CELL_WIDTH, LEVELS
from gancore_image.logistic_mixture import LogisticMixture, log_prob_rounded

from gancore.random import Key

EVERY = torch.arange(LEVELS)


def numbers(mixture, *shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape[0], mixture.n_params, *shape[1:], generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(("mean", "log_scale"), [(-1.2, -2.0), (0.1, -4.0), (0.3, 0.5), (1.0, -6.0)])
def test_a_level_has_what_the_logistic_law_gives_to_its_cell(mean, log_scale):
    """By scipy's distribution function, from the nearer side, ends included."""
    law = scipy.stats.logistic(mean, math.exp(log_scale))
    edges = (torch.arange(LEVELS + 1).double() - 0.5) * CELL_WIDTH - 1
    edges[0], edges[-1] = -math.inf, math.inf
    below, above = (torch.tensor(f(edges.numpy())) for f in (law.cdf, law.sf))
    exact = torch.where(edges[1:] < mean, below.diff(), -above.diff())
    found = log_prob_rounded(EVERY, *torch.tensor([mean, log_scale]).double()).exp()
    torch.testing.assert_close(found, exact, rtol=1e-5, atol=1e-250)


def test_levels_far_from_the_mean_are_told_apart_and_give_gradients():
    """2.0 away in scales of exp(-7): 2,193 scales, where float32 has no probability left."""
    mean, log_scale = (torch.tensor(v, requires_grad=True) for v in (-1.0, -7.0))
    found = log_prob_rounded(torch.tensor([253, 254]), mean, log_scale)
    assert found[0].item() == pytest.approx(-(253 - 0.5) * CELL_WIDTH * math.exp(7), rel=1e-3)
    gradients = torch.autograd.grad(found.sum(), [mean, log_scale])
    assert all(g.isfinite() and g != 0 for g in gradients) and gradients[0] > 0


@pytest.mark.parametrize(
    ("channels", "components", "count"), [(1, 1, 256), (1, 5, 256), (2, 3, 40), (3, 2, 9)]
)
def test_probabilities_of_all_levels_of_all_channels_sum_to_one(channels, components, count):
    mixture = LogisticMixture(channels, components, count)
    every = torch.cartesian_prod(*[torch.arange(count)] * channels).view(-1, channels)
    for result in numbers(mixture, 4):
        log_prob = mixture.log_prob(every, result.expand(len(every), -1))
        assert log_prob.exp().sum().item() == pytest.approx(1, abs=1e-9)


def test_channels_hang_on_those_before_as_the_formula_says():
    """Eq. 3, by hand, for three channels and one component."""
    mixture = LogisticMixture(3, 1)
    assert mixture.n_params == 3 + 3 + 3
    result = numbers(mixture, 1)
    means, a = result[0, :3], torch.tanh(result[0, 6:])
    log_scale = -7 + torch.nn.functional.softplus(result[0, 3:6] + 7)
    v = torch.tensor([[200, 40, 120]])
    x = v[0].double() * CELL_WIDTH - 1
    shifted = [means[0], means[1] + a[0] * x[0], means[2] + a[1] * x[0] + a[2] * x[1]]
    by_hand = sum(log_prob_rounded(v[0, c], shifted[c], log_scale[c]) for c in range(3))
    torch.testing.assert_close(mixture.log_prob(v, result)[0], by_hand)


def test_samples_come_as_often_as_their_probability_says():
    """A chi-square of 200,000 draws over 36 cells of two channels that hang together."""
    mixture, n = LogisticMixture(2, 3, count=6), 200_000
    result = numbers(mixture, 1, seed=3)
    _, means, log_scales, _ = result.split(mixture.param_sizes, 1)
    means.mul_(2 * CELL_WIDTH).sub_(1 - 2 * CELL_WIDTH)  # about the six levels
    log_scales.sub_(4)
    drawn = mixture.sample(result.expand(n, -1), Key.of("u").uniform(n, 3).double())
    every = torch.cartesian_prod(torch.arange(6), torch.arange(6))
    expected = n * mixture.log_prob(every, result.expand(36, -1)).exp()
    counts = torch.bincount(6 * drawn[:, 0] + drawn[:, 1], minlength=36)
    several = expected > 5
    assert several.sum() > 12 and counts[~several].sum() < 5 * expected[~several].sum() + 10
    chi_square = ((counts - expected).square() / expected)[several].sum().item()
    assert chi_square < scipy.stats.chi2(int(several.sum())).ppf(0.9999)


def test_planes_of_pixels_are_told_as_pixels_alone_are():
    mixture = LogisticMixture(2, 3)
    log_probs, level = numbers(mixture, 2, 4, 5), torch.randint(0, 256, (2, 2, 4, 5))
    each = mixture.log_prob(level, log_probs)
    assert each.shape == (2, 4, 5)
    torch.testing.assert_close(each[1, 2, 3], mixture.log_prob(level[1:, :, 2, 3], log_probs[1:, :, 2, 3])[0])
    uniform = Key.of("u").uniform(2, 3, 4, 5).double()
    drawn = mixture.sample(log_probs, uniform)
    assert torch.equal(drawn[:, :, 1, 4], mixture.sample(log_probs[..., 1, 4], uniform[..., 1, 4]))


@pytest.mark.parametrize("size", [-1000.0, 1000.0])
def test_whatever_a_network_says_is_a_finite_likelihood_with_finite_gradients(size):
    mixture = LogisticMixture(2, 3)
    log_probs = torch.full((256, mixture.n_params), size, requires_grad=True)
    log_prob = mixture.log_prob(torch.stack([EVERY, 255 - EVERY], 1), log_probs)
    (gradient,) = torch.autograd.grad(log_prob.sum(), log_probs)
    assert log_prob.isfinite().all() and gradient.isfinite().all()
