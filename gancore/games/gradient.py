"""The gradient of a cost over the global batch: all micro-batches of all processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from gancore.errors import TrainingError
from gancore.games.cost import Cost, divide_or_zero
from gancore.games.game import Move
from gancore.runtime.distributed import ProcessGroup

OptionalTensors = list[Tensor | None]


@dataclass(frozen=True)
class Gradient:
    """A player's gradient over the global batch (None: its cost does not use the parameter).

    ``means``: every term and every logged value of the cost, as means over the global batch. ``terms``: the
    names of those that are terms. ``mask_totals``: the divisor of each masked value. ``kept``: the statistics
    by position of :meth:`gancore.games.Cost.keep`.
    """

    tensors: OptionalTensors
    means: Mapping[str, Tensor]
    terms: frozenset[str]
    mask_totals: Mapping[str, Tensor] = field(default_factory=dict)
    kept: Mapping[str, Tensor] = field(default_factory=dict)

    def add(self, others: Sequence[Tensor], scale: float | Tensor = 1.0) -> Gradient:
        """The sum with ``scale * others``. Entries that are None stay None."""
        pairs = zip(self.tensors, others, strict=True)
        return replace(self, tensors=[None if g is None else g + scale * o for g, o in pairs])

    def scale(self, factor: float) -> Gradient:
        """The product with ``factor``."""
        return replace(self, tensors=[None if g is None else g * factor for g in self.tensors])

    def materialize(self, params: Sequence[Tensor]) -> list[Tensor]:
        """The tensors, with zeros for parameters that the cost does not use."""
        return [torch.zeros_like(p) if g is None else g for p, g in zip(params, self.tensors, strict=True)]


def differentiate(
    total: Tensor, params: Sequence[Tensor], retain: bool = False, graph: bool = False
) -> OptionalTensors:
    if not total.requires_grad:
        return [None] * len(params)
    keep = retain or graph
    return list(torch.autograd.grad(total, params, allow_unused=True, retain_graph=keep, create_graph=graph))


def micro_batch_cost(cost: Cost, mask_totals: Mapping[str, Tensor], num_micro_batches: int) -> Tensor:
    """The share of one of ``num_micro_batches`` equal micro-batches in the cost of the global batch."""
    terms = [
        term.apply_scale(
            term.numerator / num_micro_batches
            if term.mask_total is None
            else divide_or_zero(term.numerator, mask_totals[name])
        )
        for name, term in cost.terms.items()
    ]
    return torch.stack(terms).sum()


class GradientReducer:
    """Adds up gradients over the micro-batches of the global batch; each process has ``micro_batches``."""

    def __init__(self, processes: ProcessGroup, micro_batches: int) -> None:
        self.processes, self.micro_batches = processes, micro_batches
        self._used_params: dict[Move, list[bool]] = {}

    @property
    def num_micro_batches(self) -> int:
        """Over all processes."""
        return self.micro_batches * self.processes.world_size

    def reduce(self, move: Move, costs: Iterable[Cost], params: Sequence[Tensor]) -> Gradient:
        """The gradient over the global batch, from the costs of this process's micro-batches."""
        if self.num_micro_batches == 1:
            (cost,) = costs
            means = {
                name: divide_or_zero(total, mask_total) for name, (total, mask_total) in cost.logged.items()
            }
            mask_totals = {
                name: mask_total for name, (_, mask_total) in cost.logged.items() if mask_total is not None
            }
            kept = {name: total / count for name, (total, count) in cost.kept.items()}
            tensors = differentiate(cost.total(), params)
            return Gradient(tensors, means, frozenset(cost.terms), mask_totals, kept)
        sums = _GradientSums()
        for cost in costs:
            sums.add(cost, params, self.num_micro_batches)
        self._all_reduce(move, sums, params)
        tensors = sums.gradient(params)
        return Gradient(tensors, sums.means(), frozenset(cost.terms), sums.mask_totals, sums.kept_means())

    def all_sum(self, tensors: OptionalTensors, params: Sequence[Tensor]) -> list[Tensor]:
        """The sum over processes of tensors like ``params``; None counts as zeros."""
        own = [
            torch.zeros_like(p) if t is None else t.contiguous() for p, t in zip(params, tensors, strict=True)
        ]
        self.processes.all_reduce(own)
        return own

    def _all_reduce(self, move: Move, sums: _GradientSums, params: Sequence[Tensor]) -> None:
        """One message per move: gradients, means and mask totals together."""
        if self.processes.world_size == 1:
            return
        used = self._agree_on_used_params(move, sums, len(params))
        for name, tensors in sums.gradients.items():
            pairs = zip(tensors, params, used, strict=True)
            sums.gradients[name] = [
                None if not u else torch.zeros_like(p) if g is None else g.contiguous() for g, p, u in pairs
            ]
        present = [g for tensors in sums.gradients.values() for g in tensors if g is not None]
        kept = [tensor for pair in sums.kept.values() for tensor in pair]
        self.processes.all_reduce([*present, *sums.values.values(), *sums.mask_totals.values(), *kept])

    def _agree_on_used_params(self, move: Move, sums: _GradientSums, count: int) -> list[bool]:
        """Which parameters the cost uses.

        All processes agree once, because all must reduce the same number of tensors.
        """
        own = [any(tensors[i] is not None for tensors in sums.gradients.values()) for i in range(count)]
        if move not in self._used_params:
            self._used_params[move] = [value > 0 for value in self.processes.all_max(*map(float, own))]
        if any(mine and not known for mine, known in zip(own, self._used_params[move], strict=True)):
            raise TrainingError(
                f"the cost {move.cost!r} of player {move.player!r} uses other parameters than before",
                "make each cost use the same parameters in every step, or train on one process",
            )
        return self._used_params[move]


