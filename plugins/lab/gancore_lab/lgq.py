"""``lgq``: linear generator, Gaussian data, quadratic critic, and when principal components are stable."""

# ruff: noqa: N803 (matrices have the letters of the formulas)

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from gancore.games import (
    SGD,
    Alternating,
    Cost,
    Draw,
    Dynamics,
    Extragradient,
    Game,
    Move,
    Phase,
    Player,
    Simultaneous,
)
from gancore_lab.experiment import Check, Experiment, Outcome
from gancore_lab.games import Point
from gancore_lab.measuring import Orbit, fitted_radius, orbit
from gancore_lab.pictures import PREDICTED, label, legend, panels


class LGQ(Game):
    """V(A, G) = tr A (K - G G^T) - gamma/2 |A|^2: the critic x^T A x ascends it, x = G z descends it.

    K, the covariance of the data, stands for the data themselves: V is the expectation. ``tau`` is a
    factor on the critic's rate.
    """

    def __init__(
        self, K: Tensor, G: Tensor, A: Tensor, gamma: float, tau: float, rate: float, dynamics: Dynamics
    ) -> None:  # fmt: skip
        super().__init__()
        self.critic, self.generator = Point(A), Point(G)  # (d, d), (d, r)
        self.register_buffer("K", K)
        self.gamma = gamma
        self.players = {
            "discriminator": Player({"critic": tau}, SGD(rate)),
            "generator": Player(["generator"], SGD(rate)),
        }
        self.phases = [Phase([Move("discriminator"), Move("generator")], dynamics=dynamics)]

    def cost(self, move: Move, draw: Draw) -> Cost:
        A, G = self.critic.value, self.generator.value
        if move.player == "generator":
            return Cost().add("loss", -(A @ G * G).sum()[None])
        with draw.frozen():
            gap = self.K - G @ G.T
        return Cost().add("loss", (self.gamma / 2 * A.square().sum() - (A * gap).sum())[None])


def covariance(setup: Mapping[str, Any]) -> Tensor:
    return torch.diag(torch.tensor(setup["eigenvalues"], dtype=torch.float64))


def stable(gamma: float, tau: float, setup: Mapping[str, Any]) -> bool:
    """tau gamma^2 > 2 lambda_{r+1}: the matrix of :func:`growth` has a negative trace."""
    return tau * gamma**2 > 2 * setup["eigenvalues"][setup["rank"]]


def growth(gamma: float, tau: float, setup: Mapping[str, Any]) -> tuple[float, np.ndarray]:
    """The fastest |1 + h mu| out of the span of the principal components, and where it points.

    At G = U_r sqrt(Lambda_r), A = (K - G G^T) / gamma, a row g of G in direction j > r and the entry a of
    A between j and the component i move apart from all others, by
    g' = 2 lambda_j / gamma g + 2 s_i a,  a' = -tau (s_i g + gamma a),  s_i = sqrt(lambda_i).
    Real part of mu: half the trace, lambda_j / gamma - tau gamma / 2. Returns the rate and (j, i, g, a).
    """
    values, r, h = setup["eigenvalues"], setup["rank"], setup["rate"]
    best = (0.0, np.zeros(4))
    for i, j in [(i, r) for i in range(r)]:
        s = values[i] ** 0.5
        matrix = np.array([[2 * values[j] / gamma, 2 * s], [-tau * s, -tau * gamma]])
        mu, vectors = np.linalg.eig(matrix)
        top = int(np.abs(1 + h * mu).argmax())
        if (radius := float(np.abs(1 + h * mu[top]))) > best[0]:
            best = (radius, np.array([j, i, *vectors[:, top].real]))
    return best


def settled(gamma: float, tau: float, setup: Mapping[str, Any]) -> float:
    """The rate of the slowest of all that moves in a round near the equilibrium, at this h; below 1: stable.

    Beside :func:`growth`: within the span, u = s_j g_ij + s_i g_ji and a of A move by
    u' = 2 (lambda_i + lambda_j) a, a' = -tau (u + gamma a), fastest for the largest eigenvalue; outside of
    it A alone, by a' = -tau gamma a. As h goes to 0, below 1 is the condition of :func:`stable`.
    """
    h, largest = setup["rate"], max(setup["eigenvalues"])
    least = setup["eigenvalues"][setup["rank"] - 1]
    within = [np.array([[0.0, 4 * value], [-tau, -tau * gamma]]) for value in (largest, least)]
    inside = max(float(np.abs(1 + h * np.linalg.eigvals(matrix)).max()) for matrix in within)
    return max(growth(gamma, tau, setup)[0], inside, abs(1 - h * tau * gamma))


def rounds(setup: Mapping[str, Any], name: str) -> int:
    """How many rounds a time is: it goes on by h a round."""
    return max(1, round(setup[name] / setup["rate"]))


def from_noise(
    gamma: float, tau: float, dynamics: Dynamics, rounds: int, setup: Mapping[str, Any], seed: int
) -> Orbit:
    """The relative error |G G^T - K_r| / |K_r| after each round, from G = 0.1 N(0, 1), A = 0."""
    K, r = covariance(setup), setup["rank"]
    chance = torch.Generator().manual_seed(seed)
    G = setup["scale"] * torch.randn(len(K), r, generator=chance, dtype=torch.float64)
    game = LGQ(K, G, torch.zeros_like(K), gamma, tau, setup["rate"], dynamics)
    best = torch.diag(torch.where(torch.arange(len(K)) < r, K.diagonal(), 0.0))

    def error() -> Tensor:
        G = game.generator.value
        return (G @ G.T - best).norm() / best.norm()

    done = lambda e: bool(e < setup["close"] or not e < 1e6)  # noqa: E731
    return orbit(game, rounds, error, seed=seed, until=done)[:, 0]


