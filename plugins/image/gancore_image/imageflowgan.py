"""Flow-GAN for images (Grover et al. 2018): glow's flow, judged as dcgan-lite's generator is."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from gancore import Recipe, RecipeSection, Spec
from gancore.data.classes import classes_told
from gancore.games import R1, R2, Adam, Game, cosine, flow_gan
from gancore_image.dcgan_lite import LiteDiscriminator
from gancore_image.glow import image_flow
from gancore_image.levels import dequantised


class ImageFlowGANConfig(RecipeSection):
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
    loss: str = Field("relativistic", description="adversarial loss by name")
    gamma: NonNegativeFloat = Field(1.0, description="weight of R1 and of R2: gamma/2 |grad D|^2 each")
    penalty_every: PositiveInt = Field(16, description="rounds between steps of R1 and R2")
    lr: PositiveFloat = Field(1e-3, description="the flow's rate at first")
    judge_lr: PositiveFloat = Field(5e-4, description="the discriminator's rate at first")
    clip: PositiveFloat = Field(100.0, description="bound on each gradient's norm")
    average: NonNegativeFloat = Field(
        5_000.0, description="half-life of the generator's average, in samples; 0: none"
    )
    conditional: bool = Field(False, description="train on the labels, so that --label works")


class ImageFlowGAN(Recipe):
    """One move each; both players see dequantised pixels."""

    Config = ImageFlowGANConfig

    def build(self, config: ImageFlowGANConfig, spec: Spec) -> Game:
        side, channels, classes = spec["side"], spec["channels"], classes_told(config.conditional, spec)
        penalties = [penalty(config.gamma, config.penalty_every) for penalty in (R1, R2)]
        return flow_gan(
            flow=lambda: image_flow(
                side, channels, config.scales, config.couplings, config.width, config.edge, classes
            ),
            discriminator=lambda: LiteDiscriminator(spec, config.judge_width, classes),
            likelihood_weight=config.likelihood_weight,
            loss=config.loss,
            penalties=penalties if config.gamma else [],
            generator_rule=Adam(cosine(config.lr, config.lr / 10), (0.5, 0.99)),
            discriminator_rule=Adam(cosine(config.judge_lr, config.judge_lr / 10), (0.0, 0.99)),
            average=config.average or None,
            clip=config.clip,
            conditional=config.conditional,
            representation=dequantised(),
        )
