"""Strided convolutions computed on phases: the same function, faster where one side has one channel.

A convolution of stride s reads s interleaved signals (phases) side by side; written as a convolution
of stride 1 over s times as many channels it suits the kernels that libraries have, which are slow on
a single channel. Parameters keep the shapes and names of the plain layers.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import conv1d, pad


class Downsample(nn.Conv1d):
    """``Conv1d`` with an odd kernel that divides the length by exactly its stride."""

    def __init__(self, before: int, after: int, kernel: int, stride: int) -> None:
        super().__init__(before, after, kernel, stride, padding(kernel, stride))

    def forward(self, x: Tensor) -> Tensor:
        if self.in_channels > 1:
            return super().forward(x)
        weight, reach = _phases(self.weight, self.stride[0], int(self.padding[0]))
        return conv1d(_split(x, self.stride[0]), weight.flatten(1, 2), self.bias, padding=reach)


class Upsample(nn.ConvTranspose1d):
    """``ConvTranspose1d`` with an odd kernel that multiplies the length by exactly its stride."""

    def __init__(self, before: int, after: int, kernel: int, stride: int) -> None:
        super().__init__(before, after, kernel, stride, padding(kernel, stride), output_padding=1)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        if self.out_channels > 1:
            return super().forward(x, output_size)
        stride = self.stride[0]
        weight, reach = _phases(self.weight, stride, int(self.padding[0]))
        # (after * phase, before, taps), taps reversed: a transposed convolution adds where it reads
        kernel = weight.permute(1, 2, 0, 3).flip(-1).flatten(0, 1)
        bias = None if self.bias is None else self.bias.repeat_interleave(stride)
        return _join(conv1d(x, kernel, bias, padding=reach), stride)


def padding(kernel: int, stride: int) -> int:
    """What makes a strided convolution divide the length by exactly ``stride``."""
    return (kernel - stride + 1) // 2


def _phases(weight: Tensor, stride: int, padded: int) -> tuple[Tensor, int]:
    """(a, b, kernel) to (a, b, phase, taps), filled up with zeros; and the taps before the middle."""
    reach = -(-padded // stride)
    left = reach * stride - padded
    right = (2 * reach + 1) * stride - left - weight.shape[-1]
    whole = pad(weight, (left, right))
    return whole.unflatten(2, (2 * reach + 1, stride)).transpose(2, 3), reach


def _split(x: Tensor, stride: int) -> Tensor:
    """(batch, channels, time) to (batch, channels * stride, time / stride)."""
    return x.unflatten(2, (-1, stride)).transpose(2, 3).flatten(1, 2)


def _join(x: Tensor, stride: int) -> Tensor:
    """(batch, channels * stride, time) to (batch, channels, time * stride)."""
    return x.unflatten(1, (-1, stride)).transpose(2, 3).flatten(2)
