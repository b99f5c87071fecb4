"""Dynamics: in which order, and by which gradients, the players of a game are updated.

Below, g is the vector field of the game: the gradients of all players' costs, each with respect to that
player's own parameters theta; J is its Jacobian; h the learning rate. The formulas are for gradient descent;
every dynamics works with every optimizer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from gancore.errors import ConfigError
from gancore.games.lookup import build_with_settings, find_by_name

if TYPE_CHECKING:
    from gancore.games.draw import Draw
    from gancore.games.game import Move
    from gancore.games.gradient import Gradient
    from gancore.games.training_step import TrainingStep, Turn


class Dynamics:
    """How one training step is made: define ``play_turn``, or ``play`` as a whole.

    A dynamics has settings and no state of its own. State that must survive a step is declared in
    ``state_names``: ``step.dynamics_state(player, name)`` is then a tensor like each parameter of the player,
    zeros at first, which is saved and restored with the state of the optimizers.
    """

    state_names: ClassVar[tuple[str, ...]] = ()
    differentiates_updates: ClassVar[bool] = False
    """It differentiates through updates, so it is refused on several processes and with micro-batches."""
    may_end_early: ClassVar[bool] = False
    """``play`` may return True: a phase has at most the planned number of steps."""

    def play(self, step: TrainingStep) -> bool | None:
        """Make one training step: the main moves turn by turn, then each lazy move as a separate update.

        Returns True if the phase is complete before the end of its budget.
        """
        for turn in step.turns():
            self.play_turn(step, turn)
        step.play_lazy_moves()
        return None

    def play_turn(self, step: TrainingStep, turn: Turn) -> None:
        """Make the moves of one turn, in which no move occurs twice."""
        raise TypeError(f"{type(self).__name__} must define play_turn(step, turn) or play(step)")


@dataclass(frozen=True)
class Alternating(Dynamics):
    """Each move uses the parameters after the moves before it: Goodfellow et al. 2014, algorithm 1."""

    def play(self, step: TrainingStep) -> bool | None:
        for index, move in step.due_moves():
            step.apply(move, step.gradient(move, step.draw(index)))
        return None


@dataclass(frozen=True)
class Simultaneous(Dynamics):
    """theta - h g(theta): all moves of a turn use the parameters before the turn, and one draw."""

    def play_turn(self, step: TrainingStep, turn: Turn) -> None:
        draw, moves = _shared_draw(step, turn)
        step.apply_all(step.gradients(moves, draw))


@dataclass(frozen=True)
class Extragradient(Dynamics):
    """theta' = theta - h g(theta);  theta - h g(theta'), on one draw.

    Korpelevich 1976; with Adam, Gidel et al. 2019, algorithm 4: both updates change the moments.
    """

    def play_turn(self, step: TrainingStep, turn: Turn) -> None:
        draw, moves = _shared_draw(step, turn)
        with step.look_ahead():
            step.apply_all(step.gradients(moves, draw))
            gradients = step.gradients(moves, draw)
        step.apply_all(gradients)


@dataclass(frozen=True)
class PastExtragradient(Dynamics):
    """Extragradient that looks ahead by the previous gradient: one gradient per step.

    theta' = theta - h g(theta'_before);  theta - h g(theta'). Popov 1980; Gidel et al. 2019, section 3.2.
    """

    state_names: ClassVar[tuple[str, ...]] = ("gradient",)

    def play_turn(self, step: TrainingStep, turn: Turn) -> None:
        draw, moves = _shared_draw(step, turn)
        with step.look_ahead():
            for move in moves:
                step.apply(move, step.stored_gradient(move, "gradient"))
            gradients = step.gradients(moves, draw)
        for move, gradient in gradients.items():
            step.apply(move, gradient)
            _store(
                step.dynamics_state(move.player, "gradient"), gradient.materialize(step.params(move.player))
            )


@dataclass(frozen=True)
class Optimistic(Dynamics):
    """theta - 2 s + s_before, s the optimizer's displacement: Daskalakis et al. 2018, eq. 6 and algorithm 1.

    With gradient descent s = h g(theta). A masked update changes neither parameters nor s_before.
    """

    state_names: ClassVar[tuple[str, ...]] = ("displacement",)

    def play_turn(self, step: TrainingStep, turn: Turn) -> None:
        draw, moves = _shared_draw(step, turn)
        for move, gradient in step.gradients(moves, draw).items():
            params, previous = step.params(move.player), step.dynamics_state(move.player, "displacement")
            before = [p.detach().clone() for p in params]
            ok = step.apply(move, gradient)
            with torch.no_grad():
                displacement = torch._foreach_sub(params, before)
                for p, new, old in zip(params, displacement, previous, strict=True):
                    p.add_(torch.where(ok > 0, new - old, 0.0))
                    old.copy_(torch.where(ok > 0, new, old))


@dataclass(frozen=True)
class ConsensusOptimization(Dynamics):
    """Consensus optimization, theta - h (g + gamma J^T g): also descends |g|^2 / 2.

    Mescheder et al. 2017, eq. 14 and algorithm 2. ``alternating``: each move of a turn uses the parameters
    after the moves before it. The paper has one move per player and simultaneous updates.
    """

    gamma: float = 10.0
    alternating: bool = False

    def play_turn(self, step: TrainingStep, turn: Turn) -> None:
        for group in [[each] for each in turn] if self.alternating else [turn]:
            draw, moves = _shared_draw(step, group)
            gradients = step.gradients(step.main_moves, draw)
            correction = step.jacobian(gradients, draw)
            step.apply_all({move: gradients[move].add(correction[move], self.gamma) for move in moves})


@dataclass(frozen=True)
class SymplecticAdjustment(Dynamics):
    """theta - h (g + lambda A^T g), A = (J - J^T) / 2: Balduzzi et al. 2018, algorithm 1.

    With ``align`` the sign of lambda is chosen so that stable points attract and unstable ones repel:
    sign(<g, J^T g> <A^T g, J^T g> / d + 1/10), d the number of parameters.
    """

    weight: float = 1.0
    align: bool = True

    def play_turn(self, step: TrainingStep, turn: Turn) -> None:
        draw, moves = _shared_draw(step, turn)
        gradients = step.gradients(step.main_moves, draw)
        transposed = step.jacobian(gradients, draw)
        forward = step.jacobian(gradients, draw, transpose=False)
        adjustment = {
            move: [0.5 * (t - f) for t, f in zip(transposed[move], forward[move], strict=True)]
            for move in gradients
        }
        weight = self.weight * (self._sign(step, gradients, transposed, adjustment) if self.align else 1.0)
        step.apply_all({move: gradients[move].add(adjustment[move], weight) for move in moves})

    @staticmethod
    def _sign(
        step: TrainingStep,
        gradients: Mapping[Move, Gradient],
        transposed: Mapping[Move, list[Tensor]],
        adjustment: Mapping[Move, list[Tensor]],
    ) -> Tensor:
        g = torch.cat(
            [t.flatten() for m in gradients for t in gradients[m].materialize(step.params(m.player))]
        )
        hamiltonian, adjusted = (
            torch.cat([t.flatten() for move in gradients for t in tensors[move]])
            for tensors in (transposed, adjustment)
        )
        return torch.sign(g.dot(hamiltonian) * adjusted.dot(hamiltonian) / len(g) + 0.1)


@dataclass(frozen=True)
class Unrolled(Dynamics):
    """``player`` descends its cost as it would be after ``unrolled_updates`` more updates of its opponents.

    Metz et al. 2017, eq. 4 to 7: the gradient goes through those updates, which the opponents' own
    optimizers make and which are undone. All other moves alternate.
    """

    unrolled_updates: int = 5
    player: str = "generator"
    differentiates_updates: ClassVar[bool] = True

    def play(self, step: TrainingStep) -> bool | None:
        for index, move in step.due_moves():
            draw, at = step.draw(index), None
            if move.player == self.player and move.every == 1:
                draw = draw.without_freezing()
                at = self._unrolled_opponents(step, draw)
            step.apply(move, step.gradient(move, draw, at))
        return None

    def _unrolled_opponents(self, step: TrainingStep, draw: Draw) -> dict[str, Tensor]:
        """The opponents' parameters by name, after their updates."""
        opponent_moves = [move for move in step.main_moves if move.player != self.player]
        optimizers = {move.player: step.setup.optimizers[move.player] for move in opponent_moves}
        at = {name: p for o in optimizers.values() for name, p in zip(o.names, o.params, strict=True)}
        states = {player: optimizer.snapshot() for player, optimizer in optimizers.items()}
        for _ in range(self.unrolled_updates):
            for move in opponent_moves:
                optimizer, lr = optimizers[move.player], step.lr(move.player)
                params, state = [at[name] for name in optimizer.names], states[move.player]
                gradients = step.differentiable_gradient(move, draw, at)
                scale = step.phase.lazy_reg_scale(move.player)
                params, states[move.player] = optimizer.differentiable_update(
                    params, gradients, state, lr, scale
                )
                at |= dict(zip(optimizer.names, params, strict=True))
        return at


DYNAMICS: Mapping[str, type[Dynamics]] = {
    "alternating": Alternating,
    "simultaneous": Simultaneous,
    "extragradient": Extragradient,
    "extragradient-past": PastExtragradient,
    "optimistic": Optimistic,
    "consensus": ConsensusOptimization,
    "symplectic": SymplecticAdjustment,
    "unrolled": Unrolled,
}
"""Dynamics by name, as in ``train.dynamics.name``."""


def find_dynamics(name: str, settings: Mapping[str, object] | None = None) -> Dynamics:
    """The dynamics of this name, built in or of a plugin, with these settings.

    Raises:
        ConfigError: no such dynamics or setting, a missing required setting, or a value of another type.
    """
    found = find_by_name("dynamics", name, DYNAMICS, "gancore_dynamics")
    if isinstance(found, Dynamics) and not settings:
        return found
    if not (isinstance(found, type) and issubclass(found, Dynamics)):
        raise ConfigError(
            f"the dynamics {name!r} is registered as {type(found).__name__}, not as a subclass of Dynamics",
            "change the plugin's entry: name a class",
        )
    return build_with_settings(found, settings or {}, name, "train.dynamics.settings")


def _shared_draw(step: TrainingStep, turn: Turn) -> tuple[Draw, Sequence[Move]]:
    """The draw that all moves of a turn share, and these moves."""
    return step.draw(turn[0][0]), [move for _, move in turn]


def _store(state: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Copy the values: a reference would change with the next step."""
    with torch.no_grad():
        for previous, new in zip(state, values, strict=True):
            previous.copy_(new)