def from_equilibrium(gamma: float, tau: float, setup: Mapping[str, Any], seed: int) -> tuple[float, float]:
    """Predicted and measured growth of a small step off the equilibrium."""
    radius, (j, i, g, a) = growth(gamma, tau, setup)
    K, r = covariance(setup), setup["rank"]
    values = K.diagonal()
    G = torch.diag(values.sqrt())[:, :r].clone()
    A = torch.diag(torch.where(torch.arange(len(K)) < r, 0.0, values)) / gamma
    j, i, eps = int(j), int(i), setup["near"]
    G[j, i] += eps * g
    A[j, i] += eps * a
    A[i, j] += eps * a
    game = LGQ(K, G, A, gamma, tau, setup["rate"], Simultaneous())
    off = lambda: torch.stack([game.generator.value[j, i], game.critic.value[j, i]])  # noqa: E731
    path = orbit(game, setup["near_rounds"], off, seed=seed)
    return radius, fitted_radius(path)


def measure(setup: Mapping[str, Any], seed: int) -> Outcome:
    checks: list[Check] = []
    curves: dict[str, Any] = {"errors": {}, "bare": {}, "close": setup["close"]}
    for gamma, tau in setup["settings"]:
        name = f"gamma {gamma:g}, tau {tau:g}"
        predicted, measured = from_equilibrium(gamma, tau, setup, seed)
        rate = settled(gamma, tau, setup)
        checks.append(_near(name, measured, predicted, rate, setup))
        if [gamma, tau] not in [list(pair) for pair in setup["from_noise"]]:
            continue
        errors = from_noise(gamma, tau, Simultaneous(), rounds(setup, "time"), setup, seed)
        curves["errors"][name] = (errors, rate < 1)
        slow = abs(np.log(rate)) * rounds(setup, "time") < FEWEST_FOLDS
        checks.append(_outcome(name, errors, None if slow else rate < 1, setup))
    for dynamics in (Simultaneous(), Alternating(), Extragradient()):
        name = f"gamma 0, {type(dynamics).__name__.lower()}"
        errors = from_noise(0.0, 1.0, dynamics, rounds(setup, "bare_time"), setup, seed)
        curves["bare"][name] = (errors, False)
        checks.append(_outcome(name, errors, False, setup))
    return Outcome(checks, curves, REMARKS)


def _near(name: str, measured: float, predicted: float, rate: float, setup: Mapping[str, Any]) -> Check:
    """Rounding grows at ``rate``, that of all directions: above the predicted one it covers the orbit."""
    called = f"rate at the equilibrium: {name}"
    if rate > 1 and rate > predicted + setup["tolerance"]:
        return Check(called, measured, note="the rate is so large that another direction leaves faster")
    return Check(called, measured, "=", predicted, setup["tolerance"])


def _outcome(name: str, errors: Orbit, reached: bool | None, setup: Mapping[str, Any]) -> Check:
    """``reached``: whether it should come close; None: there is too little time to say so."""
    note = f"round {len(errors) - 1}" if errors[-1] < setup["close"] else f"never in {len(errors) - 1} rounds"
    least = float(np.nanmin(errors))
    if reached is None:
        return Check(f"least error: {name}", least, note=f"{note}; too near the border for so many rounds")
    return Check(f"least error: {name}", least, "<" if reached else ">", setup["close"], note=note)


REMARKS = (
    "Below the condition the critic stays at lambda_{r+1} / gamma in directions that the generator does not "
    "model, and pushes it there: a faster critic or a stronger penalty is necessary, not merely useful.",
    "Without a penalty there is no equilibrium while the generator has fewer directions than the data.",
)


def draw(outcome: Outcome) -> Figure:
    figure, (first, second) = panels(
        2, "Linear generator, Gaussian data, quadratic critic: error of G G^T", width=6.4
    )
    for name, (errors, good) in outcome.curves["errors"].items():
        first.plot(
            errors, label=f"{name}: {'stable' if good else 'unstable'}", linestyle="-" if good else ":"
        )
    label(first, "from noise; predicted stable: solid, unstable: dotted", "round", "relative error", log="y")
    for name, (errors, _) in outcome.curves["bare"].items():
        second.plot(errors, label=name, linewidth=1.0)
    label(second, "without a penalty: predicted to fail", "round", "", log="y")
    for ax in (first, second):
        ax.axhline(outcome.curves["close"], **PREDICTED)
        legend(ax, loc="upper right", ncols=2)
        ax.set_ylim(3e-4, 1e3)
    return figure


FEWEST_FOLDS = 4.0
"""A game whose error changes by less than e to this power has not shown whether it settles."""
EIGHT = ((1, 0.5), (1, 0.8), (0.5, 2), (1, 1.3), (1, 2), (1, 8), (0.5, 6), (2, 0.5))

EXPERIMENT = Experiment(
    question="When does a GAN with a linear generator and a quadratic critic find the principal components?",
    prediction=(
        "its equilibrium there is stable if and only if tau gamma^2 > 2 lambda_{r+1}; without a penalty never"
    ),
    source="the linearised field in closed form (gancore_lab.lgq.growth); the game: Feizi et al. 2017",
    setup={
        "eigenvalues": (8.0, 6.0, 4.0, 3.0, *[0.5] * 12),
        "rank": 4,
        "rate": 0.005,
        "scale": 0.1,
        "settings": EIGHT,
        "from_noise": EIGHT,
        "time": 50.0,
        "bare_time": 10.0,
        "close": 1e-3,
        "near": 1e-6,
        "near_rounds": 200,
        "tolerance": 1e-5,
    },
    quick={"from_noise": ((1, 8),), "bare_time": 1.5, "near_rounds": 100},
    measure=measure,
    draw=draw,
    seconds=(2, 45),
)
