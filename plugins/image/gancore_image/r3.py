"""R3GAN from its description (Huang et al. 2024): relativistic pairs, R1 and R2, no normalisation.

Left out: Adam's memory of squares stays as it is (there it grows from 0.9 to 0.99); rates, penalties and
augmentation run over the whole training (there over its first 8 %); resampling is by means of 2x2 and by
bilinear interpolation, without the longer filters of larger pictures.
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
from gancore.data.classes import classes_told
from gancore.games import (
    AdversarialSection,
    Discriminator,
    Game,
    Identity,
    adversarial,
    defaults,
    normal,
)
from gancore.nn.piecewise import avg_pool2d, leaky_relu
from gancore.trees import Tree, map_tree
from gancore_image.augmentation import AugmentedSection, augmentation_of
from gancore_image.blocks import START, Logit, channels_last, doublings, widths

SLOPE = 0.2
EXPANSION, GROUP = 2, 16
"""Of a residual block: the inner width in outer ones, and the channels of a group."""


@dataclass(frozen=True)
class Size:
    """Channels next to the picture, how far they grow inwards, and the residual blocks of a stage."""

    width: int
    widest: int
    blocks: int


SIZES = {"small": Size(width=24, widest=8, blocks=1), "base": Size(width=768, widest=1, blocks=2)}
"""``base`` is the paper's for CIFAR-10: 768 channels throughout, 96 groups, two blocks a stage."""


@defaults(
    loss="relativistic",
    penalty="r1+r2",
    penalty_weight=10.0,
    penalty_every=4,
    lr=2e-3,
    lr_end=0.25,
    beta1=0.0,
    average=50_000.0,
)
class R3Config(AugmentedSection, AdversarialSection):
    """Huang et al. 2024; the paper's values for CIFAR-10 stand in the plugin's page."""

    batch_size: PositiveInt = Field(64, description="rows of the joined batch")
    steps: PositiveInt = Field(50_000, description="rounds, when the command names no budget")
    size: Literal["small", "base"] = Field("small", description="of both networks: for hours, or for days")
    width: PositiveInt | None = Field(None, description="channels next to the picture; none: the size's")
    latent: PositiveInt = Field(64, description="numbers in a latent")
    conditional: bool = Field(False, description="train on the labels, so that --label works")


class R3(Recipe):
    """Each fake is judged beside a real one, both gradients are penalised, nothing is normalised."""

    Config = R3Config

    def build(self, config: R3Config, spec: Spec) -> Game:
        classes, size = classes_told(config.conditional, spec), size_of(config)
        return adversarial(
            generator=lambda: channels_last(R3Generator(spec, size, config.latent, classes)),
            discriminator=lambda: R3Discriminator(spec, size, classes),
            prior=normal(config.latent),
            **config.options(),
            discriminator_remedies=[channels_last],
            conditional=config.conditional,
            representation=Clamped(),
            augmentation=augmentation_of(config),
        )


def size_of(config: R3Config) -> Size:
    size = SIZES[config.size]
    return replace(size, width=config.width) if config.width else size


class Clamped(Identity):
    """Networks see pictures as they are; what is beyond black and white is cut off when samples are made."""

    def decode(self, outputs: Tree) -> Tree:
        return map_tree(lambda x: x.clamp(-1, 1), outputs)


