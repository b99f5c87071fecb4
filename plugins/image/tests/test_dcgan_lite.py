"""The default recipe: any side of 4 * 2^k and channels, sizes by a formula, labels, and that it learns."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from gancore_image.blocks import SmoothUpsampleConv, UpsampleConv
from gancore_image.config import ImageConfig
from gancore_image.dcgan_lite import DCGANLite, DCGANLiteConfig, DCGANLiteDiscriminator, DCGANLiteGenerator
from gancore_image.domain import ImageDomain
from gancore_image.metrics import wavelet_frechet
from gancore_image.sources import SOURCES
from needs import data_root
from refusals import refused
from torch.nn.functional import interpolate

import gancore
from gancore import ConfigError, MetricInputs, Spec
from gancore.data.sources import resolve_source
from gancore.models.model import build_game, load_model
from gancore.random import Key
from gancore.training.loop import play
from gancore.training.setup import set_up


def spec(side: int = 32, channels: int = 1) -> Spec:
    return Spec({"image_size": side, "channels": channels, "classes": ["a", "b", "c"]})


@pytest.mark.parametrize("side", [8, 16, 32, 64, 128])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_it_makes_and_judges_pictures_of_any_power_and_channels(side, channels):
    generator, discriminator = (
        DCGANLiteGenerator(spec(side, channels), 2, 5),
        DCGANLiteDiscriminator(spec(side, channels), 2),
    )
    pictures = generator(Key.of("z").normal(3, 5))
    assert pictures.shape == (3, channels, side, side) and pictures.abs().max() <= 1
    assert discriminator(pictures).shape == (3,)


@pytest.mark.parametrize("side", [4, 12, 28, 48])
def test_other_sides_are_refused_with_sides_that_will_do(side):
    with refused(ConfigError, "data.image_size", side, fix="data.image_size"):
        DCGANLiteGenerator(spec(side), 2, 5)


def test_it_is_as_large_as_its_layers():
    """At 32 pixels and width w: layers between w, 2w, 4w channels, a dense layer of 4x4x4w cells.

    The generator ends in w/2 channels before the image, where the discriminator begins with the image.
    """
    w, latent_dim = 48, 64
    inner = 2 * w * w + 8 * w * w
    generator = 9 * (w // 2 + w * w // 2 + inner) + (2 * w + w + w // 2 + 1) + (latent_dim + 1) * 16 * 4 * w
    discriminator = 16 * (w + inner) + (w + 2 * w + 4 * w) + 16 * 4 * w
    for network, count in (
        (DCGANLiteGenerator(spec(), w, latent_dim), generator),
        (DCGANLiteDiscriminator(spec(), w), discriminator),
    ):
        assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize(
    ("side", "width", "rate"),
    [(16, 48, 4e-3), (32, 24, 4e-3), (64, 24, 2e-3), (128, 24, 2e-3), (32, 96, 1e-3), (32, 12, 4e-3)],
)
def test_layers_of_over_96_channels_have_a_lower_rate_in_proportion(side, width, rate):
    game = build_game(DCGANLite(), DCGANLiteConfig(width=width), spec(side), 0)
    for player in game.players.values():
        assert player.optimizer.lr(0.0) == pytest.approx(rate)
        assert player.optimizer.lr(1.0) == pytest.approx(rate / 5)


def test_a_label_changes_nothing_at_first_in_the_discriminator_and_something_in_the_generator():
    torch.manual_seed(0)
    generator, discriminator = (
        DCGANLiteGenerator(spec(), 4, 5, classes=3),
        DCGANLiteDiscriminator(spec(), 4, classes=3),
    )
    latents = Key.of("z").normal(1, 5).expand(3, -1)
    made = generator(latents, torch.arange(3))
    assert (made[0] - made[1]).abs().max() > 1e-5
    same = made[:1].expand(3, -1, -1, -1)
    logits = discriminator(same, torch.arange(3))
    assert torch.allclose(logits, logits[:1].expand(3))
    with torch.no_grad():
        discriminator.label.weight.normal_(generator=torch.Generator().manual_seed(0))
    assert discriminator(same, torch.arange(3)).unique().numel() == 3


def test_layers_with_channels_last_play_the_same_game():
    """Three steps, the first with the lazy penalties: to rounding, what plain layouts give."""
    pictures = Key.of("pictures").uniform(24, 1, 16, 16, low=-1.0, high=1.0)
    ends = []
    for layout in (torch.channels_last, torch.contiguous_format):
        game = build_game(DCGANLite(), DCGANLiteConfig(width=4, latent_dim=5, lr=1e-4), spec(16), 0)
        assert game.discriminator.layers[1].weight.is_contiguous(memory_format=torch.channels_last)
        game.to(memory_format=layout)
        play(set_up(game, pictures, batch_size=8), 3)
        ends.append(torch.cat([p.detach().flatten() for p in game.parameters()]))
    start = build_game(DCGANLite(), DCGANLiteConfig(width=4, latent_dim=5), spec(16), 0)
    way = torch.cat([p.detach().flatten() for p in start.parameters()]) - ends[1]
    assert (ends[0] - ends[1]).norm() < 1e-4 * way.norm()


@pytest.mark.slow
def test_it_learns_the_digits(tmp_path, monkeypatch):
    """After 250 steps samples are nearer to test than the untrained generator's by far."""
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path))
    data = ImageDomain().open(resolve_source(None, SOURCES, None, print), ImageConfig())
    config = DCGANLiteConfig(width=12, ema_halflife=500)
    game = build_game(DCGANLite(), config, data.spec, 0)
    real = data.view("test").get_batch(torch.arange(len(data.view("test"))), Key.of(0)).data

    def distance() -> float:
        with torch.no_grad():
            fake = game.sampler().eval().sample(200, Key.of("samples"))
        return wavelet_frechet.compute(MetricInputs.from_samples(fake, real, data.spec))

    before = distance()
    play(set_up(game, data.view("train"), batch_size=32, seed=0), 250)
    after = distance()
    print(before, after)
    assert after < before / 3


