"""Gated PixelCNN (van den Oord et al. 2016) with PixelCNN++'s law of a pixel (Salimans et al. 2017)."""

from __future__ import annotations

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import elu

from gancore import Recipe, RecipeSection, Spec
from gancore.data.classes import classes_told
from gancore.games import Adam, Game, cosine, likelihood, warmup
from gancore.nn.autoregressive import ROWS
from gancore.runtime.randomness import Key
from gancore_image.levels import Levels, pixels
from gancore_image.logistic import LogisticMixture
from gancore_image.raster import RasterStack

LABEL = 16
"""Numbers that tell every layer a label."""
AT_ONCE = 1 << 24
"""Numbers of a layer that are held at once where there is no gradient."""


class PixelModel(nn.Module):
    """log P(x | c) = sum_i log P(x_i | pixels before i in raster order, c), x levels (batch, C, side, side).

    The channels of a pixel are told at once, by ``mixture``, from what ``stack`` and two layers
    make of the pixels before it.
    """

    unit = ROWS

    def __init__(self, stack: RasterStack, hidden: int, mixture: LogisticMixture, classes: int) -> None:
        super().__init__()
        self.stack, self.mixture = stack, mixture
        self.middle, self.last = nn.Conv2d(hidden, hidden, 1), nn.Conv2d(hidden, mixture.numbers, 1)
        self.label = nn.Embedding(classes, LABEL) if classes else None
        mixture.begin_(self.last)

    def told(self, level: Tensor, condition: Tensor | None = None) -> Tensor:
        """What the mixture is told of each pixel, (batch, numbers, side, side)."""
        x = pixels(level).to(self.last.weight.dtype, memory_format=torch.channels_last)
        return self._head(self.stack(x, self._condition(condition)))

    def log_probs(self, level: Tensor, condition: Tensor | None = None) -> Tensor:
        """log P(x_i | before), in nats, (batch, side, side)."""
        return self.mixture.log_prob(level, self.told(level, condition))

    def log_prob(self, level: Tensor, condition: Tensor | None = None) -> Tensor:
        """log P(x | c), exact, in nats, (batch); without gradient some rows at a time, as many as fit."""
        if torch.is_grad_enabled():
            return self.log_probs(level, condition).flatten(1).sum(1)
        rows = max(1, AT_ONCE // (self.stack.skips.in_channels * self.stack.side**2))
        parts = [slice(at, at + rows) for at in range(0, len(level), rows)]
        told = [None if condition is None else condition[part] for part in parts]
        each = [self.log_probs(level[part], c) for part, c in zip(parts, told, strict=True)]
        return torch.cat([log_probs.flatten(1).sum(1) for log_probs in each])

    @torch.no_grad()
    def sample(self, n: int, key: Key, condition: Tensor | None = None) -> Tensor:
        """Levels, (n, C, side, side): row i is a function of the key's row i."""
        side, channels = self.stack.side, self.mixture.channels
        uniform = (key / "x").uniform(n, 1 + channels, side, side)
        level = torch.zeros(n, channels, side, side, dtype=torch.int64, device=uniform.device)
        x = torch.zeros(n, channels, side, side, dtype=self.last.weight.dtype, device=uniform.device)
        steps = self.stack.steps(n, self._condition(condition))
        for i in range(side):
            steps.row(x[:, :, i - 1] if i else None)
            for j in range(side):
                told = self._head(steps.place(x[:, :, i, j - 1] if j else None)[:, :, None, None])
                level[:, :, i, j] = self.mixture.sample(told[:, :, 0, 0], uniform[:, :, i, j])
                x[:, :, i, j] = pixels(level[:, :, i, j])
        return level

    def _head(self, outputs: Tensor) -> Tensor:
        """The last layer in full precision: half a level of 256 is what 8 bits of mantissa tell near 1."""
        middle = elu(self.middle(elu(outputs)))
        with torch.autocast(outputs.device.type, enabled=False):
            told: Tensor = self.last(middle.to(self.last.weight.dtype))
        return told

    def _condition(self, condition: Tensor | None) -> Tensor | None:
        return None if self.label is None else self.label(condition)


class PixelCNNConfig(RecipeSection):
    """The rate rises over the first twentieth of training, and falls to a fiftieth along a cosine."""

    batch_size: PositiveInt = Field(16, description="rows of the joined batch")
    steps: PositiveInt = Field(20_000, description="rounds, when the command names no budget")
    width: PositiveInt = Field(32, description="channels of each stack")
    skips: PositiveInt = Field(64, description="channels that all layers add to, and of the next")
    layers: PositiveInt = Field(6, le=32, description="gated layers; dilations go 1, 2, 4, 1, 2, 4, ...")
    components: PositiveInt = Field(5, le=100, description="logistic laws that a pixel's law is mixed of")
    lr: PositiveFloat = Field(5e-3, description="Adam's highest rate")
    clip: PositiveFloat = Field(1.0, description="bound on the gradient's norm, in nats a dimension")
    average: NonNegativeFloat = Field(
        5_000.0, description="half-life of the model's average, in samples; 0: none"
    )
    conditional: bool = Field(False, description="train on the labels, so that --label works")


class PixelCNN(Recipe):
    """Maximum likelihood of 8-bit levels by Adam."""

    Config = PixelCNNConfig

    def build(self, config: PixelCNNConfig, spec: Spec) -> Game:
        side, channels, classes = spec["side"], spec["channels"], classes_told(config.conditional, spec)
        rate = warmup(cosine(config.lr, config.lr / 50), 0.05)
        return likelihood(
            lambda: pixel_model(config, side, channels, classes),
            rule=Adam(rate, (0.9, 0.99)),
            average=config.average or None,
            clip=config.clip * channels * side**2,
            conditional=config.conditional,
            representation=Levels(),
        )


def pixel_model(config: PixelCNNConfig, side: int, channels: int, classes: int) -> PixelModel:
    dilations = [2 ** (layer % 3) for layer in range(config.layers)]
    stack = RasterStack(
        channels, config.width, config.skips, side, dilations, condition=LABEL if classes else 0
    )
    return PixelModel(stack, config.skips, LogisticMixture(channels, config.components), classes)
