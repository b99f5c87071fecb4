"""Averages of parameters over training."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class Average(nn.Module):
    """Exponential moving average of a module's parameters, by half-life in samples.

    ``beta = 0.5 ** (batch / half_life)``, with the half-life ramped up as ``ramp * samples seen``
    (Karras et al. 2020, ADA, appendix), so it does not depend on the batch size. Buffers are copied.
    """

    def __init__(self, module: nn.Module, half_life: float, ramp: float = 0.05) -> None:
        super().__init__()
        self.module = copy.deepcopy(module).requires_grad_(False)
        self.half_life, self.ramp = half_life, ramp

    @torch.no_grad()
    def update(self, source: nn.Module, batch: int, samples: int) -> None:
        """After a round of ``batch`` samples, ``samples`` in all."""
        beta = self.beta(batch, samples)
        torch._foreach_lerp_(list(self.module.parameters()), _tensors(source), 1 - beta)
        for mine, theirs in zip(self.module.buffers(), source.buffers(), strict=True):
            mine.copy_(theirs)

    def beta(self, batch: int, samples: int) -> float:
        half_life = min(self.half_life, self.ramp * samples) if self.ramp else self.half_life
        return 0.5 ** (batch / half_life) if half_life > 0 else 0.0


def _tensors(module: nn.Module) -> list[Tensor]:
    return [parameter.detach() for parameter in module.parameters()]
