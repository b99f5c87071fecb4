"""The spectrogram GANs: SpecGAN (Donahue et al. 2019) and GANSynth's representation, for small budgets."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from gancore import Recipe, Spec
from gancore.data.classes import classes_told
from gancore.games import (
    AdversarialSection,
    Game,
    Representation,
    adversarial,
    defaults,
    normal,
    uniform,
)
from gancore_audio.frames import window_and_hop
from gancore_audio.grids import Grid, GridDiscriminator, GridGenerator
from gancore_audio.instantaneous import InstantaneousFrequency
from gancore_audio.log_magnitude import LogMagnitude

BANDS, FEWEST_BANDS = 64, 8
"""Mel bands: a quarter of the window, within these."""
DIFFERENCES = {"wasserstein", "relativistic", "relativistic-average"}
"""Losses of a difference of logits, which never move their bias."""


@defaults(
    loss="relativistic",
    penalty="r1+r2",
    penalty_every=16,
    lr=2e-3,
    lr_end=0.2,
    beta1=0.0,
    average=20_000.0,
)
class SpecGANConfig(AdversarialSection):
    """Defaults are for minutes, played as in Huang et al. 2024; the page of the plugin has the paper's."""

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
        description="mel bands, at most window / 2; 0: bins; none: a quarter of the window, from 8 to 64",
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
            min(max(FEWEST_BANDS, window // 4), BANDS) if config.bands is None else config.bands,
            config.floor_db,
            config.iterations,
        )
        return spectrogram_game(config, spec, representation, representation.grid, channels=2)


def spectrogram_game(
    config: SpecGANConfig, spec: Spec, representation: Representation, grid: Grid, channels: int
) -> Game:
    """Two players on images (batch, channels, time, frequency)."""
    classes = classes_told(config.conditional, spec)
    return adversarial(
        generator=lambda: GridGenerator(grid, channels, config.width, config.latent, config.kernel, classes),
        discriminator=lambda: GridDiscriminator(
            grid, channels, config.width, config.kernel, classes, config.loss not in DIFFERENCES
        ),
        prior={"normal": normal, "uniform": uniform}[config.prior](config.latent),
        **config.options(),
        representation=representation,
        conditional=config.conditional,
    )
