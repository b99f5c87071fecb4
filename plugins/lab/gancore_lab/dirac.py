"""``dirac``: the rates of the dynamics on the smallest GAN, and what they do far from its equilibrium."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gancore.games import R1, WGANGP, Penalty
from gancore_lab import games, theory
from gancore_lab.dirac_picture import draw
from gancore_lab.experiment import Check, Experiment, Outcome
from gancore_lab.measuring import Orbit, distances, orbit, parameters, tail_rate
from gancore_lab.methods import METHODS
from gancore_lab.theory import Matrix, Rate


@dataclass(frozen=True)
class Loss:
    """A cost of the Dirac-GAN; ``strength`` is f'(0), None where there is no equilibrium to linearise at."""

    loss: str
    strength: float | None = 0.5
    penalties: Sequence[Penalty] = ()
    damping: float = 0.0
    clipped: bool = False


LOSSES = {
    "GAN": Loss("minimax"),
    "NS-GAN": Loss("nonsaturating"),
    "WGAN, clip 1": Loss("wasserstein", 1.0, clipped=True),
    "WGAN-GP": Loss("wasserstein", None, [WGANGP(0.35)]),
    "GAN + R1 0.3": Loss("minimax", 0.5, [R1(0.3)], 0.3),
    "GAN + R1 1": Loss("minimax", 0.5, [R1(1.0)], 1.0),
    "GAN + R1 2": Loss("minimax", 0.5, [R1(2.0)], 2.0),
    "NS-GAN + R1 0.3": Loss("nonsaturating", 0.5, [R1(0.3)], 0.3),
}

