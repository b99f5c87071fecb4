"""``spectrum``: where the eigenvalues of the game's Jacobian lie, and where a remedy puts them."""

# ruff: noqa: N803 (matrices have the letters of the formulas)

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gancore.games import R1, Alternating, Penalty, Simultaneous, jacobian
from gancore.training.playing import play, set_table
from gancore_lab import games, theory
from gancore_lab.experiment import Check, Experiment, Outcome
from gancore_lab.measuring import NOTHING
from gancore_lab.pictures import label, legend, panels
from gancore_lab.small import ring, small_gan
from gancore_lab.theory import Matrix

Complex = NDArray[np.complex128]


def eigenvalues(J: Matrix, gamma: float = 0.0) -> Complex:
    """Of -(J + gamma J^T J), the field that the players follow: in the left half plane, it is stable."""
    return np.linalg.eigvals(-theory.with_consensus(J, gamma)).astype(complex)


def interaction(J: Matrix, first: int) -> Matrix:
    """J without what each player's gradient owes to its own ``first`` and other parameters."""
    mixed = J.copy()
    mixed[:first, :first] = 0.0
    mixed[first:, first:] = 0.0
    return mixed


def turning(values: Complex) -> float:
    """max |Im / Re| over the eigenvalues that count: a hundredth of the longest, or more."""
    values = values[np.abs(values) > 0.01 * np.abs(values).max()]
    return float((np.abs(values.imag) / np.maximum(np.abs(values.real), 1e-300)).max())


def dirac_checks(setup: Mapping[str, Any]) -> list[Check]:
    """The Jacobian of the loop's own Dirac-GAN at its equilibrium against its closed form."""
    checks = []
    for gamma in setup["dirac_gammas"]:
        penalties = [R1(gamma)] if gamma else []
        game = games.dirac("minimax", Simultaneous(), penalties=penalties, start=(0.0, 0.0))
        J = jacobian(set_table(game, NOTHING, batch_size=1)).numpy()
        roots = [gamma / 2 + s * np.emath.sqrt(gamma**2 / 4 - 0.25) for s in (1, -1)]
        found = np.linalg.eigvals(J)
        name = f"Dirac-GAN, R1 {gamma:g}: eigenvalue of J,"
        if gamma == 1:  # a double root in floating point: its mean is exact, its parts are not
            checks.append(Check(f"{name} mean", float(found.mean().real), "=", 0.5, 1e-9))
            continue
        for sign, root in zip("+-", roots, strict=True):
            nearest = found[np.abs(found - root).argmin()]
            checks.append(Check(f"{name} {sign} |difference|", float(abs(nearest - root)), "=", 0.0, 1e-9))
    return checks


def trained(setup: Mapping[str, Any], seed: int, penalties: Sequence[Penalty]) -> tuple[Matrix, int]:
    """The Jacobian of the small GAN after training, and the number of the discriminator's parameters."""
    game = small_gan(setup, seed, dynamics=Alternating(), penalties=penalties)
    table = set_table(game, ring(setup["rows"], setup, seed), batch_size=setup["batch_size"], seed=seed)
    play(table, setup["rounds"], lambda state: table.statistics.forget())
    first = sum(p.numel() for p in game.discriminator.parameters())
    return jacobian(table, setup["jacobian_rows"], setup["rounds"]).numpy(), first


def measure(setup: Mapping[str, Any], seed: int) -> Outcome:
    J, first = trained(setup, seed, [])
    penalised, _ = trained(setup, seed, [R1(setup["r1"])])
    cross = interaction(J, first)
    pure = np.linalg.eigvals(cross)
    before = eigenvalues(J)
    checks = [
        *dirac_checks(setup),
        Check("small GAN: |J_DG + J_GD^T| / |J_DG|", _asymmetry(J, first), "=", 0.0, 1e-9),
        Check("small GAN: max |Re| / max |lambda| of the interaction alone",
              float(np.abs(pure.real).max() / np.abs(pure).max()), "=", 0.0, 1e-6),
        *_described("small GAN, no remedy", before),
    ]  # fmt: skip
    values = {"no remedy": before, f"trained with R1 {setup['r1']:g}": eigenvalues(penalised)}
    for gamma in setup["gammas"]:
        after = values[f"consensus {gamma:g}"] = eigenvalues(J, gamma)
        checks += _remedied(gamma, before, after)
    checks += _described(f"small GAN, trained with R1 {setup['r1']:g}", eigenvalues(penalised))
    return Outcome(checks, {"values": values}, REMARKS, {"parameters": len(J), "of the discriminator": first})


