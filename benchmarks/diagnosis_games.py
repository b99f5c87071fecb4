"""Small games with known faults: distributions, networks and games for diagnosis_rates.py."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from gancore.games import (
    SGD,
    Adam,
    AdversarialGame,
    Discriminator,
    Game,
    adversarial_game,
    normal,
)

NAMES = (
    "non-finite",
    "diversity collapse",
    "oscillation",
    "vanishing generator gradient",
    "memorising discriminator",
)


@dataclass(frozen=True)
class Points:
    """A distribution.

    ``draw`` samples it; ``cell`` gives the part of a point, of which ``shares`` has all.
    """

    dimension: int
    draw: Callable[[int, torch.Generator], Tensor]
    cell: Callable[[Tensor], Tensor]
    shares: Sequence[float]

    @property
    def spread(self) -> float:
        rows = self.draw(4000, torch.Generator().manual_seed(1))
        return float((rows - rows.mean(0)).square().sum(1).mean().sqrt())


def mixture(centres: Tensor, std: float, shares: Sequence[float] | None = None) -> Points:
    """Gaussians of one width; the cell of a point is its nearest Gaussian."""
    weights = torch.tensor(shares or [1 / len(centres)] * len(centres))

    def draw(n: int, generator: torch.Generator) -> Tensor:
        which = torch.multinomial(weights, n, replacement=True, generator=generator)
        return centres[which] + std * torch.randn(n, centres.shape[1], generator=generator)

    return Points(centres.shape[1], draw, lambda x: torch.cdist(x, centres).argmin(1), weights.tolist())


def ring(modes: int = 8, radius: float = 2.0, std: float = 0.1) -> Points:
    angle = torch.arange(modes) * (2 * math.pi / modes)
    return mixture(radius * torch.stack([angle.cos(), angle.sin()], 1), std)


def grid(side: int = 5, std: float = 0.1) -> Points:
    line = torch.arange(side) - (side - 1) / 2
    return mixture(torch.cartesian_prod(line, line), std)


def scattered(modes: int, dimension: int, std: float, seed: int) -> Points:
    """Gaussians around centres from N(0, 4 I), with equal shares."""
    return mixture(2 * torch.randn(modes, dimension, generator=torch.Generator().manual_seed(seed)), std)


def gaussian(dimension: int, std: float = 1.0) -> Points:
    """N(0, std^2 I); the cells are the quadrants of the first two axes (in one dimension, two halves)."""
    axes = min(2, dimension)
    powers = 2 ** torch.arange(axes)
    return Points(
        dimension,
        lambda n, generator: std * torch.randn(n, dimension, generator=generator),
        lambda x: ((x[:, :axes] > 0) * powers).sum(1),
        [2.0**-axes] * 2**axes,
    )


def spiral(std: float = 0.05) -> Points:
    """A spiral of one and a half turns, uniform in its angle; the cells are eight arcs."""
    along = torch.linspace(0, 1, 400)

    def curve(t: Tensor) -> Tensor:
        angle = 3 * math.pi * t
        return (0.5 + 1.5 * t).unsqueeze(1) * torch.stack([angle.cos(), angle.sin()], 1)

    def draw(n: int, generator: torch.Generator) -> Tensor:
        return curve(torch.rand(n, generator=generator)) + std * torch.randn(n, 2, generator=generator)

    path = curve(along)
    return Points(2, draw, lambda x: torch.cdist(x, path).argmin(1) * 8 // 400, [1 / 8] * 8)


def rotated(points: Points, dimension: int, seed: int) -> Points:
    """The same points on a random plane in more dimensions."""
    basis = torch.linalg.qr(
        torch.randn(dimension, points.dimension, generator=torch.Generator().manual_seed(seed))
    )[0]
    return replace(
        points,
        dimension=dimension,
        draw=lambda n, generator: points.draw(n, generator) @ basis.T,
        cell=lambda x: points.cell(x @ basis),
    )


def layers(sizes: Sequence[int], act: Callable[[], nn.Module] = lambda: nn.LeakyReLU(0.2)) -> nn.Sequential:
    """A multilayer perceptron."""
    parts: list[nn.Module] = []
    for i, (inputs, outputs) in enumerate(pairwise(sizes)):
        parts += [act()] * (i > 0) + [nn.Linear(inputs, outputs)]
    return nn.Sequential(*parts)


class Perceptron(Discriminator):
    def __init__(self, inputs: int, width: int, depth: int) -> None:
        super().__init__()
        self.layers = layers([inputs, *[width] * depth, 1])

    def logits(self, embedded: Tensor, condition: object = None) -> Tensor:
        return self.layers(embedded).squeeze(-1)


class Slope(Discriminator):
    """psi . x, the discriminator of the Dirac-GAN (Mescheder et al., 2018, definition 2.1)."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.psi = nn.Parameter(start.clone())

    def logits(self, embedded: Tensor, condition: object = None) -> Tensor:
        return embedded @ self.psi


