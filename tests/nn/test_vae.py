"""Bounds of a variational autoencoder on models whose likelihood is known in closed form."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from gancore.nn.vae import GaussianLikelihood, VariationalAutoencoder
from gancore.random import Key

SIGMA = 0.5


class Affine(nn.Module):
    """z to W z + b."""

    def __init__(self, weight, bias):
        super().__init__()
        self.weight, self.bias = weight, bias

    def forward(self, rows, condition=None):
        return rows @ self.weight.T + self.bias


class Posterior(nn.Module):
    """q(z | x): mean gain (x - b) + shift, one log std a coordinate."""

    def __init__(self, gain, b, log_std, shift):
        super().__init__()
        self.gain, self.b, self.log_std, self.shift = gain, b, log_std, shift

    def forward(self, rows, condition=None):
        mean = (rows - self.b) @ self.gain.T + self.shift
        return torch.cat([mean, self.log_std.expand_as(mean)], dim=1)


def linear_gaussian(shift=0.0, latent_dim=2, importance_samples=64):
    """x = W z + b + sigma eps, columns of W at right angles: log p(x) = log N(b, W W^T + sigma^2 I), and the
    posterior is N(gain (x - b), diag s^2). The encoder's is that, with its mean ``shift`` * s away.
    """
    torch.manual_seed(0)
    w = torch.linalg.qr(torch.randn(3, latent_dim))[0] * torch.tensor([1.5, 0.7])[:latent_dim]
    b = torch.randn(3)
    precision = 1 + w.square().sum(0) / SIGMA**2
    s = precision.rsqrt()
    encoder = Posterior((w / SIGMA**2 / precision).T, b, s.log(), shift * s)
    model = VariationalAutoencoder(
        encoder, Affine(w, b), GaussianLikelihood(math.log(SIGMA)), latent_dim, importance_samples
    ).eval()
    exact = torch.distributions.MultivariateNormal(b, w @ w.T + SIGMA**2 * torch.eye(3))
    return SimpleNamespace(
        model=model, exact=exact, latent_dim=latent_dim, divergence=latent_dim * shift**2 / 2
    )


@pytest.mark.parametrize("draws", [1, 7])
def test_with_the_true_posterior_the_bound_is_the_likelihood_whatever_the_draws(draws, float64):
    case = linear_gaussian(importance_samples=draws)
    data = case.exact.sample((20,))
    torch.testing.assert_close(case.model.log_prob(data), case.exact.log_prob(data), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shift", [0.0, 0.8])
def test_the_elbo_is_below_the_likelihood_by_the_divergence_of_the_posterior(shift, float64):
    case = linear_gaussian(shift)
    row = case.exact.sample((1,))
    values = case.model.train().log_prob(row.expand(40_000, 3))
    error = 5 * values.std() / 200
    assert abs(case.exact.log_prob(row) - values.mean() - case.divergence) < error < 0.1


@pytest.mark.parametrize("draws", [1, 2, 50])
def test_the_importance_bound_is_what_it_is_in_closed_form(draws, float64):
    """With m a distance d s away in each of l latents, log w = log p(x) - d sum eps - l d^2 / 2."""
    d, key = 0.8, Key.of("closed form")
    case = linear_gaussian(shift=d, importance_samples=draws)
    data = case.exact.sample((20,))
    log_w = -d * key.normal(draws, case.latent_dim).sum(1) - case.divergence
    wanted = case.exact.log_prob(data) + log_w.logsumexp(0) - math.log(draws)
    torch.testing.assert_close(case.model.importance_bound(data, key=key), wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.slow
def test_many_draws_bring_the_bound_from_the_elbo_to_the_likelihood(float64):
    case = linear_gaussian(shift=0.8)
    row, keys = case.exact.sample((1,)), [Key.of("draws", number) for number in range(100)]
    gaps = {}
    for draws in (1, 100):
        case.model.importance_samples = draws
        bounds = torch.cat([case.model.importance_bound(row, key=key) for key in keys])
        gaps[draws] = (case.exact.log_prob(row) - bounds.mean()).item()
    assert gaps[1] == pytest.approx(case.divergence, abs=4 * (2 * case.divergence / 100) ** 0.5)
    assert gaps[1] > 0.3 and abs(gaps[100]) < 0.1


class Outcomes(nn.Module):
    """One of several: any other likelihood does as well."""

    def log_prob(self, data, decoded):
        return decoded.log_softmax(1).gather(1, data[:, None])[:, 0]

    def sample(self, decoded, key):
        return torch.distributions.Categorical(logits=decoded).sample()


class Prior(nn.Module):
    """q(z | x) = p(z): m and log s are 0."""

    def forward(self, data, condition=None):
        return torch.zeros(len(data), 4)


def test_probabilities_of_all_outcomes_sum_to_one_at_most_and_with_many_draws_almost(float64):
    torch.manual_seed(0)
    decoder, every = Affine(3 * torch.randn(5, 2), torch.zeros(5)), torch.arange(5)
    sums = []
    for draws, repeats in ((1, 400), (4000, 3)):
        model = VariationalAutoencoder(Prior(), decoder, Outcomes(), 2, draws).eval()
        bounds = [model.importance_bound(every, key=Key.of("sum", number)) for number in range(repeats)]
        sums.append(torch.stack(bounds).mean(0).exp().sum().item())
    assert sums[0] < 0.5 and sums[1] == pytest.approx(1, abs=0.03)


def test_an_evaluation_is_the_same_each_time_and_row_by_row(float64):
    case = linear_gaussian(shift=0.5, importance_samples=4)
    data = case.exact.sample((6,))
    whole = case.model.log_prob(data)
    assert torch.equal(case.model.log_prob(data), whole)
    torch.testing.assert_close(case.model.log_prob(data[2:3]), whole[2:3])


def test_it_samples_what_it_says_that_it_does(float64):
    case = linear_gaussian()
    samples = case.model.sample(40_000, Key.of("vae"))
    torch.testing.assert_close(samples.mean(0), case.exact.mean, rtol=0.1, atol=0.03)
    torch.testing.assert_close(samples.T.cov(), case.exact.covariance_matrix, rtol=0.05, atol=0.05)


def test_samples_of_given_latents_change_gradually_with_them():
    """The law of each sample is drawn from by the same noise: equal latents give equal samples."""
    model = linear_gaussian().model
    z = model.latents(5, Key.of("latents"))
    assert z.shape == (5, 2)
    with torch.no_grad():
        made, moved = model.render(z), model.render(z + 1e-4)
        assert torch.equal(model.render(z[3:4])[0], made[3])
        assert (moved - made).abs().max() < 1e-3
        noise = made - model.decoder(z)
    torch.testing.assert_close(noise, noise[:1].expand_as(noise))
    assert noise.abs().max() > 0