def _asymmetry(J: Matrix, first: int) -> float:
    block, other = J[:first, first:], J[first:, :first]
    return float(np.abs(block + other.T).max() / np.abs(block).max())


def _described(name: str, values: Complex) -> list[Check]:
    return [
        Check(f"{name}: share of eigenvalues with Re >= 0", float((values.real >= 0).mean())),
        Check(f"{name}: largest Re", float(values.real.max())),
        Check(f"{name}: max |Im/Re|", turning(values)),
    ]


def _remedied(gamma: float, before: Complex, after: Complex) -> list[Check]:
    """For a unit eigenvector v: lambda = -v* J v - gamma |J v|^2, and |v* J v| <= |J v|.

    So Re lambda <= |J v| - gamma |J v|^2 <= 1 / (4 gamma), and what is longer than 2 / gamma has Re < 0.
    """
    name, above = f"small GAN, consensus {gamma:g}", 2 / gamma
    long = after[np.abs(after) > above]
    return [
        Check(f"{name}: largest Re", float(after.real.max()), "<", 1 / (4 * gamma) + 1e-9,
              note="1 / (4 gamma)"),
        Check(f"{name}: Re >= 0 among {len(long)} above {above:g}", float((long.real >= 0).sum()), "=", 0.0),
        Check(f"{name}: max |Im/Re|", turning(after), "<", turning(before), note="less than before"),
        Check(f"{name}: share of eigenvalues with Re >= 0", float((after.real >= 0).mean())),
    ]  # fmt: skip


REMARKS = (
    "About half of the eigenvalues without remedy have Re >= 0: most are tiny, flat directions of networks "
    "with more parameters than the game needs. The longer ones decide, and consensus moves those.",
    "What consensus leaves on the right lies within 1 / (4 gamma) of the axis.",
    "max |Im/Re| is over eigenvalues of at least a hundredth of the longest.",
    "R1's eigenvalues are predicted for the Dirac-GAN, and only reported for the trained one.",
)


def draw(outcome: Outcome) -> Figure:
    values = outcome.curves["values"]
    figure, axes = panels(
        len(values), "Eigenvalues of the field that the players follow (stable: left)", width=4.2
    )
    for ax, (name, each) in zip(axes, values.items(), strict=True):
        _plane(ax, each)
        label(ax, name, "Re", "Im" if ax is axes[0] else "")
    legend(axes[0], loc="lower left")
    return figure


def _plane(ax: Axes, values: Complex) -> None:
    """Both axes bent, linear near 0, so that small eigenvalues and large ones are seen."""
    right = values.real > 0
    ax.axvline(0, color="grey", linewidth=0.8)
    ax.scatter(values.real[~right], values.imag[~right], s=9, color="tab:blue", label="Re <= 0")
    ax.scatter(values.real[right], values.imag[right], s=9, color="tab:red", label="Re > 0")
    ax.set_xscale("symlog", linthresh=1e-2)
    ax.set_yscale("symlog", linthresh=1e-2)
    ax.set_xlim(-2e4, 20)
    ax.set_ylim(-20, 20)
    ax.set_xticks([-1e3, -1e1, -1e-1, 0, 1e-1, 1e1])


EXPERIMENT = Experiment(
    question="Where do the eigenvalues of the game's Jacobian lie, and where does a remedy put them?",
    prediction=(
        "the players' interaction alone has purely imaginary eigenvalues; consensus gamma leaves none with "
        "Re > 1 / (4 gamma) and none of modulus above 2 / gamma with Re >= 0, and what counts turns less; on "
        "the Dirac-GAN gamma/2 +- sqrt(gamma^2/4 - 1/4) under R1"
    ),
    source="Mescheder et al. 2017, sections 3 and 4; 2018, lemma 4.3; bounds from v* J v",
    setup={
        "modes": 8,
        "radius": 1.0,
        "std": 0.05,
        "rows": 4096,
        "latents": 4,
        "width": 16,
        "rate": 2e-3,
        "betas": (0.5, 0.9),
        "loss": "minimax",
        "batch_size": 256,
        "rounds": 3000,
        "jacobian_rows": 512,
        "gammas": (1.0, 10.0),
        "r1": 0.1,
        "dirac_gammas": (0.0, 0.3, 1.0, 2.0),
    },
    quick={"width": 8, "rounds": 300},
    measure=measure,
    draw=draw,
    seconds=(6, 35),
)
