"""The spectrogram GANs: SpecGAN (Donahue et al. 2019) and GANSynth's representation, for small budgets."""

from __future__ import annotations

import itertools
from math import prod
from typing import Literal

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import relu

from gancore import ConfigError, Recipe, Spec
from gancore.data import num_conditional_classes
from gancore.games import (
    AdversarialConfig,
    Discriminator,
    Game,
    Representation,
    adversarial_game,
    normal,
    uniform,
    with_defaults,
)
from gancore.nn import label_projection, piecewise_linear, project_label
from gancore_audio.representations import InstantaneousFrequencyRepresentation, LogMagnitudeRepresentation
from gancore_audio.stft import MIN_CELLS, default_win_and_hop

SpectrogramShape = tuple[int, int]
"""Cells in time and in frequency."""


def n_halvings(shape: SpectrogramShape) -> int:
    """How often both sides of a shape can be halved until the shorter has 4 cells."""
    times, (time, frequency) = 0, shape
    while min(time, frequency) > MIN_CELLS and time % 2 == 0 and frequency % 2 == 0:
        times, time, frequency = times + 1, time // 2, frequency // 2
    if not times:
        raise ConfigError(
            f"a spectrogram of {shape[0]} frames by {shape[1]} cells in frequency cannot be halved",
            "leave out model.win_length and model.mel_bands, or set model.win_length to 16, 32, 64 or another"
            " power of two",
        )
    return times


class SpectrogramGenerator(nn.Module):
    """Latents (batch, latent) to images (batch, channels, time, frequency) in [-1, 1].

    A dense layer, then transposed convolutions of stride 2, channels halved at each: at 128 x 128 and
    width 64 from 4 x 4 x 1024. ``classes``: number of labels, embedded next to the latent; 0: no labels.
    """

    def __init__(
        self, shape: SpectrogramShape, channels: int, width: int, latent_dim: int, kernel: int, classes: int
    ) -> None:
        super().__init__()
        sizes = channel_widths(shape, channels, width)[::-1]
        self.start = (sizes[0], *coarsest_shape(shape))
        self.label = nn.Embedding(classes, latent_dim) if classes else None
        self.dense = nn.Linear(latent_dim * (2 if classes else 1), prod(self.start))
        self.layers = nn.ModuleList(
            nn.ConvTranspose2d(
                before, after, kernel, stride=2, padding=(kernel - 1) // 2, output_padding=kernel % 2
            )
            for before, after in itertools.pairwise(sizes)
        )

    def forward(self, latents: Tensor, label: Tensor | None = None) -> Tensor:
        if self.label is not None:
            latents = torch.cat([latents, self.label(label)], dim=1)
        x = torch.unflatten(relu(self.dense(latents)), 1, self.start)
        for layer in self.layers[:-1]:
            x = relu(layer(x))
        return torch.tanh(self.layers[-1](x))


class SpectrogramDCGANDiscriminator(Discriminator):
    """Images (batch, channels, time, frequency) to logits (batch,): the generator's mirror.

    With ``classes`` the label enters by projection (Miyato & Koyama 2018, eq. 3). ``bias``: of the logit;
    a loss of differences of logits never changes it.
    """

    def __init__(
        self, shape: SpectrogramShape, channels: int, width: int, kernel: int, classes: int, bias: bool = True
    ) -> None:
        super().__init__()
        sizes = channel_widths(shape, channels, width)
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, kernel, stride=2, padding=(kernel - 1) // 2)
            for before, after in itertools.pairwise(sizes)
        )
        features = sizes[-1] * prod(coarsest_shape(shape))
        self.dense = nn.Linear(features, 1, bias=bias)
        self.label = label_projection(classes, features)

    def logits(self, embedded: Tensor, condition: Tensor | None = None) -> Tensor:
        x = embedded
        for layer in self.layers:
            x = piecewise_linear.leaky_relu(layer(x), 0.2)
        features = x.flatten(1)
        logits: Tensor = self.dense(features).squeeze(1)
        return project_label(logits, features, self.label, condition)


def channel_widths(shape: SpectrogramShape, channels: int, width: int) -> list[int]:
    """Channels from the image inwards: channels, width, 2 width, 4 width, ..."""
    return [channels, *(width * 2**layer for layer in range(n_halvings(shape)))]


def coarsest_shape(shape: SpectrogramShape) -> SpectrogramShape:
    times = n_halvings(shape)
    return shape[0] >> times, shape[1] >> times