class R3Generator(nn.Module):
    """Latents (batch, latent) to pictures (batch, channels, side, side), without bounds.

    Learned 4 x 4 maps, each scaled by a linear function of the latent; then a stage for each side.
    ``classes``: labels, embedded beside the latent; 0 for none.
    """

    def __init__(self, spec: Spec, size: Size, latent: int, classes: int = 0) -> None:
        super().__init__()
        inner = stage_widths(spec, size)[::-1]
        self.label = nn.Embedding(classes, latent) if classes else None
        self.basis = nn.Parameter(torch.randn(inner[0], START, START))
        self.dense = nn.Linear(latent * (2 if classes else 1), inner[0], bias=False)
        self.stages = nn.ModuleList(stage(width, size, len(inner)) for width in inner)
        self.transitions = nn.ModuleList(transition(*pair) for pair in pairwise(inner))
        self.last = nn.Conv2d(inner[-1], spec["channels"], 1, bias=False)
        for layer in (self.dense, self.last):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")

    def forward(self, latents: Tensor, label: Tensor | None = None) -> Tensor:
        if self.label is not None:
            latents = torch.cat([latents, self.label(label)], dim=1)
        x = self.stages[0](self.basis * self.dense(latents)[:, :, None, None])
        for change, blocks in zip(self.transitions, self.stages[1:], strict=True):
            x = interpolate(change(x), scale_factor=2, mode="bilinear")
            x = blocks(x)
        pictures: Tensor = self.last(x)
        return pictures


class R3Discriminator(Discriminator):
    """Pictures to logits (batch,): the generator's mirror, ended by a 4 x 4 filter of each channel.

    Neither pixels nor logits have a bias: pairs are compared, and at first the network is linear: only
    rounding would move it.
    """

    def __init__(self, spec: Spec, size: Size, classes: int = 0) -> None:
        super().__init__()
        inner = stage_widths(spec, size)
        self.first = nn.Conv2d(spec["channels"], inner[0], 1, bias=False)
        self.stages = nn.ModuleList(stage(width, size, len(inner)) for width in inner)
        self.transitions = nn.ModuleList(transition(*pair) for pair in pairwise(inner))
        self.filter = nn.Conv2d(inner[-1], inner[-1], START, groups=inner[-1], bias=False)
        self.logit = Logit(inner[-1], classes, bias=False)
        for layer in (self.first, self.filter, self.logit.dense):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")

    def judge(self, embedded: Tensor, condition: Tensor | None = None) -> Tensor:
        x = self.stages[0](self.first(embedded))
        for change, blocks in zip(self.transitions, self.stages[1:], strict=True):
            x = blocks(change(avg_pool2d(x, 2)))
        logits: Tensor = self.logit(self.filter(x).flatten(1), condition)
        return logits


class Residual(nn.Module):
    """x + F(x): 1x1 to twice the width, leaky ReLU, grouped 3x3, leaky ReLU, 1x1 back.

    F begins at zero, so a network of ``depth`` such blocks begins as its transitions alone; its first two
    convolutions are drawn depth^(-1/4) times as large as He et al. 2015 draw them (Zhang et al. 2019, Fixup,
    with three layers in a block).
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        inner = width * EXPANSION
        self.widen = nn.Conv2d(width, inner, 1)
        groups = gcd(inner, inner // GROUP) if inner >= GROUP else 1  # fewer, larger ones at odd widths
        self.mix = nn.Conv2d(inner, inner, 3, padding=1, groups=groups)
        self.narrow = nn.Conv2d(inner, width, 1, bias=False)
        for layer in (self.widen, self.mix):
            nn.init.kaiming_normal_(layer.weight, SLOPE)
            layer.weight.data.mul_(depth**-0.25)
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.narrow.weight)

    def forward(self, x: Tensor) -> Tensor:
        h = leaky_relu(self.widen(x), SLOPE)
        h = leaky_relu(self.mix(h), SLOPE)
        return x + self.narrow(h)


def stage(width: int, size: Size, stages: int) -> nn.Sequential:
    return nn.Sequential(*(Residual(width, size.blocks * stages) for _ in range(size.blocks)))


def transition(before: int, after: int) -> nn.Module:
    """A 1x1 convolution where the width changes. It gives the same before resampling as after it."""
    if before == after:
        return nn.Identity()
    layer = nn.Conv2d(before, after, 1, bias=False)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
    return layer


def stage_widths(spec: Spec, size: Size) -> list[int]:
    """Channels of the stages, from the picture to 4 x 4."""
    return widths(size.width, doublings(spec["side"]) + 1, size.widest)
