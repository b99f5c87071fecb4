"""The picture of ``dirac``."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gancore_lab.experiment import Outcome
from gancore_lab.measuring import predicted_curve
from gancore_lab.pictures import PREDICTED, label, legend, panels


def draw(outcome: Outcome) -> Figure:
    figure, (first, second, third) = panels(3, "Dirac-GAN: distance to the equilibrium (dashed: predicted)")
    orbits, anchor = outcome.curves["orbits"], outcome.curves["window"][0]
    _lines(first, {n: o for n, o in orbits.items() if n.startswith("GAN, ")}, anchor, "GAN, ")
    label(first, "GAN without a penalty", "round", "|(psi, theta)|", log="y")
    penalised = {n: o for n, o in orbits.items() if n.startswith("GAN + R1") and n.endswith("simultaneous")}
    others = ("alternating", "extragradient", "optimistic")
    penalised |= {n: orbits[n] for m in others if (n := f"GAN + R1 0.3, {m}") in orbits}
    _lines(second, penalised, anchor, "GAN + ")
    label(second, "with R1 (gamma = 1 is critical)", "round", "", log="y")
    _trap(third, outcome)
    return figure


def _lines(ax: Axes, orbits: dict, anchor: int, prefix: str) -> None:
    for name, (lengths, rate) in orbits.items():
        ax.plot(lengths, label=name.removeprefix(prefix), linewidth=1.6)
        if rate is not None and rate.radius < 1:
            ax.plot(predicted_curve(rate, lengths, anchor), **PREDICTED)
    legend(ax)


def _trap(ax: Axes, outcome: Outcome) -> None:
    trap = outcome.curves["trap"]
    ax.plot(trap["far"], label="from (1, 1)", color="tab:red")
    ax.plot(trap["near"], label="from (0.01, 0.01)", color="tab:blue")
    ax.plot(predicted_curve(trap["rate"], trap["near"], trap["window"][0]), **PREDICTED)
    ax.set_ylim(1e-13, 1e3)
    label(ax, "the trap: consensus, 5 discriminator moves", "round", "", log="y")
    legend(ax)
