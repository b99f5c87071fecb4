"""A variational autoencoder of waveforms: a bound below the likelihood, samples of its own density."""

import math

import pytest
import torch
from gancore_audio.mu_law import quantisation_cells
from gancore_audio.vae import MDCT, AudioVAE, AudioVAEConfig, GaussianMDCT
from refusals import refused

from gancore import Batch, ConfigError, Spec
from gancore.random import Key
from gancore.training.loop import play
from gancore.training.setup import set_up

TINY = {"width": 2, "decoder_width": 8, "latent_dim": 4, "importance_samples": 8}


def game(length=256, classes=0, **options):
    torch.manual_seed(0)
    spec = {"length": length, "sample_rate_hz": 8000}
    if classes:
        spec |= {"classes": [str(c) for c in range(classes)], "class_shares": [1 / classes] * classes}
    config = AudioVAEConfig(**{**TINY, **options}, conditional=bool(classes))
    return AudioVAE().build(config, Spec(spec))


def test_its_likelihood_is_the_gaussian_of_waveforms_that_it_says():
    """log N(x; M^T m, M^T diag(s^2) M) by the whole covariance matrix, in float64."""
    lapped = MDCT(32, 4).double()
    likelihood = GaussianMDCT(lapped)
    generator = torch.Generator().manual_seed(0)
    decoded, x = (torch.randn(3, *shape, generator=generator).double() for shape in ((8, 8), (1, 32)))
    mean, log_sigma = likelihood._mean_and_log_sigma(decoded)
    matrix = lapped(torch.eye(32, dtype=torch.float64)[:, None]).flatten(1).T  # waveforms to spectra
    for row in range(3):
        variance = (2 * log_sigma[row]).exp().flatten()
        exact = torch.distributions.MultivariateNormal(
            matrix.T @ mean[row].flatten(), matrix.T @ variance.diag() @ matrix
        )
        found = likelihood.log_prob(x, decoded)[row]
        assert found.item() == pytest.approx(exact.log_prob(x[row, 0]).item(), rel=1e-5)


def test_it_samples_that_gaussian():
    likelihood = GaussianMDCT(MDCT(32, 4))
    decoded = torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(0))
    samples = likelihood.sample(decoded.expand(20_000, -1, -1), Key.of("x"))
    mean, log_sigma = likelihood._mean_and_log_sigma(decoded)
    spectrum = likelihood.mdct(samples)
    ratio = (spectrum - mean).std(0) / log_sigma.exp()[0]
    assert ratio.min() > 0.97 and ratio.max() < 1.03


def test_the_bound_is_of_the_density_on_cells_and_says_that_it_is_one():
    made = game()
    sampler = made.sampler().eval()
    assert sampler.lower_bound
    waveforms = 0.1 * torch.randn(4, 1, 256)
    low, width = quantisation_cells(waveforms)
    inside = low + 0.3 * width
    assert not torch.equal(waveforms, inside) and torch.equal(
        sampler.log_prob(Batch(waveforms)), sampler.log_prob(Batch(inside))
    )
    torch.testing.assert_close(
        sampler.log_prob(Batch(waveforms[1:2])), sampler.log_prob(Batch(waveforms))[1:2]
    )


@pytest.mark.parametrize(("length", "frames"), [(256, 16), (4096, 32), (16384, 128), (65536, 512)])
def test_samples_have_the_length_of_the_data(length, frames):
    made = game(length)
    assert made.model.likelihood.mdct.frames == frames
    samples = made.sampler().eval().sample(2, Key.of(0))
    assert samples.shape == (2, 1, length) and samples.abs().max() <= 1


def test_other_lengths_are_refused_in_one_line():
    with refused(ConfigError, "data.length", fix="data.length"):
        game(3 * 4096)


def test_a_label_moves_the_samples_and_is_refused_where_there_is_none():
    sampler = game(classes=3).sampler().eval()
    first, other = (sampler.sample(4, Key.of(0), torch.full((4,), label)) for label in (0, 2))
    assert sampler.conditional and not torch.allclose(first, other)
    with refused(ConfigError, "model.conditional", fix="data.labels"):
        AudioVAE().build(AudioVAEConfig(conditional=True), Spec({"length": 256, "sample_rate_hz": 8000}))


@pytest.mark.slow
def test_it_comes_near_to_the_entropy_of_noise_that_fades():
    """Normal noise whose deviation s falls over time has H = sum log s + T/2 log(2 pi e) nats; noise of one
    level for all time would be 76 more. Samples fade alike.
    """
    length, count = 256, 4000
    sigma = torch.exp(torch.linspace(-2, -4, length))
    waveforms = (sigma * Key.of("fading").normal(count, length)).clamp(-1, 1)[:, None]
    made = game(length, lr=2e-2, ema_halflife=0.0)
    play(set_up(made, waveforms, batch_size=64), 2000)
    with torch.no_grad():
        found = -made.sampler().eval().log_prob(Batch(waveforms[:1000])).mean().item()
        samples = made.sampler().eval().sample(500, Key.of("more"))[:, 0]
    entropy = sigma.log().sum().item() + length / 2 * math.log(2 * math.pi * math.e)
    assert -4 < found - entropy < 4
    louder = (samples.std(0) / sigma).view(8, -1).mean(1)
    assert louder.min() > 0.9 and louder.max() < 1.15
