"""WaveNet (van den Oord et al. 2016): a waveform's 8-bit codes, each told from all before it."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import nn

from gancore import Recipe, RecipeSection, Spec
from gancore.data.classes import classes_told
from gancore.games import Adam, Game, cosine, likelihood, warmup
from gancore.nn.autoregressive import Autoregressive, ordered_
from gancore.nn.causal import CausalStack, doubling
from gancore_audio.mulaw import LEVELS, MuLaw

LABEL = 16
"""Numbers that tell every layer a label."""


class WaveNetConfig(RecipeSection):
    """The rate rises over the first twentieth of training, and falls to a hundredth along a cosine."""

    batch_size: PositiveInt = Field(2, description="rows of the joined batch")
    steps: PositiveInt = Field(20_000, description="rounds, when the command names no budget")
    width: PositiveInt = Field(32, description="channels of the dilated convolutions")
    skips: PositiveInt = Field(64, description="channels that all layers add to, and of the next")
    blocks: PositiveInt = Field(2, le=16, description="times that dilations 1, 2, 4, ... are gone through")
    layers: PositiveInt = Field(9, le=16, description="dilations of a block: the last is 2^(layers - 1)")
    lr: PositiveFloat = Field(1e-2, description="Adam's highest rate")
    clip: PositiveFloat = Field(1.0, description="bound on the gradient's norm, in nats a time step")
    average: NonNegativeFloat = Field(
        0.0, description="half-life of the model's average, in samples; 0: none"
    )
    conditional: bool = Field(False, description="train on the labels, so that --label works")


class WaveNet(Recipe):
    """Maximum likelihood of 8-bit mu-law codes by Adam, on whole windows from a start token on.

    Digital silence, of which padding is made, is one code of 256. It is nearly certain once it has begun and
    costs next to nothing: bits a time step, a mean over the window, fall with the share of padding in it.
    """

    Config = WaveNetConfig

    def build(self, config: WaveNetConfig, spec: Spec) -> Game:
        length, classes = spec["length"], classes_told(config.conditional, spec)
        rate = warmup(cosine(config.lr, config.lr / 100), 0.05)
        return likelihood(
            lambda: wavenet(config, length, classes),
            rule=Adam(rate, (0.9, 0.99)),
            average=config.average or None,
            clip=config.clip * length,
            conditional=config.conditional,
            representation=MuLaw(),
        )


def wavenet(config: WaveNetConfig, length: int, classes: int) -> Autoregressive:
    """The stack and, as in the paper's figure 4, two rectified layers on its skips.

    Codes are in order, so the first and the last layer begin as smooth functions of them.
    """
    dilations = doubling(config.blocks, config.layers)
    trunk = CausalStack(config.width, config.skips, dilations, condition=LABEL if classes else 0)
    last = nn.Linear(config.skips, LEVELS)
    head = nn.Sequential(nn.ReLU(), nn.Linear(config.skips, config.skips), nn.ReLU(), last)
    label = nn.Embedding(classes, LABEL) if classes else None
    model = Autoregressive(trunk, head, LEVELS, length, label)
    ordered_(model.embedding.weight)
    ordered_(last.weight)
    return model
