"""``spectrum``: the eigenvalues of the game's Jacobian, with and without a remedy."""

# ruff: noqa: N803 (matrices have the letters of the formulas)

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gancore import ConfigError
from gancore.games import R1, Alternating, PenaltyTerm, Simultaneous, compute_jacobian
from gancore.training import play, set_up
from gancore_lab import games, theory
from gancore_lab.experiment import Check, Experiment, ExperimentResult
from gancore_lab.games import ring_points, small_gan
from gancore_lab.orbits import ONE_ZERO_ROW
from gancore_lab.plots import legend, panels, set_labels
from gancore_lab.theory import Matrix

Complex = NDArray[np.complex128]
NEAR_DOUBLE = 1e-3
"""The distance from gamma = 1, where J of the Dirac-GAN has a double eigenvalue, below which only the mean is
compared."""
ZERO_SUM = ("minimax", "wasserstein")
TRAINING_SETTINGS = (
    "modes", "radius", "std", "rows", "latents", "width", "rate", "betas", "loss", "batch_size", "steps",
    "jacobian_rows", "gammas",
)  # fmt: skip


def eigenvalues(J: Matrix, gamma: float = 0.0) -> Complex:
    """Eigenvalues of -(J + gamma J^T J), the field of the players.

    Those in the left half-plane are stable.
    """
    return np.linalg.eigvals(-theory.with_consensus(J, gamma)).astype(complex)


def interaction_block(J: Matrix, first: int) -> Matrix:
    """J without the diagonal blocks of the players; the ``first`` parameters are the discriminator's."""
    mixed = J.copy()
    mixed[:first, :first] = 0.0
    mixed[first:, first:] = 0.0
    return mixed


def max_rotation(values: Complex) -> float:
    """max |Im / Re| over eigenvalues whose modulus is at least a hundredth of the largest."""
    values = values[np.abs(values) > 0.01 * np.abs(values).max()]
    return float((np.abs(values.imag) / np.maximum(np.abs(values.real), 1e-300)).max())


def dirac_checks(settings: Mapping[str, Any]) -> list[Check]:
    """Compare the Jacobian of the Dirac-GAN at its equilibrium with its closed form."""
    checks = []
    for gamma in settings["dirac_gammas"]:
        penalties = [R1(gamma)] if gamma else []
        game = games.dirac("minimax", Simultaneous(), penalties=penalties, start=(0.0, 0.0))
        J = compute_jacobian(set_up(game, ONE_ZERO_ROW, batch_size=1)).numpy()
        roots = [gamma / 2 + s * np.emath.sqrt(gamma**2 / 4 - 0.25) for s in (1, -1)]
        computed = np.linalg.eigvals(J)
        name = f"Dirac-GAN, R1 {gamma:g}: eigenvalue of J,"
        if abs(gamma - 1) < NEAR_DOUBLE:  # in floating point, only the mean of a double root is exact
            checks.append(Check(f"{name} mean", float(computed.mean().real), "=", gamma / 2, 1e-9))
            continue
        for sign, root in zip("+-", roots, strict=True):
            nearest = computed[np.abs(computed - root).argmin()]
            checks.append(Check(f"{name} {sign} |difference|", float(abs(nearest - root)), "=", 0.0, 1e-9))
    return checks


def trained_jacobian(
    settings: Mapping[str, Any], seed: int, penalties: Sequence[PenaltyTerm]
) -> tuple[Matrix, int]:
    """The Jacobian of the small GAN after training, and the number of the discriminator's parameters."""
    game = small_gan(settings, seed, dynamics=Alternating(), penalties=penalties)
    table = set_up(
        game, ring_points(settings["rows"], settings, seed), batch_size=settings["batch_size"], seed=seed
    )
    play(table, settings["steps"], lambda state: table.scalars.reset())
    first = sum(p.numel() for p in game.discriminator.parameters())
    return compute_jacobian(table, settings["jacobian_rows"], settings["steps"]).numpy(), first


def run(settings: Mapping[str, Any], seed: int) -> ExperimentResult:
    if not all(gamma > 0 for gamma in settings["gammas"]):
        raise ConfigError(
            f"gammas: {list(settings['gammas'])} has a value that is not above 0",
            "give values above 0; the game without consensus is measured in any case",
        )
    is_zero_sum = settings["loss"] in ZERO_SUM
    reason = f"{settings['loss']} is not zero-sum"
    J, first = trained_jacobian(settings, seed, [])
    penalised, _ = trained_jacobian(settings, seed, [R1(settings["r1"])])
    cross = interaction_block(J, first)
    pure = np.linalg.eigvals(cross)
    before = eigenvalues(J)
    checks = [
        *dirac_checks(settings),
        Check("small GAN: |J_DG + J_GD^T| / |J_DG|", _asymmetry(J, first), "=", 0.0, 1e-9
              ).only_if(is_zero_sum, reason),
        Check("small GAN: max |Re| / max |lambda| of the interaction alone",
              float(np.abs(pure.real).max() / np.abs(pure).max()), "=", 0.0, 1e-6
              ).only_if(is_zero_sum, reason),
        *_spectrum_checks("small GAN, no remedy", before),
    ]  # fmt: skip
    values = {"no remedy": before, f"trained with R1 {settings['r1']:g}": eigenvalues(penalised)}
    for gamma in settings["gammas"]:
        after = values[f"consensus {gamma:g}"] = eigenvalues(J, gamma)
        checks += _consensus_checks(gamma, before, after, EXPERIMENT.as_given(settings, TRAINING_SETTINGS))
    checks += _spectrum_checks(f"small GAN, trained with R1 {settings['r1']:g}", eigenvalues(penalised))
    return ExperimentResult(
        checks, {"values": values}, NOTES, {"parameters": len(J), "of the discriminator": first}
    )


