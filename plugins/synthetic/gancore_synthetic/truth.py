"""What is known of a distribution: how to draw from it, its density, its components, its support."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from gancore.domain import Spec
from gancore.runtime.randomness import Key

DRAWS = 20_000
"""Points by which a truth measures itself: thresholds, cells, frames of pictures."""
CELLS = 24
"""Cells of equal probability that a density is divided into, at least 2 a component."""
TOLERANCE = 0.999
"""Share of true points that counts as near the support."""


class Truth:
    """A distribution of known truth. Points are (n, *shape), float64; knobs are keyword arguments.

    Subclasses define ``sample``, and of the rest what exists for them.
    """

    shape: tuple[int, ...]
    weights: Tensor
    """Probability of each component, (K)."""
    has_density: bool = False
    has_support: bool = True
    draws: int = DRAWS

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
        raise TypeError(f"{type(self).__name__} has no support to be far from")

    def on_support(self, points: Tensor) -> Tensor:
        """No farther from the support than 99.9 % of true points are; (n), bool."""
        return self.distance(points) <= self.reach

    @cached_property
    def reach(self) -> Tensor:
        return torch.quantile(self.distance(self.own), TOLERANCE)

    @cached_property
    def own(self) -> Tensor:
        """Points of its own, always the same."""
        return self.sample(self.draws, Key.of("own"))[0]

    def cells(self, points: Tensor) -> Tensor:
        """A division of space whose probabilities are known: the cell of each point, (n).

        Here the component times the level of the density, cut at quantiles within the component.
        """
        component = self.assign(points)
        inner = self.levels[component, 1:-1]  # (n, levels - 1)
        level = (self.log_density(points)[:, None] >= inner).sum(1)
        return component * (self.levels.shape[1] - 1) + level

    @cached_property
    def cell_masses(self) -> Tensor:
        """The probability of each cell, (C): the levels of a component are equally likely."""
        share = torch.bincount(self.assign(self.own), minlength=len(self.weights)).double() / len(self.own)
        levels = self.levels.shape[1] - 1
        return share.repeat_interleave(levels) / levels

    @cached_property
    def levels(self) -> Tensor:
        """Quantiles of log p within each component, (K, levels + 1)."""
        component, values = self.assign(self.own), self.log_density(self.own)
        edges = torch.linspace(0, 1, max(2, CELLS // len(self.weights)) + 1, dtype=torch.float64)
        rows = [values[component == k] for k in range(len(self.weights))]
        return torch.stack([torch.quantile(row, edges) if len(row) else edges * 0 for row in rows])


HOMES = {
    "ring": "mixtures:ring",
    "grid": "mixtures:grid",
    "mixture": "mixtures:mixture",
    "spirals": "curves:Spirals",
    "circles": "curves:Circles",
    "student-t": "tails:StudentT",
    "manifold": "manifold:Manifold",
    "lattice": "pieces:Lattice",
    "pieces": "pieces:Pieces",
    "polygons": "polygons:Polygons",
    "triangles": "polygons:Polygons",
}


def make_truth(source: str, knobs: Mapping[str, Any], seed: int) -> Truth:
    """The truth of a source; ``seed`` places what a source places at random."""
    return _made(source, json.dumps(dict(knobs), sort_keys=True), seed)


def truth_of(spec: Spec) -> Truth:
    """The truth that a spec tells of; needs no data."""
    if spec.get("own_points"):
        from gancore_synthetic.own_points import Unknown

        return Unknown(spec)
    return make_truth(spec["source"], spec["knobs"], spec["seed"])


@lru_cache(maxsize=16)
def _made(source: str, knobs: str, seed: int) -> Truth:
    module, _, name = HOMES[source].partition(":")
    factory: Callable[..., Truth] = getattr(import_module(f"gancore_synthetic.{module}"), name)
    return factory(seed=seed, **json.loads(knobs))


def geometric(count: int, imbalance: float) -> Tensor:
    """``count`` weights that fall geometrically, the first ``imbalance`` times the last."""
    powers = torch.linspace(0, 1, count, dtype=torch.float64) if count > 1 else torch.zeros(1).double()
    weights = imbalance**-powers
    return weights / weights.sum()


def pick(weights: Tensor, n: int, key: Key) -> Tensor:
    """``n`` components, each as often as its weight says."""
    edges = weights.cumsum(0)[:-1].contiguous()
    return torch.bucketize((key / "component").uniform(n).double(), edges, right=True)


def in_parts(function: Callable[[Tensor], Tensor], points: Tensor, rows: int = 2048) -> Tensor:
    """A function of rows, some at a time, to save memory."""
    return torch.cat([function(part) for part in points.split(rows)]) if len(points) else function(points)
