"""One round of play: draws, gradients, steps. It alone knows micro-batches, processes, precision, masks."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from functools import cached_property
from typing import TypeAlias

import torch
from torch import Tensor
from torch.func import functional_call

from gancore.errors import ConfigError
from gancore.games.cost import Cost
from gancore.games.draw import Dealer, Draw
from gancore.games.game import Game, Move, Phase
from gancore.games.gradient import Gradient, Joiner, Tensors, differentiate, either, share
from gancore.games.schedules import value
from gancore.games.statistics import Statistics
from gancore.games.updater import Updater
from gancore.nn.dropout import global_layer

Turn: TypeAlias = Sequence[tuple[int, Move]]
"""Moves with their places in the phase's list."""


@dataclass(frozen=True)
class Table:
    """What stays the same from round to round: who plays, with what, and how batches are cut."""

    game: Game
    dealer: Dealer
    updaters: Mapping[str, Updater]
    statistics: Statistics
    batch_size: int
    accumulate: int = 1
    bf16: bool = False
    played: list[object] = dataclass_field(default_factory=list, compare=False)
    """Where :func:`gancore.training.playing.play` stopped, to go on from; empty before its first round."""

    @property
    def samples_a_round(self) -> int:
        """Real samples that a round looks at."""
        return self.game.samples_a_round(self.batch_size, self.dealer.views)

    @cached_property
    def joiner(self) -> Joiner:
        """Adds up what micro-batches and processes give."""
        return Joiner(self.dealer.processes, self.accumulate)


