"""The waveform GANs (Donahue et al. 2019): WaveGAN as published, and a lighter one for small budgets."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.fft import irfft, rfft
from torch.nn.functional import interpolate, pad, relu

from gancore import Recipe, Spec
from gancore.data import num_conditional_classes
from gancore.games import (
    AdversarialConfig,
    AugmentationMode,
    Discriminator,
    Game,
    adversarial_game,
    make_augmentation,
    normal,
    uniform,
    with_defaults,
)
from gancore.random import ModuleNoise
from gancore_audio.discriminators import WaveformAndSpectrogramDiscriminator, WaveGANDiscriminator
from gancore_audio.layers import (
    KERNEL,
    START_STEPS,
    StridedConvTranspose1d,
    channel_widths,
    shift_with_reflection,
    upsampling_strides,
)


class WaveGANGenerator(nn.Module):
    """Latents (batch, latent) to waveforms (batch, 1, length) in [-1, 1].

    ``post_filter``: length of a learned filter on the output, 0 for none; it can remove the
    artefacts of upsampling. ``classes``: number of labels, embedded next to the latent; 0: no labels.
    """

    def __init__(
        self, length: int, width: int, latent_dim: int, post_filter: int = 0, classes: int = 0
    ) -> None:
        super().__init__()
        factors = upsampling_strides(length)
        channels = channel_widths(width, len(factors))[::-1]
        self.label = nn.Embedding(classes, latent_dim) if classes else None
        self.dense = nn.Linear(latent_dim * (2 if classes else 1), START_STEPS * channels[0])
        self.layers = nn.ModuleList(
            StridedConvTranspose1d(before, after, KERNEL, stride)
            for before, after, stride in zip(channels, [*channels[1:], 1], factors, strict=True)
        )
        self.post_filter = nn.Conv1d(1, 1, post_filter, bias=False) if post_filter else None

    def forward(self, latents: Tensor, label: Tensor | None = None) -> Tensor:
        if self.label is not None:
            latents = torch.cat([latents, self.label(label)], dim=1)
        x = relu(self.dense(latents)).view(latents.shape[0], -1, START_STEPS)  # (batch, channels, 16)
        for layer in self.layers[:-1]:
            x = relu(layer(x))
        x = torch.tanh(self.layers[-1](x))  # (batch, 1, length)
        if self.post_filter is None:
            return x
        taps = self.post_filter.kernel_size[0]
        result: Tensor = self.post_filter(pad(x, ((taps - 1) // 2, taps // 2)))
        return result


GAIN_DB = 6.0
SHIFT = 1 / 8
"""The maximal shift, as a share of the length."""
FILTER_DB, BANDS = 6.0, 8


def random_gain(x: Tensor, noise: ModuleNoise) -> Tensor:
    """10^(g / 20) x, g ~ U(-6, 6) dB."""
    return x * _amplitude(noise.uniform(len(x), 1, 1), GAIN_DB)


def random_shift(x: Tensor, noise: ModuleNoise) -> Tensor:
    """Shift by whole samples, up to an eighth of the length each way; the gap is filled by reflection."""
    max_shift = int(x.shape[-1] * SHIFT)
    return shift_with_reflection(x, noise.integers(-max_shift, max_shift + 1, len(x)), max_shift)


def random_filter(x: Tensor, noise: ModuleNoise) -> Tensor:
    """A filter H with 20 log10 |H| linear between 8 points of U(-6, 6) dB, from 0 to half the rate.

    It has no delay and is periodic: the end affects about 16 samples at the beginning.
    """
    length = x.shape[-1]
    points = noise.uniform(len(x), 1, BANDS)
    curve = interpolate(points, size=length // 2 + 1, mode="linear", align_corners=True)
    result: Tensor = irfft(rfft(x) * _amplitude(curve, FILTER_DB), n=length)
    return result


AUGMENTATIONS = (random_gain, random_shift, random_filter)


def _amplitude(unit: Tensor, max_db: float) -> Tensor:
    """U(0, 1) to amplitudes of -max_db to max_db."""
    return 10.0 ** ((2 * unit - 1) * max_db / 20)


@with_defaults(
    loss="wasserstein",
    penalty="wgan-gp",
    penalty_weight=10.0,
    discriminator_steps=5,
    lr=1e-4,
    beta2=0.9,
)
class WaveGANConfig(AdversarialConfig):
    """Donahue et al. 2019, appendix D, with the post filter of the reference implementation."""

    batch_size: PositiveInt = Field(64, description="examples per global batch")
    steps: PositiveInt = Field(200_000, description="steps, when the command gives no budget")
    width: PositiveInt = Field(
        64, description="channels next to the waveform; doubled at every layer inwards"
    )
    latent_dim: PositiveInt = Field(100, description="dimensions of a latent")
    post_filter: NonNegativeInt = Field(
        512, description="length of the learned output filter of the generator; 0: none"
    )
    phase_shuffle: NonNegativeInt = Field(
        2, le=8, description="maximal phase shuffle, in samples of each layer; 0: none"
    )
    phase_shuffle_per: Literal["example", "batch"] = Field(
        "example", description="one shift per example, or one per batch"
    )
    conditional: bool = Field(False, description="train on the labels, so that --label works")


class WaveGAN(Recipe):
    """WGAN-GP, five discriminator moves a step, latents uniform in [-1, 1]."""

    Config = WaveGANConfig

    def build(self, config: WaveGANConfig, spec: Spec) -> Game:
        length, classes = spec["length"], num_conditional_classes(config.conditional, spec)
        return adversarial_game(
            generator=lambda: WaveGANGenerator(
                length, config.width, config.latent_dim, config.post_filter, classes
            ),
            discriminator=lambda: WaveGANDiscriminator(
                length,
                config.width,
                config.phase_shuffle,
                config.phase_shuffle_per == "example",
                classes,
                bias=False,
            ),
            prior=uniform(config.latent_dim),
            **config.game_options(),
            conditional=config.conditional,
        )


@with_defaults(penalty_weight=0.1, penalty_every=16, lr=6e-4, lr_end=0.2, ema_halflife=20_000.0)
class WaveGANLiteConfig(AdversarialConfig):
    """WaveGAN's generator for minutes instead of days; discriminators of waveform and spectrogram."""

    batch_size: PositiveInt = Field(32, description="examples per global batch")
    steps: PositiveInt = Field(20_000, description="steps, when the command gives no budget")
    width: PositiveInt = Field(
        16, description="channels next to the waveform; doubled at every layer inwards"
    )
    latent_dim: PositiveInt = Field(64, description="dimensions of a latent")
    post_filter: NonNegativeInt = Field(
        0, description="length of the learned output filter of the generator; 0: none"
    )
    phase_shuffle: NonNegativeInt = Field(
        1, le=8, description="maximal phase shuffle, in samples of each layer; 0: none"
    )
    phase_shuffle_per: Literal["example", "batch"] = Field(
        "example", description="one shift per example, or one per batch"
    )
    spectrogram_discriminator: bool = Field(True, description="a second discriminator of the log spectrogram")
    augmentation: AugmentationMode = Field(
        "none",
        description="of all that D sees, by gain, shift and filter: none, fixed, rising or adaptive",
    )
    augmentation_probability: float = Field(
        1.0, ge=0, le=1, description="chance of each change; of a rising chance the final one"
    )
    conditional: bool = Field(False, description="train on the labels, so that --label works")


class WaveGANLite(Recipe):
    """One move each, lazy R1, an EMA of the generator, and a second discriminator of spectrograms."""

    Config = WaveGANLiteConfig

    def build(self, config: WaveGANLiteConfig, spec: Spec) -> Game:
        length, classes = spec["length"], num_conditional_classes(config.conditional, spec)
        return adversarial_game(
            generator=lambda: WaveGANGenerator(
                length, config.width, config.latent_dim, config.post_filter, classes
            ),
            discriminator=lambda: _discriminator(config, spec, classes),
            prior=normal(config.latent_dim),
            **config.game_options(),
            augmentation=make_augmentation(
                config.augmentation, AUGMENTATIONS, config.augmentation_probability
            ),
            conditional=config.conditional,
        )


def _discriminator(config: WaveGANLiteConfig, spec: Spec, classes: int) -> Discriminator:
    shuffle = config.phase_shuffle, config.phase_shuffle_per == "example"
    if config.spectrogram_discriminator:
        return WaveformAndSpectrogramDiscriminator(spec, config.width, *shuffle, classes)
    return WaveGANDiscriminator(spec["length"], config.width, *shuffle, classes)
