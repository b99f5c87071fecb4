"""The gradient of a cost over the joined batch: over micro-batches and over processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from gancore.errors import TrainingError
from gancore.games.cost import Cost, divided
from gancore.games.game import Move
from gancore.runtime.processes import Processes

Tensors = list[Tensor | None]


@dataclass(frozen=True)
class Gradient:
    """A player's gradient over the joined batch (None: its cost does not see the parameter).

    ``means`` holds every term and every seen value of the cost, as means of the joined batch;
    ``terms`` says which of them are terms, ``weights`` what each masked value was divided by.
    """

    tensors: Tensors
    means: Mapping[str, Tensor]
    terms: frozenset[str]
    weights: Mapping[str, Tensor] = field(default_factory=dict)

    def plus(self, others: Sequence[Tensor], scale: float | Tensor = 1.0) -> Gradient:
        """With ``scale * others`` added; what the cost does not see stays unseen."""
        pairs = zip(self.tensors, others, strict=True)
        return replace(self, tensors=[None if g is None else g + scale * o for g, o in pairs])

    def times(self, factor: float) -> Gradient:
        return replace(self, tensors=[None if g is None else g * factor for g in self.tensors])

    def dense(self, params: Sequence[Tensor]) -> list[Tensor]:
        """The tensors, with zeros for what the cost does not see."""
        return [torch.zeros_like(p) if g is None else g for p, g in zip(params, self.tensors, strict=True)]


def differentiate(
    total: Tensor, params: Sequence[Tensor], retain: bool = False, graph: bool = False
) -> Tensors:
    if not total.requires_grad:
        return [None] * len(params)
    keep = retain or graph
    return list(torch.autograd.grad(total, params, allow_unused=True, retain_graph=keep, create_graph=graph))


def share(cost: Cost, weights: Mapping[str, Tensor], parts: int) -> Tensor:
    """What one of ``parts`` equal parts adds to the joined cost, whose ``weights`` are known."""
    terms = [
        term.scaled(term.numerator / parts if term.weight is None else divided(term.numerator, weights[name]))
        for name, term in cost.terms.items()
    ]
    return torch.stack(terms).sum()


class Joiner:
    """Adds up the parts of a joined batch, of which each process has ``parts``."""

    def __init__(self, processes: Processes, parts: int) -> None:
        self.processes, self.parts = processes, parts
        self._seen: dict[Move, list[bool]] = {}

    @property
    def all_parts(self) -> int:
        return self.parts * self.processes.world

    def gradient(self, move: Move, costs: Iterable[Cost], params: Sequence[Tensor]) -> Gradient:
        """From this process's costs, one for each of its parts, to the joined gradient."""
        if self.all_parts == 1:
            (cost,) = costs
            means = {name: divided(total, weight) for name, (total, weight) in cost.seen.items()}
            weights = {name: weight for name, (_, weight) in cost.seen.items() if weight is not None}
            return Gradient(differentiate(cost.total(), params), means, frozenset(cost.terms), weights)
        sums = _Sums()
        for cost in costs:
            sums.take(cost, params, self.all_parts)
        self._over_processes(move, sums, params)
        return Gradient(sums.joined(params), sums.means(), frozenset(cost.terms), sums.weights)

    def total(self, tensors: Tensors, params: Sequence[Tensor]) -> list[Tensor]:
        """The sum over processes of tensors like ``params``; None counts as zeros."""
        own = [
            torch.zeros_like(p) if t is None else t.contiguous() for p, t in zip(params, tensors, strict=True)
        ]
        self.processes.add(own)
        return own

    def _over_processes(self, move: Move, sums: _Sums, params: Sequence[Tensor]) -> None:
        """One message for a move: gradients, means and weights together."""
        if self.processes.world == 1:
            return
        seen = self._agree(move, sums, len(params))
        for name, tensors in sums.gradients.items():
            pairs = zip(tensors, params, seen, strict=True)
            sums.gradients[name] = [
                None if not s else torch.zeros_like(p) if g is None else g.contiguous() for g, p, s in pairs
            ]
        live = [g for tensors in sums.gradients.values() for g in tensors if g is not None]
        self.processes.add([*live, *sums.values.values(), *sums.weights.values()])

    def _agree(self, move: Move, sums: _Sums, count: int) -> list[bool]:
        """Which parameters the move's cost sees: agreed on once, since all must send the same number."""
        own = [any(tensors[i] is not None for tensors in sums.gradients.values()) for i in range(count)]
        if move not in self._seen:
            self._seen[move] = [value > 0 for value in self.processes.most(*map(float, own))]
        if any(mine and not known for mine, known in zip(own, self._seen[move], strict=True)):
            raise TrainingError(
                f"the {move.cost} of {move.player} sees parameters that it did not see in its first round",
                "let a cost see the same parameters in every round, or train on one process",
            )
        return self._seen[move]


class _Sums:
    """Running sums of gradients, one for all plain terms and one for each masked term."""

    def __init__(self) -> None:
        self.gradients: dict[str, Tensors] = {}
        self.values: dict[str, Tensor] = {}
        self.weights: dict[str, Tensor] = {}

    def take(self, cost: Cost, params: Sequence[Tensor], parts: int) -> None:
        """Plain means are averaged over the parts, masked terms keep their sums."""
        for name, (total, weight) in cost.seen.items():
            self._see(name, total, weight, parts)
        means = [term.scaled(term.numerator) for term in cost.terms.values() if term.weight is None]
        masked = {name: term for name, term in cost.terms.items() if term.weight is not None}
        if means:
            self._add("", differentiate(torch.stack(means).sum() / parts, params, retain=bool(masked)))
        for left, (name, term) in reversed(list(enumerate(masked.items()))):
            self._add(name, differentiate(term.scaled(term.numerator), params, retain=left > 0))

    def _add(self, name: str, tensors: Tensors) -> None:
        before = self.gradients.get(name, [None] * len(tensors))
        self.gradients[name] = [either(a, b) for a, b in zip(before, tensors, strict=True)]

    def _see(self, name: str, total: Tensor, weight: Tensor | None, parts: int) -> None:
        if weight is None:
            total = total / parts
        else:
            self.weights[name] = self.weights.get(name, torch.zeros_like(weight)) + weight
        self.values[name] = self.values.get(name, torch.zeros_like(total)) + total

    def joined(self, params: Sequence[Tensor]) -> Tensors:
        result: Tensors = [None] * len(params)
        for name, tensors in self.gradients.items():
            weight = self.weights.get(name) if name else None
            scaled = [None if g is None else divided(g, weight) for g in tensors]
            result = [either(a, b) for a, b in zip(result, scaled, strict=True)]
        return result

    def means(self) -> dict[str, Tensor]:
        return {name: divided(total, self.weights.get(name)) for name, total in self.values.items()}


def either(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    """The sum of what is there of two gradients."""
    return b if a is None else a if b is None else a + b
