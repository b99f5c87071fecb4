"""The GANs: one of two multilayer perceptrons with every option, and PacGAN as published."""

from __future__ import annotations

from math import prod
from typing import Self

from pydantic import Field, PositiveInt, model_validator

from gancore import ConfigError, Recipe, Spec
from gancore.games import (
    AdversarialConfig,
    Game,
    adversarial_game,
    normal,
    with_defaults,
)
from gancore_synthetic.networks import (
    ConditionalMLP,
    MLPDiscriminator,
    PackedDiscriminator,
    StandardisedRepresentation,
    pacgan_generator,
)


@with_defaults(penalty_weight=0.02, lr=2e-3, lr_end=0.1, ema_halflife=20_000.0)
class MLPGANConfig(AdversarialConfig):
    """Learning rates fall to a tenth along a cosine."""

    batch_size: PositiveInt = Field(256, description="examples per global batch")
    steps: PositiveInt = Field(10_000, description="steps, when the command gives no budget")
    width: PositiveInt = Field(128, description="units of a hidden layer")
    depth: PositiveInt = Field(3, le=20, description="hidden layers")
    latent_dim: PositiveInt = Field(4, description="dimensions of a latent; latents are N(0, 1)")
    conditional: bool = Field(False, description="train on the components as labels")


class MLPGAN(Recipe):
    """Alternating moves, non-saturating loss, R1 at every move, an EMA of the generator."""

    Config = MLPGANConfig

    def build(self, config: MLPGANConfig, spec: Spec) -> Game:
        size, classes = prod(spec["shape"]), num_classes(config.conditional, spec)
        shape = config.latent_dim, config.width, config.depth, size, classes
        is_image = len(spec["shape"]) == 3
        game = adversarial_game(
            generator=lambda: ConditionalMLP(*shape, bounded=is_image),
            discriminator=lambda: MLPDiscriminator(size, config.width, config.depth, classes),
            prior=normal(config.latent_dim),
            **config.game_options(),
            conditional=config.conditional,
            representation=StandardisedRepresentation(tuple(spec["shape"])),
        )
        game.fp32_by_default = True  # bf16 resolves a coordinate of 1 to 0.004 only
        return game


@with_defaults(penalty_weight=0.0, lr=1e-4, beta1=0.8, beta2=0.999)
class PacGANConfig(AdversarialConfig):
    """Lin et al. 2018, section 4.1; details that the text leaves open are those of the authors' code."""

    batch_size: PositiveInt = Field(100, description="examples per global batch; published: 100 times pack")
    steps: PositiveInt = Field(40_000, description="steps, when the command gives no budget")
    pack: PositiveInt = Field(1, le=16, description="samples per logit of the discriminator: 2 is PacGAN2")

    @model_validator(mode="after")
    def _whole_packs(self) -> Self:
        if self.batch_size % self.pack:
            raise ValueError(f"pack {self.pack} does not divide batch_size {self.batch_size}")
        return self


class PacGAN(Recipe):
    """z ~ N(0, I_2); Adam 1e-4 with betas 0.8 and 0.999; neither EMA nor representation."""

    Config = PacGANConfig

    def build(self, config: PacGANConfig, spec: Spec) -> Game:
        if len(spec["shape"]) != 1:
            raise ConfigError("pacgan is for points, and this source has images", "use --recipe mlpgan")
        (dimension,) = spec["shape"]
        game = adversarial_game(
            generator=lambda: pacgan_generator(2, dimension),
            discriminator=lambda: PackedDiscriminator(dimension, config.pack),
            prior=normal(2),
            **config.game_options(),
        )
        game.batch_coupled = True  # a logit belongs to a pack, and batch norm mixes all examples
        game.fp32_by_default = True
        return game


def num_classes(conditional: bool, spec: Spec) -> int:
    """Number of labels that the networks are conditioned on; 0: none."""
    classes = spec.get("classes") or []
    if conditional and not classes:
        raise ConfigError(
            "model.conditional is true, but this source has no components", "use another source"
        )
    return len(classes) if conditional else 0
