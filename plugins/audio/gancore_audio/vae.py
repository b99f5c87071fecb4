"""A variational autoencoder of waveforms: a Gaussian in the MDCT domain, mean and deviation vary in time."""

from __future__ import annotations

import math

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, relu

from gancore import Recipe, Spec
from gancore.data import num_conditional_classes
from gancore.games import Game, LikelihoodConfig, likelihood_game, with_defaults
from gancore.nn import VariationalAutoencoder
from gancore.random import Key
from gancore_audio.flow import dequantised_waveforms
from gancore_audio.layers import (
    KERNEL,
    START_STEPS,
    StridedConv1d,
    StridedConvTranspose1d,
    channel_widths,
    upsampling_strides,
)
from gancore_audio.mu_law import compand

FRAME_SECONDS = 0.016
"""Length of a frame: long enough for pitch, short enough for onsets."""
MIN_FRAMES = 16
"""Minimal number of frames in a waveform."""


class MDCT(nn.Module):
    """The MDCT (Princen, Johnson and Bradley 1987) of (batch, 1, length), without overlap at the ends.

    X_kl = sqrt(2 / N) sum_n w_n x_(lN + n) cos(pi / N (n + 1/2) (k + 1/2)), -N/2 <= n < 3N/2,
    w_n = sin(pi / 2N (n + N/2 + 1/2)); at the ends of the waveform w is 1 inside and 0 outside.

    (batch, ``bands``, ``frames``) with N = ``bands``, each rate / 2N wide, and length / N ``frames``. It is
    orthonormal, so densities and energies are unchanged: rotations of the N/2 samples before and after each
    border of two frames, and then in each frame the cosine transform IV, which is its own inverse.
    """

    def __init__(self, length: int, bands: int) -> None:
        super().__init__()
        self.bands, self.frames, self.half_band = bands, length // bands, bands // 2
        position = (torch.arange(bands, dtype=torch.float64) + 0.5) / bands
        cosines = math.sqrt(2 / bands) * (torch.pi * bands * position[:, None] * position).cos()
        angle = torch.pi / 4 * (1 + 2 * position[: self.half_band])  # of w, outwards from a border
        self.cosines: Tensor
        self.near: Tensor
        self.far: Tensor
        self.register_buffer("cosines", cosines.float(), persistent=False)
        self.register_buffer("near", angle.sin().float(), persistent=False)
        self.register_buffer("far", angle.cos().float(), persistent=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        pieces = self._rotate(waveforms.view(len(waveforms), self.frames, self.bands), self.far)
        return (pieces @ self.cosines).transpose(1, 2)

    def inverse(self, spectrum: Tensor) -> Tensor:
        pieces = self._rotate(spectrum.transpose(1, 2) @ self.cosines, -self.far)
        return pieces.reshape(len(spectrum), 1, -1)

    def _rotate(self, pieces: Tensor, far: Tensor) -> Tensor:
        """(batch, frames, bands): rotate the samples after each border with the mirrored ones before it."""
        behind, before = pieces[:, 1:, : self.half_band], pieces[:, :-1, self.half_band :].flip(2)
        left = torch.cat([pieces[:, :1, : self.half_band], self.near * behind + far * before], 1)
        right = torch.cat([(self.near * before - far * behind).flip(2), pieces[:, -1:, self.half_band :]], 1)
        return torch.cat([left, right], 2)


def n_mdct_bands(length: int, sample_rate_hz: int) -> int:
    """The power of two nearest to :data:`FRAME_SECONDS`, with at least :data:`MIN_FRAMES` frames."""
    result: int = min(2 ** round(math.log2(FRAME_SECONDS * sample_rate_hz)), length // MIN_FRAMES)
    return result


LABEL_DIM = 16
"""Size of the label embedding."""
INPUT_SCALE = 3.0
"""Scales companded sounds to a deviation of about 1."""
MIN_LOG_SIGMA, MAX_LOG_SIGMA = -11.0, 4.0
"""Bounds of log sigma, at full scale 1: cells of silence are 1.7e-4 wide, a deviation of exp(-9.9)."""
INITIAL_LOG_SIGMA = -3.0
"""Initial log sigma."""


class WaveformEncoder(nn.Module):
    """WaveGAN's discriminator up to its last layer: waveforms (batch, 1, length) to ``outputs`` numbers.

    Its input is companded, so that it distinguishes soft noise from silence. It is conditioned on a label if
    there are ``classes``.
    """

    def __init__(self, length: int, width: int, outputs: int, classes: int) -> None:
        super().__init__()
        factors = upsampling_strides(length)[::-1]
        channels = [1, *channel_widths(width, len(factors))]
        self.layers = nn.ModuleList(
            StridedConv1d(before, after, KERNEL, stride)
            for before, after, stride in zip(channels[:-1], channels[1:], factors, strict=True)
        )
        self.label = nn.Embedding(classes, LABEL_DIM) if classes else None
        self.dense = nn.Linear(START_STEPS * channels[-1] + (LABEL_DIM if classes else 0), outputs)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        x = INPUT_SCALE * compand(x)
        for layer in self.layers:
            x = leaky_relu(layer(x), 0.2)
        x = x.flatten(1)
        if self.label is not None:
            x = torch.cat([x, self.label(label)], dim=1)
        outputs: Tensor = self.dense(x)
        return outputs


class MDCTDecoder(nn.Module):
    """WaveGAN's generator up to ``frames``: latents (batch, latent) to mean and log sigma of each band
    in each frame, (batch, 2 * bands, frames).
    """

    def __init__(self, bands: int, frames: int, width: int, latent_dim: int, classes: int) -> None:
        super().__init__()
        doublings = (frames // START_STEPS).bit_length() - 1
        factors = [4] * (doublings // 2) + [2] * (doublings % 2)
        self.label = nn.Embedding(classes, LABEL_DIM) if classes else None
        self.dense = nn.Linear(latent_dim + (LABEL_DIM if classes else 0), START_STEPS * width)
        self.layers = nn.ModuleList(
            StridedConvTranspose1d(width, width, KERNEL, stride) for stride in factors
        )
        self.last = nn.Conv1d(width, 2 * bands, 5, padding=2)

    def forward(self, latents: Tensor, label: Tensor | None = None) -> Tensor:
        if self.label is not None:
            latents = torch.cat([latents, self.label(label)], dim=1)
        x = relu(self.dense(latents)).view(len(latents), -1, START_STEPS)
        for layer in self.layers:
            x = relu(layer(x))
        outputs: Tensor = self.last(x)
        return outputs


class GaussianMDCT(nn.Module):
    """x ~ N(M^T m, M^T diag(s^2) M), M the MDCT: each band of each frame has a mean and a sigma.

    A Gaussian of waveforms, since M is orthonormal. Sounds are not white, so M is needed.
    """

    def __init__(self, mdct: MDCT) -> None:
        super().__init__()
        self.mdct = mdct

    def log_prob(self, data: Tensor, decoded: Tensor) -> Tensor:
        mean, log_sigma = self._mean_and_log_sigma(decoded)
        error = (self.mdct(data) - mean) * (-log_sigma).exp()
        result: Tensor = -(0.5 * error.square() + log_sigma + 0.5 * math.log(2 * math.pi)).flatten(1).sum(1)
        return result

    def sample(self, decoded: Tensor, key: Key) -> Tensor:
        mean, log_sigma = self._mean_and_log_sigma(decoded)
        return self.mdct.inverse(mean + log_sigma.exp() * key.normal(*mean.shape))

    def _mean_and_log_sigma(self, decoded: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_sigma = decoded.chunk(2, dim=1)
        return mean, (log_sigma + INITIAL_LOG_SIGMA).clamp(MIN_LOG_SIGMA, MAX_LOG_SIGMA)


@with_defaults(lr=2e-3, lr_end=0.05, ema_halflife=5_000.0)
class AudioVAEConfig(LikelihoodConfig):
    """The learning rate falls to a twentieth along a cosine."""

    batch_size: PositiveInt = Field(32, description="examples per global batch")
    steps: PositiveInt = Field(20_000, description="steps, when the command gives no budget")
    width: PositiveInt = Field(
        16, description="channels of the encoder next to the waveform; doubled inwards"
    )
    decoder_width: PositiveInt = Field(128, description="channels of the decoder")
    latent_dim: PositiveInt = Field(100, description="dimensions of a latent")
    importance_samples: PositiveInt = Field(
        16, description="latents per example in the importance-weighted bound, k"
    )
    clip_grad_norm: NonNegativeFloat = Field(
        20.0, description="maximal gradient norm, in nats per time step; 0: no bound"
    )
    conditional: bool = Field(False, description="train on the labels, so that --label works")


class AudioVAE(Recipe):
    """Maximises the inputs lower bound by Adam; reports the importance-weighted one, k = ``draws``.

    Both are in nats a clip, of waveforms that are uniform in cells: see :mod:`gancore_audio.mu_law`.
    """

    Config = AudioVAEConfig

    def build(self, config: AudioVAEConfig, spec: Spec) -> Game:
        classes = num_conditional_classes(config.conditional, spec)
        game = likelihood_game(
            lambda: build_vae(config, spec["length"], spec["sample_rate_hz"], classes),
            **config.game_options(clip_scale=spec["length"]),
            conditional=config.conditional,
            representation=dequantised_waveforms(),
        )
        game.fp32_by_default = True  # log sigma needs a resolution of 0.01
        return game


def build_vae(
    config: AudioVAEConfig, length: int, sample_rate_hz: int, classes: int
) -> VariationalAutoencoder:
    encoder = WaveformEncoder(length, config.width, 2 * config.latent_dim, classes)
    mdct = MDCT(length, n_mdct_bands(length, sample_rate_hz))
    decoder = MDCTDecoder(mdct.bands, mdct.frames, config.decoder_width, config.latent_dim, classes)
    return VariationalAutoencoder(
        encoder, decoder, GaussianMDCT(mdct), config.latent_dim, config.importance_samples
    )
