"""Update rules: pure recipes for a step, with the state they need held by an :class:`Updater`.

No rule reads a value back from the device. A step whose gradient is not finite is masked there:
``skip`` is 1.0 and parameters and state stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.adamw import adamw

from gancore.games.schedules import Schedule

Tensors = list[Tensor]


class Rule(Protocol):
    """``slots`` names the state kept for each parameter; ``update`` changes parameters in place.

    ``skip`` is 1.0 (float32, on the device) where the step shall change nothing, else 0.0.
    ``correction`` is the share k/(k+1) by which a player with a lazy move (every k rounds) shortens
    the rate and the memory of its rule (Karras et al. 2020, StyleGAN2, appendix B).
    """

    @property
    def lr(self) -> Schedule | float: ...

    @property
    def slots(self) -> tuple[str, ...]: ...

    def update(
        self,
        params: Tensors,
        grads: Tensors,
        state: dict[str, Tensors],
        lr: float,
        skip: Tensor,
        correction: float,
    ) -> None: ...


@dataclass(frozen=True)
class Adam:
    """Kingma & Ba 2015, algorithm 1."""

    lr: Schedule | float = 2e-4
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    slots: ClassVar[tuple[str, ...]] = ("mean", "square", "count")
    _kernel: ClassVar[Any] = staticmethod(adam)

    def update(
        self,
        params: Tensors,
        grads: Tensors,
        state: dict[str, Tensors],
        lr: float,
        skip: Tensor,
        correction: float,
    ) -> None:
        beta1, beta2 = (beta**correction for beta in self.betas)
        self._kernel(
            params,
            grads,
            state["mean"],
            state["square"],
            [],
            state["count"],
            fused=True,
            found_inf=skip,
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=lr * correction,
            weight_decay=self.weight_decay,
            eps=self.eps,
            maximize=False,
        )


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay: Loshchilov & Hutter 2019, algorithm 2."""

    weight_decay: float = 0.01
    _kernel: ClassVar[Any] = staticmethod(adamw)


@dataclass(frozen=True)
class RMSProp:
    """Hinton's lecture 6e: ``v = a v + (1 - a) g^2;  p -= lr g / (sqrt(v) + eps)``."""

    lr: Schedule | float = 5e-5
    alpha: float = 0.99
    eps: float = 1e-8
    slots: ClassVar[tuple[str, ...]] = ("square",)

    def update(
        self,
        params: Tensors,
        grads: Tensors,
        state: dict[str, Tensors],
        lr: float,
        skip: Tensor,
        correction: float,
    ) -> None:
        grads, alpha = _without(grads, skip), self.alpha**correction
        torch._foreach_mul_(state["square"], _decay(alpha, skip, params))
        torch._foreach_addcmul_(state["square"], grads, grads, 1 - alpha)
        scale = torch._foreach_sqrt(state["square"])
        torch._foreach_add_(scale, self.eps)
        torch._foreach_addcdiv_(params, grads, scale, -lr * correction)


@dataclass(frozen=True)
class SGD:
    """``m = momentum m + g;  p -= lr m``."""

    lr: Schedule | float = 1e-2
    momentum: float = 0.0

    @property
    def slots(self) -> tuple[str, ...]:
        return ("momentum",) if self.momentum else ()

    def update(
        self,
        params: Tensors,
        grads: Tensors,
        state: dict[str, Tensors],
        lr: float,
        skip: Tensor,
        correction: float,
    ) -> None:
        steps = _without(grads, skip)
        if self.momentum:
            memory = state["momentum"]
            torch._foreach_mul_(memory, _decay(self.momentum**correction, skip, params))
            torch._foreach_add_(memory, steps)
            steps = _without(memory, skip)
        torch._foreach_add_(params, steps, alpha=-lr * correction)


def _without(tensors: Tensors, skip: Tensor) -> Tensors:
    """Zeros where the step is masked; a product would keep what is not finite."""
    return [torch.where(skip.bool(), 0.0, tensor) for tensor in tensors]


def _decay(factor: float, skip: Tensor, params: Tensors) -> Tensor:
    """``factor``, or 1 where the step is masked, in the parameters' precision."""
    precision = torch.promote_types(params[0].dtype, torch.float32)
    return torch.where(skip.bool(), 1.0, torch.full_like(skip, factor, dtype=precision))


@dataclass(frozen=True)
class _Group:
    """Parameters with one factor on the rule's rate, and the rule's state beside each."""

    factor: float
    params: Tensors
    state: dict[str, Tensors]

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
            live = [g for g in mine if g is not None]
            if not live:
                continue
            if len(live) < len(mine):
                group = group.pick([i for i, g in enumerate(mine) if g is not None])
            with torch.no_grad():
                self.rule.update(group.params, live, group.state, lr * group.factor, skip, correction)

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


def _fresh(slot: str, param: Tensor) -> Tensor:
    if slot == "count":
        return torch.zeros((), dtype=torch.float32, device=param.device)
    return torch.zeros_like(param, memory_format=torch.preserve_format)
