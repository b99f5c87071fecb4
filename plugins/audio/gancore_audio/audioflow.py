"""A flow of waveforms: WaveGlow's shape (Prenger et al. 2019) without the spectrogram that it is told."""

from __future__ import annotations

import math

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from gancore import ConfigError, Recipe, RecipeSection, Spec
from gancore.data.classes import classes_told
from gancore.games import Adam, Dequantised, FlowGame, Game, cosine, likelihood, warmup
from gancore.nn.bijections import ActivationNorm, Bijection, Coupling, Mixing, Squeeze, zeroed
from gancore.nn.flows import Flow
from gancore_audio.mulaw import MU, cells, compand, expand

STEEPNESS = MU / ((1 + MU) * math.log1p(MU))
"""dy/dx of companding at +-1."""


class Companding(Bijection):
    """Mu-law companding of each sample, so that soft and loud are of one size; straight lines beyond +-1.

    dy/dx = mu / ((1 + mu |x|) ln(1 + mu)), and beyond +-1 what it is there.
    """

    def forward(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        inside = x.clamp(-1, 1)
        log_slope = math.log(MU / math.log1p(MU)) - torch.log1p(MU * inside.abs())
        return compand(inside) + (x - inside) * STEEPNESS, log_slope.flatten(1).sum(1)

    def inverse(self, y: Tensor, condition: Tensor | None = None) -> Tensor:
        inside = y.clamp(-1, 1)
        return expand(inside) + (y - inside) / STEEPNESS


class DilatedNetwork(nn.Module):
    """What a coupling asks: gated convolutions of width 3, dilations 1, 2, 4, ..., each added to its input.

    (batch, inputs, time) to (batch, outputs, time), 0 at first; with ``classes`` it is told a label.
    """

    def __init__(self, inputs: int, outputs: int, width: int, layers: int, classes: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(inputs, width, 1)
        self.label = nn.Embedding(classes, width) if classes else None
        self.gates = nn.ModuleList(
            nn.Conv1d(width, 2 * width, 3, dilation=2**layer, padding=2**layer) for layer in range(layers)
        )
        self.residuals = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(layers))
        self.last = zeroed(nn.Conv1d(width, outputs, 1))

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        x = self.first(x)
        if self.label is not None:
            x = x + self.label(label)[:, :, None]
        for gate, residual in zip(self.gates, self.residuals, strict=True):
            filtered, opened = gate(x).chunk(2, dim=1)
            x = x + residual(torch.tanh(filtered) * torch.sigmoid(opened))
        return self.last(x)


def wave_flow(length: int, squeeze: int, couplings: int, width: int, layers: int, classes: int) -> Flow:
    """Waveforms (batch, 1, length): companded, cut into ``squeeze`` channels, then steps as Glow's."""
    if length % squeeze:
        raise ConfigError(f"model.squeeze {squeeze} does not divide data.length {length}", "give a divisor")
    kept = squeeze // 2
    steps = [
        bijection
        for _ in range(couplings)
        for bijection in (
            ActivationNorm(squeeze),
            Mixing(squeeze),
            Coupling(DilatedNetwork(kept, 2 * (squeeze - kept), width, layers, classes), kept),
        )
    ]
    return Flow([1, length], [Companding(), Squeeze(squeeze), *steps])


def waveforms() -> Dequantised:
    """Waveforms spread evenly over the cells of 8-bit mu-law: see :mod:`gancore_audio.mulaw`."""
    return Dequantised(cells, low=-1, high=1)


class AudioFlowConfig(RecipeSection):
    """The rate rises over the first fiftieth of training, and falls to a fiftieth along a cosine."""

    batch_size: PositiveInt = Field(8, description="rows of the joined batch")
    steps: PositiveInt = Field(10_000, description="rounds, when the command names no budget")
    squeeze: int = Field(16, ge=2, le=256, description="neighbouring samples that become channels")
    couplings: PositiveInt = Field(8, le=64, description="affine couplings, each after a mixing of channels")
    width: PositiveInt = Field(32, description="channels of a coupling's network")
    layers: PositiveInt = Field(4, le=12, description="dilated convolutions of a coupling's network")
    lr: PositiveFloat = Field(8e-3, description="Adam's highest rate")
    clip: PositiveFloat = Field(1.0, description="bound on the gradient's norm, in nats a time step")
    average: NonNegativeFloat = Field(
        5_000.0, description="half-life of the model's average, in samples; 0: none"
    )
    conditional: bool = Field(False, description="train on the labels, so that --label works")


class AudioFlow(Recipe):
    """Maximum likelihood of dequantised waveforms by Adam, gradients clipped, an average of the model."""

    Config = AudioFlowConfig

    def build(self, config: AudioFlowConfig, spec: Spec) -> Game:
        classes = classes_told(config.conditional, spec)
        game = likelihood(
            lambda: wave_flow(
                spec["length"], config.squeeze, config.couplings, config.width, config.layers, classes
            ),
            rule=Adam(warmup(cosine(config.lr, config.lr / 50), 0.02)),
            average=config.average or None,
            clip=config.clip * spec["length"],
            conditional=config.conditional,
            representation=waveforms(),
            game=FlowGame,
        )
        game.full_precision = True  # a cell of silence is 1/5760 wide
        return game
