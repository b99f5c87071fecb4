"""The waveform GANs: WaveGAN as published, and a lighter one for small budgets."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from gancore import Recipe, Spec
from gancore.data.classes import classes_told
from gancore.games import (
    AdversarialSection,
    Discriminator,
    Game,
    adversarial,
    augmentation,
    defaults,
    normal,
    uniform,
)
from gancore.games.augmentation import How
from gancore_audio.augmentation import CHANGES
from gancore_audio.networks import WaveGANDiscriminator, WaveGANGenerator
from gancore_audio.spectral import WaveAndSpectrumDiscriminator


@defaults(
    loss="wasserstein",
    penalty="wgan-gp",
    penalty_weight=10.0,
    discriminator_moves=5,
    lr=1e-4,
    beta2=0.9,
)
class WaveGANConfig(AdversarialSection):
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
    conditional: bool = Field(False, description="train on the labels, so that --label works")


class WaveGAN(Recipe):
    """WGAN-GP, five discriminator moves a round, latents uniform in [-1, 1]."""

    Config = WaveGANConfig

    def build(self, config: WaveGANConfig, spec: Spec) -> Game:
        length, classes = spec["length"], classes_told(config.conditional, spec)
        return adversarial(
            generator=lambda: WaveGANGenerator(
                length, config.width, config.latent, config.post_filter, classes
            ),
            discriminator=lambda: WaveGANDiscriminator(
                length, config.width, config.shuffle, config.shuffle_per == "example", classes, bias=False
            ),
            prior=uniform(config.latent),
            **config.options(),
            conditional=config.conditional,
        )


@defaults(penalty_weight=0.1, penalty_every=16, lr=6e-4, lr_end=0.2, average=20_000.0)
class WaveGANLiteConfig(AdversarialSection):
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
        return adversarial(
            generator=lambda: WaveGANGenerator(
                length, config.width, config.latent, config.post_filter, classes
            ),
            discriminator=lambda: _judges(config, spec, classes),
            prior=normal(config.latent),
            **config.options(),
            augmentation=augmentation(config.augmentation, CHANGES, config.augmentation_strength),
            conditional=config.conditional,
        )


def _judges(config: WaveGANLiteConfig, spec: Spec, classes: int) -> Discriminator:
    shuffle = config.shuffle, config.shuffle_per == "example"
    if config.spectrum:
        return WaveAndSpectrumDiscriminator(spec, config.width, *shuffle, classes)
    return WaveGANDiscriminator(spec["length"], config.width, *shuffle, classes)
