"""Layers of the waveform networks: strides and widths, phase shuffle, fast strided convolutions.

A convolution of stride s reads s interleaved signals (phases); written as a convolution of stride 1 over s
times as many channels it suits the kernels of libraries, which are slow on a single channel. Parameters keep
the shapes and names of the plain layers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, pad

from gancore import ConfigError
from gancore.games import noise

KERNEL = 25
START_STEPS = 16
"""Time steps after the dense layer of a generator, and after the last convolution of a discriminator."""


def upsampling_strides(length: int) -> list[int]:
    """Strides from 16 steps to ``length``: fours, and a last two if the length needs it."""
    factors, reached = [], START_STEPS
    while reached < length:
        factors.append(4 if length % (4 * reached) == 0 else 2)
        reached *= factors[-1]
    if reached != length or 2 in factors[:-1] or len(factors) < 2:
        raise ConfigError(
            f"data.length is {length}; this recipe needs 16 * 4^k samples or twice that, at least 256",
            "set data.length to 1024, 4096, 8192, 16384, 32768 or 65536",
        )
    return factors


def channel_widths(width: int, layers: int) -> list[int]:
    """Channels from the waveform's end inwards: width, 2 width, 4 width, ..."""
    return [width * 2**layer for layer in range(layers)]


def phase_shuffle(x: Tensor, max_shift: int, per_example: bool = True) -> Tensor:
    """Shift (batch, channels, time) by an integer uniform in +-max_shift, the gap filled by reflection.

    One shift per example (as in the paper) or one for the whole batch (as in its code).
    """
    batch = x.shape[0]
    random = noise(batch, x.device)
    if per_example:
        shifts = random.integers(-max_shift, max_shift + 1, batch)
    else:
        shifts = random.shared_integers(-max_shift, max_shift + 1, 1).expand(batch)
    return shift_with_reflection(x, shifts, max_shift)


def shift_with_reflection(x: Tensor, shifts: Tensor, max_shift: int) -> Tensor:
    """Shift row b by ``shifts[b]`` (to the right if positive), edges reflected without repetition."""
    return _apply(_Shift, x, max_shift - shifts, max_shift)


class _Shift(torch.autograd.Function):
    """One gather of shifted views. Linear: its derivative is its adjoint, and conversely."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, starts: Tensor, max_shift: int) -> Tensor:
        ctx.save_for_backward(starts)
        ctx.max_shift = max_shift
        left, right = x[..., 1 : max_shift + 1].flip(-1), x[..., -max_shift - 1 : -1].flip(-1)
        return _shifted_views(torch.cat([left, x, right], -1), x.shape[-1])[
            torch.arange(len(x), device=x.device), starts
        ]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _apply(_Adjoint, gradient, *ctx.saved_tensors, ctx.max_shift), None, None


class _Adjoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradient: Tensor, starts: Tensor, max_shift: int) -> Tensor:
        ctx.save_for_backward(starts)
        ctx.max_shift = max_shift
        batch, channels, time = gradient.shape
        padded = gradient.new_zeros(batch, channels, time + 2 * max_shift)
        _shifted_views(padded, time)[torch.arange(batch, device=gradient.device), starts] = gradient
        x = padded[..., max_shift : max_shift + time].clone()
        x[..., 1 : max_shift + 1] += padded[..., :max_shift].flip(-1)
        x[..., -max_shift - 1 : -1] += padded[..., -max_shift:].flip(-1)
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _apply(_Shift, gradient, *ctx.saved_tensors, ctx.max_shift), None, None


def _apply(function: type[torch.autograd.Function], *inputs: Any) -> Tensor:
    """``function.apply``, which torch does not annotate."""
    result: Tensor = function.apply(*inputs)  # type: ignore[no-untyped-call]
    return result


def _shifted_views(padded: Tensor, time: int) -> Tensor:
    """All shifts of (batch, channels, time + 2 max_shift): (batch, 2 max_shift + 1, channels, time)."""
    return padded.unfold(2, time, 1).transpose(1, 2)


class StridedConv1d(nn.Conv1d):
    """``Conv1d`` with an odd kernel that divides the length by exactly its stride."""

    def __init__(self, before: int, after: int, kernel: int, stride: int) -> None:
        super().__init__(before, after, kernel, stride, padding(kernel, stride))

    def forward(self, x: Tensor) -> Tensor:
        if self.in_channels > 1:
            return super().forward(x)
        weight, reach = _phases(self.weight, self.stride[0], int(self.padding[0]))
        return conv1d(_to_phases(x, self.stride[0]), weight.flatten(1, 2), self.bias, padding=reach)


class StridedConvTranspose1d(nn.ConvTranspose1d):
    """``ConvTranspose1d`` with an odd kernel that multiplies the length by exactly its stride."""

    def __init__(self, before: int, after: int, kernel: int, stride: int) -> None:
        super().__init__(before, after, kernel, stride, padding(kernel, stride), output_padding=1)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        if self.out_channels > 1:
            return super().forward(x, output_size)
        stride = self.stride[0]
        weight, reach = _phases(self.weight, stride, int(self.padding[0]))
        # (after * phase, before, taps), taps reversed, as a transposed convolution needs
        kernel = weight.permute(1, 2, 0, 3).flip(-1).flatten(0, 1)
        bias = None if self.bias is None else self.bias.repeat_interleave(stride)
        return _from_phases(conv1d(x, kernel, bias, padding=reach), stride)


def padding(kernel: int, stride: int) -> int:
    """The padding with which a strided convolution divides the length by exactly ``stride``."""
    return (kernel - stride + 1) // 2


def _phases(weight: Tensor, stride: int, padded: int) -> tuple[Tensor, int]:
    """(a, b, kernel) to (a, b, phase, taps), padded with zeros; and the number of taps before the centre."""
    reach = -(-padded // stride)
    left = reach * stride - padded
    right = (2 * reach + 1) * stride - left - weight.shape[-1]
    whole = pad(weight, (left, right))
    return torch.unflatten(whole, 2, (2 * reach + 1, stride)).transpose(2, 3), reach


def _to_phases(x: Tensor, stride: int) -> Tensor:
    """(batch, channels, time) to (batch, channels * stride, time / stride)."""
    result: Tensor = torch.unflatten(x, 2, (-1, stride)).transpose(2, 3).flatten(1, 2)
    return result


def _from_phases(x: Tensor, stride: int) -> Tensor:
    """(batch, channels * stride, time) to (batch, channels, time * stride)."""
    result: Tensor = torch.unflatten(x, 1, (-1, stride)).transpose(2, 3).flatten(2)
    return result
