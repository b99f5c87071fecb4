"""Glow (Kingma and Dhariwal 2018), a flow of images; Flow-GAN (Grover et al. 2018) with it as generator."""

from __future__ import annotations

from collections.abc import Callable

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import relu

from gancore import ConfigError, Recipe, Spec
from gancore.data import num_conditional_classes
from gancore.games import (
    AdversarialConfig,
    FlowGame,
    Game,
    LikelihoodConfig,
    flow_gan,
    likelihood_game,
    with_defaults,
)
from gancore.nn import (
    Bijection,
    Flow,
    Logit,
    Split,
    Squeeze,
    half_coupling,
    steps_of_flow,
    zero_init,
)
from gancore_image.dcgan_lite import DCGANLiteDiscriminator
from gancore_image.levels import CELL_WIDTH, dequantised_images

LAST_CELL_EDGE = 1 + CELL_WIDTH / 2
"""Upper end of the last cell."""


class CouplingNetwork(nn.Module):
    """The network of a coupling: convolutions of 3x3, 1x1 and 3x3 (section B), the last one zero at first.

    (batch, inputs, side, side) to (batch, outputs, side, side); with ``classes`` it is conditioned on the
    label.
    """

    def __init__(self, inputs: int, outputs: int, width: int, classes: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, width, 3, padding=1)
        self.label = nn.Embedding(classes, width) if classes else None
        self.middle = nn.Conv2d(width, width, 1)
        self.last = zero_init(nn.Conv2d(width, outputs, 3, padding=1))

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        x = self.first(x.contiguous(memory_format=torch.channels_last))
        if self.label is not None:
            x = x + self.label(label)[:, :, None, None]
        outputs: Tensor = self.last(relu(self.middle(relu(x))))
        return outputs.contiguous()


def build_image_flow(
    side: int, channels: int, scales: int, couplings: int, width: int, edge: float, classes: int
) -> Flow:
    """Images (batch, channels, side, side): a logit of each pixel, then ``couplings`` at each scale.

    There are ``scales`` scales, or as many as the side can be halved evenly.
    """
    if side % 2:
        raise ConfigError(
            f"a flow needs images of even side, and data.image_size is {side}",
            "set data.image_size to an even number",
        )

    def network(inputs: int, outputs: int) -> nn.Module:
        return CouplingNetwork(inputs, outputs, width, classes)

    shape = (channels, side, side)
    chain = [Logit(-LAST_CELL_EDGE, LAST_CELL_EDGE, edge), *_scale_chain(shape, scales, couplings, network)]
    return Flow(shape, chain)


def _scale_chain(
    shape: tuple[int, int, int], scales: int, couplings: int, network: Callable[[int, int], nn.Module]
) -> list[Bijection]:
    """Squeeze, steps of flow, and split: half of the channels pass on to the next scale (figure 2b)."""
    channels, side = 4 * shape[0], shape[1] // 2
    chain: list[Bijection] = [Squeeze(2), *steps_of_flow(channels, couplings, network)]
    if scales > 1 and side % 2 == 0:
        n_unchanged = channels // 2
        next_scale = _scale_chain((n_unchanged, side, side), scales - 1, couplings, network)
        chain += [half_coupling(channels, network), Split((channels, side, side), n_unchanged, next_scale)]
    return chain


@with_defaults(lr=5e-3, lr_end=0.02, lr_warmup=0.05, ema_halflife=5_000.0)
class GlowConfig(LikelihoodConfig):
    """The learning rate rises over the first twentieth of training, then falls to 1/50 along a cosine."""

    batch_size: PositiveInt = Field(32, description="examples per global batch")
    steps: PositiveInt = Field(20_000, description="steps, when the command gives no budget")
    scales: PositiveInt = Field(
        3, le=8, description="number of scales, each of half the side, as far as the side can be halved"
    )
    couplings: PositiveInt = Field(8, le=64, description="steps of flow per scale")
    width: PositiveInt = Field(64, description="channels of a coupling's network")
    logit_alpha: PositiveFloat = Field(1e-3, lt=0.5, description="alpha in logit(alpha + (1 - 2 alpha) p)")
    clip_grad_norm: NonNegativeFloat = Field(
        1.0, description="maximal gradient norm, in nats per dimension; 0: no bound"
    )
    conditional: bool = Field(False, description="train on the labels, so that --label works")


class Glow(Recipe):
    """Maximum likelihood of dequantised pixels by Adam, gradients clipped, an EMA of the model."""

    Config = GlowConfig

    def build(self, config: GlowConfig, spec: Spec) -> Game:
        side, channels = spec["image_size"], spec["channels"]
        classes = num_conditional_classes(config.conditional, spec)
        return likelihood_game(
            lambda: build_image_flow(
                side, channels, config.scales, config.couplings, config.width, config.logit_alpha, classes
            ),
            **config.game_options(clip_scale=channels * side**2),
            conditional=config.conditional,
            representation=dequantised_images(),
            game=FlowGame,
        )


@with_defaults(
    loss="relativistic",
    penalty="r1+r2",
    penalty_every=16,
    lr=1e-3,
    discriminator_lr=5e-4,
    lr_end=0.1,
    discriminator_beta1=0.0,
    clip_grad_norm=100.0,
    ema_halflife=5_000.0,
)
class ImageFlowGANConfig(AdversarialConfig):
    """Both learning rates fall to a tenth along a cosine."""

    batch_size: PositiveInt = Field(32, description="examples per global batch")
    steps: PositiveInt = Field(20_000, description="steps, when the command gives no budget")
    likelihood_weight: NonNegativeFloat = Field(
        1e-3,
        description="weight of -log p(x) in the generator's cost, per nat; 0: adversarial cost only",
    )
    scales: PositiveInt = Field(
        3, le=8, description="number of scales, each of half the side, as far as the side can be halved"
    )
    couplings: PositiveInt = Field(8, le=64, description="steps of flow per scale")
    width: PositiveInt = Field(64, description="channels of a coupling's network")
    logit_alpha: PositiveFloat = Field(1e-3, lt=0.5, description="alpha in logit(alpha + (1 - 2 alpha) p)")
    discriminator_width: PositiveInt = Field(
        32, description="channels of the discriminator next to the image"
    )
    conditional: bool = Field(False, description="train on the labels, so that --label works")


class ImageFlowGAN(Recipe):
    """One move each; both players see dequantised pixels."""

    Config = ImageFlowGANConfig

    def build(self, config: ImageFlowGANConfig, spec: Spec) -> Game:
        side, channels = spec["image_size"], spec["channels"]
        classes = num_conditional_classes(config.conditional, spec)
        return flow_gan(
            flow=lambda: build_image_flow(
                side, channels, config.scales, config.couplings, config.width, config.logit_alpha, classes
            ),
            discriminator=lambda: DCGANLiteDiscriminator(spec, config.discriminator_width, classes),
            likelihood_weight=config.likelihood_weight,
            **config.game_options(),
            conditional=config.conditional,
            representation=dequantised_images(),
        )
