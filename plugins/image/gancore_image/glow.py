"""Glow (Kingma and Dhariwal 2018): an image's density by couplings at several scales, there and back."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import relu

from gancore import ConfigError, Recipe, RecipeSection, Spec
from gancore.data.classes import classes_told
from gancore.games import Adam, FlowGame, Game, cosine, likelihood, warmup
from gancore.nn.bijections import ActivationNorm, Bijection, Coupling, Logit, Mixing, Squeeze, zeroed
from gancore.nn.flows import Flow
from gancore.nn.scales import Split
from gancore_image.levels import STEP, dequantised

END = 1 + STEP / 2
"""Where the last cell ends."""


class CouplingNetwork(nn.Module):
    """What a coupling asks: convolutions of 3x3, 1x1 and 3x3 (section B), the last one 0 at first.

    (batch, inputs, side, side) to (batch, outputs, side, side); with ``classes`` it is told a label.
    """

    def __init__(self, inputs: int, outputs: int, width: int, classes: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, width, 3, padding=1)
        self.label = nn.Embedding(classes, width) if classes else None
        self.middle = nn.Conv2d(width, width, 1)
        self.last = zeroed(nn.Conv2d(width, outputs, 3, padding=1))

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        x = self.first(x.contiguous(memory_format=torch.channels_last))
        if self.label is not None:
            x = x + self.label(label)[:, :, None, None]
        outputs: Tensor = self.last(relu(self.middle(relu(x))))
        return outputs.contiguous()


def image_flow(
    side: int, channels: int, scales: int, couplings: int, width: int, edge: float, classes: int
) -> Flow:
    """Images (batch, channels, side, side): a logit of each pixel, then ``couplings`` at each scale.

    There are as many scales as asked for, or as the side can be halved evenly.
    """
    if side % 2:
        raise ConfigError(f"a flow of images of {side} pixels a side", "give data.side an even number")
    shape = (channels, side, side)
    return Flow(shape, [Logit(-END, END, edge), *_scale(shape, scales, couplings, width, classes)])


def _scale(
    shape: tuple[int, int, int], scales: int, couplings: int, width: int, classes: int
) -> Sequence[Bijection]:
    """Squeezed, steps of flow, and half of the channels left while the others go on: figure 2b."""
    channels, side = 4 * shape[0], shape[1] // 2
    chain: list[Bijection] = [Squeeze(2), *steps_of_flow(channels, couplings, width, classes)]
    if scales > 1 and side % 2 == 0:
        kept = channels // 2
        onward = _scale((kept, side, side), scales - 1, couplings, width, classes)
        chain += [_coupling(channels, width, classes), Split((channels, side, side), kept, onward)]
    return chain


def steps_of_flow(channels: int, couplings: int, width: int, classes: int) -> list[Bijection]:
    """Figure 2a, so many times: activation norm, 1x1 mixing, affine coupling."""
    return [
        bijection
        for _ in range(couplings)
        for bijection in (ActivationNorm(channels), Mixing(channels), _coupling(channels, width, classes))
    ]


def _coupling(channels: int, width: int, classes: int) -> Coupling:
    kept = channels // 2
    return Coupling(CouplingNetwork(kept, 2 * (channels - kept), width, classes), kept)


class GlowConfig(RecipeSection):
    """The rate rises over the first twentieth of training, and falls to a fiftieth along a cosine."""

    batch_size: PositiveInt = Field(32, description="rows of the joined batch")
    steps: PositiveInt = Field(20_000, description="rounds, when the command names no budget")
    scales: PositiveInt = Field(3, le=8, description="times that space is halved, where the side allows it")
    couplings: PositiveInt = Field(8, le=64, description="steps of flow at each scale")
    width: PositiveInt = Field(64, description="channels of a coupling's network")
    edge: PositiveFloat = Field(
        1e-3, lt=0.5, description="a in logit(a + (1 - 2 a) p): the smaller, the further are extremes apart"
    )
    lr: PositiveFloat = Field(5e-3, description="Adam's highest rate")
    clip: PositiveFloat = Field(1.0, description="bound on the gradient's norm, in nats a dimension")
    average: NonNegativeFloat = Field(
        5_000.0, description="half-life of the model's average, in samples; 0: none"
    )
    conditional: bool = Field(False, description="train on the labels, so that --label works")


class Glow(Recipe):
    """Maximum likelihood of dequantised pixels by Adam, gradients clipped, an average of the model."""

    Config = GlowConfig

    def build(self, config: GlowConfig, spec: Spec) -> Game:
        side, channels, classes = spec["side"], spec["channels"], classes_told(config.conditional, spec)
        return likelihood(
            lambda: image_flow(
                side, channels, config.scales, config.couplings, config.width, config.edge, classes
            ),
            rule=Adam(warmup(cosine(config.lr, config.lr / 50), 0.05)),
            average=config.average or None,
            clip=config.clip * channels * side**2,
            conditional=config.conditional,
            representation=dequantised(),
            game=FlowGame,
        )
