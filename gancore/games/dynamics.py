"""How moves follow one another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from gancore.games.field import Field


class Dynamics:
    """How a round is played.

    A dynamics holds settings alone. What it must remember from round to round it names in ``slots``: a
    tensor like each parameter of its players, zeros at first, at ``field.memory(player, slot)``; these
    are saved with the rules' own state, and undone with it after timing.
    """

    slots: ClassVar[tuple[str, ...]] = ()

    def round(self, field: Field) -> bool | None:
        """Play one round. Returns True when the phase is done before its budget."""
        raise TypeError(f"{type(self).__name__} must define round(field)")


@dataclass(frozen=True)
class Alternating(Dynamics):
    """Each move sees the parameters that the moves before it left: Goodfellow et al. 2014, algorithm 1."""

    def round(self, field: Field) -> bool | None:
        for index, move in field.moves():
            field.apply(move, field.gradient(move, field.draw(index)))
        return None