def _asymmetry(J: Matrix, first: int) -> float:
    block, other = J[:first, first:], J[first:, :first]
    return float(np.abs(block + other.T).max() / np.abs(block).max())


def _spectrum_checks(name: str, values: Complex) -> list[Check]:
    return [
        Check(f"{name}: share of eigenvalues with Re >= 0", float((values.real >= 0).mean())),
        Check(f"{name}: largest Re", float(values.real.max())),
        Check(f"{name}: max |Im/Re|", max_rotation(values)),
    ]


def _consensus_checks(gamma: float, before: Complex, after: Complex, is_given: bool) -> list[Check]:
    """Check the eigenvalues with consensus.

    For a unit eigenvector v: lambda = -v* J v - gamma |J v|^2, and |v* J v| <= |J v|. Therefore
    Re lambda <= |J v| - gamma |J v|^2 <= 1 / (4 gamma), and Re < 0 if the modulus is above 2 / gamma. That
    max |Im/Re| decreases does not follow from a bound: it was measured with the given settings.
    """
    name, above = f"small GAN, consensus {gamma:g}", 2 / gamma
    long = after[np.abs(after) > above]
    return [
        Check(f"{name}: largest Re", float(after.real.max()), "<", 1 / (4 * gamma) + 1e-9,
              note="1 / (4 gamma)"),
        Check(f"{name}: Re >= 0 among {len(long)} above {above:g}", float((long.real >= 0).sum()), "=", 0.0),
        Check(f"{name}: max |Im/Re|", max_rotation(after), "<", max_rotation(before), note="less than without"
              ).only_if(is_given, "there is no prediction for other settings"),
        Check(f"{name}: share of eigenvalues with Re >= 0", float((after.real >= 0).mean())),
    ]  # fmt: skip


NOTES = (
    "About half of the eigenvalues without a remedy have Re >= 0. Most of them are very small: flat "
    "directions of networks with more parameters than necessary. Consensus moves the large ones.",
    "Eigenvalues with Re > 0 under consensus are within 1 / (4 gamma) of the axis.",
    "max |Im/Re| is over eigenvalues whose modulus is at least a hundredth of the largest.",
    "Eigenvalues with R1 are predicted for the Dirac-GAN, and have no prediction for the trained GAN.",
)


def plot(result: ExperimentResult) -> Figure:
    values = result.plot_data["values"]
    figure, axes = panels(
        len(values), "Eigenvalues of the field that the players follow (stable: left)", width=4.2
    )
    for ax, (name, each) in zip(axes, values.items(), strict=True):
        _plot_plane(ax, each)
        set_labels(ax, name, "Re", "Im" if ax is axes[0] else "")
    legend(axes[0], loc="lower left")
    return figure


def _plot_plane(ax: Axes, values: Complex) -> None:
    """Plot with axes that are linear near 0 and logarithmic elsewhere, which show small and large values."""
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
    question="Where are the eigenvalues of the game's Jacobian, and where does a remedy move them?",
    prediction=(
        "the interaction of the players alone has purely imaginary eigenvalues; with consensus gamma, none "
        "has Re > 1 / (4 gamma), none of modulus above 2 / gamma has Re >= 0, and max |Im/Re| is smaller; on "
        "the Dirac-GAN with R1 they are gamma/2 +- sqrt(gamma^2/4 - 1/4)"
    ),
    source="Mescheder et al. 2017, sections 3 and 4; 2018, lemma 4.3; bounds from v* J v",
    settings={
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
        "steps": 3000,
        "jacobian_rows": 512,
        "gammas": (1.0, 10.0),
        "r1": 0.1,
        "dirac_gammas": (0.0, 0.3, 1.0, 2.0),
    },
    descriptions={
        "modes": "Gaussians on the ring of the data",
        "radius": "radius of the ring",
        "std": "standard deviation of each Gaussian",
        "rows": "training examples",
        "latents": "dimension of the latents",
        "width": "hidden units of both networks",
        "rate": "learning rate of both players (Adam)",
        "betas": "decay rates of Adam",
        "loss": "adversarial loss by name",
        "batch_size": "examples in a batch",
        "steps": "steps of training before the Jacobian is computed",
        "jacobian_rows": "rows over which the Jacobian is computed",
        "gammas": "weights of consensus, applied to the Jacobian",
        "r1": "weight of R1 in the second training",
        "dirac_gammas": "weights of R1 in the Dirac-GAN",
    },
    quick_settings={"width": 8, "steps": 300},
    run=run,
    plot=plot,
    seconds=(6, 35),
)