class _GradientSums:
    """Running sums of gradients: one for all terms without a mask, and one for each masked term."""

    def __init__(self) -> None:
        self.gradients: dict[str, OptionalTensors] = {}
        self.values: dict[str, Tensor] = {}
        self.mask_totals: dict[str, Tensor] = {}
        self.kept: dict[str, tuple[Tensor, Tensor]] = {}

    def add(self, cost: Cost, params: Sequence[Tensor], num_micro_batches: int) -> None:
        """Terms without a mask are averaged over micro-batches, masked terms are summed."""
        for name, (total, mask_total) in cost.logged.items():
            self._add_logged(name, total, mask_total, num_micro_batches)
        for name, (total, count) in cost.kept.items():
            before = self.kept.get(name, (torch.zeros_like(total), torch.zeros_like(count)))
            self.kept[name] = before[0] + total, before[1] + count
        means = [term.apply_scale(term.numerator) for term in cost.terms.values() if term.mask_total is None]
        masked = {name: term for name, term in cost.terms.items() if term.mask_total is not None}
        if means:
            self._add_gradients(
                "", differentiate(torch.stack(means).sum() / num_micro_batches, params, retain=bool(masked))
            )
        for left, (name, term) in reversed(list(enumerate(masked.items()))):
            self._add_gradients(
                name, differentiate(term.apply_scale(term.numerator), params, retain=left > 0)
            )

    def _add_gradients(self, name: str, tensors: OptionalTensors) -> None:
        before = self.gradients.get(name, [None] * len(tensors))
        self.gradients[name] = [add_optional(a, b) for a, b in zip(before, tensors, strict=True)]

    def _add_logged(
        self, name: str, total: Tensor, mask_total: Tensor | None, num_micro_batches: int
    ) -> None:
        if mask_total is None:
            total = total / num_micro_batches
        else:
            self.mask_totals[name] = self.mask_totals.get(name, torch.zeros_like(mask_total)) + mask_total
        self.values[name] = self.values.get(name, torch.zeros_like(total)) + total

    def gradient(self, params: Sequence[Tensor]) -> OptionalTensors:
        result: OptionalTensors = [None] * len(params)
        for name, tensors in self.gradients.items():
            mask_total = self.mask_totals.get(name) if name else None
            scaled = [None if g is None else divide_or_zero(g, mask_total) for g in tensors]
            result = [add_optional(a, b) for a, b in zip(result, scaled, strict=True)]
        return result

    def kept_means(self) -> dict[str, Tensor]:
        return {name: total / count for name, (total, count) in self.kept.items()}

    def means(self) -> dict[str, Tensor]:
        return {
            name: divide_or_zero(total, self.mask_totals.get(name)) for name, total in self.values.items()
        }


def add_optional(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    """The sum of two gradients, either of which may be None."""
    return b if a is None else a if b is None else a + b


def _inner_product(one: Mapping[Move, OptionalTensors], other: Mapping[Move, list[Tensor]]) -> Tensor:
    """<one, other> over all moves; entries that are None count as zeros."""
    pairs = [pair for move in one for pair in zip(one[move], other[move], strict=True)]
    return torch.stack([(a * b).sum() for a, b in pairs if a is not None]).sum()


def vector_jacobian_product(
    vector_field: Mapping[Move, OptionalTensors],
    params: Mapping[Move, list[Tensor]],
    vectors: Mapping[Move, list[Tensor]],
) -> dict[Move, OptionalTensors]:
    """J^T u = d <g, u> / d theta."""
    inner = _inner_product(vector_field, vectors)
    return {move: differentiate(inner, params[move], retain=True) for move in vector_field}


def jacobian_vector_product(
    vector_field: Mapping[Move, OptionalTensors],
    params: Mapping[Move, list[Tensor]],
    vectors: Mapping[Move, list[Tensor]],
) -> dict[Move, OptionalTensors]:
    """J u = d <J^T w, u> / d w, since J^T w is linear in w."""
    dummies = {move: [torch.zeros_like(p, requires_grad=True) for p in params[move]] for move in vector_field}
    inner = _inner_product(vector_field, dummies)
    products = {move: differentiate(inner, params[move], graph=True) for move in vector_field}
    total = _inner_product(products, vectors)
    return {move: differentiate(total, dummies[move], retain=True) for move in vector_field}
