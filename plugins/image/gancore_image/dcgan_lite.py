"""The default: plain convolutions without normalisation, for small budgets."""

from __future__ import annotations

import itertools

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from gancore import Recipe, Spec
from gancore.data import num_conditional_classes
from gancore.games import (
    AdversarialConfig,
    Discriminator,
    Game,
    adversarial_game,
    normal,
    with_defaults,
)
from gancore.nn import label_projection, piecewise_linear, project_label
from gancore_image.augmentation import AugmentedConfig, build_augmentation
from gancore_image.blocks import (
    START_SIZE,
    ScaledConv,
    SmoothUpsampleConv,
    UpsampleConv,
    channel_widths,
    channels_last,
    n_doublings,
)

WIDEST = 8
"""Maximal multiple of ``width``."""

MAX_STABLE_CHANNELS = 96
"""Channels of the widest layer up to which the learning rate is as configured.

Adam moves each weight by the learning rate, and a layer's output by that times its inputs: wider layers need
less in proportion (Yang et al. 2021, "Tensor Programs V").
"""


@with_defaults(
    loss="relativistic",
    penalty="r1+r2",
    penalty_every=16,
    lr=4e-3,
    lr_end=0.2,
    beta1=0.0,
    ema_halflife=20_000.0,
)
class DCGANLiteConfig(AugmentedConfig, AdversarialConfig):
    """Networks as in Radford et al. 2016, game as in Huang et al. 2024."""

    batch_size: PositiveInt = Field(64, description="rows of the global batch")
    steps: PositiveInt = Field(20_000, description="steps, when the command gives no budget")
    width: PositiveInt = Field(
        24, description="channels at half the image's side; doubled at every layer inwards, up to 8 times"
    )
    latent_dim: PositiveInt = Field(64, description="dimensions of a latent")
    conditional: bool = Field(False, description="train on the labels, so that --label works")


class DCGANLite(Recipe):
    """Fakes are compared with real images; lazy R1 and R2; an EMA of the generator."""

    Config = DCGANLiteConfig

    def build(self, config: DCGANLiteConfig, spec: Spec) -> Game:
        classes = num_conditional_classes(config.conditional, spec)
        return adversarial_game(
            generator=lambda: channels_last(
                DCGANLiteGenerator(spec, config.width, config.latent_dim, classes)
            ),
            discriminator=lambda: channels_last(DCGANLiteDiscriminator(spec, config.width, classes)),
            prior=normal(config.latent_dim),
            **config.game_options(lr_scale(config.width, spec["image_size"])),
            conditional=config.conditional,
            augmentation=build_augmentation(config),
        )


def lr_scale(width: int, side: int) -> float:
    """Factor on the configured learning rates: at width 24 one at 32 pixels, one half from 64 on."""
    return min(1.0, MAX_STABLE_CHANNELS / max(channel_widths(width, n_doublings(side), WIDEST)))


class DCGANLiteGenerator(nn.Module):
    """Latents (batch, latent) to images (batch, channels, side, side) in [-1, 1].

    Inner layers repeat pixels. The last doubling is bilinear, to half of ``width`` channels at the side of
    the images, which precede them: where repeated pixels made the image, it had lines along both axes.
    ``classes``: number of labels, embedded next to the latent; 0: no labels.
    """

    def __init__(self, spec: Spec, width: int, latent_dim: int, classes: int = 0) -> None:
        super().__init__()
        inwards = channel_widths(width, n_doublings(spec["image_size"]), WIDEST)
        self.label = nn.Embedding(classes, latent_dim) if classes else None
        self.dense = nn.Linear(latent_dim * (2 if classes else 1), START_SIZE * START_SIZE * inwards[-1])
        self.layers = nn.ModuleList(
            UpsampleConv(before, after) for before, after in itertools.pairwise(inwards[::-1])
        )
        full_side = max(1, width // 2)
        self.layers.append(SmoothUpsampleConv(width, full_side))
        self.last = ScaledConv(full_side, spec["channels"])

    def forward(self, latents: Tensor, label: Tensor | None = None) -> Tensor:
        if self.label is not None:
            latents = torch.cat([latents, self.label(label)], dim=1)
        x = self.dense(latents).view(latents.shape[0], -1, START_SIZE, START_SIZE)
        for layer in self.layers:
            x = layer(leaky_relu(x, 0.2))
        return torch.tanh(self.last(leaky_relu(x, 0.2)))


class DCGANLiteDiscriminator(Discriminator):
    """Images to logits (batch,); the label enters by projection (Miyato & Koyama 2018, eq. 3)."""

    def __init__(self, spec: Spec, width: int, classes: int = 0) -> None:
        super().__init__()
        inwards = channel_widths(width, n_doublings(spec["image_size"]), WIDEST)
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 4, stride=2, padding=1)
            for before, after in zip([spec["channels"], *inwards], inwards, strict=False)
        )
        self.dense = nn.Linear(START_SIZE * START_SIZE * inwards[-1], 1, bias=False)
        self.label = label_projection(classes, START_SIZE * START_SIZE * inwards[-1])

    def logits(self, embedded: Tensor, condition: Tensor | None = None) -> Tensor:
        x = embedded
        for layer in self.layers:
            x = piecewise_linear.leaky_relu(layer(x), 0.2)
        features = x.flatten(1)
        logits: Tensor = self.dense(features).squeeze(1)
        return project_label(logits, features, self.label, condition)
