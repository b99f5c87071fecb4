"""RealNVP: a flow of affine couplings (Dinh et al. 2017), with exact likelihood and exact inversion."""

from __future__ import annotations

import math
from math import prod

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from gancore import Batch, ConfigError, Recipe, RecipeSection, Spec
from gancore.games import (
    Adam,
    Game,
    LikelihoodGame,
    LikelihoodSampler,
    Move,
    Phase,
    Player,
    Prior,
    cosine,
    normal,
)
from gancore.runtime.randomness import Key
from gancore_synthetic.networks import Labelled, Standardised
from gancore_synthetic.recipes import classes_of

STEEPEST = 3.0
"""Bound on the log scale of one coupling."""


class Coupling(nn.Module):
    """y = b x + (1 - b) (x exp(s(b x)) + t(b x)), eq. 9: log |det| = sum (1 - b) s."""

    def __init__(self, mask: Tensor, width: int, depth: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("mask", mask, persistent=False)
        self.network = Labelled(len(mask), width, depth, 2 * len(mask), classes)
        nn.init.zeros_(self.network.body[-1].weight)  # begins as the identity
        nn.init.zeros_(self.network.body[-1].bias)

    def _scale_and_shift(self, x: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        s, t = self.network(self.mask * x, condition).chunk(2, dim=1)
        changed = 1 - self.mask
        return changed * STEEPEST * torch.tanh(s / STEEPEST), changed * t

    def forward(self, x: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        s, t = self._scale_and_shift(x, condition)
        return x * s.exp() + t, s.sum(1)

    def inverse(self, y: Tensor, condition: Tensor | None) -> Tensor:
        s, t = self._scale_and_shift(y, condition)
        return (y - t) * (-s).exp()


class Flow(nn.Module):
    """From data to N(0, I) through couplings: log p(x) = log N(f(x); 0, I) + log |det df/dx|."""

    def __init__(self, size: int, couplings: int, width: int, depth: int, classes: int) -> None:
        super().__init__()
        self.size = size
        self.couplings = nn.ModuleList(
            Coupling(mask, width, depth, classes) for mask in _masks(size, couplings)
        )

    def log_prob(self, data: Tensor, condition: Tensor | None = None) -> Tensor:
        z, log_det = self.encode(data, condition)
        return log_det - 0.5 * z.square().sum(1) - self.size / 2 * math.log(2 * math.pi)

    def encode(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Data to latents, (n, size), and log |det| of that, (n)."""
        total = x.new_zeros(len(x))
        for coupling in self.couplings:
            x, log_det = coupling(x, condition)
            total = total + log_det
        return x, total

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        for coupling in reversed(self.couplings):
            z = coupling.inverse(z, condition)
        return z

    def sample(self, n: int, key: Key, condition: Tensor | None = None) -> Tensor:
        return self.decode((key / "z").normal(n, self.size), condition)


def _masks(size: int, count: int) -> list[Tensor]:
    """Every other coordinate, the others; the first half, the second; and so on."""
    order = torch.arange(size)
    kinds = [order % 2 == 0, order % 2 == 1, order < size // 2, order >= size // 2]
    return [kinds[number % 4].float() for number in range(count)]


class FlowSampler(LikelihoodSampler):
    """Latents there and back."""

    def latents(self, n: int, key: Key) -> Tensor:
        return self.prior.sample(key / "z", n)

    @property
    def prior(self) -> Prior:
        return normal(self.model.size)

    def render(self, latents: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.representation.decode(self.model.decode(latents, condition))

    def invert(self, batch: Batch) -> Tensor:
        """The latents of canonical samples: ``render(invert(batch))`` gives them back."""
        encoded = self.representation.encode(batch)
        return self.model.encode(encoded.data, encoded.condition if self.conditional else None)[0]


class FlowGame(LikelihoodGame):
    """Its sampler inverts."""

    def sampler(self) -> nn.Module:
        model = self.model if self.average is None else self.average.module
        return FlowSampler(model, self.representation, self.conditional)


class RealNVPConfig(RecipeSection):
    """The rate falls to a hundredth along a cosine."""

    batch_size: PositiveInt = Field(256, description="rows of the joined batch")
    steps: PositiveInt = Field(10_000, description="rounds, when the command names no budget")
    couplings: PositiveInt = Field(8, le=64, description="affine couplings")
    width: PositiveInt = Field(64, description="units of a hidden layer of a coupling's network")
    depth: PositiveInt = Field(2, le=20, description="hidden layers of a coupling's network")
    lr: PositiveFloat = Field(1e-3, description="Adam's rate at first")
    clip: PositiveFloat = Field(10.0, description="bound on the gradient's norm")
    average: NonNegativeFloat = Field(
        0.0, description="half-life of the model's average, in samples; 0: none"
    )
    conditional: bool = Field(False, description="train on the components as labels")


class RealNVP(Recipe):
    """Maximum likelihood by Adam, gradients clipped."""

    Config = RealNVPConfig

    def build(self, config: RealNVPConfig, spec: Spec) -> Game:
        size, classes = prod(spec["shape"]), classes_of(config.conditional, spec)
        if size < 2:
            raise ConfigError(
                "a coupling needs 2 coordinates at least", "use --recipe kde, or more dimensions"
            )
        flow = Flow(size, config.couplings, config.width, config.depth, classes)
        representation = Standardised(tuple(spec["shape"]))
        game = FlowGame(flow, representation, config.average or None, config.conditional)
        rule = Adam(cosine(config.lr, config.lr / 100))
        game.players = {"model": Player(["model"], rule, config.clip)}
        game.phases = [Phase([Move("model")], name="likelihood")]
        game.full_precision = True
        return game
