"""A classifier of images of any size and channels: a small convolutional network."""

from __future__ import annotations

import itertools
import math

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, leaky_relu

from gancore import ClassifierFeatureExtractor, ConfigError, Recipe, RecipeConfig, Spec
from gancore.data import num_classifier_classes
from gancore.games import AdamW, Classifier, Game, classifier_game, cosine, noise, warmup

FINAL_SIZE, WIDEST, GROUPS = 4, 4, 4
"""Side of the last feature map; maximal multiple of ``width``; groups of a normalisation."""
WARMUP = 0.05
"""Share of training over which the learning rate rises."""


class ClassifierConfig(RecipeConfig):
    """A minute or two on a CPU core. The learning rate rises over a twentieth, then falls along a cosine."""

    batch_size: PositiveInt = Field(64, description="examples per global batch")
    steps: PositiveInt = Field(1_000, description="steps, when the command gives no budget")
    width: PositiveInt = Field(
        32, description="channels of the first layer; doubled at each of the next two halvings"
    )
    feature_dim: PositiveInt = Field(
        64, description="size of the features that the last layer sees and metrics compare"
    )
    lr: PositiveFloat = Field(3e-3, description="AdamW's maximal learning rate")
    weight_decay: NonNegativeFloat = Field(1e-2, description="of AdamW")
    shift: NonNegativeFloat = Field(
        0.08, le=0.5, description="random shift of training images, up to this share of the side both ways"
    )
    contrast: NonNegativeFloat = Field(
        0.2, le=0.9, description="random change of contrast and level of training images, up to this share"
    )
    noise: NonNegativeFloat = Field(
        0.05, le=1, description="maximal deviation of white noise on training images, of a range of 2"
    )


class ImageClassifier(Classifier):
    """Images (batch, channels, side, side) to logits: convolutions, halved down to four pixels."""

    def __init__(self, config: ClassifierConfig, spec: Spec, classes: int) -> None:
        super().__init__()
        self.config = config
        self.max_shift = round(config.shift * spec["image_size"])
        halvings = max(1, int(math.log2(spec["image_size"] / FINAL_SIZE)))
        widths = [spec["channels"], *(config.width * min(2**layer, WIDEST) for layer in range(halvings))]
        self.layers = nn.Sequential(*(_layer(*pair) for pair in itertools.pairwise(widths)))
        self.dense = nn.Linear(widths[-1] * FINAL_SIZE**2, config.feature_dim)
        self.head = nn.Linear(config.feature_dim, classes)

    def embed(self, data: Tensor) -> Tensor:
        """(batch, features)."""
        images = self._augment(data) if self.training else data
        maps = adaptive_avg_pool2d(self.layers(images), FINAL_SIZE)  # (batch, 4 width, 4, 4)
        return leaky_relu(self.dense(maps.flatten(1)), 0.1)

    def classify(self, embedded: Tensor) -> Tensor:
        logits: Tensor = self.head(embedded)
        return logits

    def _augment(self, images: Tensor) -> Tensor:
        """Random shift, contrast, level and noise of each image."""
        n, draws, max_change = len(images), noise(len(images), images.device), self.config.contrast
        moved = shift_with_edges(images, draws.integers(-self.max_shift, self.max_shift + 1, n, 2))
        contrast = 1 + max_change * (2 * draws.uniform(n, 1, 1, 1) - 1)
        level = max_change * (2 * draws.uniform(n, 1, 1, 1) - 1)
        deviation = self.config.noise * draws.uniform(n, 1, 1, 1)
        return contrast * moved + level + deviation * draws.normal(n, *images.shape[1:])


def _layer(before: int, after: int) -> nn.Module:
    """Normalised over groups of channels, not over the batch: an image does not depend on the others."""
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.GroupNorm(math.gcd(GROUPS, after), after),
        nn.ReLU(),
    )


def shift_with_edges(images: Tensor, shifts: Tensor) -> Tensor:
    """Shift row b of (batch, channels, side, side) down and right by ``shifts[b]`` (2) pixels.

    The gap repeats the edge.
    """
    n, _, height, width = images.shape
    rows = torch.arange(height, device=images.device) - shifts[:, :1]  # (batch, side)
    columns = torch.arange(width, device=images.device) - shifts[:, 1:]
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    batch = torch.arange(n, device=images.device)[:, None, None]
    moved = images.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2)


class ImageClassifierRecipe(Recipe):
    """Cross-entropy by AdamW, on images with random shift, contrast and noise."""

    Config = ClassifierConfig

    def build(self, config: ClassifierConfig, spec: Spec) -> Game:
        classes = num_classifier_classes(spec)
        rate = warmup(cosine(config.lr, config.lr / 100), WARMUP)
        optimizer = AdamW(rate, weight_decay=config.weight_decay)
        return classifier_game(lambda: ImageClassifier(config, spec, classes), optimizer=optimizer)


class ClassifierFeatures(ClassifierFeatureExtractor):
    """Features of our classifier of images."""

    def check(self, samples: Tensor, spec: Spec) -> None:
        channels, side = self.spec["channels"], self.spec["image_size"]
        if samples.shape[1:] != (channels, side, side):
            raise ConfigError(
                f"the classifier was trained on {channels} channels of {side}x{side}, the samples are "
                f"{' x '.join(map(str, samples.shape[1:]))}",
                "evaluate against the source that the model was trained on",
            )
