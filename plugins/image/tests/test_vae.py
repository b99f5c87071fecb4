"""A variational build_vae of images: a bound below the likelihood, samples of the law that it tells."""

import math

import pytest
import torch
from gancore_image.levels import CELL_WIDTH, from_levels, to_levels
from gancore_image.logistic_mixture import LogisticMixture
from gancore_image.vae import (
    ImageDecoder,
    ImageEncoder,
    ImageVAE,
    ImageVAEConfig,
    LogisticLikelihood,
    build_vae,
    layer_sizes,
)
from refusals import refused

from gancore import Batch, ConfigError, Spec
from gancore.data.dataset import TensorView
from gancore.nn import VariationalAutoencoder
from gancore.random import Key
from gancore.training.loop import play
from gancore.training.setup import set_up

TINY = {"width": 4, "latent_dim": 3, "importance_samples": 4}
PLAIN = Spec({"image_size": 8, "channels": 1})


def of_one_latent(side, count, draws):
    """A model of ``count`` levels and one latent number, far from where it begins, in float64."""
    torch.manual_seed(0)
    mixture = LogisticMixture(1, 1, count)
    last = torch.nn.Conv2d(4, mixture.n_params, 1)
    encoder, decoder = ImageEncoder(side, 1, 4, 2, 0), ImageDecoder(side, 4, 1, last, 0)
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    last.bias.data[:] = torch.tensor([CELL_WIDTH * (count - 1) / 2 - 1, -4.5])
    last.weight.data *= 0.01
    encoder.dense.weight.data *= 0.1
    model = VariationalAutoencoder(encoder, decoder, LogisticLikelihood(mixture), 1, draws)
    return model.double().eval()


@torch.no_grad()
def integrated(model, images):
    """log int p(x | z) N(z; 0, 1) dz by the trapezoid rule."""
    z = torch.linspace(-9, 9, 801, dtype=torch.float64)
    weight = math.log(18 / 800) - 0.5 * z.square() - 0.5 * math.log(2 * math.pi)
    decoded = model.decoder(z[:, None])
    each = [model.likelihood.log_prob(image.expand(801, -1, -1, -1), decoded) for image in images]
    return torch.logsumexp(torch.stack(each) + weight, 1)


def test_the_bound_is_below_the_likelihood_by_integration_and_near_to_it():
    model = of_one_latent(4, count=3, draws=500)
    images = torch.randint(0, 3, (6, 1, 4, 4), generator=torch.Generator().manual_seed(0))
    exact = integrated(model, images)
    with torch.no_grad():
        bound = model.log_prob(images)
        model.importance_samples = 1
        few = torch.stack([model.importance_bound(images, key=Key.of(i)) for i in range(100)]).mean(0)
    assert exact.std() > 0.1 and (few < exact).all()
    torch.testing.assert_close(bound, exact, rtol=0, atol=0.1)


def test_what_is_bounded_is_a_law_of_images():
    """81 images of 2 x 2 pixels and three levels: by integration their probabilities sum to one."""
    images = torch.cartesian_prod(*[torch.arange(3)] * 4).view(-1, 1, 2, 2)
    log_prob = integrated(of_one_latent(2, count=3, draws=1), images)
    assert log_prob.exp().sum().item() == pytest.approx(1, abs=1e-7) and log_prob.std() > 0.3


def test_the_bound_of_pixels_is_that_of_levels_over_cells():
    sampler = ImageVAE().build(ImageVAEConfig(**TINY), PLAIN).sampler().eval()
    level = torch.randint(0, 256, (5, 1, 8, 8))
    with torch.no_grad():
        found = sampler.log_prob(Batch(from_levels(level)))
        torch.testing.assert_close(found, sampler.model.log_prob(level) - 64 * math.log(CELL_WIDTH))
        torch.testing.assert_close(found[1:3], sampler.log_prob(Batch(from_levels(level[1:3]))))
    assert sampler.lower_bound


@pytest.mark.parametrize(("side", "channels"), [(28, 1), (32, 3), (4, 2), (30, 4)])
def test_samples_are_pixels_of_levels_of_the_datas_shape(side, channels):
    spec = Spec({"image_size": side, "channels": channels})
    sampler = ImageVAE().build(ImageVAEConfig(**TINY, components=2), spec).sampler().eval()
    samples = sampler.sample(3, Key.of(0))
    assert samples.shape == (3, channels, side, side)
    assert torch.equal(from_levels(to_levels(samples)), samples) and samples.unique().numel() > 20


def test_sides_are_halved_until_they_are_small():
    assert (
        layer_sizes(28) == [28, 14, 7, 4] and layer_sizes(32) == [32, 16, 8, 4] and layer_sizes(4) == [4, 2]
    )
    assert sum(p.numel() for p in build_vae(ImageVAEConfig(), 28, 1, 0).parameters()) == 983_298


def test_a_label_moves_the_samples_and_is_refused_where_there_is_none():
    spec = Spec({**PLAIN.fields, "classes": ["a", "b", "c"], "class_shares": [0.4, 0.3, 0.3]})
    torch.manual_seed(0)
    sampler = ImageVAE().build(ImageVAEConfig(**TINY, conditional=True), spec).sampler().eval()
    first, other = (sampler.sample(4, Key.of(0), torch.full((4,), label)) for label in (0, 2))
    assert sampler.conditional and not torch.allclose(first, other)
    with refused(ConfigError, "model.conditional", fix="data.labels"):
        ImageVAE().build(ImageVAEConfig(conditional=True), PLAIN)


@pytest.mark.slow
def test_it_learns_what_halves_of_images_share():
    """The left half is black or white, the right the other: log 2 nats, where pixels alone would have 44."""
    white = torch.arange(512) % 2
    half = torch.where(torch.arange(8) < 4, white[:, None], 1 - white[:, None])
    images = from_levels(255 * half)[:, None, None].expand(-1, 1, 8, 8).contiguous()
    torch.manual_seed(0)
    game = ImageVAE().build(ImageVAEConfig(**{**TINY, "width": 8}, ema_halflife=0.0), PLAIN)
    play(set_up(game, TensorView(images), batch_size=32), 200)
    sampler = game.sampler().eval()
    with torch.no_grad():
        nats = -sampler.log_prob(Batch(images[:64])).mean().item() - 64 * math.log(CELL_WIDTH)
        samples = sampler.sample(200, Key.of("more"))[:, 0]
    assert math.log(2) < nats < 4
    left, right = samples[:, :, :4].mean((1, 2)), samples[:, :, 4:].mean((1, 2))
    assert (left * right < 0).float().mean() > 0.75 and 0.3 < (left > 0).float().mean() < 0.7


@pytest.mark.parametrize("level", [0, 128, 255])
def test_it_begins_near_the_prior_whatever_images_are(level):
    """Bright ones are large numbers to a network: deviations that begin at exp(4) would never recover."""
    torch.manual_seed(0)
    model = ImageVAE().build(ImageVAEConfig(), Spec({"image_size": 28, "channels": 1})).model.train()
    images = torch.full((8, 1, 28, 28), level)
    m, log_s = model.posterior(images)
    assert torch.equal(log_s, torch.zeros(8, 32)) and m.abs().max() < 10
    with torch.no_grad():
        assert -model.log_prob(images).mean() < 784 * 50 * math.log(2)
