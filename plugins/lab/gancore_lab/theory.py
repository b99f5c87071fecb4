"""Predictions: the matrix of a step of each dynamics, and the rate of its powers.

The state is z = (psi, theta), first the discriminator. g = J z is the field of the game (the gradient of each
player's cost by its own parameter), H the diagonal matrix of learning rates. All matrices are formulas:
nothing is trained or differentiated.
"""

# ruff: noqa: N803 (matrices have the letters of the formulas)

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy import linalg
from numpy.typing import NDArray

from gancore.games import (
    Alternating,
    ConsensusOptimization,
    Dynamics,
    Extragradient,
    Optimistic,
    PastExtragradient,
    Simultaneous,
    SymplecticAdjustment,
    Unrolled,
)

Matrix = NDArray[np.float64]

FIRST, SECOND = np.diag([1.0, 0.0]), np.diag([0.0, 1.0])
EYE = np.eye(2)


@dataclass(frozen=True)
class Rate:
    """The asymptotic length |z_t| ~ t^power radius^t."""

    radius: float
    power: int = 0


def convergence_rate(matrix: Matrix) -> Rate:
    """The spectral radius. The power is 1 if the leading eigenvalue is double with one eigenvector."""
    values = linalg.eigvals(matrix)
    radius = float(np.abs(values).max())
    leading = values[np.abs(values) > radius * (1 - 1e-5)]
    for value in leading:
        multiplicity = int((np.abs(leading - value) < 1e-5 * radius).sum())
        distances = linalg.svd(matrix - value * np.eye(len(matrix)), compute_uv=False)
        if multiplicity > int((distances < 1e-6 * radius).sum()):
            return Rate(float(np.abs(leading).mean()), 1)
    return Rate(radius)


def dirac_jacobian(strength: float, damping: float = 0.0) -> Matrix:
    """J of a Dirac-GAN at its equilibrium, with the strength f'(0) and R1 of weight ``damping``.

    Its eigenvalues are damping/2 +- sqrt(damping^2/4 - strength^2) (Mescheder et al., 2018, lemmas 4.1, 4.3).
    """
    return np.array([[damping, strength], [-strength, 0.0]])


def simultaneous(J: Matrix, H: Matrix) -> Matrix:
    """z - H J z."""
    return EYE - H @ J


def alternating(J: Matrix, H: Matrix, moves: int = 1) -> Matrix:
    """The discriminator makes ``moves`` moves, then the generator moves with the new discriminator."""
    result: Matrix = (EYE - H @ SECOND @ J) @ linalg.matrix_power(EYE - H @ FIRST @ J, moves)
    return result


def extragradient(J: Matrix, H: Matrix) -> Matrix:
    """z - H J (z - H J z) (Korpelevich, 1976)."""
    return EYE - H @ J + H @ J @ H @ J


def optimistic(J: Matrix, H: Matrix) -> Matrix:
    """z_{t+1} = z_t - 2 H J z_t + H J z_{t-1}, on (z_t, z_{t-1}) (Daskalakis et al., 2018, eq. 6)."""
    return np.block([[EYE - 2 * H @ J, H @ J], [EYE, 0 * EYE]])


def past_extragradient(J: Matrix, H: Matrix) -> Matrix:
    """p_t = J (z_t - H p_{t-1}), z_{t+1} = z_t - H p_t, on (z_t, p_{t-1}) (Popov, 1980)."""
    return np.block([[EYE - H @ J, H @ J @ H], [J, -J @ H]])


def with_consensus(J: Matrix, gamma: float) -> Matrix:
    """The field g + gamma J^T g (Mescheder et al., 2017, eq. 14)."""
    return J + gamma * J.T @ J


def with_adjustment(J: Matrix, weight: float) -> Matrix:
    """The field g + weight A^T g, A = (J - J^T) / 2 (Balduzzi et al., 2018, algorithm 1)."""
    return J + weight * (J - J.T).T @ J / 2


def unrolled(J: Matrix, H: Matrix, updates: int) -> Matrix:
    """The discriminator moves, then the generator minimises its cost after k = ``updates`` further updates.

    It follows Metz et al., 2017, eq. 4 to 7. With psi' = P psi - h b theta, P = 1 - h a, after k steps
    psi_k = P^k psi - S h b theta, S = sum_{i<k} P^i. The cost c psi_k theta + d/2 theta^2 has the gradient
    c P^k psi + (d - 2 S h b c) theta.
    """
    (a, b), (c, d) = J
    h = H[0, 0]
    P = 1 - h * a
    S = sum(P**i for i in range(updates))
    ahead = np.array([[0.0, 0.0], [c * P**updates, d - 2 * S * h * b * c]])
    result: Matrix = (EYE - H @ ahead) @ (EYE - H @ FIRST @ J)
    return result


def stale(J: Matrix, H: Matrix, delay: int, own: bool) -> Matrix:
    """z_{t+1} = z_t - H (D z_t + O z_{t-d}) on (z_t, ..., z_{t-d}), with d = ``delay``.

    D is the diagonal of J and O the rest: a player gets its own current parameters and old parameters of the
    other. With ``own``, all parameters are old.
    """
    now = np.zeros_like(J) if own else np.diag(np.diag(J))
    size = 2 * (delay + 1)
    matrix = np.eye(size, k=-2)
    matrix[:2, :2] = EYE - H @ now
    matrix[:2, size - 2 :] -= H @ (J - now)
    return matrix


@dataclass(frozen=True)
class Method:
    """A dynamics.

    ``matrix(J, H)`` is the matrix of a step; the discriminator moves first, ``moves`` times.
    """

    dynamics: Dynamics
    matrix: Callable[[Matrix, Matrix], Matrix]
    moves: int = 1


def _consensus(moves: int) -> Method:
    def matrix(J: Matrix, H: Matrix) -> Matrix:
        return alternating(with_consensus(J, 1.0), H, moves)

    return Method(ConsensusOptimization(1.0, alternating=True), matrix, moves)


METHODS = {
    "simultaneous": Method(Simultaneous(), simultaneous),
    "alternating": Method(Alternating(), alternating),
    "alternating 5:1": Method(Alternating(), lambda J, H: alternating(J, H, 5), 5),
    "extragradient": Method(Extragradient(), extragradient),
    "past extragradient": Method(PastExtragradient(), past_extragradient),
    "optimistic": Method(Optimistic(), optimistic),
    "consensus 1": Method(ConsensusOptimization(1.0), lambda J, H: simultaneous(with_consensus(J, 1.0), H)),
    "consensus 1, in turns": _consensus(1),
    "consensus 1, 5:1": _consensus(5),
    "symplectic 1": Method(SymplecticAdjustment(1.0), lambda J, H: simultaneous(with_adjustment(J, 1.0), H)),
    "unrolled 5": Method(Unrolled(5), lambda J, H: unrolled(J, H, 5)),
}
