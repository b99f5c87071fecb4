"""SpecGAN and its sibling on frequencies: sizes and moves as published, light ones by default."""

import itertools

import pytest
import torch
from gancore_audio.specgan import (
    IFGAN,
    IFGANConfig,
    SpecGAN,
    SpecGANConfig,
    SpectrogramDCGANDiscriminator,
    SpectrogramGenerator,
    coarsest_shape,
    n_halvings,
)
from refusals import refused
from torch import nn

from gancore import ConfigError, Spec
from gancore.games import Adam, Move, PenaltyMove
from gancore.random import Key

PLAIN = {"length": 1024, "sample_rate_hz": 8000}
LABELLED = {**PLAIN, "classes": ["a", "b"], "class_shares": [0.75, 0.25]}
PUBLISHED = {
    "batch_size": 64,
    "width": 64,
    "kernel_size": 5,
    "latent_dim": 100,
    "prior": "uniform",
    "loss": "wasserstein",
    "penalty": "wgan-gp",
    "penalty_weight": 10,
    "penalty_every": 1,
    "discriminator_steps": 5,
    "lr": 1e-4,
    "lr_end": 1,
    "beta1": 0.5,
    "beta2": 0.9,
    "ema_halflife": 0,
}


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_published_networks_are_dcgans():
    config = SpecGANConfig(**PUBLISHED)
    game = SpecGAN().build(config, Spec({"length": 16384, "sample_rate_hz": 16000}))
    sizes = [1024, 512, 256, 128, 64, 1]
    convolutions = sum(25 * a * b for a, b in itertools.pairwise(sizes))
    dense = 4 * 4 * 1024
    assert count(game.generator) == 101 * dense + convolutions + sum(sizes[1:])
    # the difference of logits that a critic is for never moves the last bias
    assert count(game.discriminator) == dense + convolutions + sum(sizes[:-1])
    images = game.generator(game.prior.sample(Key.of(0), 2))
    assert images.shape == (2, 1, 128, 128)
    assert game.discriminator(images).shape == (2,)


def test_published_settings_are_played_as_published():
    game = SpecGAN().build(SpecGANConfig(**{**PUBLISHED, "width": 2}), Spec(PLAIN))
    (phase,) = game.phases
    assert phase.moves == [Move("discriminator")] * 5 + [Move("generator")]
    (penalty,) = game.penalties
    assert (penalty.name, penalty.weight, penalty.every) == ("wgan-gp", 10.0, 1)
    rule = game.players["generator"].optimizer
    assert rule == game.players["discriminator"].optimizer
    assert rule.lr == 1e-4  # constant
    assert rule.betas == Adam(1e-4, (0.5, 0.9)).betas
    assert game.prior.sample(Key.of(0), 1000).abs().max() <= 1
    assert game.ema is None


@pytest.mark.parametrize(("recipe", "config"), [(SpecGAN, SpecGANConfig), (IFGAN, IFGANConfig)])
def test_by_default_each_player_makes_one_move_and_the_penalty_is_lazy(recipe, config):
    game = recipe().build(config(width=2), Spec(PLAIN))
    (phase,) = game.phases
    lazy = [PenaltyMove.of("discriminator", penalty) for penalty in game.penalties]
    assert [(move.cost, move.every) for move in lazy] == [("r1", 16), ("r2", 16)]
    assert phase.moves == [Move("discriminator"), *lazy, Move("generator")]
    rate = game.players["generator"].optimizer.lr
    assert rate(1.0) == pytest.approx(rate(0.0) / 5)
    assert game.ema is not None


@pytest.mark.parametrize(
    ("grid", "start"),
    [((128, 128), (4, 4)), ((32, 64), (4, 8)), ((8, 128), (4, 64)), ((64, 32), (8, 4)), ((12, 48), (3, 12))],
)
@pytest.mark.parametrize("kernel", [3, 4, 5])
def test_networks_fit_every_grid_that_halves(grid, start, kernel):
    assert coarsest_shape(grid) == start
    images = SpectrogramGenerator(grid, 2, 3, 5, kernel, 0)(torch.randn(4, 5))
    assert images.shape == (4, 2, *grid)
    assert images.abs().max() <= 1
    assert SpectrogramDCGANDiscriminator(grid, 2, 3, kernel, 0)(images).shape == (4,)


@pytest.mark.parametrize("grid", [(7, 64), (32, 4), (32, 65)])
def test_a_grid_that_does_not_halve_is_refused_in_one_line(grid):
    with refused(ConfigError, fix="model.win_length"):
        n_halvings(grid)


@pytest.mark.parametrize("sample_rate_hz", [100, 8000, 44_100])
@pytest.mark.parametrize("length", [16, 48, 64, 112, 128, 1008])
@pytest.mark.parametrize(("recipe", "config"), [(SpecGAN, SpecGANConfig), (IFGAN, IFGANConfig)])
def test_short_sounds_at_any_rate_need_no_settings(recipe, config, length, sample_rate_hz):
    game = recipe().build(
        config(width=2, latent_dim=4), Spec({"length": length, "sample_rate_hz": sample_rate_hz})
    )
    assert game.eval().sampler().sample(2, Key.of(0)).shape == (2, 1, length)


def test_a_sound_is_heard_at_its_length_whatever_the_frames():
    for recipe, config in ((SpecGAN, SpecGANConfig(width=2)), (IFGAN, IFGANConfig(width=2, hop_length=64))):
        sampler = recipe().build(config, Spec(PLAIN)).sampler()
        assert sampler.sample(3, Key.of(0)).shape == (3, 1, 1024)


@pytest.mark.parametrize(("recipe", "config"), [(SpecGAN, SpecGANConfig), (IFGAN, IFGANConfig)])
def test_labels_enter_both_networks(recipe, config):
    game = recipe().build(config(width=2, conditional=True), Spec(LABELLED))
    latents = torch.randn(1, 64).expand(2, 64)
    labels = torch.tensor([0, 1])
    images = game.generator(latents, labels)
    assert not torch.equal(images[0], images[1])
    judge = game.discriminator
    assert torch.equal(judge(images, labels), judge(images, 1 - labels))  # no label counts at first
    nn.init.normal_(judge.label.weight)
    assert not torch.equal(judge(images, labels), judge(images, 1 - labels))


def test_labels_that_the_data_do_not_have_are_refused():
    with refused(ConfigError, "model.conditional", fix="data.labels"):
        SpecGAN().build(SpecGANConfig(conditional=True), Spec(PLAIN))