class Field:
    """The field of play in one round of a phase."""

    def __init__(self, table: Table, phase: Phase, step: int, round_in_phase: int, progress: float) -> None:
        self.table, self.phase, self.step, self.round, self.progress = (
            table,
            phase,
            step,
            round_in_phase,
            progress,
        )
        self.game = table.game
        self._on_trial = False

    @property
    def samples(self) -> int:
        """Real samples seen when this round is over."""
        return (self.step + 1) * self.table.samples_a_round

    def moves(self) -> Iterator[tuple[int, Move]]:
        """The moves of this round with their places in the phase's list; lazy ones where they are due."""
        return ((i, move) for i, move in enumerate(self.phase.moves) if self.round % move.every == 0)

    def turns(self) -> Iterator[Turn]:
        """The main moves, cut where one of them is made again: of D, D, D, G the turns are D; D; D and G."""
        turn: list[tuple[int, Move]] = []
        for index, move in self.moves():
            if move.every == 1:
                if any(move == other for _, other in turn):
                    yield turn
                    turn = []
                turn.append((index, move))
        if turn:
            yield turn

    @cached_property
    def everyone(self) -> list[Move]:
        """Each main move of the phase once: the moves that make up the whole vector field of the game."""
        return list(dict.fromkeys(move for move in self.phase.moves if move.every == 1))

    def draw(self, index: int) -> Draw:
        """What the move at this place of the list may look at."""
        turn = self.step // self.phase.moves[index].every
        rows = self.table.dealer.processes.rows(self.table.batch_size)
        return self.table.dealer.deal(self.step, index, rows, turn, self.progress)

    def gradient(self, move: Move, draw: Draw, at: Mapping[str, Tensor] | None = None) -> Gradient:
        """The gradient of the move's cost over the joined batch, with respect to its player's parameters.

        ``at`` gives other parameters by name; where they depend on the player's own, so does the gradient.
        """
        params = self.params(move.player)
        parts = draw.micro_batches(self.table.accumulate)
        costs = (self.evaluate(move, part, at, graph=at is not None) for part in parts)
        gradient = self.table.joiner.gradient(move, costs, params)
        return gradient if move.every == 1 else gradient.times(move.every)

    def gradients(self, moves: Sequence[Move], draw: Draw) -> dict[Move, Gradient]:
        """The gradients of several moves at one point, from one draw."""
        return {move: self.gradient(move, draw) for move in moves}

    def jacobian(
        self, gradients: Mapping[Move, Gradient], draw: Draw, transpose: bool = True
    ) -> dict[Move, list[Tensor]]:
        """J^T g, or J g, where J is the Jacobian of the joint field g of these moves at one point.

        For each move, the part that belongs to its player's parameters. Exact over micro-batches and
        processes: both products are linear in them.
        """
        params = {move: self.params(move.player) for move in gradients}
        vectors = {move: gradient.dense(params[move]) for move, gradient in gradients.items()}
        product = _transposed if transpose else _forward
        sums: dict[Move, Tensors] = {move: [None] * len(params[move]) for move in gradients}
        for part in draw.unfrozen().micro_batches(self.table.accumulate):
            field = {
                move: differentiate(self._share(move, part, gradient), params[move], graph=True)
                for move, gradient in gradients.items()
            }
            for move, tensors in product(field, params, vectors).items():
                sums[move] = [either(a, b) for a, b in zip(sums[move], tensors, strict=True)]
        return {move: self.table.joiner.total(tensors, params[move]) for move, tensors in sums.items()}

    def ahead(self, move: Move, draw: Draw, at: Mapping[str, Tensor]) -> list[Tensor]:
        """The gradient of a cost at the parameters ``at``, with the graph through it; of one part alone."""
        names = self.table.updaters[move.player].names
        cost = self.evaluate(move, draw.unfrozen(), at, graph=True)
        points, clip = [at[name] for name in names], self.game.players[move.player].clip
        gradients = torch.autograd.grad(cost.total(), points, create_graph=True, materialize_grads=True)
        if clip is None:
            return list(gradients)
        factor = _clipping(_norm(list(gradients), draw.device), clip)
        return [gradient * factor for gradient in gradients]

    def rate(self, player: str) -> float:
        """The rate of the player's rule in this round, before the correction for lazy moves."""
        return value(self.game.players[player].rule.lr, self.progress)

    def apply(self, move: Move, gradient: Gradient) -> Tensor:
        """One step of the move's player; masked on the device where the gradient is not finite.

        Returns 1.0 where the step was made, 0.0 where it was masked.
        """
        player = self.game.players[move.player]
        norm = _norm(gradient.tensors, self.table.dealer.key.device)
        ok = (norm < math.inf).float()
        skip = 1 - ok
        tensors = gradient.tensors if player.clip is None else _clipped(gradient.tensors, norm, player.clip)
        rate, correction = self.rate(move.player), self.phase.correction(move.player)
        self.table.updaters[move.player].step(tensors, rate, skip, correction)
        if not self._on_trial:
            self.table.statistics.move(move, gradient, norm, skip)
            self.game.after_move(move, {**gradient.means, "ok": ok})
        return ok

    @contextlib.contextmanager
    def trial(self) -> Iterator[None]:
        """Steps made within look ahead: at the end every parameter is back where it was.

        Rules keep what such a step adds to their moments (Gidel et al. 2019, algorithm 4); games are not
        told of it.
        """
        params = [p for updater in self.table.updaters.values() for p in updater.params]
        before = [p.detach().clone() for p in params]
        self._on_trial = True
        try:
            yield
        finally:
            self._on_trial = False
            with torch.no_grad():
                torch._foreach_copy_(params, before)

    def play_lazy_moves(self) -> None:
        """The lazy moves that are due, each a step of its own."""
        for index, move in self.moves():
            if move.every > 1:
                self.apply(move, self.gradient(move, self.draw(index)))

    def params(self, player: str) -> list[Tensor]:
        """The player's parameters, in the order of its gradients."""
        return self.table.updaters[player].params

    def memory(self, player: str, slot: str) -> list[Tensor]:
        """What this phase's dynamics remembers beside each parameter of the player; change it in place."""
        return self.table.updaters[player].memory[slot]

    def from_memory(self, move: Move, slot: str) -> Gradient:
        """What is remembered beside the parameters of the move's player, to be applied as a gradient."""
        return Gradient([tensor.clone() for tensor in self.memory(move.player, slot)], {}, frozenset())

    def evaluate(
        self, move: Move, draw: Draw, at: Mapping[str, Tensor] | None = None, graph: bool = False
    ) -> Cost:
        """The cost of a move on one part of the batch, in the precision that it is played in."""
        with draw.noise(), draw.global_draws() as drew, self._precision(move, draw.device, graph):
            cost = self.game.cost(move, draw) if at is None else self._cost_at(move, draw, at)
            self._check(move, cost, drew)
        return cost

    def _cost_at(self, move: Move, draw: Draw, at: Mapping[str, Tensor]) -> Cost:
        cost: Cost = functional_call(self.game, dict(at), (move, draw))
        return cost

    def _check(self, move: Move, cost: object, drew: Callable[[], bool]) -> None:
        """A cost is a Cost; parts of a batch would not draw from a global generator what the whole does."""
        if not isinstance(cost, Cost) or not cost.terms:
            seen = "a Cost without a term" if isinstance(cost, Cost) else type(cost).__name__
            raise ConfigError(
                f"the cost {move.cost!r} of player {move.player!r} is {seen}",
                'return Cost().add("loss", values), with one value for each row',
            )
        if self.table.joiner.all_parts > 1 and drew():
            raise ConfigError(
                f"the cost {move.cost!r} of player {move.player!r} draws from torch's global generator"
                f"{global_layer(self.game)}, and parts of a batch would draw other numbers than the whole",
                "use gancore.nn.dropout.Dropout or gancore.games.noise(), or train on one process with"
                " model.accumulate=1",
            )

    def _share(self, move: Move, part: Draw, gradient: Gradient) -> Tensor:
        cost = self.evaluate(move, part, graph=True)
        return share(cost, gradient.weights, self.table.joiner.all_parts)

    def _precision(
        self, move: Move, device: torch.device, graph: bool
    ) -> contextlib.AbstractContextManager[object]:
        if self.table.bf16 and move.every == 1 and not graph:
            return torch.autocast(device.type, torch.bfloat16)
        return contextlib.nullcontext()


