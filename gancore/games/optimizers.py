"""Optimizers, and the state of one player's optimizer.

An optimizer (:class:`Adam`, ...) has settings only; :class:`OptimizerState` holds parameters and state. No
optimizer reads a value back from the device. An update whose gradient is not finite is masked on the device:
``skip`` is 1.0, and parameters and state do not change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, ClassVar, Protocol, cast

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from gancore.errors import ConfigError, GancoreError
from gancore.games.lookup import build_with_settings, find_by_name
from gancore.games.schedules import Schedule
from gancore.games.torch_optimizer import TorchOptimizer, accepted_settings
from gancore.text import suggestion

Tensors = list[Tensor]
StateTensors = dict[str, Tensors]
"""The state of an optimizer: by name, a tensor for each parameter."""


class Optimizer(Protocol):
    """Settings of an update; ``state_names`` names the tensors that it keeps for each parameter.

    ``update`` changes parameters and state in place. ``skip`` (float32, on the device) is 1.0 for an update
    that must change nothing, else 0.0. ``lazy_reg_scale`` is k / (k + 1) for a player with a lazy move every
    k steps: it multiplies the learning rate and is the exponent of the decay rates (Karras et al. 2020,
    StyleGAN2, appendix B).

    ``differentiable_update`` returns the new parameters and state, differentiable, and changes nothing.
    """

    @property
    def lr(self) -> Schedule | float: ...

    @property
    def state_names(self) -> tuple[str, ...]: ...

    def update(
        self,
        params: Tensors,
        grads: Tensors,
        state: StateTensors,
        lr: float,
        skip: Tensor,
        lazy_reg_scale: float,
    ) -> None: ...

    def differentiable_update(
        self, params: Tensors, grads: Tensors, state: StateTensors, lr: float, lazy_reg_scale: float
    ) -> tuple[Tensors, StateTensors]: ...


@dataclass(frozen=True)
class Adam:
    """Kingma & Ba 2015, algorithm 1. In its state ``step`` counts updates, as torch names it."""

    lr: Schedule | float = 2e-4
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    state_names: ClassVar[tuple[str, ...]] = ("exp_avg", "exp_avg_sq", "step")
    decoupled_weight_decay: ClassVar[bool] = False

    def update(
        self,
        params: Tensors,
        grads: Tensors,
        state: StateTensors,
        lr: float,
        skip: Tensor,
        lazy_reg_scale: float,
    ) -> None:
        beta1, beta2 = (beta**lazy_reg_scale for beta in self.betas)
        adam(
            params,
            grads,
            state["exp_avg"],
            state["exp_avg_sq"],
            [],
            state["step"],
            fused=True,
            found_inf=skip,
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=lr * lazy_reg_scale,
            weight_decay=self.weight_decay,
            eps=self.eps,
            maximize=False,
            decoupled_weight_decay=self.decoupled_weight_decay,
        )

    def differentiable_update(
        self, params: Tensors, grads: Tensors, state: StateTensors, lr: float, lazy_reg_scale: float
    ) -> tuple[Tensors, StateTensors]:
        lr, (beta1, beta2) = lr * lazy_reg_scale, (beta**lazy_reg_scale for beta in self.betas)
        decayed, grads = self._weight_decay(params, grads, lr)
        count = [n.double() + 1 for n in state["step"]]
        mean = [beta1 * m + (1 - beta1) * g for m, g in zip(state["exp_avg"], grads, strict=True)]
        square = [beta2 * v + (1 - beta2) * g * g for v, g in zip(state["exp_avg_sq"], grads, strict=True)]
        moved = [
            p - lr * (m / (1 - beta1**n)) / (_safe_sqrt(v / (1 - beta2**n)) + self.eps)
            for p, m, v, n in zip(decayed, mean, square, count, strict=True)
        ]
        return moved, {"exp_avg": mean, "exp_avg_sq": square, "step": count}

    def _weight_decay(self, params: Tensors, grads: Tensors, lr: float) -> tuple[Tensors, Tensors]:
        return params, [g + self.weight_decay * p for p, g in zip(params, grads, strict=True)]


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay: Loshchilov & Hutter 2019, algorithm 2."""

    weight_decay: float = 0.01
    decoupled_weight_decay: ClassVar[bool] = True

    def _weight_decay(self, params: Tensors, grads: Tensors, lr: float) -> tuple[Tensors, Tensors]:
        return [p * (1 - lr * self.weight_decay) for p in params], grads


