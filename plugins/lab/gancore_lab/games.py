"""The small games of the lab: games with orbits in closed form, and a GAN with an exact Jacobian."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gancore.games import (
    SGD,
    Adam,
    AdversarialGame,
    Cost,
    Discriminator,
    Draw,
    Dynamics,
    Game,
    Move,
    Optimizer,
    PenaltyTerm,
    Phase,
    Player,
    Prior,
    adversarial_game,
)
from gancore.random import Key

NO_LATENTS = Prior(1, lambda key, n, size: torch.zeros(n, size, dtype=torch.float64), torch.lerp)
"""The prior of a generator that uses no latents."""


class Point(nn.Module):
    """A network that is a parameter, a number or a tensor."""

    def __init__(self, value: float | Sequence[float] | Tensor) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.as_tensor(value, dtype=torch.float64).clone())


class DiracGenerator(Point):
    """G(z) = theta."""

    def forward(self, latents: Tensor) -> Tensor:
        return self.value.expand(len(latents), 1)


class DiracDiscriminator(Discriminator):
    """D(x) = psi x."""

    def __init__(self, psi: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(psi, dtype=torch.float64))

    def logits(self, embedded: Tensor, condition: object = None) -> Tensor:
        return (self.value * embedded).squeeze(-1)


class ClippedGame(AdversarialGame):
    """Clips weights of the critic to [-1, 1] after its moves (Arjovsky et al., 2017, algorithm 1)."""

    def after_move(self, move: Move, means: Mapping[str, Tensor]) -> None:
        if move.player == "discriminator":
            with torch.no_grad():
                for p in self.discriminator.parameters():
                    p.clamp_(-1.0, 1.0)


def dirac(
    loss: str,
    dynamics: Dynamics,
    *,
    penalties: Sequence[PenaltyTerm] = (),
    rates: tuple[float, float] = (0.2, 0.2),
    start: tuple[float, float] = (-1.0, 1.0),
    discriminator_steps: int = 1,
    clipped: bool = False,
    ema_halflife: float | None = None,
) -> AdversarialGame:
    """The Dirac-GAN (Mescheder et al., 2018, definition 2.1): data at 0, one parameter for each player.

    ``rates`` and ``start`` are those of (discriminator, generator). The paper uses f(-D): its psi is minus
    the psi here, so that its start at (1, 1) is psi = -1, theta = 1.
    """
    return adversarial_game(
        generator=lambda: DiracGenerator(start[1]),
        discriminator=lambda: DiracDiscriminator(start[0]),
        prior=NO_LATENTS,
        loss=loss,
        penalties=penalties,
        discriminator_optimizer=SGD(rates[0]),
        generator_optimizer=SGD(rates[1]),
        discriminator_steps=discriminator_steps,
        dynamics=dynamics,
        ema_halflife=ema_halflife,
        game=ClippedGame if clipped else AdversarialGame,
    )


class Bilinear(Game):
    """min over x, max over y of x y - ``damping`` / 2 y^2. The state is (y, x)."""

    def __init__(
        self,
        dynamics: Dynamics,
        *,
        rate: float,
        damping: float = 0.0,
        start: tuple[float, float] = (1.0, 1.0),
        moves: int = 1,
    ) -> None:
        super().__init__()
        self.discriminator, self.generator = Point(start[0]), Point(start[1])
        self.damping = damping
        self.players = {
            "discriminator": Player(["discriminator"], SGD(rate)),
            "generator": Player(["generator"], SGD(rate)),
        }
        listed = [*[Move("discriminator")] * moves, Move("generator")]
        self.phases = [Phase(listed, dynamics=dynamics)]

    def cost(self, move: Move, draw: Draw) -> Cost:
        x, y = self.generator.value, self.discriminator.value
        if move.player == "generator":
            return Cost().add("loss", (x * y)[None])
        return Cost().add("loss", (self.damping / 2 * y**2 - x * y)[None])


class RingDiscriminator(Discriminator):
    """A discriminator with two smooth hidden layers, for which all second derivatives exist."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = perceptron(2, width, 1)

    def logits(self, embedded: Tensor, condition: object = None) -> Tensor:
        result: Tensor = self.layers(embedded).squeeze(-1)
        return result


def perceptron(inputs: int, width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, outputs)
    ).double()


def _double_normal(key: Key, n: int, size: int) -> Tensor:
    return key.normal(n, size).double()


def ring_points(rows: int, settings: Mapping[str, Any], seed: int) -> Tensor:
    """Points of ``modes`` Gaussians on a circle, with equal shares: (rows, 2) float64."""
    generator = torch.Generator().manual_seed(seed)
    angles = 2 * math.pi * (torch.arange(rows) % settings["modes"]) / settings["modes"]
    centres = settings["radius"] * torch.stack([angles.cos(), angles.sin()], 1)
    result: Tensor = centres + settings["std"] * torch.randn(
        rows, 2, generator=generator, dtype=torch.float64
    )
    return result


def small_gan(
    settings: Mapping[str, Any],
    seed: int,
    *,
    dynamics: Dynamics,
    optimizer: Optimizer | None = None,
    penalties: Sequence[PenaltyTerm] = (),
    ema_halflife: float | None = None,
) -> AdversarialGame:
    """A GAN of a few hundred parameters in float64. Equal seeds give equal networks."""
    width = settings["width"]
    optimizer = optimizer or Adam(settings["rate"], tuple(settings["betas"]))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return adversarial_game(
            generator=lambda: perceptron(settings["latents"], width, 2),
            discriminator=lambda: RingDiscriminator(width),
            prior=Prior(settings["latents"], _double_normal, torch.lerp),
            loss=settings["loss"],
            penalties=penalties,
            generator_optimizer=optimizer,
            discriminator_optimizer=optimizer,
            dynamics=dynamics,
            ema_halflife=ema_halflife,
        )