MAX_MEL_BANDS, MIN_MEL_BANDS = 64, 8
"""Limits of the default number of mel bands, a quarter of the window."""
DIFFERENCE_LOSSES = {"wasserstein", "relativistic", "relativistic-average"}
"""Losses of differences of logits, which never change the bias of a logit."""


@with_defaults(
    loss="relativistic",
    penalty="r1+r2",
    penalty_every=16,
    lr=2e-3,
    lr_end=0.2,
    beta1=0.0,
    ema_halflife=20_000.0,
)
class SpecGANConfig(AdversarialConfig):
    """Defaults for minutes, with the game of Huang et al. 2024; the documentation has the paper's values."""

    batch_size: PositiveInt = Field(16, description="examples per global batch")
    steps: PositiveInt = Field(20_000, description="steps, when the command gives no budget")
    win_length: int | None = Field(
        None, ge=16, le=8192, description="samples of a frame; none: 256, less for the shortest sounds"
    )
    hop_length: int | None = Field(
        None, ge=8, le=4096, description="samples between frames; none: half of the window"
    )
    floor_db: float = Field(
        -60.0, ge=-160, le=-20, description="magnitude of silence in dB of a full-scale sine"
    )
    griffin_lim_iterations: NonNegativeInt = Field(
        32, le=1000, description="iterations of Griffin-Lim when sampling"
    )
    width: PositiveInt = Field(
        32, description="channels next to the spectrogram; doubled at every layer inwards"
    )
    kernel_size: int = Field(4, ge=3, le=9, description="kernel size of each convolution")
    latent_dim: PositiveInt = Field(64, description="dimensions of a latent")
    prior: Literal["normal", "uniform"] = Field("normal", description="N(0, 1), or uniform in [-1, 1]")
    conditional: bool = Field(False, description="train on the labels, so that --label works")


class SpecGAN(Recipe):
    """Log magnitudes of the spectrum as images, by DCGAN's networks; phases by Griffin-Lim."""

    Config = SpecGANConfig

    def build(self, config: SpecGANConfig, spec: Spec) -> Game:
        window, hop = default_win_and_hop(spec["length"], config.win_length, config.hop_length)
        representation = LogMagnitudeRepresentation(
            spec["length"], window, hop, config.floor_db, config.griffin_lim_iterations
        )
        return build_game(config, spec, representation, representation.shape, channels=1)


class IFGANConfig(SpecGANConfig):
    """The same, on two images: log magnitude and instantaneous frequency, in mel bands."""

    mel_bands: NonNegativeInt | None = Field(
        None,
        le=4096,
        description="mel bands, at most window / 2; 0: bins; none: a quarter of the window, from 8 to 64",
    )
    griffin_lim_iterations: NonNegativeInt = Field(
        16, le=1000, description="iterations of Griffin-Lim from the generated phases; 0: these phases"
    )


class IFGAN(Recipe):
    """Phases are generated with magnitudes (Engel et al. 2019), by the same networks, not progressively."""

    Config = IFGANConfig

    def build(self, config: IFGANConfig, spec: Spec) -> Game:
        window, hop = default_win_and_hop(spec["length"], config.win_length, config.hop_length)
        representation = InstantaneousFrequencyRepresentation(
            spec["length"],
            spec["sample_rate_hz"],
            window,
            hop,
            min(max(MIN_MEL_BANDS, window // 4), MAX_MEL_BANDS)
            if config.mel_bands is None
            else config.mel_bands,
            config.floor_db,
            config.griffin_lim_iterations,
        )
        return build_game(config, spec, representation, representation.shape, channels=2)


def build_game(
    config: SpecGANConfig, spec: Spec, representation: Representation, shape: SpectrogramShape, channels: int
) -> Game:
    """The game on images (batch, channels, time, frequency)."""
    classes = num_conditional_classes(config.conditional, spec)
    return adversarial_game(
        generator=lambda: SpectrogramGenerator(
            shape, channels, config.width, config.latent_dim, config.kernel_size, classes
        ),
        discriminator=lambda: SpectrogramDCGANDiscriminator(
            shape, channels, config.width, config.kernel_size, classes, config.loss not in DIFFERENCE_LOSSES
        ),
        prior={"normal": normal, "uniform": uniform}[config.prior](config.latent_dim),
        **config.game_options(),
        representation=representation,
        conditional=config.conditional,
    )
