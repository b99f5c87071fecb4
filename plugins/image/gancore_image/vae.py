"""A variational autoencoder of images: convolutions, and a rounded logistic distribution of each pixel."""

from __future__ import annotations

from itertools import pairwise

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from gancore import Recipe, Spec
from gancore.data import num_conditional_classes
from gancore.games import Game, LikelihoodConfig, likelihood_game, with_defaults
from gancore.nn import VariationalAutoencoder
from gancore.random import Key
from gancore_image.levels import Levels, from_levels
from gancore_image.logistic_mixture import LogisticMixture

LABEL_DIM = 16
"""Size of the label embedding."""
MIN_SIZE = 4
"""Sides are halved (rounded up) at least once, until they are at most this."""


def layer_sizes(side: int) -> list[int]:
    """Sides from the image to the smallest feature map: 28, 14, 7, 4."""
    found = [side, -(-side // 2)]
    while found[-1] > MIN_SIZE:
        found.append(-(-found[-1] // 2))
    return found


def init_he_(network: nn.Module) -> None:
    """Initialisation of He et al. 2015 for layers with ReLU; with others the decoder ignores its latents."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)


class ResidualBlock(nn.Module):
    """x + convolution(relu(convolution(relu(x)))), 3x3 each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.second(relu(self.first(relu(x))))
        return result


class ImageEncoder(nn.Module):
    """Levels (batch, channels, side, side) to ``outputs`` numbers, by convolutions of stride 2: means and log
    deviations of latents.

    It is conditioned on a label if there are ``classes``.
    """

    def __init__(self, side: int, channels: int, width: int, outputs: int, classes: int) -> None:
        super().__init__()
        *_, last = steps = layer_sizes(side)
        widths = [channels, *(width * min(2**k, 4) for k in range(len(steps) - 1))]
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, padding=1) for before, after in pairwise(widths)
        )
        self.residual = ResidualBlock(widths[-1])
        self.label = nn.Embedding(classes, LABEL_DIM) if classes else None
        self.dense = nn.Linear(widths[-1] * last**2 + (LABEL_DIM if classes else 0), outputs)
        init_he_(self)
        nn.init.zeros_(
            self.dense.weight.data[outputs // 2 :]
        )  # deviations are 1 at first, as those of the prior

    def forward(self, level: Tensor, label: Tensor | None = None) -> Tensor:
        x = from_levels(level).to(self.dense.weight.dtype, memory_format=torch.channels_last)
        for layer in self.layers:
            x = relu(layer(x))
        x = relu(self.residual(x)).flatten(1)
        if self.label is not None:
            x = torch.cat([x, self.label(label)], dim=1)
        with torch.autocast(x.device.type, enabled=False):  # divergences need a resolution below a nat
            outputs: Tensor = self.dense(x.to(self.dense.weight.dtype))
        return outputs


class ImageDecoder(nn.Module):
    """Latents (batch, latent) to parameters of each pixel, (batch, outputs, side, side), by as many
    upsamplings and convolutions as the encoder has strides.
    """

    def __init__(self, side: int, width: int, latent_dim: int, last: nn.Conv2d, classes: int) -> None:
        super().__init__()
        *_, first = self.sides = layer_sizes(side)
        widths = [width * min(2**k, 4) for k in range(len(self.sides) - 1)][::-1]
        self.shape = (widths[0], first, first)
        self.label = nn.Embedding(classes, LABEL_DIM) if classes else None
        self.dense = nn.Linear(latent_dim + (LABEL_DIM if classes else 0), widths[0] * first**2)
        self.residual = ResidualBlock(widths[0])
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1)
            for before, after in zip(widths, [*widths[1:], last.in_channels], strict=True)
        )
        init_he_(self)
        self.last = last

    def forward(self, latents: Tensor, label: Tensor | None = None) -> Tensor:
        if self.label is not None:
            latents = torch.cat([latents, self.label(label)], dim=1)
        x = self.dense(latents).view(-1, *self.shape).contiguous(memory_format=torch.channels_last)
        x = self.residual(x)
        for layer, side in zip(self.layers, self.sides[-2::-1], strict=True):
            x = relu(layer(interpolate(relu(x), size=side)))
        with torch.autocast(x.device.type, enabled=False):  # means need a resolution below a level
            params: Tensor = self.last(x.to(self.last.weight.dtype))
        return params


class LogisticLikelihood(nn.Module):
    """The distribution of levels: a mixture of logistics per pixel, with the parameters of the decoder."""

    def __init__(self, mixture: LogisticMixture) -> None:
        super().__init__()
        self.mixture = mixture

    def log_prob(self, data: Tensor, decoded: Tensor) -> Tensor:
        return self.mixture.log_prob(data, decoded).flatten(1).sum(1)

    def sample(self, decoded: Tensor, key: Key) -> Tensor:
        n, _, *space = decoded.shape
        return self.mixture.sample(decoded, key.uniform(n, 1 + self.mixture.channels, *space))


@with_defaults(lr=2e-3, lr_end=0.02, lr_warmup=0.05, ema_halflife=5_000.0)
class ImageVAEConfig(LikelihoodConfig):
    """The learning rate rises over the first twentieth of training, then falls to 1/50 along a cosine."""

    batch_size: PositiveInt = Field(64, description="examples per global batch")
    steps: PositiveInt = Field(20_000, description="steps, when the command gives no budget")
    width: PositiveInt = Field(32, description="channels next to the image; doubled twice inwards")
    latent_dim: PositiveInt = Field(32, description="dimensions of a latent")
    components: PositiveInt = Field(1, le=100, description="components of a pixel's mixture of logistics")
    importance_samples: PositiveInt = Field(
        16, description="latents per example in the importance-weighted bound, k"
    )
    clip_grad_norm: NonNegativeFloat = Field(
        1.0, description="maximal gradient norm, in nats per dimension; 0: no bound"
    )
    conditional: bool = Field(False, description="train on the labels, so that --label works")


class ImageVAE(Recipe):
    """Maximises the evidence lower bound by Adam; reports the importance-weighted one of k samples.

    Both bound log P of the images' levels: see :mod:`gancore_image.levels`.
    """

    Config = ImageVAEConfig

    def build(self, config: ImageVAEConfig, spec: Spec) -> Game:
        side, channels = spec["image_size"], spec["channels"]
        classes = num_conditional_classes(config.conditional, spec)
        return likelihood_game(
            lambda: build_vae(config, side, channels, classes),
            **config.game_options(clip_scale=channels * side**2),
            conditional=config.conditional,
            representation=Levels(),
        )


def build_vae(config: ImageVAEConfig, side: int, channels: int, classes: int) -> VariationalAutoencoder:
    mixture = LogisticMixture(channels, config.components)
    last = nn.Conv2d(config.width, mixture.n_params, 1)
    mixture.init_output_(last)
    encoder = ImageEncoder(side, channels, config.width, 2 * config.latent_dim, classes)
    decoder = ImageDecoder(side, config.width, config.latent_dim, last, classes)
    return VariationalAutoencoder(
        encoder, decoder, LogisticLikelihood(mixture), config.latent_dim, config.importance_samples
    )
