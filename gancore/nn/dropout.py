"""Dropout whose zeros are a function of (seed, step, index): equal with micro-batches and after a resume."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from gancore.random import noise


class Dropout(nn.Module):
    """Like ``torch.nn.Dropout`` (Srivastava et al. 2014), for micro-batches and several processes.

    Each number is 0 with probability ``p``, else divided by 1 - p; in evaluation nothing changes. The zeros
    are drawn row by row from the noise scope of the cost. ``whole_channels``: all of a channel (axis 1) or
    none of it, as ``torch.nn.Dropout2d``. The input is (rows, ...), with a multiple of the batch's rows.

    Raises:
        ValueError: ``p`` is not in [0, 1).
    """

    def __init__(self, p: float = 0.5, whole_channels: bool = False) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"dropout has p={p}: give 0 <= p < 1")
        self.p, self.whole_channels = p, whole_channels

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        shape = [x.shape[1], *[1] * (x.dim() - 2)] if self.whole_channels else x.shape[1:]
        kept = noise(len(x), x.device).uniform(len(x), *shape) >= self.p
        return torch.where(kept, x / (1 - self.p), 0.0)

    def extra_repr(self) -> str:
        return f"p={self.p}, whole_channels={self.whole_channels}"


@contextlib.contextmanager
def without_dropout(module: nn.Module) -> Iterator[None]:
    """Within, no :class:`Dropout` of this module changes its inputs: samples and their likelihoods agree."""
    layers = [layer for layer in module.modules() if isinstance(layer, Dropout) and layer.training]
    try:
        for layer in layers:
            layer.training = False
        yield
    finally:
        for layer in layers:
            layer.training = True


def find_global_rng_layer(module: nn.Module) -> str:
    """``" (Dropout at generator.net.1)"`` for a layer that uses torch's global generator; else empty."""
    for name, layer in module.named_modules():
        if isinstance(layer, nn.modules.dropout._DropoutNd | nn.RReLU):
            return f" ({type(layer).__name__} at {name})"
    return ""
