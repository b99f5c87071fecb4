"""A variational autoencoder (Kingma and Welling 2014) with a Gaussian decoder."""

from __future__ import annotations

from math import prod

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from gancore import Recipe, RecipeSection, Spec
from gancore.games import Adam, Game, cosine, likelihood
from gancore.nn.variational import Gaussian, VariationalAutoencoder
from gancore_synthetic.networks import Labelled, Standardised
from gancore_synthetic.recipes import classes_of


class VAEConfig(RecipeSection):
    """The rate falls to a hundredth along a cosine."""

    batch_size: PositiveInt = Field(256, description="rows of the joined batch")
    steps: PositiveInt = Field(10_000, description="rounds, when the command names no budget")
    width: PositiveInt = Field(128, description="units of a hidden layer")
    depth: PositiveInt = Field(3, le=20, description="hidden layers of encoder and decoder")
    latent: PositiveInt = Field(2, description="numbers in a latent")
    lr: PositiveFloat = Field(1e-3, description="Adam's rate at first")
    draws: PositiveInt = Field(16, description="latents a row in the importance-weighted bound, k")
    average: NonNegativeFloat = Field(
        0.0, description="half-life of the model's average, in samples; 0: none"
    )
    conditional: bool = Field(False, description="train on the components as labels")


class VAE(Recipe):
    """Maximises the evidence lower bound by Adam; reports the importance-weighted one."""

    Config = VAEConfig

    def build(self, config: VAEConfig, spec: Spec) -> Game:
        size, classes = prod(spec["shape"]), classes_of(config.conditional, spec)
        game = likelihood(
            lambda: autoencoder(size, config, classes),
            rule=Adam(cosine(config.lr, config.lr / 100)),
            average=config.average or None,
            clip=100.0,
            conditional=config.conditional,
            representation=Standardised(tuple(spec["shape"])),
        )
        game.full_precision = True
        return game


def autoencoder(size: int, config: VAEConfig, classes: int) -> VariationalAutoencoder:
    encoder = Labelled(size, config.width, config.depth, 2 * config.latent, classes)
    decoder = Labelled(config.latent, config.width, config.depth, size, classes)
    return VariationalAutoencoder(encoder, decoder, Gaussian(), config.latent, config.draws)
