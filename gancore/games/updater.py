"""What one player updates: its parameters, and beside each of them the state of its rule and its dynamics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gancore.games.rules import Rule, State, Tensors


@dataclass(frozen=True)
class _Group:
    """Parameters with one factor on the rule's rate, and the rule's state beside each."""

    factor: float
    params: Tensors
    state: State

    def pick(self, live: Sequence[int]) -> _Group:
        state = {slot: [tensors[i] for i in live] for slot, tensors in self.state.items()}
        return _Group(self.factor, [self.params[i] for i in live], state)


class Updater:
    """One player's parameters (in groups, each with its rate factor), their names, and its rule's state.

    ``memory`` holds what a dynamics remembers beside each parameter, by slot.
    """

    def __init__(
        self, rule: Rule, groups: Sequence[tuple[float, dict[str, Tensor]]], slots: Sequence[str] = ()
    ) -> None:
        self.rule = rule
        self.params = [p for _, named in groups for p in named.values()]
        self.names = [name for _, named in groups for name in named]
        self.memory = {slot: [_fresh(slot, p) for p in self.params] for slot in slots}
        self._groups = [self._group(factor, list(named.values())) for factor, named in groups]

    def _group(self, factor: float, params: Tensors) -> _Group:
        return _Group(factor, params, {slot: [_fresh(slot, p) for p in params] for slot in self.rule.slots})

    def step(self, grads: Sequence[Tensor | None], lr: float, skip: Tensor, correction: float) -> None:
        """One step. A gradient of None (the cost does not see the parameter) leaves it as it is."""
        start = 0
        for group in self._groups:
            mine = grads[start : start + len(group.params)]
            start += len(mine)
            live = [_laid_out(g, p) for g, p in zip(mine, group.params, strict=True) if g is not None]
            if not live:
                continue
            if len(live) < len(mine):
                group = group.pick([i for i, g in enumerate(mine) if g is not None])
            with torch.no_grad():
                self.rule.update(group.params, live, group.state, lr * group.factor, skip, correction)

    def states(self) -> list[State]:
        """The rule's state, by group, to begin :meth:`ahead` from."""
        return [group.state for group in self._groups]

    def ahead(
        self, params: Tensors, grads: Tensors, states: list[State], lr: float, correction: float
    ) -> tuple[Tensors, list[State]]:
        """A step from ``params`` as a pure function, differentiable; this updater stays as it is."""
        moved: Tensors = []
        after: list[State] = []
        start = 0
        for group, state in zip(self._groups, states, strict=True):
            stop = start + len(group.params)
            rate = lr * group.factor
            points, new = self.rule.ahead(params[start:stop], grads[start:stop], state, rate, correction)
            moved, after, start = [*moved, *points], [*after, new], stop
        return moved, after

    def tensors(self) -> dict[str, Tensor]:
        """The state by name, for checkpoints."""
        slots = {slot: [t for group in self._groups for t in group.state[slot]] for slot in self.rule.slots}
        slots |= {f"dynamics/{slot}": tensors for slot, tensors in self.memory.items()}
        return {
            f"{slot}/{name}": tensor
            for slot, tensors in slots.items()
            for name, tensor in zip(self.names, tensors, strict=True)
        }

    def load(self, tensors: dict[str, Tensor]) -> None:
        for name, tensor in self.tensors().items():
            tensor.copy_(tensors[name])


def _laid_out(grad: Tensor, param: Tensor) -> Tensor:
    """The gradient in memory as its parameter is.

    Fused kernels on the CPU walk both in the order of memory, and would give each entry another's
    step; double backward through a convolution gives such gradients.
    """
    return grad if grad.stride() == param.stride() else torch.empty_like(param).copy_(grad)


def _fresh(slot: str, param: Tensor) -> Tensor:
    if slot == "count":
        return torch.zeros((), dtype=torch.float32, device=param.device)
    return torch.zeros_like(param, memory_format=torch.preserve_format)
