"""Update rules: pure recipes for a step; an :class:`gancore.games.updater.Updater` holds their state.

No rule reads a value back from the device. A step whose gradient is not finite is masked there:
``skip`` is 1.0 and parameters and state stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.adamw import adamw

from gancore.games.schedules import Schedule

Tensors = list[Tensor]
State = dict[str, Tensors]
"""A rule's state: by slot, a tensor beside each parameter."""


class Rule(Protocol):
    """``slots`` names the state kept for each parameter; ``update`` changes parameters in place.

    ``skip`` is 1.0 (float32, on the device) where the step shall change nothing, else 0.0.
    ``correction`` is the share k/(k+1) by which a player with a lazy move (every k rounds) shortens
    the rate and the memory of its rule (Karras et al. 2020, StyleGAN2, appendix B).

    ``ahead`` is ``update`` as a pure function, differentiable: what parameters and state would become.
    """

    @property
    def lr(self) -> Schedule | float: ...

    @property
    def slots(self) -> tuple[str, ...]: ...

    def update(
        self,
        params: Tensors,
        grads: Tensors,
        state: State,
        lr: float,
        skip: Tensor,
        correction: float,
    ) -> None: ...

    def ahead(
        self, params: Tensors, grads: Tensors, state: State, lr: float, correction: float
    ) -> tuple[Tensors, State]: ...


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
        state: State,
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

    def ahead(
        self, params: Tensors, grads: Tensors, state: State, lr: float, correction: float
    ) -> tuple[Tensors, State]:
        lr, (beta1, beta2) = lr * correction, (beta**correction for beta in self.betas)
        shrunk, grads = self._decayed(params, grads, lr)
        count = [n.double() + 1 for n in state["count"]]
        mean = [beta1 * m + (1 - beta1) * g for m, g in zip(state["mean"], grads, strict=True)]
        square = [beta2 * v + (1 - beta2) * g * g for v, g in zip(state["square"], grads, strict=True)]
        moved = [
            p - lr * (m / (1 - beta1**n)) / (_root(v / (1 - beta2**n)) + self.eps)
            for p, m, v, n in zip(shrunk, mean, square, count, strict=True)
        ]
        return moved, {"mean": mean, "square": square, "count": count}

    def _decayed(self, params: Tensors, grads: Tensors, lr: float) -> tuple[Tensors, Tensors]:
        return params, [g + self.weight_decay * p for p, g in zip(params, grads, strict=True)]


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay: Loshchilov & Hutter 2019, algorithm 2."""

    weight_decay: float = 0.01
    _kernel: ClassVar[Any] = staticmethod(adamw)

    def _decayed(self, params: Tensors, grads: Tensors, lr: float) -> tuple[Tensors, Tensors]:
        return [p * (1 - lr * self.weight_decay) for p in params], grads


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
        state: State,
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

    def ahead(
        self, params: Tensors, grads: Tensors, state: State, lr: float, correction: float
    ) -> tuple[Tensors, State]:
        lr, alpha = lr * correction, self.alpha**correction
        square = [alpha * v + (1 - alpha) * g * g for v, g in zip(state["square"], grads, strict=True)]
        moved = [p - lr * g / (_root(v) + self.eps) for p, g, v in zip(params, grads, square, strict=True)]
        return moved, {"square": square}


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
        state: State,
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

    def ahead(
        self, params: Tensors, grads: Tensors, state: State, lr: float, correction: float
    ) -> tuple[Tensors, State]:
        if self.momentum:
            momentum = self.momentum**correction
            grads = [momentum * m + g for m, g in zip(state["momentum"], grads, strict=True)]
            state = {"momentum": grads}
        return [p - lr * correction * g for p, g in zip(params, grads, strict=True)], state


def _root(square: Tensor) -> Tensor:
    """The square root, whose derivative at 0 counts as 0."""
    return torch.where(square > 0, torch.where(square > 0, square, 1.0).sqrt(), 0.0)


def _without(tensors: Tensors, skip: Tensor) -> Tensors:
    """Zeros where the step is masked; a product would keep what is not finite."""
    return [torch.where(skip.bool(), 0.0, tensor) for tensor in tensors]


def _decay(factor: float, skip: Tensor, params: Tensors) -> Tensor:
    """``factor``, or 1 where the step is masked, in the parameters' precision."""
    precision = torch.promote_types(params[0].dtype, torch.float32)
    return torch.where(skip.bool(), 1.0, torch.full_like(skip, factor, dtype=precision))