@dataclass(frozen=True)
class RMSprop:
    """Hinton's lecture 6e: ``v = a v + (1 - a) g^2;  p -= lr g / (sqrt(v) + eps)``."""

    lr: Schedule | float = 5e-5
    alpha: float = 0.99
    eps: float = 1e-8
    state_names: ClassVar[tuple[str, ...]] = ("square_avg",)

    def update(
        self,
        params: Tensors,
        grads: Tensors,
        state: StateTensors,
        lr: float,
        skip: Tensor,
        lazy_reg_scale: float,
    ) -> None:
        masked, alpha = skip.bool(), self.alpha**lazy_reg_scale
        grads = [torch.where(masked, 0.0, grad) for grad in grads]  # a product with 0 would keep NaN
        precision = torch.promote_types(params[0].dtype, torch.float32)
        decay = torch.where(masked, 1.0, torch.full_like(skip, alpha, dtype=precision))
        torch._foreach_mul_(state["square_avg"], decay)
        torch._foreach_addcmul_(state["square_avg"], grads, grads, 1 - alpha)
        scale = torch._foreach_sqrt(state["square_avg"])
        torch._foreach_add_(scale, self.eps)
        torch._foreach_addcdiv_(params, grads, scale, -lr * lazy_reg_scale)

    def differentiable_update(
        self, params: Tensors, grads: Tensors, state: StateTensors, lr: float, lazy_reg_scale: float
    ) -> tuple[Tensors, StateTensors]:
        lr, alpha = lr * lazy_reg_scale, self.alpha**lazy_reg_scale
        square = [alpha * v + (1 - alpha) * g * g for v, g in zip(state["square_avg"], grads, strict=True)]
        moved = [
            p - lr * g / (_safe_sqrt(v) + self.eps) for p, g, v in zip(params, grads, square, strict=True)
        ]
        return moved, {"square_avg": square}


@dataclass(frozen=True)
class SGD:
    """``m = momentum m + g;  p -= lr m``."""

    lr: Schedule | float = 1e-2
    momentum: float = 0.0

    @property
    def state_names(self) -> tuple[str, ...]:
        return ("momentum_buffer",) if self.momentum else ()

    def update(
        self,
        params: Tensors,
        grads: Tensors,
        state: StateTensors,
        lr: float,
        skip: Tensor,
        lazy_reg_scale: float,
    ) -> None:
        sgd(
            params,
            grads,
            list(state["momentum_buffer"]) if self.momentum else [None] * len(params),
            fused=True,
            found_inf=skip,
            momentum=self.momentum**lazy_reg_scale,
            lr=lr * lazy_reg_scale,
            weight_decay=0.0,
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )

    def differentiable_update(
        self, params: Tensors, grads: Tensors, state: StateTensors, lr: float, lazy_reg_scale: float
    ) -> tuple[Tensors, StateTensors]:
        if self.momentum:
            momentum = self.momentum**lazy_reg_scale
            grads = [momentum * m + g for m, g in zip(state["momentum_buffer"], grads, strict=True)]
            state = {"momentum_buffer": grads}
        return [p - lr * lazy_reg_scale * g for p, g in zip(params, grads, strict=True)], state


OPTIMIZERS: Mapping[str, type] = {
    "adam": Adam,
    "adamw": AdamW,
    "rmsprop": RMSprop,
    "sgd": SGD,
    "radam": torch.optim.RAdam,
    "nadam": torch.optim.NAdam,
    "adagrad": torch.optim.Adagrad,
    "adamax": torch.optim.Adamax,
    "adadelta": torch.optim.Adadelta,
}
"""Optimizers by name, as in ``model.optimizer``; those of torch are used by :class:`TorchOptimizer`."""


def find_optimizer(
    name: str,
    lr: Schedule | float,
    beta1: float,
    beta2: float,
    settings: Mapping[str, object] | None = None,
) -> Optimizer:
    """The optimizer of this name, built in or of a plugin.

    ``beta1`` is given as the first of ``betas`` and as ``momentum``, ``beta2`` as the second of ``betas``, as
    ``alpha`` and as ``rho``, where the class has such an argument; ``settings`` has any others, and replaces
    these.

    Raises:
        ConfigError: no such optimizer or setting, or a value that the class does not accept.
    """
    kind = find_by_name("optimizer", name, OPTIMIZERS, "gancore_optimizers")
    settings, key = settings or {}, "model.optimizer_settings"
    if "lr" in settings:
        raise ConfigError(f"{key} has 'lr'", "set model.lr and model.discriminator_lr instead")
    if not isinstance(kind, type):
        raise ConfigError(
            f"the optimizer {name!r} is registered as {type(kind).__name__}, not as a class",
            "change the plugin's entry: name a class",
        )
    moments = {"betas": (beta1, beta2), "momentum": beta1, "alpha": beta2, "rho": beta2}
    if not issubclass(kind, torch.optim.Optimizer):
        own = {each.name for each in fields(kind)} if is_dataclass(kind) else set()
        given = {"lr": lr, **{n: value for n, value in moments.items() if n in own}}
        return cast(Optimizer, build_with_settings(kind, settings, name, key, given))
    known = [each for each in accepted_settings(kind) if each != "lr"]
    for setting in settings:
        if setting not in known:
            raise ConfigError(f"{key}: {name} has no {setting!r}", suggestion(setting, known))
    values = {n: tuple(value) if isinstance(value, list) else value for n, value in settings.items()}
    return TorchOptimizer(kind, lr, {**{n: v for n, v in moments.items() if n in known}, **values})


