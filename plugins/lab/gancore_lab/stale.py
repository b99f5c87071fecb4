"""Players who see each other some rounds late: asynchronous training, in one process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gancore.games import Dynamics

if TYPE_CHECKING:
    from gancore.games import Draw, Field, Gradient, Move
    from gancore.games.field import Turn


@dataclass(frozen=True)
class Stale(Dynamics):
    """theta_i - h g_i(theta_i, theta_j of ``delay`` rounds ago), all players at once.

    With ``own`` a player sees itself late too: the whole gradient is ``delay`` rounds old. The past of the
    first rounds is the start. What was is kept in a ring beside each parameter, saved with the run.
    """

    delay: int = 1
    own: bool = False

    @property
    def slots(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(f"past{place}" for place in range(self.delay))

    def round(self, field: Field) -> bool | None:
        now = {player: [p.detach().clone() for p in field.params(player)] for player in _players(field)}
        if field.round == 0:
            for place in range(self.delay):
                self._remember(field, place, now)
        super().round(field)
        if self.delay:
            self._remember(field, field.round % self.delay, now)  # in the place of the oldest
        return None

    def turn(self, field: Field, turn: Turn) -> None:
        draw, moves = field.draw(turn[0][0]), [move for _, move in turn]
        gradients = {move: self._late(field, move, draw) for move in moves}
        for move, gradient in gradients.items():
            field.apply(move, gradient)

    def _late(self, field: Field, move: Move, draw: Draw) -> Gradient:
        """The move's gradient where the others (and with ``own`` the player itself) are taken back."""
        with field.trial():
            for player in _players(field) if self.delay else ():
                if self.own or player != move.player:
                    _copy(field.params(player), field.memory(player, f"past{field.round % self.delay}"))
            return field.gradient(move, draw)

    def _remember(self, field: Field, place: int, points: Mapping[str, Sequence[Tensor]]) -> None:
        for player, values in points.items():
            _copy(field.memory(player, f"past{place}"), values)


def _players(field: Field) -> list[str]:
    """Everyone who moves in this phase."""
    return list(dict.fromkeys(move.player for move in field.phase.moves))


def _copy(into: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for kept, new in zip(into, values, strict=True):
            kept.copy_(new)
