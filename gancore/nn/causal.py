"""Stacks of dilated causal convolutions, over whole sequences and step by step."""

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

    and the outputs sum_k S_k z_k + b. ``inputs`` channels go in and run through, ``outputs`` come out, and
    ``condition`` is the size of h, the same at every time; 0: there is none.

    Sequences are (batch, time, channels). Output t hangs on inputs t - reach + 1 to t alone, as if zeros
    stood before the first.
    """

    def __init__(
        self, inputs: int, outputs: int, dilations: Sequence[int], condition: int = 0, kernel: int = 2
    ) -> None:
        super().__init__()
        if kernel < 2 or not dilations or min(dilations) < 1:
            raise ConfigError(f"a causal stack of kernel {kernel} and dilations {list(dilations)}")
        self.inputs, self.outputs, self.kernel = inputs, outputs, kernel
        self.dilations = tuple(dilations)
        self.filters = nn.ModuleList(nn.Linear(kernel * inputs, 2 * inputs) for _ in dilations)
        self.residuals = nn.ModuleList(nn.Linear(inputs, inputs, bias=False) for _ in dilations[1:])
        self.skips = nn.Linear(len(dilations) * inputs, outputs)  # all S_k beside each other
        self.condition = nn.Linear(condition, len(dilations) * 2 * inputs, bias=False) if condition else None

    @property
    def reach(self) -> int:
        """Inputs that an output hangs on."""
        return 1 + (self.kernel - 1) * sum(self.dilations)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(batch, time, inputs), (batch, condition) to (batch, time, outputs)."""
        told, gates = self._told(condition), []
        for k, dilation in enumerate(self.dilations):
            before = self.filters[k](self._taps(x, dilation))
            gates.append(gated(before if told is None else before + told[:, None, k]))
            if k < len(self.residuals):
                x = x + self.residuals[k](gates[-1])
        outputs: Tensor = self.skips(torch.cat(gates, 2))
        return outputs

    def _taps(self, x: Tensor, dilation: int) -> Tensor:
        """Beside each time those that the kernel sees before it, the oldest first."""
        past, time = (self.kernel - 1) * dilation, x.shape[1]
        padded = pad(x, (0, 0, past, 0))
        return torch.cat([padded[:, tap * dilation :][:, :time] for tap in range(self.kernel)], 2)

    def _told(self, condition: Tensor | None) -> Tensor | None:
        """What the condition adds before each layer's gate: (batch, layers, 2 * inputs)."""
        if self.condition is None:
            return None
        told: Tensor = self.condition(condition)
        return told.view(len(told), len(self.dilations), -1)

    @torch.no_grad()
    def steps(self, rows: int, condition: Tensor | None = None) -> CausalSteps:
        """A walk along ``rows`` sequences; each step costs the same, however far it has come."""
        return CausalSteps(self, rows, condition)


def gated(before: Tensor, axis: int = -1) -> Tensor:
    """tanh(f / 2) sigmoid(g) of (f, g) side by side: 2 sigmoid(f) - 1 is tanh(f / 2), in one kernel for both.

    The half is taken up by the weights of f.
    """
    f, g = before.sigmoid().chunk(2, axis)
    return torch.addcmul(-g, f, g, value=2)


class _Layer(NamedTuple):
    """One layer in a walk: its weights, and buffers that are made once."""

    ring: Tensor
    """Its last inputs, (slots, rows, inputs): that of time t lies in slot t mod slots."""
    taps: Tensor
    weight: Tensor
    bias: Tensor
    """For every row alike, or with what the condition adds, (rows, 2 * inputs)."""
    residual: Tensor | None
    gate: Tensor
    """Where z goes: this layer's columns of what all skips see."""


class CausalSteps:
    """The stack step by step, with a ring buffer for each layer (Paine et al. 2016): O(1) a step.

    Called on the inputs of the next time, (rows, inputs), it gives the outputs, (rows, outputs): those of the
    whole sequence but for rounding. Without gradient.
    """

    def __init__(self, stack: CausalStack, rows: int, condition: Tensor | None) -> None:
        self.stack, self.time = stack, 0
        weight, width = stack.skips.weight, stack.inputs
        told = stack._told(condition)
        self.before = weight.new_empty(rows, 2 * width)
        self.f, self.g = self.before.chunk(2, 1)
        self.gates = weight.new_empty(rows, len(stack.dilations) * width)
        filters, residuals = (
            [cast(nn.Linear, layer) for layer in layers] for layers in (stack.filters, stack.residuals)
        )
        self.layers = [
            _Layer(
                ring=weight.new_zeros((stack.kernel - 1) * dilation, rows, width),
                taps=weight.new_empty(rows, stack.kernel * width),
                weight=filters[k].weight.T,
                bias=filters[k].bias if told is None else filters[k].bias + told[:, k],
                residual=residuals[k].weight.T if k < len(residuals) else None,
                gate=self.gates[:, k * width : (k + 1) * width],
            )
            for k, dilation in enumerate(stack.dilations)
        ]

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        for layer, dilation in zip(self.layers, self.stack.dilations, strict=True):
            slots = len(layer.ring)
            seen = [layer.ring[(self.time - back) % slots] for back in range(slots, 0, -dilation)]
            torch.cat([*seen, x], 1, out=layer.taps)
            layer.ring[self.time % slots].copy_(x)
            torch.addmm(layer.bias, layer.taps, layer.weight, out=self.before)
            self.before.sigmoid_()
            torch.addcmul(self.g.neg(), self.f, self.g, value=2, out=layer.gate)  # as in gated
            if layer.residual is not None:
                x = torch.addmm(x, layer.gate, layer.residual)
        self.time += 1
        outputs: Tensor = self.stack.skips(self.gates)
        return outputs


def doubling(blocks: int, layers: int) -> list[int]:
    """Dilations 1, 2, 4, ..., 2^(layers - 1), so many ``blocks`` times."""
    return [2**layer for _ in range(blocks) for layer in range(layers)]
