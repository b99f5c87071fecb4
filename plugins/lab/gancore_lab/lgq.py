"""``lgq``: linear generator, Gaussian data, quadratic critic; when principal components are stable."""

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
from gancore_lab.experiment import Check, Experiment, ExperimentResult, steps_for
from gancore_lab.games import Point
from gancore_lab.orbits import Orbit, fitted_radius, orbit
from gancore_lab.plots import PREDICTED, legend, panels, set_labels


class LGQ(Game):
    """V(A, G) = tr A (K - G G^T) - gamma/2 |A|^2. The critic x^T A x maximises it, x = G z minimises it.

    V is the expectation over data with the covariance K (d, d). ``tau`` multiplies the critic's learning
    rate.
    """

    K: Tensor

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
        with draw.freeze_opponents():
            gap = self.K - G @ G.T
        return Cost().add("loss", (self.gamma / 2 * A.square().sum() - (A * gap).sum())[None])


def covariance(settings: Mapping[str, Any]) -> Tensor:
    return torch.diag(torch.tensor(settings["eigenvalues"], dtype=torch.float64))


def is_stable(gamma: float, tau: float, settings: Mapping[str, Any]) -> bool:
    """Whether tau gamma^2 > 2 lambda_{r+1}: the matrix in :func:`escape_rate` then has a negative trace."""
    result: bool = tau * gamma**2 > 2 * settings["eigenvalues"][settings["rank"]]
    return result


def escape_rate(gamma: float, tau: float, settings: Mapping[str, Any]) -> tuple[float, np.ndarray]:
    """The largest |1 + h mu| out of the span of the principal components, and its direction.

    At G = U_r sqrt(Lambda_r), A = (K - G G^T) / gamma, a row g of G in direction j > r and the entry a of
    A between j and the component i move independently of all others, by
    g' = 2 lambda_j / gamma g + 2 s_i a,  a' = -tau (s_i g + gamma a),  s_i = sqrt(lambda_i).
    Real part of mu: half the trace, lambda_j / gamma - tau gamma / 2. Returns the rate and (j, i, g, a).
    """
    values, r, h = settings["eigenvalues"], settings["rank"], settings["rate"]
    best = (0.0, np.zeros(4))
    for i, j in [(i, r) for i in range(r)]:
        s = values[i] ** 0.5
        matrix = np.array([[2 * values[j] / gamma, 2 * s], [-tau * s, -tau * gamma]])
        mu, vectors = np.linalg.eig(matrix)
        top = int(np.abs(1 + h * mu).argmax())
        if (radius := float(np.abs(1 + h * mu[top]))) > best[0]:
            best = (radius, np.array([j, i, *vectors[:, top].real]))
    return best


def slowest_rate(gamma: float, tau: float, settings: Mapping[str, Any]) -> float:
    """The rate of the slowest direction of a step near the equilibrium, for this h; below 1 it is stable.

    It is the largest of :func:`escape_rate` and of two other rates. Within the span, u = s_j g_ij + s_i g_ji
    and a of A move by u' = 2 (lambda_i + lambda_j) a, a' = -tau (u + gamma a), fastest for the largest
    eigenvalue. Outside the span, A alone moves by a' = -tau gamma a. As h goes to 0, the rate is below 1 if
    and only if :func:`is_stable`.
    """
    h, largest = settings["rate"], max(settings["eigenvalues"])
    least = settings["eigenvalues"][settings["rank"] - 1]
    within = [np.array([[0.0, 4 * value], [-tau, -tau * gamma]]) for value in (largest, least)]
    inside = max(float(np.abs(1 + h * np.linalg.eigvals(matrix)).max()) for matrix in within)
    result: float = max(escape_rate(gamma, tau, settings)[0], inside, abs(1 - h * tau * gamma))
    return result


def error_from_noise(
    gamma: float, tau: float, dynamics: Dynamics, steps: int, settings: Mapping[str, Any], seed: int
) -> Orbit:
    """The relative error |G G^T - K_r| / |K_r| after each step, from G = 0.1 N(0, 1), A = 0."""
    K, r = covariance(settings), settings["rank"]
    generator = torch.Generator().manual_seed(seed)
    G = settings["scale"] * torch.randn(len(K), r, generator=generator, dtype=torch.float64)
    game = LGQ(K, G, torch.zeros_like(K), gamma, tau, settings["rate"], dynamics)
    best = torch.diag(torch.where(torch.arange(len(K)) < r, K.diagonal(), 0.0))

    def error() -> Tensor:
        G = game.generator.value
        result: Tensor = (G @ G.T - best).norm() / best.norm()
        return result

    finished = lambda e: bool(e < settings["close"] or not e < 1e6)  # noqa: E731
    return orbit(game, steps, error, seed=seed, stop_when=finished)[:, 0]


def growth_near_equilibrium(
    gamma: float, tau: float, settings: Mapping[str, Any], seed: int
) -> tuple[float, float]:
    """The predicted and the measured growth of a small displacement from the equilibrium."""
    radius, (j, i, g, a) = escape_rate(gamma, tau, settings)
    K, r = covariance(settings), settings["rank"]
    values = K.diagonal()
    G = torch.diag(values.sqrt())[:, :r].clone()
    A = torch.diag(torch.where(torch.arange(len(K)) < r, 0.0, values)) / gamma
    j, i, eps = int(j), int(i), settings["near"]
    G[j, i] += eps * g
    A[j, i] += eps * a
    A[i, j] += eps * a
    game = LGQ(K, G, A, gamma, tau, settings["rate"], Simultaneous())
    displacement = lambda: torch.stack([game.generator.value[j, i], game.critic.value[j, i]])  # noqa: E731
    path = orbit(game, settings["near_steps"], displacement, seed=seed)
    return radius, fitted_radius(path)


