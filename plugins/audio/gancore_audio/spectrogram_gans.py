"""The spectrogram GANs: SpecGAN (Donahue et al. 2019) and GANSynth's representation, for small budgets."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from gancore import Recipe, RecipeSection, Spec
from gancore.data.classes import classes_told
from gancore.games import R1, WGANGP, Adam, Game, Representation, adversarial, cosine, normal, uniform
from gancore_audio.frames import window_and_hop
from gancore_audio.grids import Grid, GridDiscriminator, GridGenerator
from gancore_audio.instantaneous import InstantaneousFrequency
from gancore_audio.log_magnitude import LogMagnitude

BANDS = 64
"""Mel bands, where a quarter of the window is no fewer."""
DIFFERENCES = {"wasserstein", "relativistic", "relativistic-average"}
"""Losses of a difference of logits, which never move their bias."""


class SpecGANConfig(RecipeSection):
    """Defaults are for minutes; the values of the paper stand in the plugin's page."""

    batch_size: PositiveInt = Field(16, description="rows of the joined batch")
    steps: PositiveInt = Field(20_000, description="rounds, when the command names no budget")
    window: int | None = Field(
        None, ge=16, le=8192, description="samples of a frame; none: 256, fewer for the shortest sounds"
    )
    hop: int | None = Field(
        None, ge=8, le=4096, description="samples between frames; none: half of the window"
    )
    floor_db: float = Field(-60.0, ge=-160, le=-20, description="magnitude that is silence, 0: a full sine")
    iterations: NonNegativeInt = Field(32, le=1000, description="of Griffin and Lim, when samples are made")
    width: PositiveInt = Field(
        32, description="channels next to the spectrogram; doubled at every layer inwards"
    )
    kernel: int = Field(4, ge=3, le=9, description="cells along a side of each convolution")
    latent: PositiveInt = Field(64, description="numbers in a latent")
    prior: Literal["normal", "uniform"] = Field("normal", description="N(0, 1), or evenly in [-1, 1]")
    loss: str = Field("nonsaturating", description="adversarial loss by name")
    penalty: Literal["r1", "wgan-gp"] = Field("r1", description="gradient penalty on the discriminator")
    weight: NonNegativeFloat = Field(
        1.0, description="of the penalty: gamma of R1, lambda of WGAN-GP; 0: none"
    )
    penalty_every: PositiveInt = Field(16, description="rounds between steps of the penalty; 1: in each")
    discriminator_moves: PositiveInt = Field(1, description="discriminator moves a round")
    lr: PositiveFloat = Field(1e-3, description="Adam's rate for both players at first")
    lr_end: PositiveFloat = Field(0.2, le=1, description="the rate at the end, as a share; along a cosine")
    beta2: float = Field(0.99, ge=0, lt=1, description="Adam's memory of squares; of gradients it is 0.5")
    average: NonNegativeFloat = Field(
        20_000.0, description="half-life of the generator's average, in samples; 0: none"
    )
    conditional: bool = Field(False, description="train on the labels, so that --label works")


class SpecGAN(Recipe):
    """Log magnitudes of the spectrum as images, by DCGAN's networks; phases by Griffin and Lim."""

    Config = SpecGANConfig

    def build(self, config: SpecGANConfig, spec: Spec) -> Game:
        window, hop = window_and_hop(spec["length"], config.window, config.hop)
        representation = LogMagnitude(spec["length"], window, hop, config.floor_db, config.iterations)
        return spectrogram_game(config, spec, representation, representation.grid, channels=1)


class IFGANConfig(SpecGANConfig):
    """The same, on two images: log magnitude and instantaneous frequency, in mel bands."""

    bands: NonNegativeInt | None = Field(
        None,
        le=4096,
        description="mel bands, at most window / 2; 0: bins; none: 64, or a quarter of a shorter window",
    )
    iterations: NonNegativeInt = Field(
        16, le=1000, description="of Griffin and Lim, from the phases that were told; 0: those as they are"
    )


class IFGAN(Recipe):
    """Phases are generated beside magnitudes (Engel et al. 2019), by the same networks, not progressively."""

    Config = IFGANConfig

    def build(self, config: IFGANConfig, spec: Spec) -> Game:
        window, hop = window_and_hop(spec["length"], config.window, config.hop)
        representation = InstantaneousFrequency(
            spec["length"],
            spec["rate_hz"],
            window,
            hop,
            min(BANDS, window // 4) if config.bands is None else config.bands,
            config.floor_db,
            config.iterations,
        )
        return spectrogram_game(config, spec, representation, representation.grid, channels=2)


def spectrogram_game(
    config: SpecGANConfig, spec: Spec, representation: Representation, grid: Grid, channels: int
) -> Game:
    """Two players on images (batch, channels, time, frequency)."""
    classes = classes_told(config.conditional, spec)
    rule = Adam(cosine(config.lr, config.lr * config.lr_end), (0.5, config.beta2))
    penalty = {"r1": R1, "wgan-gp": WGANGP}[config.penalty](config.weight, config.penalty_every)
    return adversarial(
        generator=lambda: GridGenerator(grid, channels, config.width, config.latent, config.kernel, classes),
        discriminator=lambda: GridDiscriminator(
            grid, channels, config.width, config.kernel, classes, config.loss not in DIFFERENCES
        ),
        prior={"normal": normal, "uniform": uniform}[config.prior](config.latent),
        loss=config.loss,
        penalties=[penalty] if config.weight else [],
        generator_rule=rule,
        discriminator_rule=rule,
        discriminator_moves=config.discriminator_moves,
        average=config.average or None,
        representation=representation,
        conditional=config.conditional,
    )
