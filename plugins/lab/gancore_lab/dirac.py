"""``dirac``: rates of the dynamics on the Dirac-GAN, and distances far from its equilibrium."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gancore.games import R1, WGANGP, PenaltyTerm
from gancore_lab import games, theory
from gancore_lab.experiment import Check, Experiment, ExperimentResult, steps_for
from gancore_lab.orbits import (
    Orbit,
    distances,
    fitted_radius,
    orbit,
    parameter_reader,
    predicted_curve,
    tail_rate,
)
from gancore_lab.plots import PREDICTED, legend, panels, set_labels
from gancore_lab.theory import METHODS, Matrix, Rate


@dataclass(frozen=True)
class DiracLoss:
    """A cost of the Dirac-GAN; ``strength`` is f'(0), None if there is no equilibrium."""

    loss: str
    strength: float | None = 0.5
    penalties: Sequence[PenaltyTerm] = ()
    damping: float = 0.0
    clipped: bool = False


LOSSES = {
    "GAN": DiracLoss("minimax"),
    "NS-GAN": DiracLoss("nonsaturating"),
    "WGAN, clip 1": DiracLoss("wasserstein", 1.0, clipped=True),
    "WGAN-GP": DiracLoss("wasserstein", None, [WGANGP(0.35)]),
    "GAN + R1 0.3": DiracLoss("minimax", 0.5, [R1(0.3)], 0.3),
    "GAN + R1 1": DiracLoss("minimax", 0.5, [R1(1.0)], 1.0),
    "GAN + R1 2": DiracLoss("minimax", 0.5, [R1(2.0)], 2.0),
    "NS-GAN + R1 0.3": DiracLoss("nonsaturating", 0.5, [R1(0.3)], 0.3),
}

REFERENCE_SETTINGS = {"rate": 0.2, "start": 1.0, "time": 100.0}
REFERENCE = {  # |z| after 500 steps from (1, 1), from an independent program without autograd
    "GAN": (3.10, 1.42, 1.85, 0.122, 0.117),
    "NS-GAN": (0.640, 0.284, 0.139, 0.048, 0.046),
    "WGAN, clip 1": (1.00, 1.02, 0.917, 6e-5, 3e-5),
    "WGAN-GP": (1.80, 1.22, 0.716, 0.971, 0.984),
    "GAN + R1 0.3": (2.6e-6, 2.3e-7, 9e-34, 3.4e-8, 3.4e-8),
    "GAN + R1 1": (9.5e-22, 7.5e-17, 5e-12, 1e-19, 1e-19),
    "GAN + R1 2": (1.3e-6, 1.9e-6, 3.5e-6, 1.8e-6, 1.8e-6),
    "NS-GAN + R1 0.3": (2.2e-6, 1.5e-7, 4e-34, 3e-8, 3e-8),
}
LARGEST_CIRCLE_RATE = 0.25
"""The largest h at which the leading order in h predicts the limit cycle within the tolerance."""
REFERENCE_METHODS = ("simultaneous", "alternating", "alternating 5:1", "extragradient", "optimistic")


@dataclass(frozen=True)
class DiracCase:
    """One loss and one method with learning rates (discriminator, generator)."""

    loss: str
    method: str
    rates: tuple[float, float]

    @property
    def name(self) -> str:
        discriminator, generator = self.rates
        unequal = "" if discriminator == generator else f", h_D {discriminator:g}, h_G {generator:g}"
        return f"{self.loss}, {self.method}{unequal}"

    def predicted(self) -> Rate | None:
        """The rate of the linearised step at the equilibrium; None if there is no equilibrium."""
        loss, method = LOSSES[self.loss], METHODS[self.method]
        if loss.strength is None:
            return None
        H: Matrix = np.diag(self.rates)
        return theory.convergence_rate(method.matrix(theory.dirac_jacobian(loss.strength, loss.damping), H))

    def play(self, steps: int, start: tuple[float, float], seed: int) -> Orbit:
        """|z_0|, |z_1|, ... of the game as the training loop plays it."""
        return distances(self.play_path(steps, start, seed))

    def play_path(self, steps: int, start: tuple[float, float], seed: int) -> Orbit:
        """z_0, z_1, ..., (steps + 1, 2)."""
        loss, method = LOSSES[self.loss], METHODS[self.method]
        game = games.dirac(
            loss.loss,
            method.dynamics,
            penalties=loss.penalties,
            rates=self.rates,
            start=start,
            discriminator_steps=method.moves,
            clipped=loss.clipped,
        )
        return orbit(game, steps, parameter_reader(game), seed=seed)


