"""A variational autoencoder (Kingma and Welling 2014) with a Gaussian decoder."""

from __future__ import annotations

import math
from math import prod

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from gancore import Recipe, RecipeSection, Spec
from gancore.games import Adam, Game, cosine, likelihood, noise
from gancore.runtime.randomness import Key
from gancore_synthetic.networks import Labelled, Standardised
from gancore_synthetic.recipes import classes_of

NARROW = -3.0
"""log sigma at first: a wide decoder would explain the data without its latents, and stay so."""
DRAWS = 16
"""Latents a row that the bound is averaged over where nothing is trained."""


class Autoencoder(nn.Module):
    """z ~ N(0, I), x ~ N(g(z), sigma^2 I), sigma learned; q(z | x) = N(m(x), diag s(x)^2).

    ``log_prob`` is the evidence lower bound, eq. 7 with the KL in closed form:
    E_q log p(x | z) + 1/2 sum (1 + log s^2 - m^2 - s^2).
    """

    bound = True

    def __init__(self, size: int, latent: int, width: int, depth: int, classes: int) -> None:
        super().__init__()
        self.size, self.latent = size, latent
        self.encoder = Labelled(size, width, depth, 2 * latent, classes)
        self.decoder = Labelled(latent, width, depth, size, classes)
        self.log_sigma = nn.Parameter(torch.tensor(NARROW))

    def log_prob(self, data: Tensor, condition: Tensor | None = None) -> Tensor:
        mean, log_std = self.encoder(data, condition).chunk(2, dim=1)
        divergence = 0.5 * (mean.square() + (2 * log_std).exp() - 1 - 2 * log_std).sum(1)
        return self._reconstruction(data, mean, log_std.exp(), condition) - divergence

    def _reconstruction(self, data: Tensor, mean: Tensor, std: Tensor, condition: Tensor | None) -> Tensor:
        """E_q log p(x | z): by one latent a row in training, else by the same few draws for every row."""
        if self.training:
            eps = noise(len(data), data.device).normal(len(data), self.latent)
            return self.log_likelihood(data, mean + std * eps, condition)
        draws = Key.of("elbo", device=data.device).normal(DRAWS, self.latent)
        return torch.stack([self.log_likelihood(data, mean + std * eps, condition) for eps in draws]).mean(0)

    def log_likelihood(self, data: Tensor, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """log N(x; g(z), sigma^2 I), (n)."""
        error = ((data - self.decoder(z, condition)) / self.log_sigma.exp()).square().sum(1)
        return -0.5 * error - self.size * (self.log_sigma + 0.5 * math.log(2 * math.pi))

    def sample(self, n: int, key: Key, condition: Tensor | None = None) -> Tensor:
        z = (key / "z").normal(n, self.latent)
        return self.decoder(z, condition) + self.log_sigma.exp() * (key / "x").normal(n, self.size)


class VAEConfig(RecipeSection):
    """The rate falls to a hundredth along a cosine."""

    batch_size: PositiveInt = Field(256, description="rows of the joined batch")
    steps: PositiveInt = Field(10_000, description="rounds, when the command names no budget")
    width: PositiveInt = Field(128, description="units of a hidden layer")
    depth: PositiveInt = Field(3, le=20, description="hidden layers of encoder and decoder")
    latent: PositiveInt = Field(2, description="numbers in a latent")
    lr: PositiveFloat = Field(1e-3, description="Adam's rate at first")
    average: NonNegativeFloat = Field(
        0.0, description="half-life of the model's average, in samples; 0: none"
    )
    conditional: bool = Field(False, description="train on the components as labels")


class VAE(Recipe):
    """Maximises the evidence lower bound by Adam."""

    Config = VAEConfig

    def build(self, config: VAEConfig, spec: Spec) -> Game:
        size, classes = prod(spec["shape"]), classes_of(config.conditional, spec)
        game = likelihood(
            lambda: Autoencoder(size, config.latent, config.width, config.depth, classes),
            rule=Adam(cosine(config.lr, config.lr / 100)),
            average=config.average or None,
            clip=100.0,
            conditional=config.conditional,
            representation=Standardised(tuple(spec["shape"])),
        )
        game.full_precision = True
        return game
