"""``bilinear``: min over x, max over y of x y, a game without damping except by the dynamics."""

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
from gancore_lab.experiment import Check, Experiment, ExperimentResult
from gancore_lab.games import Bilinear
from gancore_lab.orbits import Orbit, distances, orbit, parameter_reader, predicted_curve, tail_rate
from gancore_lab.plots import PREDICTED, legend, panels, set_labels
from gancore_lab.theory import METHODS

if TYPE_CHECKING:
    from gancore.games import TrainingStep, Turn


@dataclass(frozen=True)
class AliasedOptimistic(Dynamics):
    """The optimistic update with a common error, for comparison.

    The previous gradient (zero at first) is stored by reference, and the next gradient is written into the
    same tensor, as ``zero_grad`` and ``backward`` do in place. The previous gradient then equals the current
    one: 2 h g - h g is h g.
    """

    state_names: ClassVar[tuple[str, ...]] = ("gradient",)

    def play_turn(self, step: TrainingStep, turn: Turn) -> None:
        draw, moves = step.draw(turn[0][0]), [move for _, move in turn]
        for move, gradient in step.gradients(moves, draw).items():
            buffer = step.dynamics_state(move.player, "gradient")  # as p.grad
            previous = buffer if step.step_in_phase else [torch.zeros_like(kept) for kept in buffer]
            _write(buffer, gradient.materialize(step.params(move.player)))  # overwrites previous, too
            step.apply(move, gradient.scale(2.0).add(previous, -1.0))


def _write(buffer: list[Tensor], values: list[Tensor]) -> None:
    with torch.no_grad():
        torch._foreach_copy_(buffer, values)


def bilinear_distances(
    dynamics: Dynamics, moves: int, h: float, steps: int, start: tuple[float, float], seed: int
) -> Orbit:
    """|z_0|, |z_1|, ..., until the square of |z| would overflow or underflow."""
    game = Bilinear(dynamics, rate=h, start=start, moves=moves)
    left_range = lambda z: not 1e-100 < np.linalg.norm(z) < 1e100  # noqa: E731
    return distances(orbit(game, steps, parameter_reader(game), seed=seed, stop_when=left_range))


def run(settings: Mapping[str, Any], seed: int) -> ExperimentResult:
    checks: list[Check] = []
    plot_data: dict[str, Any] = {"orbits": {}}
    J = theory.dirac_jacobian(1.0)
    for h in settings["rates"]:
        for name in settings["methods"]:
            method = METHODS[name]
            rate = theory.convergence_rate(method.matrix(J, h * np.eye(2)))
            start = (settings["start"],) * 2
            lengths = bilinear_distances(method.dynamics, method.moves, h, settings["steps"], start, seed)
            note = "double root: t radius^t" if rate.power else ""
            measured = tail_rate(lengths, (len(lengths) // 2, len(lengths)), rate.power)
            checks.append(
                Check(f"rate: h {h:g}, {name}", measured, "=", rate.radius, settings["tolerance"], note)
            )
            plot_data["orbits"][h, name] = (lengths, rate)
    checks += _aliasing_checks(settings, seed, plot_data)
    return ExperimentResult(checks, plot_data, NOTES)


def _aliasing_checks(settings: Mapping[str, Any], seed: int, plot_data: dict[str, Any]) -> list[Check]:
    """Compare |z| after ``alias_steps`` steps with powers of the matrices of both dynamics."""
    h, steps = settings["alias_rate"], settings["alias_steps"]
    J, H = theory.dirac_jacobian(1.0), h * np.eye(2)
    y, x = z = np.array(settings["alias_start"])
    first = z - 2 * H @ J @ z  # the first step has no previous gradient
    simultaneous = np.linalg.matrix_power(theory.simultaneous(J, H), steps - 1) @ first
    both = np.linalg.matrix_power(theory.optimistic(J, H), steps - 1) @ np.concatenate([first, z])
    optimistic = both[:2]
    expected = {"kept as a copy": optimistic, "kept by reference": simultaneous}
    dynamics = {"kept as a copy": METHODS["optimistic"].dynamics, "kept by reference": AliasedOptimistic()}
    checks = []
    for name, point in expected.items():
        lengths = bilinear_distances(dynamics[name], 1, h, steps, (y, x), seed)
        length = float(np.linalg.norm(point))
        plot_data[name] = lengths
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


NOTES = (
    "At h = 1 optimistic updates diverge, and extragradient has the rate 1; at h = 0.5 the optimistic step "
    "has a double root, for which t radius^t is fitted.",
    "An optimistic update that stores the previous gradient by reference is the simultaneous update: it "
    "diverges.",
)


def plot(result: ExperimentResult) -> Figure:
    orbits = result.plot_data["orbits"]
    rates = sorted({h for h, _ in orbits})
    figure, axes = panels(
        len(rates) + 1, "min max xy: distance to the equilibrium (dashed: predicted)", width=4.6, height=5.2
    )
    for ax, h in zip(axes, rates, strict=False):
        _rates(ax, {name: o for (g, name), o in orbits.items() if g == h})
        set_labels(ax, f"h = {h:g}", "step", "|(x, y)|" if h == rates[0] else "", log="y")
    for name in ("kept as a copy", "kept by reference"):
        axes[-1].plot(result.plot_data[name], label=name)
    set_labels(axes[-1], "optimistic: the previous gradient", "step", "", log="y")
    legend(axes[-1])
    return figure


def _rates(ax: Axes, orbits: Mapping[str, Any]) -> None:
    ax.set_prop_cycle(color=[*colormaps["tab10"](range(10)), "gold"])
    for name, (lengths, rate) in orbits.items():
        ax.plot(lengths, label=f"{name} {rate.radius:.4f}", linewidth=1.8)
        ax.plot(predicted_curve(rate, lengths, len(lengths) // 2), **PREDICTED)
    ax.set_ylim(1e-30, 1e8)
    legend(ax, loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2)


EXPERIMENT = Experiment(
    question="At what rate does each dynamics converge on min max xy, and when does it not converge?",
    prediction=(
        "simultaneous sqrt(1 + h^2), alternating 1, extragradient sqrt(1 - h^2 + h^4), optimistic the root "
        "of l^2 - l (1 + 2ih) + ih: contracting at h = 0.2 and 0.5, diverging at h = 1; an aliased "
        "optimistic update is a simultaneous one"
    ),
    source="Daskalakis et al. 2018; Gidel et al. 2019; Mescheder et al. 2017; Balduzzi et al. 2018",
    settings={
        "rates": (0.2, 0.5, 1.0),
        "methods": tuple(METHODS),
        "steps": 300,
        "start": 1.0,
        "tolerance": 1e-3,
        "alias_rate": 0.1,
        "alias_steps": 400,
        "alias_start": (0.5, 2.0),
    },
    descriptions={
        "rates": "learning rates h",
        "methods": "dynamics, by their names in gancore_lab.theory.METHODS",
        "steps": "steps of each orbit; its rate is read from the second half",
        "start": "x and y at the start",
        "tolerance": "allowed difference between measured and predicted rate",
        "alias_rate": "learning rate h of the comparison of named dynamics with their formula",
        "alias_steps": "steps of that comparison",
        "alias_start": "(y, x) at its start",
    },
    quick_settings={
        "methods": ("simultaneous", "alternating", "extragradient", "past extragradient", "optimistic"),
        "rates": (0.5, 1.0),
    },
    run=run,
    plot=plot,
    seconds=(3, 18),
)
