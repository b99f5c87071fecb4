"""A judge of pictures, of any side and channels: which label? A small convolutional network."""

from __future__ import annotations

import itertools
import math

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, leaky_relu

from gancore import Recipe, RecipeSection, Spec
from gancore.data.classes import classes_judged
from gancore.games import AdamW, Classifier, Game, classifier, cosine, noise, warmup

END, WIDEST, GROUPS = 4, 4, 4
"""The side that is left at the end; the most multiples of ``width``; groups of a normalisation."""
WARMUP = 0.05
"""Share of the training over which the rate rises."""


class ClassifierConfig(RecipeSection):
    """A minute or two on a CPU core. The rate rises over a twentieth, then falls along a cosine."""

    batch_size: PositiveInt = Field(64, description="rows of the joined batch")
    steps: PositiveInt = Field(1_000, description="rounds, when the command names no budget")
    width: PositiveInt = Field(
        32, description="channels of the first layer; doubled at each of the next two halvings"
    )
    features: PositiveInt = Field(64, description="numbers that the last layer sees: what measures compare")
    lr: PositiveFloat = Field(3e-3, description="AdamW's highest rate")
    weight_decay: NonNegativeFloat = Field(1e-2, description="of AdamW")
    shift: NonNegativeFloat = Field(
        0.08, le=0.5, description="training pictures are moved by up to this share of the side, both ways"
    )
    contrast: NonNegativeFloat = Field(
        0.2, le=0.9, description="training pictures' contrast and level change by up to this share"
    )
    noise: NonNegativeFloat = Field(
        0.05, le=1, description="training pictures get white noise of a deviation up to this, of 2 in all"
    )


class PictureClassifier(Classifier):
    """Pictures (batch, channels, side, side) to logits: convolutions, halved down to four pixels."""

    def __init__(self, config: ClassifierConfig, spec: Spec, classes: int) -> None:
        super().__init__()
        self.config = config
        self.most = round(config.shift * spec["side"])
        halvings = max(1, int(math.log2(spec["side"] / END)))
        widths = [spec["channels"], *(config.width * min(2**layer, WIDEST) for layer in range(halvings))]
        self.layers = nn.Sequential(*(_layer(*pair) for pair in itertools.pairwise(widths)))
        self.dense = nn.Linear(widths[-1] * END**2, config.features)
        self.head = nn.Linear(config.features, classes)

    def embed(self, data: Tensor) -> Tensor:
        """(batch, features)."""
        pictures = self._varied(data) if self.training else data
        maps = adaptive_avg_pool2d(self.layers(pictures), END)  # (batch, 4 width, 4, 4)
        return leaky_relu(self.dense(maps.flatten(1)), 0.1)

    def classify(self, embedded: Tensor) -> Tensor:
        logits: Tensor = self.head(embedded)
        return logits

    def _varied(self, pictures: Tensor) -> Tensor:
        """Moved, of other contrast and level, under noise, each row by itself."""
        n, draws, most = len(pictures), noise(len(pictures), pictures.device), self.config.contrast
        moved = moved_by(pictures, draws.integers(-self.most, self.most + 1, n, 2))
        contrast = 1 + most * (2 * draws.uniform(n, 1, 1, 1) - 1)
        level = most * (2 * draws.uniform(n, 1, 1, 1) - 1)
        deviation = self.config.noise * draws.uniform(n, 1, 1, 1)
        return contrast * moved + level + deviation * draws.normal(n, *pictures.shape[1:])


def _layer(before: int, after: int) -> nn.Module:
    """Each picture is judged by itself: a normalisation over groups of channels, not over the batch."""
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.GroupNorm(math.gcd(GROUPS, after), after),
        nn.ReLU(),
    )


def moved_by(pictures: Tensor, shifts: Tensor) -> Tensor:
    """Row b of (batch, channels, side, side) moved down and right by ``shifts[b]`` (2) pixels.

    What moves in repeats the edge.
    """
    n, _, height, width = pictures.shape
    rows = torch.arange(height, device=pictures.device) - shifts[:, :1]  # (batch, side)
    columns = torch.arange(width, device=pictures.device) - shifts[:, 1:]
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    batch = torch.arange(n, device=pictures.device)[:, None, None]
    moved = pictures.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2)


class PictureJudge(Recipe):
    """Cross-entropy by AdamW, on pictures that are moved, of other contrast, and under noise."""

    Config = ClassifierConfig

    def build(self, config: ClassifierConfig, spec: Spec) -> Game:
        classes = classes_judged(spec)
        rate = warmup(cosine(config.lr, config.lr / 100), WARMUP)
        rule = AdamW(rate, weight_decay=config.weight_decay)
        return classifier(lambda: PictureClassifier(config, spec, classes), rule=rule)
