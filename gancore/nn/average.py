"""Averages of parameters over training."""

from __future__ import annotations

import copy
from functools import cached_property

import torch
from torch import Tensor, nn


class Average(nn.Module):
    """Exponential moving average of a module's parameters, by half-life in samples.

    ``beta = 0.5 ** (batch / half_life)``, with the half-life ramped up as ``ramp * samples seen``
    (Karras et al. 2020, ADA, appendix), so it does not depend on the batch size. Buffers are copied.
    """

    def __init__(self, source: nn.Module, half_life: float, ramp: float = 0.05) -> None:
        super().__init__()
        self.module = copy.deepcopy(source).requires_grad_(False)
        self.half_life, self.ramp = half_life, ramp
        self._source = (source,)  # in a tuple: its tensors are not this module's state

    @torch.no_grad()
    def update(self, batch: int, samples: int) -> None:
        """After a round of ``batch`` samples, ``samples`` in all."""
        mine, theirs = self._parameters_of_both
        torch._foreach_lerp_(mine, theirs, 1 - self.beta(batch, samples))
        for copied, buffer in self._buffers_of_both:
            copied.copy_(buffer)

    @cached_property
    def _parameters_of_both(self) -> tuple[list[Tensor], list[Tensor]]:
        """Found once: to walk through the modules takes longer than to average them."""
        return list(self.module.parameters()), list(self._source[0].parameters())

    @cached_property
    def _buffers_of_both(self) -> list[tuple[Tensor, Tensor]]:
        return list(zip(self.module.buffers(), self._source[0].buffers(), strict=True))

    def beta(self, batch: int, samples: int) -> float:
        half_life = min(self.half_life, self.ramp * samples) if self.ramp else self.half_life
        return 0.5 ** (batch / half_life) if half_life > 0 else 0.0
