"""Normalisations that several domains share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.modules.conv import _ConvTransposeNd
from torch.nn.utils.parametrize import is_parametrized, register_parametrization


class Spectral(nn.Module):
    """W / sigma(W), the spectral norm from a running power iteration (Miyato et al. 2018, algorithm 1).

    W is made a matrix with ``axis``, that of the outputs, for its rows. The iteration is a step of its
    own, :meth:`iterate`, made once a round: a forward pass changes nothing, so a cost evaluated twice,
    or in parts, is the same cost.
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
            self.iterate(weight)

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):
            sigma = torch.dot(self.left, torch.mv(self._matrix(weight), self.right))
            return weight / sigma

    @torch.no_grad()
    def iterate(self, weight: Tensor) -> None:
        matrix = self._matrix(weight)
        self.right.copy_(normalize(torch.mv(matrix.T, self.left), dim=0, eps=1e-12))
        self.left.copy_(normalize(torch.mv(matrix, self.right), dim=0, eps=1e-12))

    def _matrix(self, weight: Tensor) -> Tensor:
        return weight.movedim(self.axis, 0).flatten(1)


def spectral_norm(module: nn.Module) -> nn.Module:
    """Give every weight of two or more axes in ``module`` spectral norm one; returns the module."""
    for part in list(module.modules()):
        weight = part._parameters.get("weight")
        if weight is not None and weight.dim() > 1:
            axis = 1 if isinstance(part, _ConvTransposeNd) else 0  # where its outputs are
            register_parametrization(part, "weight", Spectral(weight, axis))
    return module


def spectral_norms(module: nn.Module) -> list[tuple[Spectral, Tensor]]:
    """Every spectral norm in ``module`` with the weight that it normalises, to ``iterate`` on."""
    weights: list[Any] = [
        part.parametrizations.weight  # type: ignore[union-attr]
        for part in module.modules()
        if is_parametrized(part, "weight")
    ]
    return [(norm, weight.original) for weight in weights for norm in weight if isinstance(norm, Spectral)]