def run(settings: Mapping[str, Any], seed: int) -> ExperimentResult:
    checks: list[Check] = []
    plot_data: dict[str, Any] = {"errors": {}, "bare": {}, "close": settings["close"]}
    for gamma, tau in settings["settings"]:
        name = f"gamma {gamma:g}, tau {tau:g}"
        predicted, measured = growth_near_equilibrium(gamma, tau, settings, seed)
        rate = slowest_rate(gamma, tau, settings)
        checks.append(_rate_check(name, measured, predicted, rate, settings))
        if [gamma, tau] not in [list(pair) for pair in settings["from_noise"]]:
            continue
        steps = steps_for(settings, "time")
        errors = error_from_noise(gamma, tau, Simultaneous(), steps, settings, seed)
        plot_data["errors"][name] = (errors, rate < 1)
        is_clear = abs(np.log(rate)) * steps >= MIN_FOLDS
        checks.append(_error_check(name, errors, rate < 1, is_clear, settings))
    for dynamics in (Simultaneous(), Alternating(), Extragradient()):
        name = f"gamma 0, {type(dynamics).__name__.lower()}"
        errors = error_from_noise(0.0, 1.0, dynamics, steps_for(settings, "bare_time"), settings, seed)
        plot_data["bare"][name] = (errors, False)
        checks.append(_error_check(name, errors, False, True, settings))
    return ExperimentResult(checks, plot_data, NOTES)


def _rate_check(
    name: str, measured: float, predicted: float, rate: float, settings: Mapping[str, Any]
) -> Check:
    """Check the rate. There is no prediction if ``rate``, at which rounding errors grow, is larger."""
    check = Check(f"rate at the equilibrium: {name}", measured, "=", predicted, settings["tolerance"])
    faster = rate > 1 and rate > predicted + settings["tolerance"]
    return check.only_if(not faster, "with this learning rate another direction diverges faster")


def _error_check(
    name: str, errors: Orbit, reached: bool, is_clear: bool, settings: Mapping[str, Any]
) -> Check:
    """Check the smallest error. ``reached`` is the prediction; ``is_clear``: the steps suffice to decide."""
    count, close = len(errors) - 1, settings["close"]
    note = f"step {count}" if errors[-1] < close else f"never in {count} steps"
    least = float(np.nanmin(errors))
    check = Check(f"least error: {name}", least, "<" if reached else ">", close, note=note)
    return check.only_if(is_clear, f"{note}; too few steps this close to the limit of stability")


NOTES = (
    "If the condition does not hold, the critic stays at lambda_{r+1} / gamma in directions that the "
    "generator does not model, and moves it there: a faster critic or a stronger penalty is necessary.",
    "Without a penalty there is no equilibrium if the generator has fewer directions than the data.",
)


def plot(result: ExperimentResult) -> Figure:
    figure, (first, second) = panels(
        2, "Linear generator, Gaussian data, quadratic critic: error of G G^T", width=6.4
    )
    for name, (errors, good) in result.plot_data["errors"].items():
        first.plot(
            errors, label=f"{name}: {'stable' if good else 'unstable'}", linestyle="-" if good else ":"
        )
    set_labels(
        first, "from noise; predicted stable: solid, unstable: dotted", "step", "relative error", log="y"
    )
    for name, (errors, _) in result.plot_data["bare"].items():
        second.plot(errors, label=name, linewidth=1.0)
    set_labels(second, "without a penalty: predicted to fail", "step", "", log="y")
    for ax in (first, second):
        ax.axhline(result.plot_data["close"], **PREDICTED)
        legend(ax, loc="upper right", ncols=2)
        ax.set_ylim(3e-4, 1e3)
    return figure


MIN_FOLDS = 4.0
"""An error that changes by a factor of less than e to this power does not show whether a game converges."""
PAIRS = ((1, 0.5), (1, 0.8), (0.5, 2), (1, 1.3), (1, 2), (1, 8), (0.5, 6), (2, 0.5))

EXPERIMENT = Experiment(
    question="When does a GAN with a linear generator and a quadratic critic find the principal components?",
    prediction=(
        "the equilibrium is stable if and only if tau gamma^2 > 2 lambda_{r+1}; without a penalty it is not"
    ),
    source="the linearised field in closed form (gancore_lab.lgq.escape_rate); the game: Feizi et al. 2017",
    settings={
        "eigenvalues": (8.0, 6.0, 4.0, 3.0, *[0.5] * 12),
        "rank": 4,
        "rate": 0.005,
        "scale": 0.1,
        "settings": PAIRS,
        "from_noise": PAIRS,
        "time": 50.0,
        "bare_time": 10.0,
        "close": 1e-3,
        "near": 1e-6,
        "near_steps": 200,
        "tolerance": 1e-5,
    },
    descriptions={
        "eigenvalues": "of the covariance K of the data, in descending order",
        "rank": "columns of the linear generator",
        "rate": "learning rate h of both players",
        "scale": "standard deviation of the generator's weights at the start from noise",
        "settings": "pairs (gamma, tau): weight of the critic's penalty, factor on its rate",
        "from_noise": "those of the pairs that are also played from noise",
        "time": "length of an orbit from noise, in steps times h",
        "bare_time": "the same for games without a penalty or with unstable equilibrium",
        "close": "relative error of the components at which a game has found them",
        "near": "distance from the equilibrium at which its rate is read",
        "near_steps": "steps of that orbit",
        "tolerance": "allowed difference between measured and predicted rate",
    },
    quick_settings={"from_noise": ((1, 8),), "bare_time": 1.5, "near_steps": 100},
    run=run,
    plot=plot,
    seconds=(2, 45),
)
