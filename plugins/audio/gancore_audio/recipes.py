"""The waveform GANs: WaveGAN as published, and a lighter one for small budgets."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from gancore import Recipe, RecipeSection, Spec
from gancore.data.classes import classes_told
from gancore.games import (
    R1,
    WGANGP,
    Adam,
    Discriminator,
    Game,
    adversarial,
    augmentation,
    cosine,
    normal,
    uniform,
)
from gancore.games.augmentation import How
from gancore_audio.augmentation import CHANGES
from gancore_audio.networks import WaveGANDiscriminator, WaveGANGenerator
from gancore_audio.spectral import WaveAndSpectrumDiscriminator


class WaveGANConfig(RecipeSection):
    """Donahue et al. 2019, appendix D; reference implementation's post filter."""

    batch_size: PositiveInt = Field(64, description="rows of the joined batch")
    steps: PositiveInt = Field(200_000, description="rounds, when the command names no budget")
    width: PositiveInt = Field(
        64, description="channels next to the waveform; doubled at every layer inwards"
    )
    latent: PositiveInt = Field(100, description="numbers in a latent")
    post_filter: NonNegativeInt = Field(
        512, description="length of the generator's learned output filter; 0: none"
    )
    shuffle: NonNegativeInt = Field(2, le=8, description="phase shuffle, in samples of each layer; 0: none")
    shuffle_per: Literal["example", "batch"] = Field(
        "example", description="one shift an example, or one a batch"
    )
    discriminator_moves: PositiveInt = Field(5, description="discriminator moves a round")
    penalty: PositiveFloat = Field(10.0, description="weight of the WGAN-GP gradient penalty")
    lr: PositiveFloat = Field(1e-4, description="Adam's rate for both players")
    average: NonNegativeFloat = Field(
        0.0, description="half-life of the generator's average, in samples; 0: none"
    )
    conditional: bool = Field(False, description="train on the labels, so that --label works")


class WaveGAN(Recipe):
    """WGAN-GP, five discriminator moves a round, latents uniform in [-1, 1]."""

    Config = WaveGANConfig

    def build(self, config: WaveGANConfig, spec: Spec) -> Game:
        length, classes = spec["length"], classes_told(config.conditional, spec)
        rule = Adam(config.lr, (0.5, 0.9))
        return adversarial(
            generator=lambda: WaveGANGenerator(
                length, config.width, config.latent, config.post_filter, classes
            ),
            discriminator=lambda: WaveGANDiscriminator(
                length, config.width, config.shuffle, config.shuffle_per == "example", classes, bias=False
            ),
            prior=uniform(config.latent),
            loss="wasserstein",
            penalties=[WGANGP(config.penalty)],
            generator_rule=rule,
            discriminator_rule=rule,
            discriminator_moves=config.discriminator_moves,
            average=config.average or None,
            conditional=config.conditional,
        )


class WaveGANLiteConfig(RecipeSection):
    """WaveGAN's generator for minutes instead of days, judged by its waveform and by its spectrum."""

    batch_size: PositiveInt = Field(32, description="rows of the joined batch")
    steps: PositiveInt = Field(20_000, description="rounds, when the command names no budget")
    width: PositiveInt = Field(
        16, description="channels next to the waveform; doubled at every layer inwards"
    )
    latent: PositiveInt = Field(64, description="numbers in a latent")
    post_filter: NonNegativeInt = Field(
        0, description="length of the generator's learned output filter; 0: none"
    )
    shuffle: NonNegativeInt = Field(1, le=8, description="phase shuffle, in samples of each layer; 0: none")
    shuffle_per: Literal["example", "batch"] = Field(
        "example", description="one shift an example, or one a batch"
    )
    spectrum: bool = Field(True, description="the discriminator also judges the log spectrogram")
    loss: str = Field("nonsaturating", description="adversarial loss by name")
    gamma: NonNegativeFloat = Field(0.1, description="weight of R1: gamma/2 |grad D|^2")
    penalty_every: PositiveInt = Field(16, description="rounds between R1 steps")
    lr: PositiveFloat = Field(6e-4, description="both players' rate, falling to a fifth along a cosine")
    average: NonNegativeFloat = Field(
        20_000.0, description="half-life of the generator's average, in samples; 0: none"
    )
    augmentation: How = Field(
        "none",
        description="of all that D sees, by gain, shift and filter: none, fixed, rising or adaptive",
    )
    augmentation_strength: float = Field(
        1.0, ge=0, le=1, description="chance of each change; at the end, where it rises"
    )
    conditional: bool = Field(False, description="train on the labels, so that --label works")


class WaveGANLite(Recipe):
    """One move each, a lazy R1, an average of the generator, and a second judge that sees spectrograms."""

    Config = WaveGANLiteConfig

    def build(self, config: WaveGANLiteConfig, spec: Spec) -> Game:
        length, classes = spec["length"], classes_told(config.conditional, spec)
        rule = Adam(cosine(config.lr, config.lr / 5), (0.5, 0.99))
        return adversarial(
            generator=lambda: WaveGANGenerator(
                length, config.width, config.latent, config.post_filter, classes
            ),
            discriminator=lambda: _judges(config, spec, classes),
            prior=normal(config.latent),
            loss=config.loss,
            penalties=[R1(config.gamma, config.penalty_every)] if config.gamma else [],
            augmentation=augmentation(config.augmentation, CHANGES, config.augmentation_strength),
            generator_rule=rule,
            discriminator_rule=rule,
            average=config.average or None,
            conditional=config.conditional,
        )


def _judges(config: WaveGANLiteConfig, spec: Spec, classes: int) -> Discriminator:
    shuffle = config.shuffle, config.shuffle_per == "example"
    if config.spectrum:
        return WaveAndSpectrumDiscriminator(spec, config.width, *shuffle, classes)
    return WaveGANDiscriminator(spec["length"], config.width, *shuffle, classes)
