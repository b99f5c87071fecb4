"""``staleness``: convergence of players that get each other's parameters with a delay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gancore.games import R1, Game
from gancore_lab import games, theory
from gancore_lab.experiment import Check, Experiment, ExperimentResult
from gancore_lab.orbits import Orbit, distances, orbit, parameter_reader, tail_rate
from gancore_lab.plots import legend, panels, set_labels
from gancore_lab.stale import Stale

STALE_GAMES: dict[str, Any] = {  # (strength, damping, own): the Jacobian; whether own parameters are late
    "bilinear": (1.0, 0.0, False),
    "bilinear, damping 1": (1.0, 1.0, False),
    "Dirac + R1 1": (0.5, 1.0, False),
    "Dirac + R1 1, whole gradient late": (0.5, 1.0, True),
}
NEAR = 0.2
"""The largest distance of an orbit of the Dirac-GAN for which the linearised game predicts a rate."""
LARGEST = 1e100
"""An orbit ends before the square of its length overflows."""


def bilinear_growth(h: float, delay: int) -> float:
    """The largest root of l^(d+1) - l^d = i h."""
    coefficients = np.zeros(delay + 2, dtype=complex)
    coefficients[0], coefficients[1] = 1.0, -1.0
    coefficients[-1] -= 1j * h
    return float(np.abs(np.roots(coefficients)).max())


def build_game(name: str, delay: int, settings: Mapping[str, Any]) -> Game:
    _, damping, own = STALE_GAMES[name]
    dynamics, h, start = Stale(delay, own), settings["rate"], settings["start"]
    if name.startswith("bilinear"):
        return games.Bilinear(dynamics, rate=h, damping=damping, start=start)
    return games.dirac("minimax", dynamics, penalties=[R1(damping)], rates=(h, h), start=start)


def step_matrix(name: str, delay: int, settings: Mapping[str, Any]) -> theory.Matrix:
    """The matrix of a step on (z_t, ..., z_{t-d})."""
    strength, damping, own = STALE_GAMES[name]
    return theory.stale(theory.dirac_jacobian(strength, damping), settings["rate"] * np.eye(2), delay, own)


def predicted_rate(name: str, delay: int, settings: Mapping[str, Any]) -> theory.Rate:
    if name == "bilinear":
        return theory.Rate(bilinear_growth(settings["rate"], delay))
    return theory.convergence_rate(step_matrix(name, delay, settings))


def predicted_lengths(name: str, delay: int, settings: Mapping[str, Any]) -> Orbit:
    """|z_t| by powers of the matrix of the step, for as many steps as the orbit of the game."""
    y, x = settings["start"]
    matrix = step_matrix(name, delay, settings)
    y = -y if name.startswith("bilinear") else y  # the field of this game has the opposite sign
    z = np.tile([y, x], delay + 1)
    lengths = [float(np.linalg.norm(z[:2]))]
    while len(lengths) <= settings["steps"] and not _left_range(z[:2]):
        z = matrix @ z
        lengths.append(float(np.linalg.norm(z[:2])))
    return np.array(lengths)


def _left_range(z: Orbit) -> bool:
    return not 1 / LARGEST < np.linalg.norm(z) < LARGEST


def measured_rate(lengths: Orbit, power: int, settings: Mapping[str, Any]) -> float:
    last = len(lengths) - 1
    return tail_rate(lengths, (round(settings["window_from"] * last), last), power)


def _rate_check(
    name: str, delay: int, rate: theory.Rate, measured: float, settings: Mapping[str, Any]
) -> Check:
    """Check the rate.

    It is predicted if the matrix has this rate in the given steps, near the equilibrium.
    """
    tolerance = settings["exact_tolerance"] if name == "bilinear" else settings["tolerance"]
    check = Check(f"rate: {name}, delay {delay}", measured, "=", rate.radius, tolerance)
    lengths = predicted_lengths(name, delay, settings)
    shown = abs(measured_rate(lengths, rate.power, settings) - rate.radius) <= tolerance
    check = check.only_if(shown, "too few steps for the rate")
    is_near = name.startswith("bilinear") or lengths.max() <= NEAR
    return check.only_if(is_near, f"the orbit is more than {NEAR} away from the equilibrium")


def run(settings: Mapping[str, Any], seed: int) -> ExperimentResult:
    checks: list[Check] = []
    plot_data: dict[str, Any] = {"rates": {}, "predicted": {}, "rate": settings["rate"]}
    for name in STALE_GAMES:
        delays = settings["delays"] if name == "bilinear" else settings["damped_delays"]
        for delay in delays:
            rate, game = predicted_rate(name, delay, settings), build_game(name, delay, settings)
            path = orbit(game, settings["steps"], parameter_reader(game), seed=seed, stop_when=_left_range)
            measured = measured_rate(distances(path), rate.power, settings)
            checks.append(_rate_check(name, delay, rate, measured, settings))
            plot_data["rates"].setdefault(name, []).append((delay, rate.radius, measured))
        every = range(max(delays) + 1)
        radii = [theory.convergence_rate(step_matrix(name, delay, settings)).radius for delay in every]
        plot_data["predicted"][name] = radii
    valid = {check.name for check in checks if check.holds is not None}
    return ExperimentResult(checks + _longest_delay_checks(plot_data["rates"], valid), plot_data, NOTES)


def _longest_delay_checks(
    rates: Mapping[str, Sequence[tuple[int, float, float]]], valid: Set[str]
) -> list[Check]:
    """Check the longest delay with which a damped game contracts."""
    checks = []
    for name, rows in rates.items():
        predicted = [delay for delay, radius, _ in rows if radius < 1]
        measured = [delay for delay, _, rate in rows if rate < 1]
        if predicted:
            longest = max(measured, default=-1)
            check = Check(f"longest delay that contracts: {name}", longest, "=", max(predicted))
            is_valid = all(f"rate: {name}, delay {delay}" in valid for delay, *_ in rows)
            checks.append(check.only_if(is_valid, "not every rate is predicted for these settings"))
    return checks


NOTES = (
    "A delay has the opposite effect of optimism: a rotating game diverges.",
    "If the whole gradient is late, a small delay helps the critically damped game: it acts like momentum.",
)


def plot(result: ExperimentResult) -> Figure:
    figure, (first, second) = panels(
        2, "Players with old parameters of each other: growth per step (lines: predicted)"
    )
    rates, h = result.plot_data["rates"], result.plot_data["rate"]
    for name in rates:
        _plot_rates(first if name == "bilinear" else second, name, result)
    set_labels(first, f"min max xy, h = {h:g}", "delay in steps", "growth of |z| per step")
    set_labels(second, f"damped games, h = {h:g}", "delay in steps", "")
    for ax in (first, second):
        legend(ax)
        ax.axhline(1.0, color="grey", linewidth=0.8)
    return figure


def _plot_rates(ax: Axes, name: str, result: ExperimentResult) -> None:
    line = ax.plot(result.plot_data["predicted"][name], linewidth=1.2, label=name)[0]
    rows = result.plot_data["rates"][name]
    ax.plot([delay for delay, *_ in rows], [rate for *_, rate in rows], "o", color=line.get_color())


EXPERIMENT = Experiment(
    question="With how much delay between the players does a convergent game still converge?",
    prediction=(
        "min max xy grows by the largest root of l^(d+1) - l^d = ih for every delay d; a damped game "
        "converges up to the largest d for which the matrix of the delayed step contracts"
    ),
    source="the step with delay as a companion matrix; Dirac-GAN of Mescheder et al. 2018",
    settings={
        "rate": 0.1,
        "steps": 1000,
        "window_from": 0.5,
        "start": (0.5e-3, 1e-3),  # not an eigenvector, so that a double root has an effect
        "exact_tolerance": 5e-5,
        "tolerance": 1e-3,
        "delays": tuple(range(17)),
        "damped_delays": (0, 1, 2, 4, 8, 16, 32),
    },
    descriptions={
        "rate": "learning rate h of both players",
        "steps": "steps of an orbit",
        "window_from": "share of the orbit after which its rate is read",
        "start": "(psi, theta) at the start",
        "exact_tolerance": "allowed difference from the predicted rate, bilinear game",
        "tolerance": "the same for the Dirac-GAN, which is linear near its equilibrium only",
        "delays": "steps by which players see each other late, bilinear game",
        "damped_delays": "the same for the Dirac-GAN with R1",
    },
    quick_settings={"steps": 600, "delays": (1, 16), "damped_delays": (4, 8)},
    run=run,
    plot=plot,
    seconds=(6, 36),
)
