"""R3GAN from its description (Huang et al. 2024): relativistic pairs, R1 and R2, no normalisation.

Differences: beta2 is constant (there it grows from 0.9 to 0.99); schedules of rates, penalties and
augmentation span the whole training (there its first 8 %); resampling is by means of 2x2 and by bilinear
interpolation, without the longer filters for larger images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from math import gcd
from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import interpolate

from gancore import Recipe, Spec
from gancore.data import Tree, num_conditional_classes, tree_map
from gancore.games import (
    AdversarialConfig,
    Discriminator,
    Game,
    Identity,
    adversarial_game,
    normal,
    with_defaults,
)
from gancore.nn import avg_pool2d, leaky_relu
from gancore_image.augmentation import AugmentedConfig, build_augmentation
from gancore_image.blocks import (
    START_SIZE,
    ProjectionHead,
    bias_of,
    channel_widths,
    channels_last,
    n_doublings,
)

SLOPE = 0.2
EXPANSION, GROUP = 2, 16
"""Of a residual block: inner width over outer width, and channels per group."""


@dataclass(frozen=True)
class R3Size:
    """Channels next to the image, their maximal multiple inwards, and residual blocks per stage."""

    width: int
    widest: int
    blocks: int


SIZES = {"small": R3Size(width=24, widest=8, blocks=1), "base": R3Size(width=768, widest=1, blocks=2)}
"""``base`` is that of the paper for CIFAR-10: 768 channels throughout, 96 groups, two blocks a stage."""


@with_defaults(
    loss="relativistic",
    penalty="r1+r2",
    penalty_weight=10.0,
    penalty_every=4,
    lr=2e-3,
    lr_end=0.25,
    beta1=0.0,
    ema_halflife=50_000.0,
)
class R3Config(AugmentedConfig, AdversarialConfig):
    """Huang et al. 2024; the documentation of the plugin has the paper's values for CIFAR-10."""

    batch_size: PositiveInt = Field(64, description="examples per global batch")
    steps: PositiveInt = Field(50_000, description="steps, when the command gives no budget")
    size: Literal["small", "base"] = Field(
        "small", description="size of both networks: for hours, or for days"
    )
    width: PositiveInt | None = Field(None, description="channels next to the image; none: the size's")
    latent_dim: PositiveInt = Field(64, description="dimensions of a latent")
    conditional: bool = Field(False, description="train on the labels, so that --label works")


class R3(Recipe):
    """Fakes are compared with real images, both gradients are penalised, nothing is normalised."""

    Config = R3Config

    def build(self, config: R3Config, spec: Spec) -> Game:
        classes, size = num_conditional_classes(config.conditional, spec), resolve_size(config)
        return adversarial_game(
            generator=lambda: channels_last(R3Generator(spec, size, config.latent_dim, classes)),
            discriminator=lambda: channels_last(R3Discriminator(spec, size, classes)),
            prior=normal(config.latent_dim),
            **config.game_options(),
            conditional=config.conditional,
            representation=ClampedImages(),
            augmentation=build_augmentation(config),
        )


def resolve_size(config: R3Config) -> R3Size:
    size = SIZES[config.size]
    return replace(size, width=config.width) if config.width else size


class ClampedImages(Identity):
    """Networks see unclamped images; samples are clamped to [-1, 1]."""

    def decode(self, outputs: Tree) -> Tree:
        return tree_map(lambda x: x.clamp(-1, 1), outputs)


