"""Players that get each other's parameters with a delay: asynchronous training in one process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gancore.games import Dynamics

if TYPE_CHECKING:
    from gancore.games import Draw, Gradient, Move, TrainingStep, Turn


@dataclass(frozen=True)
class Stale(Dynamics):
    """Simultaneous updates theta_i - h g_i(theta_i, theta_j of ``delay`` steps before).

    With ``own``, the player's own parameters have the delay, too: the whole gradient is ``delay`` steps old.
    Before the first step, all parameters are the initial ones. Past parameters are in a ring buffer, which is
    saved with the run.
    """

    delay: int = 1
    own: bool = False

    @property
    def state_names(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(f"past{place}" for place in range(self.delay))

    def play(self, step: TrainingStep) -> bool | None:
        now = {player: [p.detach().clone() for p in step.params(player)] for player in _players(step)}
        if step.step_in_phase == 0:
            for place in range(self.delay):
                self._remember(step, place, now)
        super().play(step)
        if self.delay:
            self._remember(step, step.step_in_phase % self.delay, now)  # overwrites the oldest
        return None

    def play_turn(self, step: TrainingStep, turn: Turn) -> None:
        draw, moves = step.draw(turn[0][0]), [move for _, move in turn]
        gradients = {move: self._late(step, move, draw) for move in moves}
        for move, gradient in gradients.items():
            step.apply(move, gradient)

    def _late(self, step: TrainingStep, move: Move, draw: Draw) -> Gradient:
        """The gradient of the move with the other players (with ``own`` all players) at past parameters."""
        with step.look_ahead():
            for player in _players(step) if self.delay else ():
                if self.own or player != move.player:
                    _copy(
                        step.params(player),
                        step.dynamics_state(player, f"past{step.step_in_phase % self.delay}"),
                    )
            return step.gradient(move, draw)

    def _remember(self, step: TrainingStep, place: int, points: Mapping[str, Sequence[Tensor]]) -> None:
        for player, values in points.items():
            _copy(step.dynamics_state(player, f"past{place}"), values)


def _players(step: TrainingStep) -> list[str]:
    """The players with moves in this phase."""
    return list(dict.fromkeys(move.player for move in step.phase.moves))


def _copy(into: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for kept, new in zip(into, values, strict=True):
            kept.copy_(new)
