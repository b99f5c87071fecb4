"""A variational autoencoder of waveforms, of WaveGAN's parts: what it tells are spectra that vary in time."""

from __future__ import annotations

import math

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, relu

from gancore import Recipe, RecipeSection, Spec
from gancore.data.classes import classes_told
from gancore.games import Adam, Game, cosine, likelihood
from gancore.nn.variational import VariationalAutoencoder
from gancore.runtime.randomness import Key
from gancore_audio.audioflow import waveforms
from gancore_audio.lapped import Lapped, bands_of
from gancore_audio.mulaw import compand
from gancore_audio.networks import KERNEL, START, strides, widths
from gancore_audio.strided import Downsample, Upsample

LABEL = 16
"""Numbers that tell a network a label."""
LIFT = 3.0
"""What brings companded sounds to a deviation of about 1."""
SOFTEST, LOUDEST = -11.0, 4.0
"""Bounds of log sigma, full scale being 1: cells of silence are 1.7e-4 wide, a deviation of exp(-9.9)."""
HUSHED = -3.0
"""log sigma at first."""


class WaveEncoder(nn.Module):
    """WaveGAN's discriminator up to its last layer: waveforms (batch, 1, length) to ``outputs`` numbers.

    It sees them companded, since it must tell soft noise from silence. It is told a label, where there are
    ``classes``.
    """

    def __init__(self, length: int, width: int, outputs: int, classes: int) -> None:
        super().__init__()
        factors = strides(length)[::-1]
        channels = [1, *widths(width, len(factors))]
        self.layers = nn.ModuleList(
            Downsample(before, after, KERNEL, stride)
            for before, after, stride in zip(channels[:-1], channels[1:], factors, strict=True)
        )
        self.label = nn.Embedding(classes, LABEL) if classes else None
        self.dense = nn.Linear(START * channels[-1] + (LABEL if classes else 0), outputs)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        x = LIFT * compand(x)
        for layer in self.layers:
            x = leaky_relu(layer(x), 0.2)
        x = x.flatten(1)
        if self.label is not None:
            x = torch.cat([x, self.label(label)], dim=1)
        outputs: Tensor = self.dense(x)
        return outputs


class SpectrumDecoder(nn.Module):
    """WaveGAN's generator, as far as there are frames: latents (batch, latent) to what is said of each of
    ``bands`` in each of ``frames``, mean and log sigma: (batch, 2 * bands, frames).
    """

    def __init__(self, bands: int, frames: int, width: int, latent: int, classes: int) -> None:
        super().__init__()
        doublings = (frames // START).bit_length() - 1
        factors = [4] * (doublings // 2) + [2] * (doublings % 2)
        self.label = nn.Embedding(classes, LABEL) if classes else None
        self.dense = nn.Linear(latent + (LABEL if classes else 0), START * width)
        self.layers = nn.ModuleList(Upsample(width, width, KERNEL, stride) for stride in factors)
        self.last = nn.Conv1d(width, 2 * bands, 5, padding=2)

    def forward(self, latents: Tensor, label: Tensor | None = None) -> Tensor:
        if self.label is not None:
            latents = torch.cat([latents, self.label(label)], dim=1)
        x = relu(self.dense(latents)).view(len(latents), -1, START)
        for layer in self.layers:
            x = relu(layer(x))
        outputs: Tensor = self.last(x)
        return outputs


class GaussianSpectrum(nn.Module):
    """x ~ N(M^T m, M^T diag(s^2) M), M the lapped transform: each band of each frame has a mean and a sigma.

    A Gaussian of waveforms, since M is orthonormal. White noise would need no M; sounds are far from white.
    """

    def __init__(self, lapped: Lapped) -> None:
        super().__init__()
        self.lapped = lapped

    def log_prob(self, data: Tensor, decoded: Tensor) -> Tensor:
        mean, log_sigma = self.told(decoded)
        error = (self.lapped(data) - mean) * (-log_sigma).exp()
        return -(0.5 * error.square() + log_sigma + 0.5 * math.log(2 * math.pi)).flatten(1).sum(1)

    def sample(self, decoded: Tensor, key: Key) -> Tensor:
        mean, log_sigma = self.told(decoded)
        return self.lapped.inverse(mean + log_sigma.exp() * key.normal(*mean.shape))

    def told(self, decoded: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_sigma = decoded.chunk(2, dim=1)
        return mean, (log_sigma + HUSHED).clamp(SOFTEST, LOUDEST)


class AudioVAEConfig(RecipeSection):
    """The rate falls to a twentieth along a cosine."""

    batch_size: PositiveInt = Field(32, description="rows of the joined batch")
    steps: PositiveInt = Field(20_000, description="rounds, when the command names no budget")
    width: PositiveInt = Field(16, description="the encoder's channels next to the waveform; doubled inwards")
    decoder_width: PositiveInt = Field(128, description="channels of the decoder")
    latent: PositiveInt = Field(100, description="numbers in a latent")
    draws: PositiveInt = Field(16, description="latents a row in the importance-weighted bound, k")
    lr: PositiveFloat = Field(2e-3, description="Adam's rate at first")
    clip: PositiveFloat = Field(20.0, description="bound on the gradient's norm, in nats a time step")
    average: NonNegativeFloat = Field(
        5_000.0, description="half-life of the model's average, in samples; 0: none"
    )
    conditional: bool = Field(False, description="train on the labels, so that --label works")


class AudioVAE(Recipe):
    """Maximises the evidence lower bound by Adam; reports the importance-weighted one, k = ``draws``.

    Both are in nats a clip, of waveforms that lie evenly within cells: see :mod:`gancore_audio.mulaw`.
    """

    Config = AudioVAEConfig

    def build(self, config: AudioVAEConfig, spec: Spec) -> Game:
        classes = classes_told(config.conditional, spec)
        game = likelihood(
            lambda: autoencoder(config, spec["length"], spec["rate_hz"], classes),
            rule=Adam(cosine(config.lr, config.lr / 20)),
            average=config.average or None,
            clip=config.clip * spec["length"],
            conditional=config.conditional,
            representation=waveforms(),
        )
        game.full_precision = True  # log sigma is told to a hundredth
        return game


def autoencoder(config: AudioVAEConfig, length: int, rate_hz: int, classes: int) -> VariationalAutoencoder:
    encoder = WaveEncoder(length, config.width, 2 * config.latent, classes)
    lapped = Lapped(length, bands_of(length, rate_hz))
    decoder = SpectrumDecoder(lapped.bands, lapped.frames, config.decoder_width, config.latent, classes)
    return VariationalAutoencoder(encoder, decoder, GaussianSpectrum(lapped), config.latent, config.draws)
