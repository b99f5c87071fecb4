"""The default: plain convolutions without normalisation, for small budgets."""

from __future__ import annotations

import itertools

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from gancore import Recipe, Spec
from gancore.data.classes import classes_told
from gancore.games import (
    AdversarialSection,
    Discriminator,
    Game,
    adversarial,
    defaults,
    normal,
)
from gancore.nn import piecewise
from gancore_image.augmentation import AugmentedSection, augmentation_of
from gancore_image.blocks import START, Enlarge, channels_last, doublings, widths

WIDEST = 8
"""The most multiples of ``width``."""

STEADY = 48
"""Channels of the widest layer up to which the rate is as configured.

Adam moves each weight by the rate, and a layer's output by that times its inputs: wider ones need less in
proportion (Yang et al. 2021, "Tensor Programs V"). At 192 channels a rate of 1e-3 or 2e-3 turned all pictures
of 32 pixels black within the first rounds, 5e-4 did not.
"""


@defaults(
    loss="relativistic",
    penalty="r1+r2",
    penalty_every=16,
    lr=2e-3,
    lr_end=0.2,
    beta1=0.0,
    average=20_000.0,
)
class DCGANLiteConfig(AugmentedSection, AdversarialSection):
    """Radford et al. 2016 in outline, Huang et al. 2024 in what is played."""

    batch_size: PositiveInt = Field(64, description="rows of the joined batch")
    steps: PositiveInt = Field(20_000, description="rounds, when the command names no budget")
    width: PositiveInt = Field(
        48, description="channels next to the picture; doubled at every layer inwards, up to eightfold"
    )
    latent: PositiveInt = Field(64, description="numbers in a latent")
    conditional: bool = Field(False, description="train on the labels, so that --label works")


class DCGANLite(Recipe):
    """Each fake is judged beside a real one; lazy R1 and R2; an average of the generator."""

    Config = DCGANLiteConfig

    def build(self, config: DCGANLiteConfig, spec: Spec) -> Game:
        classes = classes_told(config.conditional, spec)
        return adversarial(
            generator=lambda: channels_last(LiteGenerator(spec, config.width, config.latent, classes)),
            discriminator=lambda: LiteDiscriminator(spec, config.width, classes),
            discriminator_remedies=[channels_last],
            prior=normal(config.latent),
            **config.options(rate_scale(config.width, spec["side"])),
            conditional=config.conditional,
            augmentation=augmentation_of(config),
        )


def rate_scale(width: int, side: int) -> float:
    """Of the configured rates: at width 48 a quarter at 32 pixels, an eighth from 64 on."""
    return min(1.0, STEADY / max(widths(width, doublings(side), WIDEST)))


class LiteGenerator(nn.Module):
    """Latents (batch, latent) to pictures (batch, channels, side, side) in [-1, 1].

    ``classes``: labels, embedded beside the latent; 0 for none.
    """

    def __init__(self, spec: Spec, width: int, latent: int, classes: int = 0) -> None:
        super().__init__()
        inwards = widths(width, doublings(spec["side"]), WIDEST)
        self.label = nn.Embedding(classes, latent) if classes else None
        self.dense = nn.Linear(latent * (2 if classes else 1), START * START * inwards[-1])
        channels = [*inwards[::-1], spec["channels"]]
        self.layers = nn.ModuleList(Enlarge(before, after) for before, after in itertools.pairwise(channels))

    def forward(self, latents: Tensor, label: Tensor | None = None) -> Tensor:
        if self.label is not None:
            latents = torch.cat([latents, self.label(label)], dim=1)
        x = self.dense(latents).view(len(latents), -1, START, START)
        for layer in self.layers:
            x = layer(leaky_relu(x, 0.2))
        return torch.tanh(x)


class LiteDiscriminator(Discriminator):
    """Pictures to logits (batch,); the label enters by projection (Miyato & Koyama 2018, eq. 3)."""

    def __init__(self, spec: Spec, width: int, classes: int = 0) -> None:
        super().__init__()
        inwards = widths(width, doublings(spec["side"]), WIDEST)
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 4, stride=2, padding=1)
            for before, after in zip([spec["channels"], *inwards], inwards, strict=False)
        )
        self.dense = nn.Linear(START * START * inwards[-1], 1, bias=False)
        self.label = nn.Embedding(classes, START * START * inwards[-1]) if classes else None
        if self.label is not None:
            nn.init.zeros_(self.label.weight)  # so that it judges all labels alike at first

    def judge(self, embedded: Tensor, condition: Tensor | None = None) -> Tensor:
        x = embedded
        for layer in self.layers:
            x = piecewise.leaky_relu(layer(x), 0.2)
        features = x.flatten(1)
        logits: Tensor = self.dense(features).squeeze(1)
        if self.label is not None:
            logits = logits + (features * self.label(condition)).sum(1) / features.shape[1] ** 0.5
        return logits