def resolve_optimizer(name: str, *arguments: Any) -> Optimizer:
    """:func:`find_optimizer`, or a stand-in that raises its error when a training is set up.

    A model can so be sampled without the plugin of its optimizer.
    """
    try:
        return find_optimizer(name, *arguments)
    except GancoreError as error:
        return cast(Optimizer, MissingOptimizer(error))


@dataclass(frozen=True)
class MissingOptimizer:
    """Stands for an optimizer that was not found."""

    error: GancoreError

    @property
    def state_names(self) -> tuple[str, ...]:
        raise self.error


def _safe_sqrt(square: Tensor) -> Tensor:
    """The square root, with a derivative of 0 at 0."""
    return torch.where(square > 0, torch.where(square > 0, square, 1.0).sqrt(), 0.0)


@dataclass(frozen=True)
class _Group:
    """Parameters with a common factor on the learning rate, and the optimizer's state for each."""

    lr_factor: float
    params: Tensors
    state: StateTensors

    def subset(self, indices: Sequence[int]) -> _Group:
        state = {name: [tensors[i] for i in indices] for name, tensors in self.state.items()}
        return _Group(self.lr_factor, [self.params[i] for i in indices], state)


class OptimizerState:
    """One player's parameters, their names, and the state of its optimizer.

    ``groups`` pairs factors on the learning rate with named parameters. ``dynamics_state`` holds what a
    dynamics keeps for each parameter, by the names in ``state_names``.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        groups: Sequence[tuple[float, dict[str, Tensor]]],
        state_names: Sequence[str] = (),
    ) -> None:
        self.optimizer = optimizer
        self.params = [p for _, named in groups for p in named.values()]
        self.names = [name for _, named in groups for name in named]
        self.dynamics_state = {name: [_zeros_like(p) for p in self.params] for name in state_names}
        self._groups = [self._group(factor, list(named.values())) for factor, named in groups]

    def _group(self, factor: float, params: Tensors) -> _Group:
        if isinstance(self.optimizer, TorchOptimizer):
            return _Group(factor, params, self.optimizer.initial_state(params))
        return _Group(
            factor,
            params,
            {name: [_initial_state(name, p) for p in params] for name in self.optimizer.state_names},
        )

    def update(self, grads: Sequence[Tensor | None], lr: float, skip: Tensor, lazy_reg_scale: float) -> None:
        """One update. A parameter with a gradient of None is not changed: the cost does not use it."""
        start = 0
        for group in self._groups:
            group_grads = grads[start : start + len(group.params)]
            start += len(group_grads)
            present = [
                _same_layout(g, p) for g, p in zip(group_grads, group.params, strict=True) if g is not None
            ]
            if not present:
                continue
            if len(present) < len(group_grads):
                group = group.subset([i for i, g in enumerate(group_grads) if g is not None])
            with torch.no_grad():
                self.optimizer.update(
                    group.params, present, group.state, lr * group.lr_factor, skip, lazy_reg_scale
                )

    def snapshot(self) -> list[StateTensors]:
        """The optimizer's state by group, as :meth:`differentiable_update` takes it."""
        return [group.state for group in self._groups]

    def differentiable_update(
        self, params: Tensors, grads: Tensors, states: list[StateTensors], lr: float, lazy_reg_scale: float
    ) -> tuple[Tensors, list[StateTensors]]:
        """The parameters and state after an update from ``params``; differentiable, and changes nothing."""
        moved: Tensors = []
        after: list[StateTensors] = []
        start = 0
        for group, state in zip(self._groups, states, strict=True):
            stop = start + len(group.params)
            new_params, new_state = self.optimizer.differentiable_update(
                params[start:stop], grads[start:stop], state, lr * group.lr_factor, lazy_reg_scale
            )
            moved, after, start = [*moved, *new_params], [*after, new_state], stop
        return moved, after

    def state_dict(self) -> dict[str, Tensor]:
        """All state by name, for checkpoints."""
        states = {
            state: [t for group in self._groups for t in group.state[state]]
            for state in self.optimizer.state_names
        }
        states |= {f"dynamics/{state}": tensors for state, tensors in self.dynamics_state.items()}
        return {
            f"{state}/{name}": tensor
            for state, tensors in states.items()
            for name, tensor in zip(self.names, tensors, strict=True)
        }

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """Copy all state from tensors named as :meth:`state_dict` names them."""
        for name, tensor in self.state_dict().items():
            tensor.copy_(tensors[name])


def _same_layout(grad: Tensor, param: Tensor) -> Tensor:
    """The gradient with the strides of its parameter.

    Fused CPU kernels read parameter and gradient in memory order, so a gradient with other strides would
    update the wrong entries. Double backward through a convolution gives such gradients.
    """
    return grad if grad.stride() == param.stride() else torch.empty_like(param).copy_(grad)


def _initial_state(name: str, param: Tensor) -> Tensor:
    if name == "step":
        return torch.zeros((), dtype=torch.float32, device=param.device)
    return _zeros_like(param)


def _zeros_like(param: Tensor) -> Tensor:
    return torch.zeros_like(param, memory_format=torch.preserve_format)