def _transposed(
    field: Mapping[Move, Tensors], params: Mapping[Move, list[Tensor]], vectors: Mapping[Move, list[Tensor]]
) -> dict[Move, Tensors]:
    """J^T u = d <g, u> / d theta."""
    pairs = [
        (g, u) for move in field for g, u in zip(field[move], vectors[move], strict=True) if g is not None
    ]
    inner = torch.stack([(g * u).sum() for g, u in pairs]).sum()
    return {move: differentiate(inner, params[move], retain=True) for move in field}


def _forward(
    field: Mapping[Move, Tensors], params: Mapping[Move, list[Tensor]], vectors: Mapping[Move, list[Tensor]]
) -> dict[Move, Tensors]:
    """J u, as the derivative of J^T w by w: the inner product of u with it, differentiated."""
    dummies = {move: [torch.zeros_like(p, requires_grad=True) for p in params[move]] for move in field}
    pairs = [
        (g, w) for move in field for g, w in zip(field[move], dummies[move], strict=True) if g is not None
    ]
    inner = torch.stack([(g * w).sum() for g, w in pairs]).sum()
    along = []
    for move in field:
        for t, u in zip(differentiate(inner, params[move], graph=True), vectors[move], strict=True):
            along += [] if t is None else [(t * u).sum()]
    total = torch.stack(along).sum()
    return {move: differentiate(total, dummies[move], retain=True) for move in field}


def _norm(tensors: Tensors, device: torch.device) -> Tensor:
    live = [g for g in tensors if g is not None]
    if not live:
        return torch.zeros((), device=device)
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(live)))
    return norm


def _clipping(norm: Tensor, bound: float) -> Tensor:
    return torch.clamp(bound / (norm + 1e-12), max=1.0)


def _clipped(tensors: Tensors, norm: Tensor, bound: float) -> Tensors:
    factor = _clipping(norm, bound)
    return [None if g is None else g * factor for g in tensors]
