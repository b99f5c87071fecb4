"""One round of play: draws, gradients, steps. It alone knows accumulation, precision and the finite mask."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from gancore.games.cost import Cost, divided
from gancore.games.draw import Dealer, Draw
from gancore.games.game import Game, Move, Phase
from gancore.games.rules import Updater
from gancore.games.schedules import value
from gancore.games.statistics import Statistics
from gancore.runtime.randomness import Rows


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


@dataclass(frozen=True)
class Gradient:
    """A player's gradient over the joined batch (None: its cost does not see the parameter).

    ``means`` holds every term and every seen value of the cost, as means of the joined batch;
    ``terms`` says which of them are terms.
    """

    tensors: list[Tensor | None]
    means: dict[str, Tensor]
    terms: frozenset[str]


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

    @property
    def samples(self) -> int:
        """Real samples seen when this round is over."""
        return (self.step + 1) * self.table.batch_size

    def moves(self) -> Iterator[tuple[int, Move]]:
        """The moves of this round with their places in the phase's list; lazy ones where they are due."""
        return ((i, move) for i, move in enumerate(self.phase.moves) if self.round % move.every == 0)

    def draw(self, index: int) -> Draw:
        """What the move at this place of the list may look at."""
        turn = self.step // self.phase.moves[index].every
        return self.table.dealer.deal(self.step, index, Rows.all(self.table.batch_size), turn, self.progress)

    def gradient(self, move: Move, draw: Draw) -> Gradient:
        """The gradient of the move's cost over the joined batch, with respect to its player's parameters."""
        params = self.table.updaters[move.player].params
        if self.table.accumulate == 1:
            cost = self._evaluate(move, draw)
            tensors = _differentiate(cost.total(), params)
            means = {name: divided(total, weight) for name, (total, weight) in cost.seen.items()}
        else:
            tensors, means, cost = self._accumulated(move, draw, params)
        if move.every > 1:
            tensors = [None if g is None else g * move.every for g in tensors]
        return Gradient(tensors, means, frozenset(cost.terms))

    def apply(self, move: Move, gradient: Gradient) -> None:
        """One step of the move's player; masked on the device where the gradient is not finite."""
        player = self.game.players[move.player]
        norm = _norm(gradient.tensors, self.table.dealer.key.device)
        ok = (norm < math.inf).float()
        skip = 1 - ok
        tensors = gradient.tensors if player.clip is None else _clipped(gradient.tensors, norm, player.clip)
        lr = value(player.rule.lr, self.progress)
        self.table.updaters[move.player].step(tensors, lr, skip, self.phase.correction(move.player))
        self.table.statistics.move(move, gradient, norm, skip)
        self.game.after_move(move, {**gradient.means, "ok": ok})

    def memory(self, player: str, slot: str) -> list[Tensor]:
        """What this phase's dynamics remembers beside each parameter of the player; change it in place."""
        return self.table.updaters[player].memory[slot]

    def _evaluate(self, move: Move, draw: Draw) -> Cost:
        with draw.noise(), self._precision(move, draw.device):
            return self.game.cost(move, draw)

    def _precision(self, move: Move, device: torch.device) -> contextlib.AbstractContextManager[object]:
        if self.table.bf16 and move.every == 1:
            return torch.autocast(device.type, torch.bfloat16)
        return contextlib.nullcontext()

    def _accumulated(
        self, move: Move, draw: Draw, params: list[Tensor]
    ) -> tuple[list[Tensor | None], dict[str, Tensor], Cost]:
        """The joined gradient from equal parts: plain means are averaged, masked terms keep their sums."""
        parts = self.table.accumulate
        sums = _Sums()
        for part in draw.micro_batches(parts):
            cost = self._evaluate(move, part)
            for name, (total, weight) in cost.seen.items():
                sums.see(name, total, weight, parts)
            means = [term.scaled(term.numerator) for term in cost.terms.values() if term.weight is None]
            masked = {name: term for name, term in cost.terms.items() if term.weight is not None}
            if means:
                total = torch.stack(means).sum() / parts
                sums.add("", _differentiate(total, params, retain=bool(masked)))
            for left, (name, term) in reversed(list(enumerate(masked.items()))):
                sums.add(name, _differentiate(term.scaled(term.numerator), params, retain=left > 0))
        return sums.joined(params), sums.means(), cost


class _Sums:
    """Running sums of gradients, one for all plain terms and one for each masked term."""

    def __init__(self) -> None:
        self.gradients: dict[str, list[Tensor | None]] = {}
        self.values: dict[str, Tensor] = {}
        self.weights: dict[str, Tensor] = {}

    def add(self, name: str, tensors: list[Tensor | None]) -> None:
        before = self.gradients.get(name, [None] * len(tensors))
        self.gradients[name] = [_plus(a, b) for a, b in zip(before, tensors, strict=True)]

    def see(self, name: str, total: Tensor, weight: Tensor | None, parts: int) -> None:
        if weight is None:
            total = total / parts
        else:
            self.weights[name] = self.weights.get(name, torch.zeros_like(weight)) + weight
        self.values[name] = self.values.get(name, torch.zeros_like(total)) + total

    def joined(self, params: list[Tensor]) -> list[Tensor | None]:
        result: list[Tensor | None] = [None] * len(params)
        for name, tensors in self.gradients.items():
            weight = self.weights.get(name) if name else None
            scaled = [None if g is None else divided(g, weight) for g in tensors]
            result = [_plus(a, b) for a, b in zip(result, scaled, strict=True)]
        return result

    def means(self) -> dict[str, Tensor]:
        return {name: divided(total, self.weights.get(name)) for name, total in self.values.items()}


def _plus(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return b if a is None else a if b is None else a + b


def _differentiate(total: Tensor, params: list[Tensor], retain: bool = False) -> list[Tensor | None]:
    if not total.requires_grad:
        return [None] * len(params)
    return list(torch.autograd.grad(total, params, allow_unused=True, retain_graph=retain))


def _norm(tensors: list[Tensor | None], device: torch.device) -> Tensor:
    live = [g for g in tensors if g is not None]
    if not live:
        return torch.zeros((), device=device)
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(live)))
    return norm


def _clipped(tensors: list[Tensor | None], norm: Tensor, bound: float) -> list[Tensor | None]:
    factor = torch.clamp(bound / (norm + 1e-12), max=1.0)
    return [None if g is None else g * factor for g in tensors]
