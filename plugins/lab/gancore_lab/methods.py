"""The dynamics that the lab compares, each with the matrix of its round."""

# ruff: noqa: N803 (matrices have the letters of the formulas)

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gancore.games import (
    Alternating,
    Consensus,
    Dynamics,
    Extragradient,
    Optimistic,
    PastExtragradient,
    Simultaneous,
    SymplecticAdjustment,
    Unrolled,
)
from gancore_lab import theory
from gancore_lab.theory import Matrix


@dataclass(frozen=True)
class Method:
    """``round(J, H)`` is its linear map; the discriminator moves ``moves`` times in it, and first."""

    dynamics: Dynamics
    round: Callable[[Matrix, Matrix], Matrix]
    moves: int = 1


def _consensus(moves: int) -> Method:
    def matrix(J: Matrix, H: Matrix) -> Matrix:
        return theory.alternating(theory.with_consensus(J, 1.0), H, moves)

    return Method(Consensus(1.0, alternating=True), matrix, moves)


METHODS = {
    "simultaneous": Method(Simultaneous(), theory.simultaneous),
    "alternating": Method(Alternating(), theory.alternating),
    "alternating 5:1": Method(Alternating(), lambda J, H: theory.alternating(J, H, 5), 5),
    "extragradient": Method(Extragradient(), theory.extragradient),
    "past extragradient": Method(PastExtragradient(), theory.past_extragradient),
    "optimistic": Method(Optimistic(), theory.optimistic),
    "consensus 1": Method(Consensus(1.0), lambda J, H: theory.simultaneous(theory.with_consensus(J, 1.0), H)),
    "consensus 1, in turns": _consensus(1),
    "consensus 1, 5:1": _consensus(5),
    "symplectic 1": Method(
        SymplecticAdjustment(1.0), lambda J, H: theory.simultaneous(theory.with_adjustment(J, 1.0), H)
    ),
    "unrolled 5": Method(Unrolled(5), lambda J, H: theory.unrolled(J, H, 5)),
}
