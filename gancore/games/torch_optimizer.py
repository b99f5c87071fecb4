"""Any optimizer of torch as the optimizer of a player."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from gancore.errors import ConfigError, describe_error
from gancore.games.schedules import Schedule, schedule_value

Tensors = list[Tensor]

DECAY_RATES = ("betas", "momentum", "alpha", "rho")
"""Arguments of torch's optimizers whose powers are decay rates of moments."""
PROBE_SHAPES = ((), (2,), (2, 3), (2, 3, 2, 2))
"""Shapes of parameters on which a class is tried before it is used: some classes accept matrices alone."""


@dataclass(frozen=True)
class TorchOptimizer:
    """A class of ``torch.optim.Optimizer`` with its settings: torch's own update and torch's own state.

    The state of every parameter exists before the first update and is saved by the names that torch gives
    it. A masked update is undone from a copy of parameters and state. On a GPU ``capturable=True`` is given
    to a class that has it, so that no update reads a value back from the device.

    Raises:
        ConfigError: torch does not accept the settings, or the class keeps state other than tensors of each
            parameter (L-BFGS, or what is counted in ``param_groups``), which a checkpoint would lose.
    """

    kind: type[torch.optim.Optimizer]
    lr: Schedule | float
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _ = self._states_of_shapes  # raises ConfigError

    @property
    def state_names(self) -> tuple[str, ...]:
        """The names of the tensors that the class keeps, sorted."""
        return tuple(sorted({name for names in self._states_of_shapes.values() for name in names}))

    @cached_property
    def _states_of_shapes(self) -> dict[tuple[int, ...], tuple[str, ...]]:
        """The names of the state by shape of a parameter, for the shapes that the class accepts."""
        found: dict[tuple[int, ...], tuple[str, ...]] = {}
        error: Exception = ConfigError("it was tried on no shape")
        for shape in PROBE_SHAPES:
            try:
                found[shape] = self._probe(shape)
            except Exception as caught:
                error = caught
        if not found:
            if isinstance(error, ConfigError):
                raise error
            raise ConfigError(
                f"{self.kind.__name__} cannot be used: {describe_error(error)}",
                "change model.optimizer_settings, or give another optimizer",
            ) from error
        return found

    def _probe(self, shape: tuple[int, ...]) -> tuple[str, ...]:
        """The names of the state for this shape. Raises ConfigError if tensors are not the whole state."""
        with torch.no_grad():
            count = int(torch.tensor(shape).prod()) if shape else 1
            start = torch.linspace(0.5, 1.5, count).reshape(shape)
            gradients = [start.cos(), -2 * start, 0.1 * start.sin()]
            undisturbed, own = start.clone().requires_grad_(), start.clone().requires_grad_()
            optimizer, lr = self._make([undisturbed], self._first_lr), self._first_lr
            state = {name: [tensor] for name, tensor in self._initial_state(own).items()}
            for gradient in gradients:
                undisturbed.grad = gradient.clone()
                optimizer.step()
                self._step([own], [gradient.clone()], state, lr, 1.0)
            if not torch.equal(undisturbed, own):
                raise ConfigError(
                    f"{self.kind.__name__} keeps state other than tensors of each parameter, or draws random"
                    " numbers",
                    "give another optimizer or other settings: a resumed run would differ",
                )
            return tuple(state)

    @property
    def _first_lr(self) -> float:
        return schedule_value(self.lr, 0.0)

    def initial_state(self, params: Sequence[Tensor]) -> dict[str, Tensors]:
        """The state of these parameters before their first update, by name.

        Raises:
            ConfigError: the class does not accept a parameter of this shape.
        """
        states = []
        for param in params:
            try:
                with torch.no_grad():
                    states.append(self._initial_state(param))
            except (TypeError, ValueError, RuntimeError) as error:
                raise ConfigError(
                    f"{self.kind.__name__} does not accept a parameter of shape {tuple(param.shape)}:"
                    f" {describe_error(error)}",
                    "give another optimizer",
                ) from error
        # a name that this parameter does not have (Adafactor's vectors and matrices differ): an empty tensor
        return {
            name: [state.get(name, param.new_empty(0)) for state, param in zip(states, params, strict=True)]
            for name in self.state_names
        }

    def _initial_state(self, param: Tensor) -> dict[str, Tensor]:
        """What the class writes first into a parameter's state, found by an update of a copy."""
        copy = param.detach().clone().requires_grad_()
        optimizer = self._make([copy], self._first_lr)
        recorded = _FirstValues(optimizer.state[copy])
        optimizer.state[copy] = recorded
        copy.grad = torch.zeros_like(copy)
        optimizer.step()
        return recorded.first

    def update(
        self,
        params: Tensors,
        grads: Tensors,
        state: dict[str, Tensors],
        lr: float,
        skip: Tensor,
        lazy_reg_scale: float,
    ) -> None:
        tensors = [*params, *(tensor for kept in state.values() for tensor in kept)]
        before = [tensor.clone() for tensor in tensors]
        self._step(params, grads, state, lr * lazy_reg_scale, lazy_reg_scale)
        masks = {tensor.device: skip.bool().to(tensor.device) for tensor in tensors}
        for tensor, old in zip(tensors, before, strict=True):
            tensor.copy_(torch.where(masks[tensor.device], old, tensor))

    def differentiable_update(
        self,
        params: Tensors,
        grads: Tensors,
        state: dict[str, Tensors],
        lr: float,
        lazy_reg_scale: float,
    ) -> tuple[Tensors, dict[str, Tensors]]:
        raise ConfigError(
            f"Unrolled differentiates through updates, which {self.kind.__name__} does not allow",
            "use adam, adamw, rmsprop or sgd, or another dynamics",
        )

    def _step(
        self, params: Tensors, grads: Tensors, state: dict[str, Tensors], lr: float, lazy_reg_scale: float
    ) -> None:
        """One update by torch's class, in place."""
        optimizer = self._make(params, lr)
        group = optimizer.param_groups[0]
        for name in DECAY_RATES if lazy_reg_scale != 1 else ():
            if name in group:
                rates = group[name]
                powers = tuple(rate**lazy_reg_scale for rate in (rates if name == "betas" else (rates,)))
                group[name] = powers if name == "betas" else powers[0]
        for i, (param, grad) in enumerate(zip(params, grads, strict=True)):
            own = {name: kept[i] for name, kept in state.items() if kept[i].numel()}
            optimizer.state[param] = own
            param.grad = grad
        try:
            optimizer.step()
        finally:
            for param in params:
                param.grad = None
        for i, param in enumerate(params):
            for name, kept in state.items():
                if kept[i].numel() and (after := optimizer.state[param][name]) is not kept[i]:
                    kept[i].copy_(after)

    def _make(self, params: Tensors, lr: float) -> torch.optim.Optimizer:
        settings = {"lr": lr, **self.settings}
        if params[0].is_cuda and "capturable" in accepted_settings(self.kind):
            settings.setdefault("capturable", True)
        return self.kind(params, **settings)


class _FirstValues(dict[str, Any]):
    """A parameter's state in torch's optimizer, with copies of the tensors that were written first."""

    def __init__(self, present: Mapping[str, Any]) -> None:
        super().__init__(present)
        self.first = {name: value.clone() for name, value in present.items() if isinstance(value, Tensor)}

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in self and isinstance(value, Tensor):
            self.first[name] = value.clone()
        super().__setitem__(name, value)

    def setdefault(self, name: str, default: Any = None) -> Any:
        if name not in self:
            self[name] = default
        return self[name]

    def update(self, *values: Any, **named: Any) -> None:
        for name, value in dict(*values, **named).items():
            self[name] = value


def accepted_settings(kind: type) -> Sequence[str]:
    """The names of the arguments of a class, without ``self`` and the parameters."""
    with suppress(TypeError, ValueError):
        return list(inspect.signature(kind).parameters)[1:]
    return []
