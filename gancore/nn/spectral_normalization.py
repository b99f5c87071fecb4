"""Spectral normalisation whose power iteration is not part of the forward pass."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.modules.conv import _ConvTransposeNd
from torch.nn.utils.parametrize import is_parametrized, register_parametrization

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class SpectralNorm(nn.Module):
    """W / sigma(W), the spectral norm from a running power iteration (Miyato et al. 2018, algorithm 1).

    W is reshaped to a matrix whose rows are ``axis``, that of the outputs. :meth:`power_iterate` runs once
    per step, not in ``forward``, so that a cost evaluated twice or on micro-batches gives the same value.
    """

    def __init__(self, weight: Tensor, axis: int = 0, warmup: int = 15) -> None:
        super().__init__()
        self.axis = axis
        matrix = self._matrix(weight.detach())
        self.left: Tensor
        self.right: Tensor
        self.register_buffer("left", normalize(torch.randn_like(matrix[:, 0]), dim=0))
        self.register_buffer("right", normalize(torch.randn_like(matrix[0]), dim=0))
        for _ in range(warmup):
            self.power_iterate(weight)

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):
            sigma = torch.dot(self.left, torch.mv(self._matrix(weight), self.right))
            return weight / sigma

    @torch.no_grad()
    def power_iterate(self, weight: Tensor) -> None:
        """One power iteration."""
        matrix = self._matrix(weight)
        self.right.copy_(normalize(torch.mv(matrix.T, self.left), dim=0, eps=1e-12))
        self.left.copy_(normalize(torch.mv(matrix, self.right), dim=0, eps=1e-12))

    def _matrix(self, weight: Tensor) -> Tensor:
        return weight.movedim(self.axis, 0).flatten(1)


def spectral_norm(module: ModuleT) -> ModuleT:
    """Give every weight of two or more axes in ``module`` a spectral norm of 1; returns the module."""
    for layer in list(module.modules()):
        weight = layer._parameters.get("weight")
        if weight is not None and weight.dim() > 1:
            axis = 1 if isinstance(layer, _ConvTransposeNd) else 0  # that of the outputs
            register_parametrization(layer, "weight", SpectralNorm(weight, axis))
    return module


def spectral_norm_layers(module: nn.Module) -> list[tuple[SpectralNorm, Tensor]]:
    """Every spectral norm in ``module`` with the weight that it normalises."""
    weights: list[Any] = [
        cast(Any, layer).parametrizations.weight
        for layer in module.modules()
        if is_parametrized(layer, "weight")
    ]
    return [
        (norm, weight.original) for weight in weights for norm in weight if isinstance(norm, SpectralNorm)
    ]
