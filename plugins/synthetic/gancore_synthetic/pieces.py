"""Supports that hang together nowhere: a lattice of points, and cubes with gaps between them."""

from __future__ import annotations

import torch
from torch import Tensor

from gancore.runtime.randomness import Key
from gancore_synthetic.truth import Truth, geometric, pick

NEAR = 0.05
"""A sample is on a lattice point when it is nearer than this share of the spacing."""


class Lattice(Truth):
    """The ``levels^dimension`` points of a cubic lattice about the origin. It has no density."""

    def __init__(
        self, *, levels: int, dimension: int, separation: float, imbalance: float, seed: int
    ) -> None:
        self.levels_per_axis, self.separation, self.shape = levels, separation, (dimension,)
        self.weights = geometric(levels**dimension, imbalance)
        self._powers = levels ** torch.arange(dimension)

    def points(self, index: Tensor) -> Tensor:
        """Lattice points by number: the first coordinate counts fastest."""
        steps = index[:, None] // self._powers % self.levels_per_axis
        return self.separation * (steps - (self.levels_per_axis - 1) / 2).double()

    def sample(self, n: int, key: Key) -> tuple[Tensor, Tensor]:
        index = pick(self.weights, n, key)
        return self.points(index), index

    def assign(self, points: Tensor) -> Tensor:
        steps = points / self.separation + (self.levels_per_axis - 1) / 2
        return (steps.round().clamp(0, self.levels_per_axis - 1).long() * self._powers).sum(1)

    def distance(self, points: Tensor) -> Tensor:
        return (points - self.points(self.assign(points))).norm(dim=1)

    def on_support(self, points: Tensor) -> Tensor:
        return self.distance(points) < NEAR * self.separation

    def cells(self, points: Tensor) -> Tensor:
        """The lattice point, and one cell for all that is on none."""
        return torch.where(self.on_support(points), self.assign(points), len(self.weights))

    @property
    def cell_masses(self) -> Tensor:  # type: ignore[override]
        return torch.cat([self.weights, torch.zeros(1, dtype=torch.float64)])


class Pieces(Truth):
    """Uniform on K unit cubes in a row along the first axis, ``gap`` apart."""

    has_density = True

    def __init__(self, *, components: int, dimension: int, gap: float, imbalance: float, seed: int) -> None:
        self.centres = (1 + gap) * (torch.arange(components, dtype=torch.float64) - (components - 1) / 2)
        self.shape, self.weights = (dimension,), geometric(components, imbalance)

    def sample(self, n: int, key: Key) -> tuple[Tensor, Tensor]:
        component = pick(self.weights, n, key)
        points = (key / "within").uniform(n, *self.shape, low=-0.5, high=0.5).double()
        points[:, 0] += self.centres[component]
        return points, component

    def within(self, points: Tensor) -> Tensor:
        """Coordinates about the nearest cube's centre, (n, d)."""
        shift = self.centres[self.assign(points)]
        return torch.cat([points[:, :1] - shift[:, None], points[:, 1:]], dim=1)

    def assign(self, points: Tensor) -> Tensor:
        return (points[:, :1] - self.centres).abs().argmin(1)

    def distance(self, points: Tensor) -> Tensor:
        return (self.within(points).abs() - 0.5).clamp(min=0).norm(dim=1)

    def on_support(self, points: Tensor) -> Tensor:
        return self.within(points).abs().amax(1) <= 0.5

    def log_density(self, points: Tensor) -> Tensor:
        inside = self.weights.log()[self.assign(points)]
        return torch.where(self.on_support(points), inside, -torch.inf)

    def cells(self, points: Tensor) -> Tensor:
        """The quarters of each cube by its first two coordinates, and one cell for all that is outside."""
        signs = (self.within(points)[:, :2] > 0).long()
        quarter = (signs * 2 ** torch.arange(signs.shape[1])).sum(1)
        each = 2 ** signs.shape[1]
        cell = self.assign(points) * each + quarter
        return torch.where(self.on_support(points), cell, len(self.weights) * each)

    @property
    def cell_masses(self) -> Tensor:  # type: ignore[override]
        each = 2 ** min(2, *self.shape)
        inside = self.weights.repeat_interleave(each) / each
        return torch.cat([inside, torch.zeros(1, dtype=torch.float64)])
