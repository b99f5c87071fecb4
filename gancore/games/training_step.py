"""One training step: draws, gradients, updates.

Only :class:`TrainingStep` handles micro-batches, processes, precision and the mask of non-finite gradients.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TypeAlias

import torch
from torch import Tensor
from torch.func import functional_call

from gancore.errors import ConfigError
from gancore.games.cost import Cost
from gancore.games.draw import Draw
from gancore.games.game import Move, Phase
from gancore.games.gradient import (
    Gradient,
    OptionalTensors,
    add_optional,
    differentiate,
    jacobian_vector_product,
    micro_batch_cost,
    vector_jacobian_product,
)
from gancore.games.schedules import schedule_value
from gancore.games.training_setup import TrainingSetup
from gancore.nn.dropout import find_global_rng_layer

Turn: TypeAlias = Sequence[tuple[int, Move]]
"""Moves that are made together, each with its index in the phase's list; no move occurs twice."""


class TrainingStep:
    """One training step of a phase: step ``number`` of the run, ``step_in_phase`` of the phase.

    ``progress`` runs from 0 to 1 over the phase; ``progress_end`` is its value after this step: 1 in the last
    step of the phase. By default both are equal.
    """

    def __init__(
        self,
        setup: TrainingSetup,
        phase: Phase,
        number: int,
        step_in_phase: int,
        progress: float,
        progress_end: float | None = None,
    ) -> None:
        self.setup = setup
        self.phase = phase
        self.number = number
        self.step_in_phase = step_in_phase
        self.progress = progress
        self.progress_end = progress if progress_end is None else progress_end
        self.game = setup.game
        self._in_lookahead = False

    @property
    def samples(self) -> int:
        """Real samples used so far, this step included."""
        return (self.number + 1) * self.setup.samples_per_step

    def due_moves(self) -> Iterator[tuple[int, Move]]:
        """The moves of this step with their indices in the phase's list; lazy moves only if they are due."""
        return ((i, move) for i, move in enumerate(self.phase.moves) if self.step_in_phase % move.every == 0)

    def turns(self) -> Iterator[Turn]:
        """Groups of main moves in which no move occurs twice: D, D, D, G gives [D], [D], [D, G]."""
        turn: list[tuple[int, Move]] = []
        for index, move in self.due_moves():
            if move.every == 1:
                if any(move == other for _, other in turn):
                    yield turn
                    turn = []
                turn.append((index, move))
        if turn:
            yield turn

    @cached_property
    def main_moves(self) -> list[Move]:
        """Each main move of the phase once. Their gradients are the vector field of the game."""
        return list(dict.fromkeys(move for move in self.phase.moves if move.every == 1))

    def draw(self, index: int) -> Draw:
        """The draw for the move at this index of the phase's list."""
        occurrence = self.number // self.phase.moves[index].every
        rows = self.setup.batches.processes.local_rows(self.setup.batch_size)
        draw = self.setup.batches.draw(self.number, index, rows, occurrence, self.progress)
        draw.progress_end = self.progress_end
        return draw

    def gradient(self, move: Move, draw: Draw, at: Mapping[str, Tensor] | None = None) -> Gradient:
        """The gradient of the move's cost over the global batch, with respect to its player's parameters.

        ``at`` replaces parameters by name. If they depend on the player's parameters, the gradient goes
        through them.
        """
        params = self.params(move.player)
        micro_batches = draw.micro_batches(self.setup.micro_batches)
        costs = (
            self.evaluate_cost(move, micro_batch, at, graph=at is not None) for micro_batch in micro_batches
        )
        gradient = self.setup.reducer.reduce(move, costs, params)
        return gradient if move.every == 1 else gradient.scale(move.every)

    def gradients(self, moves: Sequence[Move], draw: Draw) -> dict[Move, Gradient]:
        """The gradients of several moves at the same parameters and from the same draw."""
        return {move: self.gradient(move, draw) for move in moves}

    def jacobian(
        self, gradients: Mapping[Move, Gradient], draw: Draw, transpose: bool = True
    ) -> dict[Move, list[Tensor]]:
        """J^T g, or J g, where g is the vector field of these moves and J its Jacobian.

        For each move, the entries of its player's parameters. Exact over micro-batches and processes,
        because both products are linear in them.
        """
        params = {move: self.params(move.player) for move in gradients}
        vectors = {move: gradient.materialize(params[move]) for move, gradient in gradients.items()}
        product = vector_jacobian_product if transpose else jacobian_vector_product
        sums: dict[Move, OptionalTensors] = {move: [None] * len(params[move]) for move in gradients}
        for micro_batch in draw.without_freezing().micro_batches(self.setup.micro_batches):
            vector_field = {
                move: differentiate(
                    self._micro_batch_cost(move, micro_batch, gradient), params[move], graph=True
                )
                for move, gradient in gradients.items()
            }
            for move, tensors in product(vector_field, params, vectors).items():
                sums[move] = [add_optional(a, b) for a, b in zip(sums[move], tensors, strict=True)]
        return {move: self.setup.reducer.all_sum(tensors, params[move]) for move, tensors in sums.items()}

    def differentiable_gradient(self, move: Move, draw: Draw, at: Mapping[str, Tensor]) -> list[Tensor]:
        """The gradient of a cost at the parameters ``at``, differentiable; without micro-batches."""
        names = self.setup.optimizers[move.player].names
        cost = self.evaluate_cost(move, draw.without_freezing(), at, graph=True)
        points, clip = [at[name] for name in names], self.game.players[move.player].clip_grad_norm
        gradients = torch.autograd.grad(cost.total(), points, create_graph=True, materialize_grads=True)
        if clip is None:
            return list(gradients)
        factor = _clip_factor(_global_norm(list(gradients), draw.device), clip)
        return [gradient * factor for gradient in gradients]

    def lr(self, player: str) -> float:
        """The learning rate of the player in this step, before it is scaled for lazy moves."""
        return schedule_value(self.game.players[player].optimizer.lr, self.progress)

    def apply(self, move: Move, gradient: Gradient) -> Tensor:
        """Update the move's player. The update is masked on the device if the gradient is not finite.

        Returns 1.0 if the update was made, 0.0 if it was masked, as a tensor on the device.
        """
        player = self.game.players[move.player]
        norm = _global_norm(gradient.tensors, self.setup.batches.key.device)
        ok = (norm < math.inf).float()
        skip = 1 - ok
        tensors = (
            gradient.tensors
            if player.clip_grad_norm is None
            else _clip(gradient.tensors, norm, player.clip_grad_norm)
        )
        lr, lazy_reg_scale = self.lr(move.player), self.phase.lazy_reg_scale(move.player)
        self.setup.optimizers[move.player].update(tensors, lr, skip, lazy_reg_scale)
        if not self._in_lookahead:
            self.setup.scalars.note(move, gradient, norm, skip)
            self.game.after_move(move, {**gradient.means, **gradient.kept, "ok": ok})
        return ok

    def apply_all(self, gradients: Mapping[Move, Gradient]) -> None:
        """:meth:`apply` for each move in order."""
        for move, gradient in gradients.items():
            self.apply(move, gradient)

    @contextlib.contextmanager
    def look_ahead(self) -> Iterator[None]:
        """Updates within this context are undone at its end.

        Optimizers keep their changed moments (Gidel et al. 2019, algorithm 4); ``after_move`` is not called.
        """
        params = [p for optimizer in self.setup.optimizers.values() for p in optimizer.params]
        saved = [p.detach().clone() for p in params]
        self._in_lookahead = True
        try:
            yield
        finally:
            self._in_lookahead = False
            with torch.no_grad():
                torch._foreach_copy_(params, saved)

    def play_lazy_moves(self) -> None:
        """Make the lazy moves that are due, each as a separate update."""
        for index, move in self.due_moves():
            if move.every > 1:
                self.apply(move, self.gradient(move, self.draw(index)))

    def params(self, player: str) -> list[Tensor]:
        """The player's parameters, in the order of its gradients."""
        return self.setup.optimizers[player].params

    def dynamics_state(self, player: str, name: str) -> list[Tensor]:
        """What the dynamics keeps under this name for each parameter of the player; change it in place."""
        return self.setup.optimizers[player].dynamics_state[name]

    def stored_gradient(self, move: Move, name: str) -> Gradient:
        """A copy of the dynamics' state of this name for the move's player, as a gradient to apply."""
        return Gradient(
            [tensor.clone() for tensor in self.dynamics_state(move.player, name)], {}, frozenset()
        )

    def evaluate_cost(
        self, move: Move, draw: Draw, at: Mapping[str, Tensor] | None = None, graph: bool = False
    ) -> Cost:
        """The cost of a move on one micro-batch, in the precision that the run uses for it."""
        with draw.noise(), draw.global_draws() as used_global_rng, self._autocast(move, draw.device, graph):
            cost = (
                self.game.cost(move, draw)
                if at is None
                else functional_call(self.game, dict(at), (move, draw))
            )
            self._require_cost(move, cost, used_global_rng)
        return cost

    def _require_cost(self, move: Move, cost: object, used_global_rng: Callable[[], bool]) -> None:
        """Require a ``Cost``, and no draw from torch's global generator where the batch is divided."""
        if not isinstance(cost, Cost) or not cost.terms:
            found = "a Cost without a term" if isinstance(cost, Cost) else type(cost).__name__
            raise ConfigError(
                f"the cost {move.cost!r} of player {move.player!r} is {found}",
                'return Cost().add("loss", values), with one value per row',
            )
        if self.setup.reducer.num_micro_batches > 1 and used_global_rng():
            raise ConfigError(
                f"the cost {move.cost!r} of player {move.player!r} uses torch's global random generator"
                f"{find_global_rng_layer(self.game)}, so a divided batch would get other numbers",
                "use gancore.nn.Dropout or gancore.games.noise(), or train on one process with"
                " model.micro_batches=1",
            )

    def _micro_batch_cost(self, move: Move, micro_batch: Draw, gradient: Gradient) -> Tensor:
        cost = self.evaluate_cost(move, micro_batch, graph=True)
        return micro_batch_cost(cost, gradient.mask_totals, self.setup.reducer.num_micro_batches)

    def _autocast(
        self, move: Move, device: torch.device, graph: bool
    ) -> contextlib.AbstractContextManager[object]:
        if self.setup.bf16 and move.every == 1 and not graph:
            return torch.autocast(device.type, torch.bfloat16)
        return contextlib.nullcontext()


def _global_norm(tensors: OptionalTensors, device: torch.device) -> Tensor:
    present = [g for g in tensors if g is not None]
    if not present:
        return torch.zeros((), device=device)
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(present)))
    return norm


def _clip_factor(norm: Tensor, bound: float) -> Tensor:
    return torch.clamp(bound / (norm + 1e-12), max=1.0)


def _clip(tensors: OptionalTensors, norm: Tensor, bound: float) -> OptionalTensors:
    factor = _clip_factor(norm, bound)
    return [None if g is None else g * factor for g in tensors]