class R3Generator(nn.Module):
    """Latents (batch, latent) to images (batch, channels, side, side), without bounds.

    Learned 4 x 4 maps, each scaled by a linear function of the latent; then a stage for each side.
    ``classes``: number of labels, embedded next to the latent; 0: no labels.
    """

    def __init__(self, spec: Spec, size: R3Size, latent_dim: int, classes: int = 0) -> None:
        super().__init__()
        widths = stage_widths(spec, size)[::-1]
        self.label = nn.Embedding(classes, latent_dim) if classes else None
        self.basis = nn.Parameter(torch.randn(widths[0], START_SIZE, START_SIZE))
        self.dense = nn.Linear(latent_dim * (2 if classes else 1), widths[0], bias=False)
        self.stages = nn.ModuleList(make_stage(width, size, len(widths)) for width in widths)
        self.transitions = nn.ModuleList(make_transition(*pair) for pair in pairwise(widths))
        self.last = nn.Conv2d(widths[-1], spec["channels"], 1, bias=False)
        for layer in (self.dense, self.last):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")

    def forward(self, latents: Tensor, label: Tensor | None = None) -> Tensor:
        if self.label is not None:
            latents = torch.cat([latents, self.label(label)], dim=1)
        x = self.stages[0](self.basis * self.dense(latents)[:, :, None, None])
        for change, blocks in zip(self.transitions, self.stages[1:], strict=True):
            x = interpolate(change(x), scale_factor=2, mode="bilinear")
            x = blocks(x)
        images: Tensor = self.last(x)
        return images


class R3Discriminator(Discriminator):
    """Images to logits (batch,): the generator's mirror, ended by a 4 x 4 filter of each channel.

    Neither pixels nor logits have a bias: the loss takes differences, and the network is linear at first, so
    only rounding would change a bias.
    """

    def __init__(self, spec: Spec, size: R3Size, classes: int = 0) -> None:
        super().__init__()
        widths = stage_widths(spec, size)
        self.first = nn.Conv2d(spec["channels"], widths[0], 1, bias=False)
        self.stages = nn.ModuleList(make_stage(width, size, len(widths)) for width in widths)
        self.transitions = nn.ModuleList(make_transition(*pair) for pair in pairwise(widths))
        self.filter = nn.Conv2d(widths[-1], widths[-1], START_SIZE, groups=widths[-1], bias=False)
        self.logit = ProjectionHead(widths[-1], classes, bias=False)
        for layer in (self.first, self.filter, self.logit.dense):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")

    def logits(self, embedded: Tensor, condition: Tensor | None = None) -> Tensor:
        x = self.stages[0](self.first(embedded))
        for change, blocks in zip(self.transitions, self.stages[1:], strict=True):
            x = blocks(change(avg_pool2d(x, 2)))
        logits: Tensor = self.logit(self.filter(x).flatten(1), condition)
        return logits


class R3Block(nn.Module):
    """x + F(x): 1x1 to twice the width, leaky ReLU, grouped 3x3, leaky ReLU, 1x1 back.

    F is zero at first, so a network of ``depth`` such blocks begins as its transitions; its first two
    convolutions are initialised depth^(-1/4) times as large as in He et al. 2015 (Zhang et al. 2019, Fixup,
    with three layers in a block).
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        inner_width = width * EXPANSION
        self.widen = nn.Conv2d(width, inner_width, 1)
        groups = (
            gcd(inner_width, inner_width // GROUP) if inner_width >= GROUP else 1
        )  # fewer, larger ones at odd widths
        self.mix = nn.Conv2d(inner_width, inner_width, 3, padding=1, groups=groups)
        self.narrow = nn.Conv2d(inner_width, width, 1, bias=False)
        for layer in (self.widen, self.mix):
            nn.init.kaiming_normal_(layer.weight, SLOPE)
            layer.weight.data.mul_(depth**-0.25)
            nn.init.zeros_(bias_of(layer))
        nn.init.zeros_(self.narrow.weight)

    def forward(self, x: Tensor) -> Tensor:
        h = leaky_relu(self.widen(x), SLOPE)
        h = leaky_relu(self.mix(h), SLOPE)
        result: Tensor = x + self.narrow(h)
        return result


def make_stage(width: int, size: R3Size, stages: int) -> nn.Sequential:
    return nn.Sequential(*(R3Block(width, size.blocks * stages) for _ in range(size.blocks)))


def make_transition(before: int, after: int) -> nn.Module:
    """A 1x1 convolution if the width changes; the same result before resampling as after it."""
    if before == after:
        return nn.Identity()
    layer = nn.Conv2d(before, after, 1, bias=False)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
    return layer


def stage_widths(spec: Spec, size: R3Size) -> list[int]:
    """Channels of the stages, from the image to 4 x 4."""
    return channel_widths(size.width, n_doublings(spec["image_size"]) + 1, size.widest)
