"""Flow-GAN for sounds (Grover et al. 2018): audioflow's flow, judged as wavegan-lite's generator is."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from gancore import Recipe, RecipeSection, Spec
from gancore.data.classes import classes_told
from gancore.games import R1, Adam, Game, cosine, flow_gan
from gancore_audio.audioflow import wave_flow, waveforms
from gancore_audio.spectral import WaveAndSpectrumDiscriminator


class AudioFlowGANConfig(RecipeSection):
    """Both rates fall to a tenth along a cosine."""

    batch_size: PositiveInt = Field(8, description="rows of the joined batch")
    steps: PositiveInt = Field(10_000, description="rounds, when the command names no budget")
    likelihood_weight: NonNegativeFloat = Field(
        1e-3, description="weight of -log p(x) in the generator's cost, per nat a clip; 0: adversarial alone"
    )
    squeeze: int = Field(16, ge=2, le=256, description="neighbouring samples that become channels")
    couplings: PositiveInt = Field(8, le=64, description="affine couplings, each after a mixing of channels")
    width: PositiveInt = Field(32, description="channels of a coupling's network")
    layers: PositiveInt = Field(4, le=12, description="dilated convolutions of a coupling's network")
    judge_width: PositiveInt = Field(16, description="channels of the discriminator next to the waveform")
    loss: str = Field("nonsaturating", description="adversarial loss by name")
    gamma: NonNegativeFloat = Field(0.1, description="weight of R1: gamma/2 |grad D|^2; 0: none")
    penalty_every: PositiveInt = Field(16, description="rounds between R1 steps")
    lr: PositiveFloat = Field(2e-3, description="the flow's rate at first")
    judge_lr: PositiveFloat = Field(6e-4, description="the discriminator's rate at first")
    clip: PositiveFloat = Field(100.0, description="bound on each gradient's norm")
    average: NonNegativeFloat = Field(
        5_000.0, description="half-life of the generator's average, in samples; 0: none"
    )
    conditional: bool = Field(False, description="train on the labels, so that --label works")


class AudioFlowGAN(Recipe):
    """One move each; both players see dequantised waveforms."""

    Config = AudioFlowGANConfig

    def build(self, config: AudioFlowGANConfig, spec: Spec) -> Game:
        length, classes = spec["length"], classes_told(config.conditional, spec)
        game = flow_gan(
            flow=lambda: wave_flow(
                length, config.squeeze, config.couplings, config.width, config.layers, classes
            ),
            discriminator=lambda: WaveAndSpectrumDiscriminator(spec, config.judge_width, 1, True, classes),
            likelihood_weight=config.likelihood_weight,
            loss=config.loss,
            penalties=[R1(config.gamma, config.penalty_every)] if config.gamma else [],
            generator_rule=Adam(cosine(config.lr, config.lr / 10), (0.5, 0.99)),
            discriminator_rule=Adam(cosine(config.judge_lr, config.judge_lr / 10), (0.5, 0.99)),
            average=config.average or None,
            clip=config.clip,
            conditional=config.conditional,
            representation=waveforms(),
        )
        game.full_precision = True  # a cell of silence is 1/5760 wide
        return game