class Shift(nn.Module):
    """theta + std z."""

    def __init__(self, start: Tensor, std: float) -> None:
        super().__init__()
        self.theta, self.std = nn.Parameter(start.clone()), std

    def forward(self, latents: Tensor) -> Tensor:
        return self.theta + self.std * latents


class Mapped(nn.Module):
    """A generator with a fixed function after its network."""

    def __init__(self, network: nn.Module, last: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.last = network, last

    def forward(self, latents: Tensor) -> Tensor:
        return self.last(self.network(latents))


class ClippedGame(AdversarialGame):
    """Clips the weights of the critic (Arjovsky et al., 2017, algorithm 1)."""

    box = 1.0

    @torch.no_grad()
    def after_step(self, field: object) -> None:
        super().after_step(field)
        for parameter in self.discriminator.parameters():
            parameter.clamp_(-self.box, self.box)


class Affine(nn.Module):
    """x = m + L z: maximum likelihood of a Gaussian."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(dimension))
        self.lower = nn.Parameter(torch.eye(dimension))

    def law(self) -> torch.distributions.MultivariateNormal:
        factor = self.lower.tril(-1) + torch.diag(self.lower.diagonal().abs() + 1e-4)
        return torch.distributions.MultivariateNormal(self.mean, scale_tril=factor)

    def log_prob(self, data: Tensor) -> Tensor:
        return self.law().log_prob(data)

    def sample(self, n: int, key: object) -> Tensor:
        law = self.law()
        return law.loc + key.normal(n, len(law.loc)) @ law.scale_tril.T


SLOPES = {"wasserstein": 1.0, "minimax": 0.5, "nonsaturating": 0.5}
"""f'(0) of the losses of a linear game (Mescheder et al., 2018, section 2)."""


def step_map(rate: float, loss: str, dynamics: str = "Alternating", gamma: float = 0.0) -> Tensor:
    """One step of a linear game at its equilibrium, as a matrix on (psi, theta).

    The field is psi' = -s theta - gamma psi, theta' = s psi, with s = f'(0); a simultaneous step is
    I + h A, an extragradient one I + h A + h^2 A^2, consensus adds -gamma A^T A to the field.
    """
    s, h, eye = SLOPES[loss], rate, torch.eye(2, dtype=torch.float64)
    A = torch.tensor([[-gamma, -s], [s, 0.0]], dtype=torch.float64)
    if dynamics == "Alternating":
        psi_moves, theta_moves = eye[:1].T * h * A, eye[1:].T * h * A
        return (eye + theta_moves) @ (eye + psi_moves)
    if dynamics == "ConsensusOptimization":
        return eye + h * (A - A.T @ A)
    return eye + h * A + (h * h * A @ A if dynamics == "Extragradient" else 0)


def turns(matrix: Tensor) -> dict[str, bool | None]:
    """Whether a linear game rotates undamped: a pair of eigenvalues is on or outside the unit circle."""
    values = torch.linalg.eigvals(matrix)
    return {"oscillation": bool(((values.abs() > 1 - 1e-9) & (values.imag.abs() > 1e-9)).any())}


@dataclass(frozen=True)
class Case:
    """One game. ``truth`` is what is known by construction; the oracle measures the rest."""

    name: str
    points: Points
    build: Callable[[], Game]
    steps: int
    seed: int
    batch: int = 64
    rows: int = 4096
    log_every: int | None = None
    corrupt: Callable[[Tensor], Tensor] = lambda rows: rows
    truth: dict[str, bool | None] = field(default_factory=dict)


def gan(
    points: Points,
    *,
    width: int = 48,
    depth: int = 2,
    latent_dim: int = 8,
    g_rate: float = 2e-3,
    d_rate: float = 2e-3,
    beta: float = 0.0,
    last: Callable[[Tensor], Tensor] | None = None,
    discriminator_width: int | None = None,
    discriminator_depth: int = 2,
    **settings: object,
) -> Callable[[], Game]:
    """A GAN of perceptrons with Adam."""

    def generator() -> nn.Module:
        network = layers([latent_dim, *[width] * depth, points.dimension])
        return Mapped(network, last) if last else network

    return lambda: adversarial_game(
        generator=generator,
        discriminator=lambda: Perceptron(points.dimension, discriminator_width or width, discriminator_depth),
        prior=normal(latent_dim),
        generator_optimizer=Adam(g_rate, (beta, 0.99)),
        discriminator_optimizer=Adam(d_rate, (beta, 0.99)),
        **settings,
    )


def linear_game(
    *, start: Tensor, std: float, g_rate: float, d_rate: float, **settings: object
) -> Callable[[], Game]:
    """A linear game of theta and psi: with std 0 a Dirac-GAN, with the Wasserstein loss the bilinear game."""
    return lambda: adversarial_game(
        generator=lambda: Shift(start, std),
        discriminator=lambda: Slope(start.flip(0)),
        prior=normal(len(start)),
        generator_optimizer=SGD(g_rate),
        discriminator_optimizer=SGD(d_rate),
        **settings,
    )
