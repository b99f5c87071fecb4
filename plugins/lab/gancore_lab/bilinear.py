"""``bilinear``: min over x, max over y of x y, where nothing damps the game but the dynamics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from gancore.games import Dynamics
from gancore_lab import theory
from gancore_lab.experiment import Check, Experiment, Outcome
from gancore_lab.games import Bilinear
from gancore_lab.measuring import Orbit, distances, orbit, parameters, predicted_curve, tail_rate
from gancore_lab.methods import METHODS
from gancore_lab.pictures import PREDICTED, label, legend, panels

if TYPE_CHECKING:
    from gancore.games.field import Field, Turn


@dataclass(frozen=True)
class Aliased(Dynamics):
    """The optimistic update as it is often written, to show what it then does.

    The previous gradient (zero at first) is kept by reference, and the next one is written into the same
    tensor, as in-place ``zero_grad`` and ``backward`` do; it equals the present one: 2 h g - h g is h g.
    """

    slots: ClassVar[tuple[str, ...]] = ("gradient",)

    def turn(self, field: Field, turn: Turn) -> None:
        draw, moves = field.draw(turn[0][0]), [move for _, move in turn]
        for move, gradient in field.gradients(moves, draw).items():
            buffer = field.memory(move.player, "gradient")  # plays the part of p.grad
            previous = buffer if field.round else [torch.zeros_like(kept) for kept in buffer]
            _write(buffer, gradient.dense(field.params(move.player)))  # and over what previous refers to
            field.apply(move, gradient.times(2.0).plus(previous, -1.0))


def _write(buffer: list[Tensor], values: list[Tensor]) -> None:
    with torch.no_grad():
        torch._foreach_copy_(buffer, values)


def play(
    dynamics: Dynamics, moves: int, h: float, steps: int, start: tuple[float, float], seed: int
) -> Orbit:
    """|z_0|, |z_1|, ...; no further than numbers reach whose squares are numbers."""
    game = Bilinear(dynamics, rate=h, start=start, moves=moves)
    gone = lambda z: not 1e-100 < np.linalg.norm(z) < 1e100  # noqa: E731
    return distances(orbit(game, steps, parameters(game), seed=seed, until=gone))


def measure(setup: Mapping[str, Any], seed: int) -> Outcome:
    checks: list[Check] = []
    curves: dict[str, Any] = {"orbits": {}}
    J = theory.coupled(1.0)
    for h in setup["rates"]:
        for name in setup["methods"]:
            method = METHODS[name]
            rate = theory.rate(method.round(J, h * np.eye(2)))
            start = (setup["start"],) * 2
            lengths = play(method.dynamics, method.moves, h, setup["steps"], start, seed)
            note = "double root: t radius^t" if rate.power else ""
            measured = tail_rate(lengths, (len(lengths) // 2, len(lengths)), rate.power)
            checks.append(
                Check(f"rate: h {h:g}, {name}", measured, "=", rate.radius, setup["tolerance"], note)
            )
            curves["orbits"][h, name] = (lengths, rate)
    checks += _aliasing(setup, seed, curves)
    return Outcome(checks, curves, REMARKS)


def _aliasing(setup: Mapping[str, Any], seed: int, curves: dict[str, Any]) -> list[Check]:
    """|z| after so many steps, against powers of the matrices of optimistic and of simultaneous play."""
    h, steps = setup["alias_rate"], setup["alias_steps"]
    J, H = theory.coupled(1.0), h * np.eye(2)
    y, x = z = np.array(setup["alias_start"])
    first = z - 2 * H @ J @ z  # there is no previous step to take back
    simultaneous = np.linalg.matrix_power(theory.simultaneous(J, H), steps - 1) @ first
    both = np.linalg.matrix_power(theory.optimistic(J, H), steps - 1) @ np.concatenate([first, z])
    optimistic = both[:2]
    expected = {"kept as a copy": optimistic, "kept by reference": simultaneous}
    dynamics = {"kept as a copy": METHODS["optimistic"].dynamics, "kept by reference": Aliased()}
    checks = []
    for name, point in expected.items():
        lengths = play(dynamics[name], 1, h, steps, (y, x), seed)
        length = float(np.linalg.norm(point))
        curves[name] = lengths
        checks.append(
            Check(
                f"|z| after {steps}: optimistic, gradient {name}",
                float(lengths[-1]),
                "=",
                length,
                1e-3 * length,
            )
        )
    return checks


REMARKS = (
    "At h = 1 optimistic play diverges and extragradient stalls (rate 1); at h = 0.5 the optimistic round "
    "has a double root, so t radius^t is fitted.",
    "An optimistic update whose previous gradient is kept by reference is simultaneous play: it diverges.",
)


def draw(outcome: Outcome) -> Figure:
    orbits = outcome.curves["orbits"]
    rates = sorted({h for h, _ in orbits})
    figure, axes = panels(
        len(rates) + 1, "min max xy: distance to the equilibrium (dashed: predicted)", width=4.6, height=5.2
    )
    for ax, h in zip(axes, rates, strict=False):
        _rates(ax, {name: o for (g, name), o in orbits.items() if g == h})
        label(ax, f"h = {h:g}", "round", "|(x, y)|" if h == rates[0] else "", log="y")
    for name in ("kept as a copy", "kept by reference"):
        axes[-1].plot(outcome.curves[name], label=name)
    label(axes[-1], "optimistic: the previous gradient", "round", "", log="y")
    legend(axes[-1])
    return figure


def _rates(ax: Axes, orbits: Mapping[str, Any]) -> None:
    ax.set_prop_cycle(color=[*colormaps["tab10"].colors, "gold"])
    for name, (lengths, rate) in orbits.items():
        ax.plot(lengths, label=f"{name} {rate.radius:.4f}", linewidth=1.8)
        ax.plot(predicted_curve(rate, lengths, len(lengths) // 2), **PREDICTED)
    ax.set_ylim(1e-30, 1e8)
    legend(ax, loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2)


EXPERIMENT = Experiment(
    question="At what rate does each dynamics solve min max xy, and where does it stop solving it?",
    prediction=(
        "simultaneous sqrt(1 + h^2), alternating 1, extragradient sqrt(1 - h^2 + h^4), optimistic the root "
        "of l^2 - l (1 + 2ih) + ih: contracting at h = 0.2 and 0.5, at h = 1 diverging; an aliased "
        "optimistic update is simultaneous play"
    ),
    source="Daskalakis et al. 2018; Gidel et al. 2019; Mescheder et al. 2017; Balduzzi et al. 2018",
    setup={
        "rates": (0.2, 0.5, 1.0),
        "methods": tuple(METHODS),
        "steps": 300,
        "start": 1.0,
        "tolerance": 1e-3,
        "alias_rate": 0.1,
        "alias_steps": 400,
        "alias_start": (0.5, 2.0),
    },
    quick={
        "methods": ("simultaneous", "alternating", "extragradient", "past extragradient", "optimistic"),
        "rates": (0.5, 1.0),
    },
    measure=measure,
    draw=draw,
    seconds=(3, 18),
)