def dirac_cases(settings: Mapping[str, Any]) -> Iterator[DiracCase]:
    h = settings["rate"]
    for loss, methods in settings["cases"].items():
        yield from (DiracCase(loss, method, (h, h)) for method in methods)
    for rates in settings["unequal_rates"]:
        yield from (
            DiracCase(settings["unequal_loss"], method, tuple(rates))
            for method in settings["unequal_methods"]
        )


def run(settings: Mapping[str, Any], seed: int) -> ExperimentResult:
    checks: list[Check] = []
    steps = steps_for(settings, "time")
    plot_data: dict[str, Any] = {"window": _window(steps, settings), "orbits": {}, "trap": {}}
    far = (-settings["start"], settings["start"])
    for case in dirac_cases(settings):
        rate = case.predicted()
        lengths = case.play(_steps_of(case, settings), far, seed)
        plot_data["orbits"][case.name] = (lengths, rate)
        if rate is not None:
            window = _window(_flow_steps(case, settings), settings)
            checks.append(_rate_check(case, rate, lengths, window, settings, seed))
        if case.rates == 2 * (settings["rate"],) and settings.items() >= REFERENCE_SETTINGS.items():
            checks += _reference_checks(case, float(lengths[steps]))
    checks += _limit_cycle_checks(settings, plot_data["orbits"])
    checks += _trap_checks(settings, seed, plot_data["trap"])
    return ExperimentResult(checks, plot_data, NOTES)


def _flow_steps(case: DiracCase, settings: Mapping[str, Any]) -> int:
    """``time`` in steps of the case's own rates: the orbit turns by about sqrt(h_D h_G) / 2 a step."""
    return steps_for({**settings, "rate": math.sqrt(math.prod(case.rates))}, "time")


def _window(steps: int, settings: Mapping[str, Any]) -> tuple[int, int]:
    return round(settings["window_from"] * steps), steps


def _steps_of(case: DiracCase, settings: Mapping[str, Any]) -> int:
    """Simultaneous play approaches the limit cycle of the NS-GAN by a factor 1 - h^2 / 4 per step."""
    steps = _flow_steps(case, settings)
    if case.loss == "NS-GAN" and case.method == "simultaneous":
        result: int = max(steps, round(settings["circle_time"] / settings["rate"] ** 2))
        return result
    return steps


def _rate_check(
    case: DiracCase,
    rate: Rate,
    lengths: Orbit,
    window: tuple[int, int],
    settings: Mapping[str, Any],
    seed: int,
) -> Check:
    """Check the rate. A game that does not reach its equilibrium in the given steps starts near it."""
    note = "critical: t radius^t" if rate.power else ""
    if rate.radius > settings["near_above"]:
        near = settings["near"]
        lengths = case.play(window[1], (-near, near), seed)
        note = f"from a distance of {near:g}"
    measured = tail_rate(lengths, window, rate.power)
    return Check(f"rate: {case.name}", measured, "=", rate.radius, settings["tolerance"], note)


def _reference_checks(case: DiracCase, distance: float) -> list[Check]:
    if case.loss not in REFERENCE or case.method not in REFERENCE_METHODS:
        return []
    reference = REFERENCE[case.loss][REFERENCE_METHODS.index(case.method)]
    return [Check(f"distance: {case.name}", distance, "beside", reference)]


def _limit_cycle_checks(settings: Mapping[str, Any], orbits: Mapping[str, Any]) -> list[Check]:
    """Check the NS-GAN without a penalty, to leading order in h and |z|, from averages over one rotation.

    The damping psi theta tanh(psi theta / 2) changes |z|^2 by -h |z|^4 / 8 per step. Simultaneous updates add
    h^2 |z|^2 / 4, which gives a limit cycle of radius sqrt(2 h). For alternating updates,
    1 / |z|^2 = 1 / |z_0|^2 + h t / 8.
    """
    h, start = settings["rate"], 2 * settings["start"] ** 2
    reason = f"the leading order in h holds for h up to {LARGEST_CIRCLE_RATE}"
    checks = []
    for method in ("simultaneous", "alternating"):
        if f"NS-GAN, {method}" not in orbits:
            continue
        lengths = orbits[f"NS-GAN, {method}"][0]
        n = len(lengths) - 1
        radius = (2 * h) ** 0.5 if method == "simultaneous" else (1 / start + h * n / 8) ** -0.5
        name, last = f"distance after {n}: NS-GAN, {method}", float(lengths[-1])
        check = Check(name, last, "=", radius, settings["circle_tolerance"] * radius, "to leading order")
        checks.append(check.only_if(h <= LARGEST_CIRCLE_RATE, reason))
    return checks


