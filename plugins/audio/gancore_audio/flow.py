"""A flow of waveforms, as WaveGlow (Prenger et al. 2019) without spectrogram; Flow-GAN with it."""

from __future__ import annotations

import math

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from gancore import ConfigError, Recipe, Spec
from gancore.data import num_conditional_classes
from gancore.games import (
    AdversarialConfig,
    Dequantization,
    FlowGame,
    Game,
    LikelihoodConfig,
    flow_gan,
    likelihood_game,
    with_defaults,
)
from gancore.nn import Bijection, Flow, Squeeze, steps_of_flow, zero_init
from gancore_audio.discriminators import WaveformAndSpectrogramDiscriminator
from gancore_audio.mu_law import MU, compand, expand, quantisation_cells

EDGE_SLOPE = MU / ((1 + MU) * math.log1p(MU))
"""dy/dx of companding at +-1."""


class MuLawCompanding(Bijection):
    """Mu-law companding of each sample, so that soft and loud sounds have one scale; linear beyond +-1.

    dy/dx = mu / ((1 + mu |x|) ln(1 + mu)), and beyond +-1 its value there.
    """

    def forward(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        inside = x.clamp(-1, 1)
        log_slope = math.log(MU / math.log1p(MU)) - torch.log1p(MU * inside.abs())
        return compand(inside) + (x - inside) * EDGE_SLOPE, log_slope.flatten(1).sum(1)

    def inverse(self, y: Tensor, condition: Tensor | None = None) -> Tensor:
        inside = y.clamp(-1, 1)
        return expand(inside) + (y - inside) / EDGE_SLOPE


class DilatedNetwork(nn.Module):
    """The network of a coupling: gated convolutions of width 3, dilations 1, 2, 4, ..., with residuals.

    (batch, inputs, time) to (batch, outputs, time), zero at first; with ``classes`` it is conditioned on the
    label.
    """

    def __init__(self, inputs: int, outputs: int, width: int, layers: int, classes: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(inputs, width, 1)
        self.label = nn.Embedding(classes, width) if classes else None
        self.gates = nn.ModuleList(
            nn.Conv1d(width, 2 * width, 3, dilation=2**layer, padding=2**layer) for layer in range(layers)
        )
        self.residuals = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(layers))
        self.last = zero_init(nn.Conv1d(width, outputs, 1))

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        x = self.first(x)
        if self.label is not None:
            x = x + self.label(label)[:, :, None]
        for gate, residual in zip(self.gates, self.residuals, strict=True):
            signal, gating = gate(x).chunk(2, dim=1)
            x = x + residual(torch.tanh(signal) * torch.sigmoid(gating))
        result: Tensor = self.last(x)
        return result


def build_waveform_flow(
    length: int, squeeze: int, couplings: int, width: int, layers: int, classes: int
) -> Flow:
    """Waveforms (batch, 1, length): companding, squeeze to ``squeeze`` channels, then steps as in Glow."""
    if length % squeeze:
        raise ConfigError(
            f"model.squeeze {squeeze} does not divide data.length {length}", "set model.squeeze to a divisor"
        )

    def network(inputs: int, outputs: int) -> nn.Module:
        return DilatedNetwork(inputs, outputs, width, layers, classes)

    steps = steps_of_flow(squeeze, couplings, network)
    return Flow([1, length], [MuLawCompanding(), Squeeze(squeeze), *steps])


def dequantised_waveforms() -> Dequantization:
    """Waveforms with uniform noise in the cells of 8-bit mu-law: see :mod:`gancore_audio.mu_law`."""
    return Dequantization(quantisation_cells, low=-1, high=1)


@with_defaults(lr=8e-3, lr_end=0.02, lr_warmup=0.02, ema_halflife=5_000.0)
class AudioFlowConfig(LikelihoodConfig):
    """The learning rate rises over the first fiftieth of training, then falls to 1/50 along a cosine."""

    batch_size: PositiveInt = Field(8, description="examples per global batch")
    steps: PositiveInt = Field(10_000, description="steps, when the command gives no budget")
    squeeze: int = Field(16, ge=2, le=256, description="neighbouring samples that become channels")
    couplings: PositiveInt = Field(
        8, le=64, description="affine couplings, each after an invertible 1x1 convolution"
    )
    width: PositiveInt = Field(32, description="channels of a coupling's network")
    layers: PositiveInt = Field(4, le=12, description="dilated convolutions of a coupling's network")
    clip_grad_norm: NonNegativeFloat = Field(
        1.0, description="maximal gradient norm, in nats per time step; 0: no bound"
    )
    conditional: bool = Field(False, description="train on the labels, so that --label works")


class AudioFlow(Recipe):
    """Maximum likelihood of dequantised waveforms by Adam, gradients clipped, an EMA of the model."""

    Config = AudioFlowConfig

    def build(self, config: AudioFlowConfig, spec: Spec) -> Game:
        classes = num_conditional_classes(config.conditional, spec)
        game = likelihood_game(
            lambda: build_waveform_flow(
                spec["length"], config.squeeze, config.couplings, config.width, config.layers, classes
            ),
            **config.game_options(clip_scale=spec["length"]),
            conditional=config.conditional,
            representation=dequantised_waveforms(),
            game=FlowGame,
        )
        game.fp32_by_default = True  # a cell of silence is 1/5760 wide
        return game


@with_defaults(
    penalty_weight=0.1,
    penalty_every=16,
    lr=2e-3,
    discriminator_lr=6e-4,
    lr_end=0.1,
    clip_grad_norm=100.0,
    ema_halflife=5_000.0,
)
class AudioFlowGANConfig(AdversarialConfig):
    """Both learning rates fall to a tenth along a cosine."""

    batch_size: PositiveInt = Field(8, description="examples per global batch")
    steps: PositiveInt = Field(10_000, description="steps, when the command gives no budget")
    likelihood_weight: NonNegativeFloat = Field(
        1e-3, description="weight of -log p(x) in the generator's cost, per nat; 0: adversarial cost only"
    )
    squeeze: int = Field(16, ge=2, le=256, description="neighbouring samples that become channels")
    couplings: PositiveInt = Field(
        8, le=64, description="affine couplings, each after an invertible 1x1 convolution"
    )
    width: PositiveInt = Field(32, description="channels of a coupling's network")
    layers: PositiveInt = Field(4, le=12, description="dilated convolutions of a coupling's network")
    discriminator_width: PositiveInt = Field(
        16, description="channels of the discriminator next to the waveform"
    )
    conditional: bool = Field(False, description="train on the labels, so that --label works")


class AudioFlowGAN(Recipe):
    """One move each; both players see dequantised waveforms."""

    Config = AudioFlowGANConfig

    def build(self, config: AudioFlowGANConfig, spec: Spec) -> Game:
        length, classes = spec["length"], num_conditional_classes(config.conditional, spec)
        game = flow_gan(
            flow=lambda: build_waveform_flow(
                length, config.squeeze, config.couplings, config.width, config.layers, classes
            ),
            discriminator=lambda: WaveformAndSpectrogramDiscriminator(
                spec, config.discriminator_width, 1, True, classes
            ),
            likelihood_weight=config.likelihood_weight,
            **config.game_options(),
            conditional=config.conditional,
            representation=dequantised_waveforms(),
        )
        game.fp32_by_default = True  # a cell of silence is 1/5760 wide
        return game
