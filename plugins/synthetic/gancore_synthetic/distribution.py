"""Distributions with known sampler, density, components and support."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from gancore import Spec
from gancore.random import Key

N_REFERENCE_POINTS = 20_000
"""Points from which a distribution computes thresholds, cells and plot limits."""
CELLS = 24
"""Cells of equal probability of a density, at least 2 per component."""
SUPPORT_SHARE = 0.999
"""Share of true points that counts as on the support."""


class Distribution:
    """A known distribution. Points are (n, *shape), float64; parameters are keyword arguments.

    Subclasses define ``sample``, and those of the other methods that exist for them.
    """

    shape: tuple[int, ...]
    weights: Tensor
    """Probability of each component, (K)."""
    has_density: bool = False
    has_support: bool = True
    n_reference_points: int = N_REFERENCE_POINTS

    def sample(self, n: int, key: Key) -> tuple[Tensor, Tensor]:
        """``n`` points and the component of each, (n, *shape) and (n)."""
        raise TypeError(f"{type(self).__name__} must define sample(n, key)")

    def log_density(self, points: Tensor) -> Tensor:
        """log p(x) in nats, exact, (n); where ``has_density``."""
        raise TypeError(f"{type(self).__name__} has no density")

    def assign(self, points: Tensor) -> Tensor:
        """The nearest component of each point, (n)."""
        return torch.zeros(len(points), dtype=torch.int64)

    def distance(self, points: Tensor) -> Tensor:
        """From the support, (n); where ``has_support``."""
        raise TypeError(f"{type(self).__name__} has no support")

    def on_support(self, points: Tensor) -> Tensor:
        """Whether a point is at most as far from the support as 99.9 % of true points; (n), bool."""
        return self.distance(points) <= self.support_radius

    @cached_property
    def support_radius(self) -> Tensor:
        return torch.quantile(self.distance(self.reference_points), SUPPORT_SHARE)

    @cached_property
    def reference_points(self) -> Tensor:
        """Points of the distribution, the same at each call."""
        return self.sample(self.n_reference_points, Key.of("own"))[0]

    def cells(self, points: Tensor) -> Tensor:
        """The cell of each point, (n), in a partition of space whose probabilities are known.

        Here: component times density level, with levels divided at quantiles within the component.
        """
        component = self.assign(points)
        inner = self.density_levels[component, 1:-1]  # (n, levels - 1)
        level = (self.log_density(points)[:, None] >= inner).sum(1)
        return component * (self.density_levels.shape[1] - 1) + level

    @cached_property
    def cell_masses(self) -> Tensor:
        """The probability of each cell, (C): the levels of a component are equally likely."""
        share = torch.bincount(
            self.assign(self.reference_points), minlength=len(self.weights)
        ).double() / len(self.reference_points)
        levels = self.density_levels.shape[1] - 1
        return share.repeat_interleave(levels) / levels

    @cached_property
    def density_levels(self) -> Tensor:
        """Quantiles of log p within each component, (K, levels + 1)."""
        component, values = self.assign(self.reference_points), self.log_density(self.reference_points)
        edges = torch.linspace(0, 1, max(2, CELLS // len(self.weights)) + 1, dtype=torch.float64)
        rows = [values[component == k] for k in range(len(self.weights))]
        return torch.stack([torch.quantile(row, edges) if len(row) else edges * 0 for row in rows])


def geometric_weights(count: int, imbalance: float) -> Tensor:
    """``count`` geometrically decreasing weights; the first is ``imbalance`` times the last."""
    powers = torch.linspace(0, 1, count, dtype=torch.float64) if count > 1 else torch.zeros(1).double()
    weights = imbalance**-powers
    return weights / weights.sum()


def draw_components(weights: Tensor, n: int, key: Key) -> Tensor:
    """``n`` components, drawn by their weights."""
    edges = weights.cumsum(0)[:-1].contiguous()
    return torch.bucketize((key / "component").uniform(n).double(), edges, right=True)


def map_in_chunks(function: Callable[[Tensor], Tensor], points: Tensor, rows: int = 2048) -> Tensor:
    """Apply a function of rows in chunks of rows, to save memory."""
    return (
        torch.cat([function(part) for part in torch.split(points, rows)]) if len(points) else function(points)
    )


BINS = 48
"""Bins of the histogram along each of the first two coordinates."""


class HistogramDistribution(Distribution):
    """The user's points: no density, support or components. It samples from their histogram."""

    has_support = False

    def __init__(self, spec: Spec) -> None:
        self.shape = tuple(spec["shape"])
        self.weights = torch.ones(1, dtype=torch.float64)
        self.edges, self.counts = spec["outline_edges"].double(), spec["outline_counts"].double()

    def sample(self, n: int, key: Key) -> tuple[Tensor, Tensor]:
        """Points of the first two coordinates only, (n, 2) or (n, 1)."""
        ends = self.counts.cumsum(0) / self.counts.sum()
        cell = torch.searchsorted(ends, (key / "cell").uniform(n).double(), right=True)
        cell = cell.clamp(max=len(ends) - 1)
        axes = len(self.edges)
        places = torch.stack([cell // BINS, cell % BINS], dim=1) if axes == 2 else cell[:, None]
        places = (places + (key / "within").uniform(n, axes).double()) / BINS
        return self.edges[:, 0] + places * (self.edges[:, 1] - self.edges[:, 0]), torch.zeros(n).long()
