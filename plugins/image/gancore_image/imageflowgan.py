"""Flow-GAN for images (Grover et al. 2018): glow's flow, judged as dcgan-lite's generator is."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from gancore import Recipe, Spec
from gancore.data.classes import classes_told
from gancore.games import AdversarialSection, Game, defaults, flow_gan
from gancore_image.dcgan_lite import LiteDiscriminator
from gancore_image.glow import image_flow
from gancore_image.levels import dequantised


@defaults(
    loss="relativistic",
    penalty="r1+r2",
    penalty_every=16,
    lr=1e-3,
    discriminator_lr=5e-4,
    lr_end=0.1,
    discriminator_beta1=0.0,
    clip=100.0,
    average=5_000.0,
)
class ImageFlowGANConfig(AdversarialSection):
    """Both rates fall to a tenth along a cosine."""

    batch_size: PositiveInt = Field(32, description="rows of the joined batch")
    steps: PositiveInt = Field(20_000, description="rounds, when the command names no budget")
    likelihood_weight: NonNegativeFloat = Field(
        1e-3,
        description="weight of -log p(x) in the generator's cost, per nat an image; 0: none",
    )
    scales: PositiveInt = Field(3, le=8, description="times that space is halved, where the side allows it")
    couplings: PositiveInt = Field(8, le=64, description="steps of flow at each scale")
    width: PositiveInt = Field(64, description="channels of a coupling's network")
    edge: PositiveFloat = Field(
        1e-3, lt=0.5, description="a in logit(a + (1 - 2 a) p): the smaller, the further are extremes apart"
    )
    judge_width: PositiveInt = Field(32, description="the discriminator's channels next to the image")
    conditional: bool = Field(False, description="train on the labels, so that --label works")


class ImageFlowGAN(Recipe):
    """One move each; both players see dequantised pixels."""

    Config = ImageFlowGANConfig

    def build(self, config: ImageFlowGANConfig, spec: Spec) -> Game:
        side, channels, classes = spec["side"], spec["channels"], classes_told(config.conditional, spec)
        return flow_gan(
            flow=lambda: image_flow(
                side, channels, config.scales, config.couplings, config.width, config.edge, classes
            ),
            discriminator=lambda: LiteDiscriminator(spec, config.judge_width, classes),
            likelihood_weight=config.likelihood_weight,
            **config.options(),
            conditional=config.conditional,
            representation=dequantised(),
        )
