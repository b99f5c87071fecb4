"""The exponential moving average of a network over training."""

from __future__ import annotations

import copy
from functools import cached_property

import torch
from torch import Tensor, nn


class EMA(nn.Module):
    """Exponential moving average of a module's parameters, by half-life in samples.

    ``beta = 0.5 ** (batch / halflife)``, with the half-life ramped up as ``ramp * samples``
    (Karras et al. 2020, ADA, appendix), so it does not depend on the batch size. Buffers are copied.
    """

    def __init__(self, source: nn.Module, halflife: float, ramp: float = 0.05) -> None:
        super().__init__()
        self.module = copy.deepcopy(source).requires_grad_(False)
        self.halflife, self.ramp = halflife, ramp
        self._source = (source,)  # in a tuple: its tensors are not this module's state

    @torch.no_grad()
    def update(self, batch: int, samples: int) -> None:
        """Update after a step of ``batch`` samples; ``samples`` counts all so far."""
        averaged, current = self._parameter_lists
        torch._foreach_lerp_(averaged, current, 1 - self.beta(batch, samples))
        for average, source in self._buffer_pairs:
            average.copy_(source)

    @cached_property
    def _parameter_lists(self) -> tuple[list[Tensor], list[Tensor]]:
        """Collected once, because iterating over the modules takes longer than averaging."""
        return list(self.module.parameters()), list(self._source[0].parameters())

    @cached_property
    def _buffer_pairs(self) -> list[tuple[Tensor, Tensor]]:
        return list(zip(self.module.buffers(), self._source[0].buffers(), strict=True))

    def beta(self, batch: int, samples: int) -> float:
        """The weight of the previous average."""
        halflife = min(self.halflife, self.ramp * samples) if self.ramp else self.halflife
        return 0.5 ** (batch / halflife) if halflife > 0 else 0.0
