"""RealNVP: a flow of affine couplings (Dinh et al. 2017), by likelihood, adversarially, or by both."""

from __future__ import annotations

from math import prod

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from gancore import ConfigError, Recipe, RecipeSection, Spec
from gancore.games import Adam, AdversarialSection, FlowGame, Game, cosine, defaults, flow_gan, likelihood
from gancore.nn.bijections import MaskedCoupling, zeroed
from gancore.nn.flows import Flow
from gancore_synthetic.networks import Labelled, MLPDiscriminator, Standardised
from gancore_synthetic.recipes import classes_of


def real_nvp(size: int, couplings: int, width: int, depth: int, classes: int) -> Flow:
    """Points of ``size`` coordinates through masked couplings, the identity at first."""

    def network() -> Labelled:
        made = Labelled(size, width, depth, 2 * size, classes)
        zeroed(made.body[-1])
        return made

    return Flow([size], [MaskedCoupling(mask, network()) for mask in masks(size, couplings)])


def masks(size: int, count: int) -> list[Tensor]:
    """Every other coordinate, the others; the first half, the second; and so on."""
    order = torch.arange(size)
    kinds = [order % 2 == 0, order % 2 == 1, order < size // 2, order >= size // 2]
    return [kinds[number % 4].float() for number in range(count)]


class RealNVPConfig(RecipeSection):
    """The rate falls to a hundredth along a cosine."""

    batch_size: PositiveInt = Field(256, description="rows of the joined batch")
    steps: PositiveInt = Field(10_000, description="rounds, when the command names no budget")
    couplings: PositiveInt = Field(8, le=64, description="affine couplings")
    width: PositiveInt = Field(64, description="units of a hidden layer of a coupling's network")
    depth: PositiveInt = Field(2, le=20, description="hidden layers of a coupling's network")
    lr: PositiveFloat = Field(1e-3, description="Adam's rate at first")
    clip: PositiveFloat = Field(10.0, description="bound on the gradient's norm")
    average: NonNegativeFloat = Field(
        0.0, description="half-life of the model's average, in samples; 0: none"
    )
    conditional: bool = Field(False, description="train on the components as labels")


class RealNVP(Recipe):
    """Maximum likelihood by Adam, gradients clipped."""

    Config = RealNVPConfig

    def build(self, config: RealNVPConfig, spec: Spec) -> Game:
        size, classes = _size(spec), classes_of(config.conditional, spec)
        game = likelihood(
            lambda: real_nvp(size, config.couplings, config.width, config.depth, classes),
            rule=Adam(cosine(config.lr, config.lr / 100)),
            average=config.average or None,
            clip=config.clip,
            conditional=config.conditional,
            representation=Standardised(tuple(spec["shape"])),
            game=FlowGame,
        )
        game.full_precision = True
        return game


@defaults(penalty_weight=0.02, lr=1e-3, lr_end=0.01, clip=10.0, average=20_000.0)
class FlowGANConfig(AdversarialSection):
    """Rates fall to a hundredth along a cosine."""

    batch_size: PositiveInt = Field(256, description="rows of the joined batch")
    steps: PositiveInt = Field(10_000, description="rounds, when the command names no budget")
    likelihood_weight: NonNegativeFloat = Field(
        1.0, description="weight of -log p(x) in the generator's cost, per nat; 0: adversarial alone"
    )
    couplings: PositiveInt = Field(8, le=64, description="affine couplings of the generator")
    width: PositiveInt = Field(64, description="units of a hidden layer of a coupling's network")
    depth: PositiveInt = Field(2, le=20, description="hidden layers of a coupling's network")
    judge_width: PositiveInt = Field(128, description="units of a hidden layer of the discriminator")
    judge_depth: PositiveInt = Field(3, le=20, description="hidden layers of the discriminator")
    conditional: bool = Field(False, description="train on the components as labels")


class FlowGAN(Recipe):
    """Flow-GAN (Grover et al. 2018): mlpgan's discriminator, realnvp's flow for a generator."""

    Config = FlowGANConfig

    def build(self, config: FlowGANConfig, spec: Spec) -> Game:
        size, classes = _size(spec), classes_of(config.conditional, spec)
        game = flow_gan(
            flow=lambda: real_nvp(size, config.couplings, config.width, config.depth, classes),
            discriminator=lambda: MLPDiscriminator(size, config.judge_width, config.judge_depth, classes),
            likelihood_weight=config.likelihood_weight,
            **config.options(),
            conditional=config.conditional,
            representation=Standardised(tuple(spec["shape"])),
        )
        game.full_precision = True
        return game


def _size(spec: Spec) -> int:
    """Coordinates of a point."""
    size = prod(spec["shape"])
    if size < 2:
        raise ConfigError("a coupling needs 2 coordinates at least", "use --recipe kde, or more dimensions")
    return size
