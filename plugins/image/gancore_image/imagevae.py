"""A variational autoencoder of images: convolutions, and a rounded logistic law of each pixel."""

from __future__ import annotations

from itertools import pairwise

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from gancore import Recipe, RecipeSection, Spec
from gancore.data.classes import classes_told
from gancore.games import Adam, Game, cosine, likelihood, warmup
from gancore.nn.variational import VariationalAutoencoder
from gancore.runtime.randomness import Key
from gancore_image.levels import Levels, pixels
from gancore_image.logistic import LogisticMixture

LABEL = 16
"""Numbers that tell a network a label."""
SMALLEST = 4
"""Sides are halved, rounded up, once and until they are no longer than this."""


def sides(side: int) -> list[int]:
    """From the images' down to the smallest: 28, 14, 7, 4."""
    found = [side, -(-side // 2)]
    while found[-1] > SMALLEST:
        found.append(-(-found[-1] // 2))
    return found


def rectified_(network: nn.Module) -> None:
    """Begin such that rectified layers neither fade nor grow (He et al. 2015): else a latent is not heard."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)


class Residual(nn.Module):
    """x + convolution(relu(convolution(relu(x)))), 3x3 each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(relu(self.first(relu(x))))


class ImageEncoder(nn.Module):
    """Levels (batch, channels, side, side) to ``outputs`` numbers, by convolutions of stride 2: means, and
    logs of deviations, of latents.

    It is told a label, where there are ``classes``.
    """

    def __init__(self, side: int, channels: int, width: int, outputs: int, classes: int) -> None:
        super().__init__()
        *_, last = steps = sides(side)
        widths = [channels, *(width * min(2**k, 4) for k in range(len(steps) - 1))]
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, padding=1) for before, after in pairwise(widths)
        )
        self.residual = Residual(widths[-1])
        self.label = nn.Embedding(classes, LABEL) if classes else None
        self.dense = nn.Linear(widths[-1] * last**2 + (LABEL if classes else 0), outputs)
        rectified_(self)
        nn.init.zeros_(self.dense.weight.data[outputs // 2 :])  # deviations begin at 1, as the prior's

    def forward(self, level: Tensor, label: Tensor | None = None) -> Tensor:
        x = pixels(level).to(self.dense.weight.dtype, memory_format=torch.channels_last)
        for layer in self.layers:
            x = relu(layer(x))
        x = relu(self.residual(x)).flatten(1)
        if self.label is not None:
            x = torch.cat([x, self.label(label)], dim=1)
        with torch.autocast(x.device.type, enabled=False):  # divergences are told to a fraction of a nat
            outputs: Tensor = self.dense(x.to(self.dense.weight.dtype))
        return outputs


class ImageDecoder(nn.Module):
    """Latents (batch, latent) to ``outputs`` numbers of each pixel, (batch, outputs, side, side), by
    enlarging and convolving as often as the encoder halves.
    """

    def __init__(self, side: int, width: int, latent: int, last: nn.Conv2d, classes: int) -> None:
        super().__init__()
        *_, first = self.sides = sides(side)
        widths = [width * min(2**k, 4) for k in range(len(self.sides) - 1)][::-1]
        self.shape = (widths[0], first, first)
        self.label = nn.Embedding(classes, LABEL) if classes else None
        self.dense = nn.Linear(latent + (LABEL if classes else 0), widths[0] * first**2)
        self.residual = Residual(widths[0])
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1)
            for before, after in zip(widths, [*widths[1:], last.in_channels], strict=True)
        )
        rectified_(self)
        self.last = last

    def forward(self, latents: Tensor, label: Tensor | None = None) -> Tensor:
        if self.label is not None:
            latents = torch.cat([latents, self.label(label)], dim=1)
        x = self.dense(latents).view(-1, *self.shape).contiguous(memory_format=torch.channels_last)
        x = self.residual(x)
        for layer, side in zip(self.layers, self.sides[-2::-1], strict=True):
            x = relu(layer(interpolate(relu(x), size=side)))
        with torch.autocast(x.device.type, enabled=False):  # means are told to a fraction of a level
            told: Tensor = self.last(x.to(self.last.weight.dtype))
        return told


class RoundedLogistic(nn.Module):
    """Pixels, each by a mixture of logistic laws of its own: what a decoder's numbers say of levels."""

    def __init__(self, mixture: LogisticMixture) -> None:
        super().__init__()
        self.mixture = mixture

    def log_prob(self, data: Tensor, decoded: Tensor) -> Tensor:
        return self.mixture.log_prob(data, decoded).flatten(1).sum(1)

    def sample(self, decoded: Tensor, key: Key) -> Tensor:
        n, _, *space = decoded.shape
        return self.mixture.sample(decoded, key.uniform(n, 1 + self.mixture.channels, *space))


class ImageVAEConfig(RecipeSection):
    """The rate rises over the first twentieth of training, and falls to a fiftieth along a cosine."""

    batch_size: PositiveInt = Field(64, description="rows of the joined batch")
    steps: PositiveInt = Field(20_000, description="rounds, when the command names no budget")
    width: PositiveInt = Field(32, description="channels next to the image; doubled twice inwards")
    latent: PositiveInt = Field(32, description="numbers in a latent")
    components: PositiveInt = Field(1, le=100, description="logistic laws that a pixel's law is mixed of")
    draws: PositiveInt = Field(16, description="latents a row in the importance-weighted bound, k")
    lr: PositiveFloat = Field(2e-3, description="Adam's highest rate")
    clip: PositiveFloat = Field(1.0, description="bound on the gradient's norm, in nats a dimension")
    average: NonNegativeFloat = Field(
        5_000.0, description="half-life of the model's average, in samples; 0: none"
    )
    conditional: bool = Field(False, description="train on the labels, so that --label works")


class ImageVAE(Recipe):
    """Maximises the evidence lower bound by Adam; reports the importance-weighted one, k = ``draws``.

    Both are bounds of log P of the images' levels: see :mod:`gancore_image.levels`.
    """

    Config = ImageVAEConfig

    def build(self, config: ImageVAEConfig, spec: Spec) -> Game:
        side, channels, classes = spec["side"], spec["channels"], classes_told(config.conditional, spec)
        return likelihood(
            lambda: autoencoder(config, side, channels, classes),
            rule=Adam(warmup(cosine(config.lr, config.lr / 50), 0.05)),
            average=config.average or None,
            clip=config.clip * channels * side**2,
            conditional=config.conditional,
            representation=Levels(),
        )


def autoencoder(config: ImageVAEConfig, side: int, channels: int, classes: int) -> VariationalAutoencoder:
    mixture = LogisticMixture(channels, config.components)
    last = nn.Conv2d(config.width, mixture.numbers, 1)
    mixture.begin_(last)
    encoder = ImageEncoder(side, channels, config.width, 2 * config.latent, classes)
    decoder = ImageDecoder(side, config.width, config.latent, last, classes)
    return VariationalAutoencoder(encoder, decoder, RoundedLogistic(mixture), config.latent, config.draws)
