"""``staleness``: what it costs that players see each other late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gancore.games import R1, Game
from gancore_lab import games, theory
from gancore_lab.experiment import Check, Experiment, Outcome
from gancore_lab.measuring import distances, orbit, parameters, tail_rate
from gancore_lab.pictures import label, legend, panels
from gancore_lab.stale import Stale

GAMES: dict[str, Any] = {  # (strength, damping, own): the field's Jacobian, and whether all is seen late
    "bilinear": (1.0, 0.0, False),
    "bilinear, damping 1": (1.0, 1.0, False),
    "Dirac + R1 1": (0.5, 1.0, False),
    "Dirac + R1 1, whole gradient late": (0.5, 1.0, True),
}


def growth(h: float, delay: int) -> float:
    """The largest root of l^(d+1) - l^d = i h."""
    coefficients = np.zeros(delay + 2, dtype=complex)
    coefficients[0], coefficients[1] = 1.0, -1.0
    coefficients[-1] -= 1j * h
    return float(np.abs(np.roots(coefficients)).max())


def build(name: str, delay: int, setup: Mapping[str, Any]) -> Game:
    _, damping, own = GAMES[name]
    dynamics, h, start = Stale(delay, own), setup["rate"], setup["start"]
    if name.startswith("bilinear"):
        return games.Bilinear(dynamics, rate=h, damping=damping, start=start)
    return games.dirac("minimax", dynamics, penalties=[R1(damping)], rates=(h, h), start=start)


def measure(setup: Mapping[str, Any], seed: int) -> Outcome:
    checks: list[Check] = []
    curves: dict[str, Any] = {"rates": {}, "most": max(setup["delays"])}
    for name, (strength, damping, own) in GAMES.items():
        J, H = theory.coupled(strength, damping), setup["rate"] * np.eye(2)
        for delay in setup["delays"] if name == "bilinear" else setup["damped_delays"]:
            rate = theory.rate(theory.stale(J, H, delay, own))
            if name == "bilinear":
                rate = theory.Rate(growth(setup["rate"], delay))
            game = build(name, delay, setup)
            lengths = distances(orbit(game, setup["steps"], parameters(game), seed=seed))
            measured = tail_rate(lengths, setup["window"], rate.power)
            tolerance = setup["exact_tolerance"] if name == "bilinear" else setup["tolerance"]
            checks.append(Check(f"rate: {name}, delay {delay}", measured, "=", rate.radius, tolerance))
            curves["rates"].setdefault(name, []).append((delay, rate.radius, measured))
    return Outcome(checks + _tolerances(curves["rates"]), curves, REMARKS)


def _tolerances(rates: Mapping[str, Sequence[tuple[int, float, float]]]) -> list[Check]:
    """The longest delay, of those tried, under which a damped game still contracts."""
    checks = []
    for name, rows in rates.items():
        predicted = [delay for delay, radius, _ in rows if radius < 1]
        measured = [delay for delay, _, rate in rows if rate < 1]
        if predicted:
            longest = max(measured, default=-1)
            checks.append(Check(f"longest delay that contracts: {name}", longest, "=", max(predicted)))
    return checks


REMARKS = (
    "Delay is the opposite of optimism: it turns a game that circles into one that leaves.",
    "Where the whole gradient is late, some delay helps the critically damped game: it acts like momentum.",
)


def curve(name: str, setup: Mapping[str, Any], delays: Sequence[int]) -> list[float]:
    """The predicted radius at every delay."""
    strength, damping, own = GAMES[name]
    J, H = theory.coupled(strength, damping), setup["rate"] * np.eye(2)
    return [theory.rate(theory.stale(J, H, delay, own)).radius for delay in delays]


def draw(outcome: Outcome) -> Figure:
    figure, (first, second) = panels(
        2, "Players who see each other late: growth per round (lines: predicted)"
    )
    rates = outcome.curves["rates"]
    _dots(first, {"bilinear": rates["bilinear"]})
    label(first, "min max xy, h = 0.1", "delay in rounds", "|z| grows per round by")
    _dots(second, {name: rows for name, rows in rates.items() if name != "bilinear"})
    label(second, "damped games, h = 0.1", "delay in rounds", "")
    for ax in (first, second):
        ax.axhline(1.0, color="grey", linewidth=0.8)
    return figure


def _dots(ax: Axes, rates: Mapping[str, Sequence[tuple[int, float, float]]]) -> None:
    for name, rows in rates.items():
        delays = range(max(delay for delay, _, _ in rows) + 1)
        line = ax.plot(delays, curve(name, EXPERIMENT.setup, delays), linewidth=1.2, label=name)[0]
        ax.plot([d for d, _, _ in rows], [m for *_, m in rows], "o", color=line.get_color())
    legend(ax)


EXPERIMENT = Experiment(
    question="How much later may players see each other before a game that converged no longer does?",
    prediction=(
        "min max xy grows by the largest root of l^(d+1) - l^d = ih at every delay d; damping buys a finite "
        "tolerance, the largest d whose delayed linear map still contracts"
    ),
    source="the round with delay as a companion matrix; Dirac-GAN of Mescheder et al. 2018",
    setup={
        "rate": 0.1,
        "steps": 1000,
        "window": (500, 1000),
        "start": (0.5e-3, 1e-3),  # along no eigenvector: a double root shows itself
        "exact_tolerance": 5e-5,
        "tolerance": 1e-3,
        "delays": tuple(range(17)),
        "damped_delays": (0, 1, 2, 4, 8, 16, 32),
    },
    quick={"steps": 600, "window": (300, 600), "delays": (1, 16), "damped_delays": (4, 8)},
    measure=measure,
    draw=draw,
    seconds=(6, 36),
)
