"""How moves follow one another.

Below, g is the joint field of the game: the gradients of all players' costs, each by that player's own
parameters theta; J its Jacobian; h a rate. Written with plain steps; every dynamics takes any rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from gancore.errors import ConfigError
from gancore.games.names import find_named
from gancore.games.settings import make_with_settings

if TYPE_CHECKING:
    from gancore.games.draw import Draw
    from gancore.games.field import Field, Turn
    from gancore.games.game import Move
    from gancore.games.gradient import Gradient


class Dynamics:
    """How a round is played: define ``turn``, or ``round`` as a whole.

    A dynamics holds settings alone. What it must remember from round to round it names in ``slots``: a
    tensor like each parameter of its players, zeros at first, at ``field.memory(player, slot)``; these
    are saved with the rules' own state, and undone with it after timing.
    """

    slots: ClassVar[tuple[str, ...]] = ()
    needs_graph: ClassVar[bool] = False
    """Differentiates through steps: refused on several processes and under accumulation."""

    def round(self, field: Field) -> bool | None:
        """Play one round: the main moves turn by turn, then the lazy ones, each a plain step of its own.

        Returns True when the phase is done before its budget.
        """
        for turn in field.turns():
            self.turn(field, turn)
        field.play_lazy_moves()
        return None

    def turn(self, field: Field, turn: Turn) -> None:
        """Play moves that are made together: no move is listed twice."""
        raise TypeError(f"{type(self).__name__} must define turn(field, turn) or round(field)")


@dataclass(frozen=True)
class Alternating(Dynamics):
    """Each move sees the parameters that the moves before it left: Goodfellow et al. 2014, algorithm 1."""

    def round(self, field: Field) -> bool | None:
        for index, move in field.moves():
            field.apply(move, field.gradient(move, field.draw(index)))
        return None


@dataclass(frozen=True)
class Simultaneous(Dynamics):
    """theta - h g(theta): all moves of a turn see the parameters, and the draw, with which it began."""

    def turn(self, field: Field, turn: Turn) -> None:
        draw, moves = _together(field, turn)
        for move, gradient in field.gradients(moves, draw).items():
            field.apply(move, gradient)


@dataclass(frozen=True)
class Extragradient(Dynamics):
    """theta' = theta - h g(theta);  theta - h g(theta'), on one draw.

    Korpelevich 1976; with Adam, Gidel et al. 2019, algorithm 4: both steps feed the moments.
    """

    def turn(self, field: Field, turn: Turn) -> None:
        draw, moves = _together(field, turn)
        with field.trial():
            for move, gradient in field.gradients(moves, draw).items():
                field.apply(move, gradient)
            gradients = field.gradients(moves, draw)
        for move, gradient in gradients.items():
            field.apply(move, gradient)


@dataclass(frozen=True)
class PastExtragradient(Dynamics):
    """Extragradient whose look ahead uses the gradient of the last one: one gradient a round.

    theta' = theta - h g(theta'_before);  theta - h g(theta'). Popov 1980; Gidel et al. 2019, section 3.2.
    """

    slots: ClassVar[tuple[str, ...]] = ("gradient",)

    def turn(self, field: Field, turn: Turn) -> None:
        draw, moves = _together(field, turn)
        with field.trial():
            for move in moves:
                field.apply(move, field.from_memory(move, "gradient"))
            gradients = field.gradients(moves, draw)
        for move, gradient in gradients.items():
            field.apply(move, gradient)
            _remember(field.memory(move.player, "gradient"), gradient.dense(field.params(move.player)))


@dataclass(frozen=True)
class Optimistic(Dynamics):
    """theta - 2 s + s_before, where s is the rule's step: Daskalakis et al. 2018, eq. 6 and algorithm 1.

    With plain steps s = h g(theta). A step that is masked neither moves nor is remembered.
    """

    slots: ClassVar[tuple[str, ...]] = ("step",)

    def turn(self, field: Field, turn: Turn) -> None:
        draw, moves = _together(field, turn)
        for move, gradient in field.gradients(moves, draw).items():
            params, last = field.params(move.player), field.memory(move.player, "step")
            before = [p.detach().clone() for p in params]
            ok = field.apply(move, gradient)
            with torch.no_grad():
                step = torch._foreach_sub(params, before)
                for p, new, old in zip(params, step, last, strict=True):
                    p.add_(torch.where(ok > 0, new - old, 0.0))
                    old.copy_(torch.where(ok > 0, new, old))


@dataclass(frozen=True)
class Consensus(Dynamics):
    """theta - h (g + gamma J^T g): descends |g|^2 / 2 too. Mescheder et al. 2017, eq. 14 and algorithm 2.

    ``alternating``: each move of a turn sees the moves before it. Published with one move for each
    player and simultaneous steps.
    """

    gamma: float = 10.0
    alternating: bool = False

    def turn(self, field: Field, turn: Turn) -> None:
        for part in [[each] for each in turn] if self.alternating else [turn]:
            draw, moves = _together(field, part)
            gradients = field.gradients(field.everyone, draw)
            correction = field.jacobian(gradients, draw)
            for move in moves:
                field.apply(move, gradients[move].plus(correction[move], self.gamma))


@dataclass(frozen=True)
class SymplecticAdjustment(Dynamics):
    """theta - h (g + lambda A^T g), A = (J - J^T) / 2: Balduzzi et al. 2018, algorithm 1.

    ``align`` chooses the sign of lambda that is drawn to stable points and driven off unstable ones:
    sign(<g, J^T g> <A^T g, J^T g> / d + 1/10), d the number of parameters.
    """

    weight: float = 1.0
    align: bool = True

    def turn(self, field: Field, turn: Turn) -> None:
        draw, moves = _together(field, turn)
        gradients = field.gradients(field.everyone, draw)
        transposed = field.jacobian(gradients, draw)
        forward = field.jacobian(gradients, draw, transpose=False)
        adjustment = {
            move: [0.5 * (t - f) for t, f in zip(transposed[move], forward[move], strict=True)]
            for move in gradients
        }
        weight = self.weight * (self._sign(field, gradients, transposed, adjustment) if self.align else 1.0)
        for move in moves:
            field.apply(move, gradients[move].plus(adjustment[move], weight))

    @staticmethod
    def _sign(
        field: Field,
        gradients: Mapping[Move, Gradient],
        transposed: Mapping[Move, list[Tensor]],
        adjustment: Mapping[Move, list[Tensor]],
    ) -> Tensor:
        g = torch.cat([t.flatten() for m in gradients for t in gradients[m].dense(field.params(m.player))])
        hamiltonian, adjusted = (
            torch.cat([t.flatten() for move in gradients for t in tensors[move]])
            for tensors in (transposed, adjustment)
        )
        return torch.sign(g.dot(hamiltonian) * adjusted.dot(hamiltonian) / len(g) + 0.1)


@dataclass(frozen=True)
class Unrolled(Dynamics):
    """``player`` descends its cost as it would be after ``steps`` more steps of its opponents.

    Metz et al. 2017, eq. 4 to 7: the gradient goes through those steps, which are made by the opponents'
    own rules and undone. All else alternates.
    """

    steps: int = 5
    player: str = "generator"
    needs_graph: ClassVar[bool] = True

    def round(self, field: Field) -> bool | None:
        for index, move in field.moves():
            draw, at = field.draw(index), None
            if move.player == self.player and move.every == 1:
                draw = draw.unfrozen()
                at = self._opponents(field, draw)
            field.apply(move, field.gradient(move, draw, at))
        return None

    def _opponents(self, field: Field, draw: Draw) -> dict[str, Tensor]:
        """The opponents' parameters by name, after their steps."""
        theirs = [move for move in field.everyone if move.player != self.player]
        updaters = {move.player: field.table.updaters[move.player] for move in theirs}
        at = {name: p for u in updaters.values() for name, p in zip(u.names, u.params, strict=True)}
        states = {player: updater.states() for player, updater in updaters.items()}
        for _ in range(self.steps):
            for move in theirs:
                updater, rate = updaters[move.player], field.rate(move.player)
                points, state = [at[name] for name in updater.names], states[move.player]
                gradients, correction = field.ahead(move, draw, at), field.phase.correction(move.player)
                points, states[move.player] = updater.ahead(points, gradients, state, rate, correction)
                at |= dict(zip(updater.names, points, strict=True))
        return at


DYNAMICS: Mapping[str, type[Dynamics]] = {
    "alternating": Alternating,
    "simultaneous": Simultaneous,
    "extragradient": Extragradient,
    "extragradient-past": PastExtragradient,
    "optimistic": Optimistic,
    "consensus": Consensus,
    "symplectic": SymplecticAdjustment,
    "unrolled": Unrolled,
}
"""Dynamics by the name that a configuration uses."""


def find_dynamics(name: str, settings: Mapping[str, object] | None = None) -> Dynamics:
    """The dynamics of this name, here or from a plugin, with these settings.

    Raises:
        ConfigError: no such dynamics, no such setting, a required one left out, or a value of another type.
    """
    found = find_named("dynamics", name, DYNAMICS, "gancore_dynamics")
    if isinstance(found, Dynamics) and not settings:
        return found
    if not (isinstance(found, type) and issubclass(found, Dynamics)):
        raise ConfigError(f"the dynamics {name!r} is {type(found).__name__}", "make it a class, of Dynamics")
    return make_with_settings(found, settings or {}, name, "train.dynamics.settings")


def _together(field: Field, turn: Turn) -> tuple[Draw, Sequence[Move]]:
    """The one draw that the moves of a turn share."""
    return field.draw(turn[0][0]), [move for _, move in turn]


def _remember(memory: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """As a copy: a reference would follow the tensor that the next round writes into."""
    with torch.no_grad():
        for kept, new in zip(memory, values, strict=True):
            kept.copy_(new)
