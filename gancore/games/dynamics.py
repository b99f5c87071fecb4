"""How moves follow one another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gancore.games.field import Field


class Dynamics(Protocol):
    """One round of play. Returns True when the phase is done before its budget."""

    def round(self, field: Field) -> bool | None: ...


@dataclass(frozen=True)
class Alternating:
    """Each move sees the parameters that the moves before it left: Goodfellow et al. 2014, algorithm 1."""

    def round(self, field: Field) -> bool | None:
        for index, move in field.moves():
            field.apply(move, field.gradient(move, field.draw(index)))
        return None