EARLIER_AT = {"rate": 0.2, "start": 1.0, "time": 100.0}
EARLIER = {  # |z| after 500 rounds from (1, 1), by another program: the equations written out, no autograd
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
"""Up to this h the limit cycle is where the leading order in h puts it, within the tolerance."""
COMPARED = ("simultaneous", "alternating", "alternating 5:1", "extragradient", "optimistic")


@dataclass(frozen=True)
class Case:
    """One loss under one method with rates (discriminator, generator)."""

    loss: str
    method: str
    rates: tuple[float, float]

    @property
    def name(self) -> str:
        discriminator, generator = self.rates
        unequal = "" if discriminator == generator else f", h_D {discriminator:g}, h_G {generator:g}"
        return f"{self.loss}, {self.method}{unequal}"

    def predicted(self) -> Rate | None:
        """From the matrix of the method's round at the equilibrium."""
        loss, method = LOSSES[self.loss], METHODS[self.method]
        if loss.strength is None:
            return None
        H: Matrix = np.diag(self.rates)
        return theory.rate(method.round(theory.coupled(loss.strength, loss.damping), H))

    def play(self, rounds: int, start: tuple[float, float], seed: int) -> Orbit:
        """|z_0|, |z_1|, ... through the loop."""
        loss, method = LOSSES[self.loss], METHODS[self.method]
        game = games.dirac(
            loss.loss,
            method.dynamics,
            penalties=loss.penalties,
            rates=self.rates,
            start=start,
            discriminator_moves=method.moves,
            clipped=loss.clipped,
        )
        return distances(orbit(game, rounds, parameters(game), seed=seed))


def cases(setup: Mapping[str, Any]) -> Iterator[Case]:
    h = setup["rate"]
    for loss, methods in setup["cases"].items():
        yield from (Case(loss, method, (h, h)) for method in methods)
    for rates in setup["unequal_rates"]:
        yield from (Case(setup["unequal_loss"], method, tuple(rates)) for method in setup["unequal_methods"])


def measure(setup: Mapping[str, Any], seed: int) -> Outcome:
    checks: list[Check] = []
    steps = rounds(setup, "time")
    window = (round(setup["window_from"] * steps), steps)
    curves: dict[str, Any] = {"window": window, "orbits": {}, "trap": {}}
    far = (-setup["start"], setup["start"])
    for case in cases(setup):
        rate = case.predicted()
        lengths = case.play(_steps_of(case, setup), far, seed)
        curves["orbits"][case.name] = (lengths, rate)
        if rate is not None:
            checks.append(_rate_check(case, rate, lengths, window, setup, seed))
        if case.rates == 2 * (setup["rate"],) and setup.items() >= EARLIER_AT.items():
            checks += _beside_earlier(case, float(lengths[steps]))
    checks += _circles(setup, curves["orbits"])
    checks += _trap(setup, seed, curves["trap"])
    return Outcome(checks, curves, REMARKS)


def rounds(setup: Mapping[str, Any], name: str) -> int:
    """How many rounds a time is: rates are those of a flow whose time goes on by h a round."""
    return max(1, round(setup[name] / setup["rate"]))


def _steps_of(case: Case, setup: Mapping[str, Any]) -> int:
    """Simultaneous play nears the limit cycle of the NS-GAN by a factor 1 - h^2 / 4 a round."""
    circles = case.loss == "NS-GAN" and case.method == "simultaneous"
    return max(rounds(setup, "time"), round(setup["circle_time"] / setup["rate"] ** 2) if circles else 0)


def _rate_check(
    case: Case, rate: Rate, lengths: Orbit, window: tuple[int, int], setup: Mapping[str, Any], seed: int
) -> Check:
    """Where the game has not come near its equilibrium by then, it is started near it."""
    note = "critical: t radius^t" if rate.power else ""
    if rate.radius > setup["near_above"]:
        near = setup["near"]
        lengths = case.play(window[1], (-near, near), seed)
        note = f"from {near:g} off the equilibrium"
    measured = tail_rate(lengths, window, rate.power)
    return Check(f"rate: {case.name}", measured, "=", rate.radius, setup["tolerance"], note)


def _beside_earlier(case: Case, distance: float) -> list[Check]:
    if case.loss not in EARLIER or case.method not in COMPARED:
        return []
    earlier = EARLIER[case.loss][COMPARED.index(case.method)]
    return [Check(f"distance: {case.name}", distance, "beside", earlier)]


def _circles(setup: Mapping[str, Any], orbits: Mapping[str, Any]) -> list[Check]:
    """The NS-GAN without remedy, to leading order in h and |z|, from averages over one turn.

    d|z|^2 per round is -h |z|^4 / 8, for it is damped by psi theta tanh(psi theta / 2), and under
    simultaneous play + h^2 |z|^2 / 4: a limit cycle of radius sqrt(2 h), where alternating play sinks
    as 1 / |z|^2 = 1 / |z_0|^2 + h t / 8.
    """
    h, start = setup["rate"], 2 * setup["start"] ** 2
    valid = h <= LARGEST_CIRCLE_RATE
    note = "to leading order" if valid else f"the leading order in h holds for h up to {LARGEST_CIRCLE_RATE}"
    checks = []
    for method in ("simultaneous", "alternating"):
        if f"NS-GAN, {method}" not in orbits:
            continue
        lengths = orbits[f"NS-GAN, {method}"][0]
        n = len(lengths) - 1
        radius = (2 * h) ** 0.5 if method == "simultaneous" else (1 / start + h * n / 8) ** -0.5
        name, last = f"distance after {n}: NS-GAN, {method}", float(lengths[-1])
        predicted = radius if valid else None
        tolerance = setup["circle_tolerance"] * radius
        checks.append(Check(name, last, "=" if valid else "beside", predicted, tolerance, note))
    return checks


def _trap(setup: Mapping[str, Any], seed: int, curves: dict[str, Any]) -> list[Check]:
    """Consensus with five moves of the discriminator contracts nearby, and runs away from (1, 1)."""
    case = Case("GAN", "consensus 1, 5:1", (setup["rate"], setup["rate"]))
    rate = case.predicted()
    assert rate is not None
    near, far = setup["trap_near"], setup["start"]
    last = rounds(setup, "trap_near_time")
    window = (last // 3, last)
    curves["near"] = case.play(last, (-near, near), seed)
    curves["far"] = case.play(rounds(setup, "trap_time"), (-far, far), seed)
    curves["rate"], curves["window"] = rate, window
    measured = tail_rate(curves["near"], window, rate.power)
    known = (setup["rate"], far) == (EARLIER_AT["rate"], EARLIER_AT["start"])
    earlier = "; 11.0 by the other program" if setup["trap_time"] == EARLIER_AT["time"] else ""
    return [
        Check(f"rate: {case.name}", measured, "=", rate.radius, setup["tolerance"], f"from {near:g} off"),
        Check(
            f"distance: {case.name}",
            float(curves["far"][-1]),
            ">" if known else "beside",
            float(curves["far"][0]) if known else None,
            note=f"from (1, 1) it runs away{earlier}" if known else "nothing is predicted",
        ),
    ]


REMARKS = (
    "The discriminator moves first. Under alternating play the order changes the path, not the rate: "
    "AB and BA have the same eigenvalues. The other program's alternating generator moved first, which is "
    "why those distances differ by some per cent.",
    "Consensus with 5 discriminator moves is a trap: its linear map contracts, but |g|^2 also falls where "
    "the sigmoid saturates, and from (1, 1) psi runs that way.",
    "WGAN-GP has no equilibrium (at psi = 0 the penalty pushes outwards), so no rate is predicted; nor for "
    "distances that come from a path far from the equilibrium: they stand beside those of another program.",
)

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
    question="At what rate does each dynamics reach, circle or leave the equilibrium of the Dirac-GAN?",
    prediction=(
        "the spectral radius of the round linearised at the equilibrium: simultaneous sqrt(1 + h^2/4), "
        "with R1 |1 - h mu|, mu = gamma/2 +- sqrt(gamma^2/4 - 1/4), critical at gamma = 1 with t radius^t; "
        "a limit cycle of radius sqrt(2 h) for the NS-GAN"
    ),
    source="Mescheder, Geiger & Nowozin 2018, section 2 and lemmas 4.1 to 4.3; each method's own paper",
    setup={
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
            "WGAN-GP": COMPARED,
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
    quick={
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
    measure=measure,
    draw=draw,
    seconds=(12, 90),
)  # fmt: skip
