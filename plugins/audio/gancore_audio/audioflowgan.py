"""Flow-GAN for sounds (Grover et al. 2018): audioflow's flow, judged as wavegan-lite's generator is."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat, PositiveInt

from gancore import Recipe, Spec
from gancore.data.classes import classes_told
from gancore.games import AdversarialSection, Game, defaults, flow_gan
from gancore_audio.audioflow import wave_flow, waveforms
from gancore_audio.spectral import WaveAndSpectrumDiscriminator


@defaults(
    penalty_weight=0.1,
    penalty_every=16,
    lr=2e-3,
    discriminator_lr=6e-4,
    lr_end=0.1,
    clip=100.0,
    average=5_000.0,
)
class AudioFlowGANConfig(AdversarialSection):
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
            **config.options(),
            conditional=config.conditional,
            representation=waveforms(),
        )
        game.full_precision = True  # a cell of silence is 1/5760 wide
        return game
