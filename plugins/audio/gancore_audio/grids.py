"""Networks on spectrograms: DCGAN's shape (Radford et al. 2016), as SpecGAN has it, for grids of any size."""

from __future__ import annotations

import itertools
from math import prod

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from gancore import ConfigError
from gancore.games import Discriminator
from gancore.nn import piecewise
from gancore_audio.frames import SMALLEST
from gancore_audio.networks import label_projection

Grid = tuple[int, int]
"""Cells in time and in frequency."""


def halvings(grid: Grid) -> int:
    """How often both sides of a grid can be halved, until the shorter has 4 cells."""
    times, (time, frequency) = 0, grid
    while min(time, frequency) > SMALLEST and time % 2 == 0 and frequency % 2 == 0:
        times, time, frequency = times + 1, time // 2, frequency // 2
    if not times:
        raise ConfigError(
            f"a spectrogram of {grid[0]} frames by {grid[1]} rows in frequency cannot be halved",
            "leave model.window and model.bands out, or make the window a power of two, 16 or more",
        )
    return times


class GridGenerator(nn.Module):
    """Latents (batch, latent) to images (batch, channels, time, frequency) in [-1, 1].

    A dense layer, then transposed convolutions of stride 2, channels halved at each: at 128 x 128 and
    width 64 from 4 x 4 x 1024. ``classes``: labels, embedded beside the latent; 0 for none.
    """

    def __init__(self, grid: Grid, channels: int, width: int, latent: int, kernel: int, classes: int) -> None:
        super().__init__()
        sizes = widths(grid, channels, width)[::-1]
        self.start = (sizes[0], *coarsest(grid))
        self.label = nn.Embedding(classes, latent) if classes else None
        self.dense = nn.Linear(latent * (2 if classes else 1), prod(self.start))
        self.layers = nn.ModuleList(
            nn.ConvTranspose2d(
                before, after, kernel, stride=2, padding=(kernel - 1) // 2, output_padding=kernel % 2
            )
            for before, after in itertools.pairwise(sizes)
        )

    def forward(self, latents: Tensor, label: Tensor | None = None) -> Tensor:
        if self.label is not None:
            latents = torch.cat([latents, self.label(label)], dim=1)
        x = relu(self.dense(latents)).unflatten(1, self.start)
        for layer in self.layers[:-1]:
            x = relu(layer(x))
        return torch.tanh(self.layers[-1](x))


class GridDiscriminator(Discriminator):
    """Images (batch, channels, time, frequency) to logits (batch,): the generator's mirror.

    With ``classes`` the label enters by projection (Miyato & Koyama 2018, eq. 3). ``bias``: of the logit;
    a loss that takes a difference of logits never moves it.
    """

    def __init__(
        self, grid: Grid, channels: int, width: int, kernel: int, classes: int, bias: bool = True
    ) -> None:
        super().__init__()
        sizes = widths(grid, channels, width)
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, kernel, stride=2, padding=(kernel - 1) // 2)
            for before, after in itertools.pairwise(sizes)
        )
        features = sizes[-1] * prod(coarsest(grid))
        self.dense = nn.Linear(features, 1, bias=bias)
        self.label = label_projection(classes, features)

    def judge(self, embedded: Tensor, condition: Tensor | None = None) -> Tensor:
        x = embedded
        for layer in self.layers:
            x = piecewise.leaky_relu(layer(x), 0.2)
        features = x.flatten(1)
        logits = self.dense(features).squeeze(1)
        if self.label is not None:
            logits = logits + (features * self.label(condition)).sum(1) / features.shape[1] ** 0.5
        return logits


def widths(grid: Grid, channels: int, width: int) -> list[int]:
    """Channels from the image inwards: channels, width, 2 width, 4 width, ..."""
    return [channels, *(width * 2**layer for layer in range(halvings(grid)))]


def coarsest(grid: Grid) -> Grid:
    times = halvings(grid)
    return grid[0] >> times, grid[1] >> times