def _trap_checks(settings: Mapping[str, Any], seed: int, plot_data: dict[str, Any]) -> list[Check]:
    """Consensus with five moves of the discriminator converges locally, and diverges from (1, 1).

    Its rate is fitted to the points: in ``trap_near_time`` the orbit makes about five turns, and log |z| has
    two waves a turn, which leave the slope of even the linear orbit z_t = M^t z_0 off by 1.03e-3 at h = 0.3
    (an error of order h: the window has time / h steps).
    """
    case = DiracCase("GAN", "consensus 1, 5:1", (settings["rate"], settings["rate"]))
    rate = case.predicted()
    assert rate is not None
    near, far = settings["trap_near"], settings["start"]
    last = steps_for(settings, "trap_near_time")
    window = (last // 3, last)
    path = case.play_path(last, (-near, near), seed)
    plot_data["near"] = distances(path)
    plot_data["far"] = case.play(steps_for(settings, "trap_time"), (-far, far), seed)
    plot_data["rate"], plot_data["window"] = rate, window
    measured = fitted_radius(path[slice(*window)])
    known = (settings["rate"], far) == (REFERENCE_SETTINGS["rate"], REFERENCE_SETTINGS["start"])
    reference = (
        "; the independent program has 11.0" if settings["trap_time"] == REFERENCE_SETTINGS["time"] else ""
    )
    start, end = float(plot_data["far"][0]), float(plot_data["far"][-1])
    distance = Check(f"distance: {case.name}", end, ">", start, note=f"from (1, 1) it diverges{reference}")
    return [
        Check(
            f"rate: {case.name}",
            measured,
            "=",
            rate.radius,
            settings["tolerance"],
            f"from a distance of {near:g}",
        ),
        distance.only_if(known, "there is no prediction for this rate and start"),
    ]


NOTES = (
    "The discriminator moves first. In alternating updates the order changes the path, not the rate: AB and "
    "BA have the same eigenvalues. In the independent program the alternating generator moves first, so that "
    "those distances differ by a few per cent.",
    "Consensus with 5 discriminator moves contracts near the equilibrium only: |g|^2 also decreases where "
    "the sigmoid saturates, and from (1, 1) psi diverges in that direction.",
    "WGAN-GP has no equilibrium (at psi = 0 the gradient of the penalty points outwards), and no predicted "
    "rate. Distances far from the equilibrium have no prediction; an independent program gives some.",
)


def plot(result: ExperimentResult) -> Figure:
    figure, (first, second, third) = panels(3, "Dirac-GAN: distance to the equilibrium (dashed: predicted)")
    orbits, anchor = result.plot_data["orbits"], result.plot_data["window"][0]
    _lines(first, {n: o for n, o in orbits.items() if n.startswith("GAN, ")}, anchor, "GAN, ")
    set_labels(first, "GAN without a penalty", "step", "|(psi, theta)|", log="y")
    penalised = {n: o for n, o in orbits.items() if n.startswith("GAN + R1") and n.endswith("simultaneous")}
    others = ("alternating", "extragradient", "optimistic")
    penalised |= {n: orbits[n] for m in others if (n := f"GAN + R1 0.3, {m}") in orbits}
    _lines(second, penalised, anchor, "GAN + ")
    set_labels(second, "with R1 (gamma = 1 is critical)", "step", "", log="y")
    _plot_trap(third, result)
    return figure


def _lines(ax: Axes, orbits: Mapping[str, Any], anchor: int, prefix: str) -> None:
    for name, (lengths, rate) in orbits.items():
        ax.plot(lengths, label=name.removeprefix(prefix), linewidth=1.6)
        if rate is not None and rate.radius < 1:
            ax.plot(predicted_curve(rate, lengths, anchor), **PREDICTED)
    legend(ax)


def _plot_trap(ax: Axes, result: ExperimentResult) -> None:
    trap = result.plot_data["trap"]
    ax.plot(trap["far"], label="from (1, 1)", color="tab:red")
    ax.plot(trap["near"], label="from (0.01, 0.01)", color="tab:blue")
    ax.plot(predicted_curve(trap["rate"], trap["near"], trap["window"][0]), **PREDICTED)
    ax.set_ylim(1e-13, 1e3)
    set_labels(ax, "the trap: consensus, 5 discriminator moves", "step", "", log="y")
    legend(ax)


FIRST_ORDER = (
    "simultaneous",
    "alternating",
    "alternating 5:1",
    "extragradient",
    "past extragradient",
    "optimistic",
)
ALL = tuple(METHODS)

EXPERIMENT = Experiment(
    question="At what rate does each dynamics converge to, circle or leave the equilibrium of the Dirac-GAN?",
    prediction=(
        "the spectral radius of the step linearised at the equilibrium: simultaneous sqrt(1 + h^2/4), "
        "with R1 |1 - h mu|, mu = gamma/2 +- sqrt(gamma^2/4 - 1/4), critical at gamma = 1 with t radius^t; "
        "a limit cycle of radius sqrt(2 h) for the NS-GAN"
    ),
    source="Mescheder, Geiger & Nowozin 2018, section 2 and lemmas 4.1 to 4.3; each method's own paper",
    settings={
        "rate": 0.2,
        "time": 100.0,
        "circle_time": 20.0,
        "window_from": 0.6,
        "start": 1.0,
        "near": 1e-6,
        "near_above": 0.99,
        "tolerance": 1e-3,
        "circle_tolerance": 0.05,
        "cases": {
            "GAN": tuple(name for name in ALL if name != "consensus 1, 5:1"),
            "NS-GAN": FIRST_ORDER,
            "WGAN, clip 1": FIRST_ORDER,
            "WGAN-GP": REFERENCE_METHODS,
            "GAN + R1 0.3": tuple(name for name in ALL if name != "consensus 1, 5:1"),
            "GAN + R1 1": FIRST_ORDER,
            "GAN + R1 2": FIRST_ORDER,
            "NS-GAN + R1 0.3": FIRST_ORDER,
        },
        "unequal_loss": "GAN + R1 0.3",
        "unequal_rates": ((0.4, 0.1), (0.1, 0.4)),
        "unequal_methods": ("simultaneous", "alternating", "extragradient", "optimistic"),
        "trap_near": 0.01,
        "trap_near_time": 30.0,
        "trap_time": 100.0,
    },
    descriptions={
        "rate": "learning rate h of both players",
        "time": "length of an orbit, in steps times h",
        "circle_time": "steps times h^2 of the orbit that approaches the limit cycle",
        "window_from": "share of the orbit after which its rate is read",
        "start": "theta, and minus psi, at the start",
        "near": "the same for orbits that would not be near the equilibrium in time",
        "near_above": "predicted rate above which an orbit starts at near",
        "tolerance": "allowed difference between measured and predicted rate",
        "circle_tolerance": "allowed relative difference from the predicted radius of the limit cycle",
        "cases": "methods by loss; losses are the keys of LOSSES in gancore_lab.dirac",
        "unequal_loss": "loss of the games with two learning rates",
        "unequal_rates": "pairs of learning rates (h_D, h_G)",
        "unequal_methods": "methods of these games",
        "trap_near": "start of consensus with five discriminator moves that converges",
        "trap_near_time": "length of that orbit, in steps times h",
        "trap_time": "length of the orbit from start, which diverges, in steps times h",
    },
    quick_settings={
        "cases": {
            "GAN": ("simultaneous", "consensus 1"),
            "NS-GAN": ("simultaneous",),
            "GAN + R1 0.3": ("simultaneous", "alternating", "extragradient", "optimistic"),
            "GAN + R1 1": ("simultaneous",),
            "GAN + R1 2": ("simultaneous",),
        },
        "unequal_rates": ((0.4, 0.1),),
        "unequal_methods": ("alternating",),
        "trap_time": 12.0,
    },
    run=run,
    plot=plot,
    seconds=(12, 90),
)  # fmt: skip
