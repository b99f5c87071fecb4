"""The GANs: two perceptrons with everything optional, and PacGAN as published."""

from __future__ import annotations

from math import prod
from typing import Self

from pydantic import Field, PositiveInt, model_validator

from gancore import ConfigError, Recipe, Spec
from gancore.games import (
    AdversarialGame,
    AdversarialSection,
    Game,
    adversarial,
    defaults,
    normal,
)
from gancore_synthetic.networks import (
    Labelled,
    MLPDiscriminator,
    PackedDiscriminator,
    Standardised,
    pacgan_generator,
)


@defaults(penalty_weight=0.02, lr=2e-3, lr_end=0.1, average=20_000.0)
class MLPGANConfig(AdversarialSection):
    """Rates fall to a tenth along a cosine."""

    batch_size: PositiveInt = Field(256, description="rows of the joined batch")
    steps: PositiveInt = Field(10_000, description="rounds, when the command names no budget")
    width: PositiveInt = Field(128, description="units of a hidden layer")
    depth: PositiveInt = Field(3, le=20, description="hidden layers")
    latent: PositiveInt = Field(4, description="numbers in a latent, N(0, 1)")
    conditional: bool = Field(False, description="train on the components as labels")


class MLPGAN(Recipe):
    """Alternating moves, non-saturating loss, R1 at every move, an average of the generator."""

    Config = MLPGANConfig

    def build(self, config: MLPGANConfig, spec: Spec) -> Game:
        size, classes = prod(spec["shape"]), classes_of(config.conditional, spec)
        shape = config.latent, config.width, config.depth, size, classes
        is_picture = len(spec["shape"]) == 3
        game = adversarial(
            generator=lambda: Labelled(*shape, bounded=is_picture),
            discriminator=lambda: MLPDiscriminator(size, config.width, config.depth, classes),
            prior=normal(config.latent),
            **config.options(),
            conditional=config.conditional,
            representation=Standardised(tuple(spec["shape"])),
        )
        game.full_precision = True  # in bf16 a coordinate of 1 is known to 0.004 only
        return game


@defaults(penalty_weight=0.0, lr=1e-4, beta1=0.8, beta2=0.999)
class PacGANConfig(AdversarialSection):
    """Lin et al. 2018, section 4.1; what the text leaves open is as in the authors' code."""

    batch_size: PositiveInt = Field(100, description="rows of the joined batch; published: 100 times pack")
    steps: PositiveInt = Field(40_000, description="rounds, when the command names no budget")
    pack: PositiveInt = Field(
        1, le=16, description="samples that the discriminator judges at once: PacGAN2, ..."
    )

    @model_validator(mode="after")
    def _whole_packs(self) -> Self:
        if self.batch_size % self.pack:
            raise ValueError(f"pack {self.pack} does not divide batch_size {self.batch_size}")
        return self


class PackedGame(AdversarialGame):
    """A logit belongs to a pack, and batch norm mixes all rows."""

    batch_coupled = True


class PacGAN(Recipe):
    """z ~ N(0, I_2); Adam 1e-4 with betas 0.8 and 0.999; neither average nor representation."""

    Config = PacGANConfig

    def build(self, config: PacGANConfig, spec: Spec) -> Game:
        if len(spec["shape"]) != 1:
            raise ConfigError("pacgan is for points, not for pictures", "use --recipe mlpgan")
        (dimension,) = spec["shape"]
        game = adversarial(
            generator=lambda: pacgan_generator(2, dimension),
            discriminator=lambda: PackedDiscriminator(dimension, config.pack),
            prior=normal(2),
            **config.options(),
            game=PackedGame,
        )
        game.batch_coupled = game.full_precision = True
        return game


def classes_of(conditional: bool, spec: Spec) -> int:
    """How many labels the networks are told; 0: none."""
    classes = spec.get("classes") or []
    if conditional and not classes:
        raise ConfigError(
            "model.conditional is true, but this source has no components", "use another source"
        )
    return len(classes) if conditional else 0