@pytest.mark.long
def test_photographs_of_64_pixels_do_not_end_in_noise(tmp_path, monkeypatch):
    """240 steps of 1,200 lead to 2 of wavelet_frechet; where the discriminator has won, to 15."""
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path))
    root = data_root("clothing64")
    data = ImageDomain().open(resolve_source("clothing64", SOURCES, root, print), ImageConfig())
    game = build_game(DCGANLite(), DCGANLiteConfig(), data.spec, 0)
    table = set_up(game, data.view("train"), batch_size=64, seed=0, bf16=True)
    play(table, 1200, lambda state: setattr(state, "stop_signal", "enough" * (state.step == 240)))
    real = data.view("test").get_batch(torch.arange(len(data.view("test"))), Key.of(0)).data
    with torch.no_grad():
        fake = game.sampler().eval().sample(len(real), Key.of("samples"))
    distance = wavelet_frechet.compute(MetricInputs.from_samples(fake, real, data.spec))
    print(distance)
    assert distance < 7


def test_a_layer_that_enlarges_repeats_pixels_before_a_convolution():
    layer = UpsampleConv(5, 3).double()
    x = torch.randn(2, 5, 6, 6, dtype=torch.float64)
    layer.convolution.bias.data.zero_()
    torch.testing.assert_close(layer(x), 4 / 9 * layer.convolution(interpolate(x, scale_factor=2)))


@pytest.mark.parametrize("side", [16, 32, 64])
def test_the_layer_that_makes_images_passes_what_alternates_from_pixel_to_pixel(side):
    """A layer that repeats pixels has no response at Nyquist along either axis: fine detail becomes lines."""
    generator = DCGANLiteGenerator(spec(side), 8, 5)
    calls: list[tuple[torch.nn.Module, torch.Tensor]] = []
    for module in generator.modules():
        module.register_forward_hook(lambda module, inputs, _: calls.append((module, inputs[0])))
    generator(torch.randn(1, 5))
    layer, features = calls[-2]  # the last call is the generator's own
    impulse = torch.zeros_like(features)
    impulse[:, :, features.shape[2] // 2, features.shape[3] // 2] = 1
    response = (layer(impulse) - layer(torch.zeros_like(impulse))).detach()[0, 0]
    alternating = (-1.0) ** torch.arange(side)
    assert (response * alternating).sum().abs() > 1e-4
    assert (response * alternating[:, None]).sum().abs() > 1e-4


def test_a_ramp_stays_a_ramp_at_the_last_doubling():
    """Equal steps from pixel to pixel inside: no staircase, whose edges are lines at every second pixel."""
    x = torch.arange(8, dtype=torch.float64).expand(1, 1, 8, 8)
    layer = DCGANLiteGenerator(spec(), 1, 5).layers[-1].double()
    assert isinstance(layer, SmoothUpsampleConv)
    steps = layer(x).detach()[0, 0, 3:-3, 3:-3].diff()
    assert steps.abs().min() > 1e-6
    torch.testing.assert_close(steps, steps[:1, :1].expand_as(steps))


def test_an_untrained_generator_leaves_no_pattern_at_the_stride():
    """A free 4x4 kernel of stride 2 makes of even maps four levels, one for each of its phases."""
    even = torch.ones(1, 8, 6, 6)
    torch.manual_seed(0)
    free = torch.nn.ConvTranspose2d(8, 1, 4, stride=2, padding=1)(even)[0, 0, 2:-2, 2:-2]
    mine = UpsampleConv(8, 1)(even)[0, 0, 2:-2, 2:-2]
    assert free.std() > 0.05 and mine.std() < 1e-6


def test_at_its_default_width_its_pictures_do_not_turn_blank_within_the_first_steps(tmp_path):
    """A rate four times as high makes all pictures one: 0.004 apart after eight steps."""
    quiet = ["validation.every=1000", "logging.preview_every=1000"]
    overrides = ["data.image_size=32", "train.precision=fp32", "model.ema_halflife=0", *quiet]
    trained = gancore.train(
        domain="image",
        recipe="dcgan-lite",
        data="digits",
        steps=8,
        device="cpu",
        overrides=overrides,
        out=tmp_path / "run",
    )
    assert trained.model is not None
    pictures = load_model(Path(trained.model), "cpu").sample(16, 0).data
    assert pictures.std(0).mean() > 0.02
