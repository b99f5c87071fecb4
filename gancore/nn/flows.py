"""Flows: densities by a change of variables, with exact likelihood, exact inversion and parallel samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import prod
from typing import cast

from torch import Tensor, nn

from gancore.nn.bijections import Bijection, back, prepare, shape_through, through
from gancore.runtime.randomness import Key
from gancore.trees import Tree


class Flow(nn.Module):
    """A chain f of bijections from data x, rows of ``shape``, to latents z ~ N(0, I), flat.

    log p(x) = log N(f(x); 0, I) + log |det df/dx| (Dinh et al. 2017, eq. 2 and 3), in nats a row. Called, it
    generates as a generator does: latents (batch, size) to data.
    """

    def __init__(self, shape: Sequence[int], bijections: Sequence[Bijection]) -> None:
        super().__init__()
        self.size = prod(shape)
        self.bijections = nn.ModuleList(bijections)
        self.shape_within = shape_through(bijections, shape)

    def forward(self, latents: Tensor, condition: Tree = None) -> Tensor:
        return self.decode(latents, condition)

    def encode(self, x: Tensor, condition: Tree = None) -> tuple[Tensor, Tensor]:
        """Data to latents, (batch, size), and log |det| of that, (batch,)."""
        z, total = through(self._chain, x, condition)
        return z.flatten(1), total

    def decode(self, z: Tensor, condition: Tree = None) -> Tensor:
        """Latents to data: the inverse of ``encode``."""
        return back(self._chain, z.reshape(-1, *self.shape_within), condition)

    def log_prob(self, data: Tensor, condition: Tree = None) -> Tensor:
        z, log_det = self.encode(data, condition)
        return log_det - 0.5 * z.square().sum(1) - self.size / 2 * math.log(2 * math.pi)

    def sample(self, n: int, key: Key, condition: Tree = None) -> Tensor:
        return self.decode((key / "z").normal(n, self.size), condition)

    def prepare(self, data: Tensor, condition: Tree = None) -> None:
        """Each bijection sees what the ones before it make of a first batch."""
        prepare(self._chain, data, condition)

    @property
    def _chain(self) -> list[Bijection]:
        return cast(list[Bijection], list(self.bijections))
