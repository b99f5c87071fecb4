"""Dropout whose zeros are a function of (seed, step, index): alike in parts of a batch and after a resume."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gancore.runtime.randomness import noise


class Dropout(nn.Module):
    """Each number is 0 with probability ``p``, and divided by 1 - p otherwise; in evaluation nothing happens.

    As ``torch.nn.Dropout`` (Srivastava et al. 2014), but drawn row by row from the noise of the evaluation in
    progress, so it suits micro-batches and several processes. ``whole_channels``: all of a channel (axis 1)
    or none of it, as ``torch.nn.Dropout2d``. Input (rows, ...), rows a multiple of the batch's.

    Raises:
        ValueError: ``p`` is not in [0, 1).
    """

    def __init__(self, p: float = 0.5, whole_channels: bool = False) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"a dropout of {p}: give 0 <= p < 1")
        self.p, self.whole_channels = p, whole_channels

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        shape = [x.shape[1], *[1] * (x.dim() - 2)] if self.whole_channels else x.shape[1:]
        kept = noise(len(x), x.device).uniform(len(x), *shape) >= self.p
        return torch.where(kept, x / (1 - self.p), 0.0)

    def extra_repr(self) -> str:
        return f"p={self.p}, whole_channels={self.whole_channels}"


def global_layer(module: nn.Module) -> str:
    """``" (Dropout at generator.net.1)"``: a layer that is known to draw from torch's global generator."""
    for name, part in module.named_modules():
        if isinstance(part, nn.modules.dropout._DropoutNd | nn.RReLU):
            return f" ({type(part).__name__} at {name})"
    return ""
