"""WaveNet (van den Oord et al. 2016): the 8-bit codes of a waveform, each conditioned on all before it."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import nn

from gancore import Recipe, Spec
from gancore.data import num_conditional_classes
from gancore.games import Game, LikelihoodConfig, likelihood_game, with_defaults
from gancore.nn import Autoregressive, CausalStack, doubling_dilations, init_ordered_
from gancore_audio.mu_law import LEVELS, MuLaw

LABEL_DIM = 16
"""Size of the label embedding."""


@with_defaults(lr=1e-2, lr_end=0.01, lr_warmup=0.05, beta2=0.99)
class WaveNetConfig(LikelihoodConfig):
    """The learning rate rises over the first twentieth of training, then falls to 1/100 along a cosine."""

    batch_size: PositiveInt = Field(2, description="examples per global batch")
    steps: PositiveInt = Field(20_000, description="steps, when the command gives no budget")
    width: PositiveInt = Field(32, description="channels of the dilated convolutions")
    skip_channels: PositiveInt = Field(
        64, description="channels of the skip connections and of the layer after them"
    )
    blocks: PositiveInt = Field(2, le=16, description="repetitions of the dilations 1, 2, 4, ...")
    layers: PositiveInt = Field(9, le=16, description="dilations of a block: the last is 2^(layers - 1)")
    clip_grad_norm: NonNegativeFloat = Field(
        1.0, description="maximal gradient norm, in nats per time step; 0: no bound"
    )
    conditional: bool = Field(False, description="train on the labels, so that --label works")


class WaveNet(Recipe):
    """Maximum likelihood of 8-bit mu-law codes by Adam, on whole segments, starting with a start token.

    Digital silence, which is also the padding, is one code of 256. Once it has begun it is nearly certain and
    costs next to nothing: bits per time step, a mean over the segment, fall with the share of padding.
    """

    Config = WaveNetConfig

    def build(self, config: WaveNetConfig, spec: Spec) -> Game:
        length, classes = spec["length"], num_conditional_classes(config.conditional, spec)
        return likelihood_game(
            lambda: build_wavenet(config, length, classes),
            **config.game_options(clip_scale=length),
            conditional=config.conditional,
            representation=MuLaw(),
        )


def build_wavenet(config: WaveNetConfig, length: int, classes: int) -> Autoregressive:
    """The stack and, as in figure 4 of the paper, two layers with ReLU on its skip connections.

    Codes are ordered, so the first and the last layer are smooth functions of them at first.
    """
    dilations = doubling_dilations(config.blocks, config.layers)
    trunk = CausalStack(config.width, config.skip_channels, dilations, condition=LABEL_DIM if classes else 0)
    last = nn.Linear(config.skip_channels, LEVELS)
    head = nn.Sequential(nn.ReLU(), nn.Linear(config.skip_channels, config.skip_channels), nn.ReLU(), last)
    label = nn.Embedding(classes, LABEL_DIM) if classes else None
    model = Autoregressive(trunk, head, LEVELS, length, label)
    init_ordered_(model.embedding.weight)
    init_ordered_(last.weight)
    return model
