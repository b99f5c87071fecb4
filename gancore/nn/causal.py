"""Stacks of dilated causal convolutions, over whole sequences and one time step at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from gancore.errors import ConfigError


class CausalStack(nn.Module):
    """Layers of dilation d_k with gated units (van den Oord et al. 2016, eq. 2 and 3, figure 4),

        z_k = tanh(W_f,k * x_k + V_f,k h) sigmoid(W_g,k * x_k + V_g,k h),   x_(k+1) = x_k + R_k z_k,

    and the outputs sum_k S_k z_k + b. ``in_features`` channels go in and through, ``out_features`` come
    out; ``condition`` is the size of h, which is constant in time; 0: no condition.

    Sequences are (batch, time, channels). Output t depends on inputs t - receptive_field + 1 to t; the
    sequence is padded with zeros on the left.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        dilations: Sequence[int],
        condition: int = 0,
        kernel: int = 2,
    ) -> None:
        super().__init__()
        if kernel < 2 or not dilations or min(dilations) < 1:
            raise ConfigError(
                f"a causal stack has kernel={kernel} and dilations={list(dilations)}",
                "give a kernel of at least 2, and dilations of at least 1",
            )
        self.in_features, self.out_features, self.kernel = in_features, out_features, kernel
        self.dilations = tuple(dilations)
        self.filters = nn.ModuleList(nn.Linear(kernel * in_features, 2 * in_features) for _ in dilations)
        self.residuals = nn.ModuleList(nn.Linear(in_features, in_features, bias=False) for _ in dilations[1:])
        self.skips = nn.Linear(len(dilations) * in_features, out_features)  # all S_k concatenated
        size = len(dilations) * 2 * in_features
        self.condition = nn.Linear(condition, size, bias=False) if condition else None

    @property
    def receptive_field(self) -> int:
        """The number of inputs on which an output depends."""
        return 1 + (self.kernel - 1) * sum(self.dilations)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(batch, time, in_features), (batch, condition) to (batch, time, out_features)."""
        condition_bias, gates = self._condition_bias(condition), []
        for k, dilation in enumerate(self.dilations):
            pre_activation = self.filters[k](self._taps(x, dilation))
            if condition_bias is not None:
                pre_activation = pre_activation + condition_bias[:, None, k]
            gates.append(gated_activation(pre_activation))
            if k < len(self.residuals):
                x = x + self.residuals[k](gates[-1])
        outputs: Tensor = self.skips(torch.cat(gates, 2))
        return outputs

    def _taps(self, x: Tensor, dilation: int) -> Tensor:
        """At each time the inputs under the kernel, concatenated, the oldest first."""
        past, time = (self.kernel - 1) * dilation, x.shape[1]
        padded = pad(x, (0, 0, past, 0))
        return torch.cat([padded[:, tap * dilation :][:, :time] for tap in range(self.kernel)], 2)

    def _condition_bias(self, condition: Tensor | None) -> Tensor | None:
        """What the condition adds to each layer's pre-activation: (batch, layers, 2 * in_features)."""
        if self.condition is None:
            return None
        condition_bias: Tensor = self.condition(condition)
        return condition_bias.view(len(condition_bias), len(self.dilations), -1)

    def initial(self, rows: int, condition: Tensor | None = None) -> tuple[Tensor, ...]:
        """The state before the first step: each layer's past inputs, oldest first, and the condition's bias.

        Each tensor has the rows first; the last, if there is a condition, is (rows, layers, 2 in_features).
        """
        zeros = self.skips.weight.new_zeros
        past = [zeros(rows, (self.kernel - 1) * dilation, self.in_features) for dilation in self.dilations]
        condition_bias = self._condition_bias(condition)
        return tuple(past) if condition_bias is None else (*past, condition_bias)

    def step(self, state: tuple[Tensor, ...], x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """(rows, in_features) to (rows, out_features) and the next state, differentiable.

        ``state`` is not changed. Without gradient :meth:`stepper` is faster, because it copies no past.
        """
        layers = len(self.dilations)
        past, gates = [], []
        for k, dilation in enumerate(self.dilations):
            inputs = torch.cat([state[k], x[:, None]], 1)
            pre_activation = self.filters[k](inputs[:, ::dilation].flatten(1))
            if len(state) > layers:
                pre_activation = pre_activation + state[layers][:, k]
            past.append(inputs[:, 1:])
            gates.append(gated_activation(pre_activation))
            if k < len(self.residuals):
                x = x + self.residuals[k](gates[-1])
        return self.skips(torch.cat(gates, 1)), (*past, *state[layers:])

    @torch.no_grad()
    def stepper(self, num_rows: int, condition: Tensor | None = None) -> CausalStepper:
        """One time step per call along ``num_rows`` sequences, at a constant cost per step."""
        return CausalStepper(self, num_rows, condition)


def gated_activation(x: Tensor, axis: int = -1) -> Tensor:
    """tanh(f / 2) sigmoid(g) for x = (f, g): one sigmoid for both, since tanh(f / 2) = 2 sigmoid(f) - 1.

    The weights of f absorb the factor 1/2.
    """
    f, g = x.sigmoid().chunk(2, axis)
    return torch.addcmul(-g, f, g, value=2)


class _Layer(NamedTuple):
    """One layer of a stepper: its weights, and buffers that are allocated once."""

    ring: Tensor
    """The last inputs, (ring_size, rows, in_features); that of time t is at index t mod ring_size."""
    taps: Tensor
    weight: Tensor
    bias: Tensor
    """Of all rows, or with the bias of the condition (rows, 2 * in_features)."""
    residual: Tensor | None
    gate: Tensor
    """A view of this layer's columns in the input of the skips, to which z is written."""


class CausalStepper:
    """The stack one time step per call, with a ring buffer per layer (Paine et al. 2016): O(1) per step.

    From the inputs of the next time step, (rows, in_features), to its outputs, (rows, out_features): those of
    :meth:`CausalStack.forward` except for rounding. Without gradient.
    """

    def __init__(self, stack: CausalStack, rows: int, condition: Tensor | None) -> None:
        self.stack, self.time = stack, 0
        weight, width = stack.skips.weight, stack.in_features
        condition_bias = stack._condition_bias(condition)
        self.pre_activation = weight.new_empty(rows, 2 * width)
        self.f, self.g = self.pre_activation.chunk(2, 1)
        self.gates = weight.new_empty(rows, len(stack.dilations) * width)
        filters, residuals = (
            [cast(nn.Linear, layer) for layer in layers] for layers in (stack.filters, stack.residuals)
        )
        self.layers = [
            _Layer(
                ring=weight.new_zeros((stack.kernel - 1) * dilation, rows, width),
                taps=weight.new_empty(rows, stack.kernel * width),
                weight=filters[k].weight.T,
                bias=filters[k].bias if condition_bias is None else filters[k].bias + condition_bias[:, k],
                residual=residuals[k].weight.T if k < len(residuals) else None,
                gate=self.gates[:, k * width : (k + 1) * width],
            )
            for k, dilation in enumerate(stack.dilations)
        ]

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        for layer, dilation in zip(self.layers, self.stack.dilations, strict=True):
            ring_size = len(layer.ring)
            past = [layer.ring[(self.time - back) % ring_size] for back in range(ring_size, 0, -dilation)]
            torch.cat([*past, x], 1, out=layer.taps)
            layer.ring[self.time % ring_size].copy_(x)
            torch.addmm(layer.bias, layer.taps, layer.weight, out=self.pre_activation)
            self.pre_activation.sigmoid_()
            torch.addcmul(self.g.neg(), self.f, self.g, value=2, out=layer.gate)  # as in gated_activation
            if layer.residual is not None:
                x = torch.addmm(x, layer.gate, layer.residual)
        self.time += 1
        outputs: Tensor = self.stack.skips(self.gates)
        return outputs


def doubling_dilations(blocks: int, layers: int) -> list[int]:
    """Dilations 1, 2, 4, ..., 2^(layers - 1), repeated ``blocks`` times."""
    return [2**layer for _ in range(blocks) for layer in range(layers)]
