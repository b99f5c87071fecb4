"""Noisy plane curves: spirals and circles. Their densities are integrals along the curve."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from gancore.runtime.randomness import Key
from gancore_synthetic.truth import Truth, geometric, in_parts, pick


class Circles(Truth):
    """Concentric circles of radius r_k = radius k / K, k = 1..K, with N(0, std^2 I) around them.

    The density of a noisy circle is closed: averaged over the angle, N(x; r e, std^2 I) is
    exp(-(rho - r)^2 / 2 std^2) i0e(rho r / std^2) / (2 pi std^2), with rho = |x| and i0e the scaled
    modified Bessel function I_0(a) exp(-a).
    """

    has_density = True
    shape = (2,)

    def __init__(self, *, components: int, radius: float, std: float, imbalance: float, seed: int) -> None:
        self.radii = radius * torch.arange(1, components + 1, dtype=torch.float64) / components
        self.std, self.weights = std, geometric(components, imbalance)

    def sample(self, n: int, key: Key) -> tuple[Tensor, Tensor]:
        component = pick(self.weights, n, key)
        angle = 2 * math.pi * (key / "angle").uniform(n).double()
        on_curve = self.radii[component, None] * torch.stack([angle.cos(), angle.sin()], dim=1)
        return on_curve + self.std * (key / "noise").normal(n, 2).double(), component

    def log_density(self, points: Tensor) -> Tensor:
        rho, variance = points.norm(dim=1)[:, None], self.std**2  # (n, 1)
        bessel = torch.special.i0e(rho * self.radii / variance).log()
        each = bessel - (rho - self.radii).square() / (2 * variance) + self.weights.log()  # (n, K)
        return torch.logsumexp(each, dim=1) - math.log(2 * math.pi * variance)

    def assign(self, points: Tensor) -> Tensor:
        return (points.norm(dim=1)[:, None] - self.radii).abs().argmin(1)

    def distance(self, points: Tensor) -> Tensor:
        return (points.norm(dim=1)[:, None] - self.radii).abs().amin(1)


class Spirals(Truth):
    """K arms c_k(s) = radius s (cos a, sin a), a = 2 pi (turns s + k / K), with N(0, std^2 I) around them.

    s in [0, 1] has the density 2 s, which spreads the points about evenly along an arm. The density
    is sum_k w_k int 2 s N(x; c_k(s), std^2 I) ds, by Gauss-Legendre rules of 16 nodes on panels no longer
    than 6 std: exact to nine digits.
    """

    has_density = True
    shape = (2,)

    def __init__(
        self, *, components: int, turns: float, radius: float, std: float, imbalance: float, seed: int
    ) -> None:
        self.turns, self.radius, self.std = turns, radius, std
        self.weights = geometric(components, imbalance)

    def arm(self, s: Tensor, k: Tensor) -> Tensor:
        """c_k(s): (..., 2)."""
        angle = 2 * math.pi * (self.turns * s + k / len(self.weights))
        return self.radius * s[..., None] * torch.stack([angle.cos(), angle.sin()], dim=-1)

    def sample(self, n: int, key: Key) -> tuple[Tensor, Tensor]:
        component = pick(self.weights, n, key)
        s = (key / "along").uniform(n).double().sqrt()
        return self.arm(s, component) + self.std * (key / "noise").normal(n, 2).double(), component

    @cached_property
    def _rule(self) -> tuple[Tensor, Tensor]:
        """Nodes s and log weights of the integral over s, (N) each."""
        longest = self.radius * math.hypot(1, 2 * math.pi * self.turns)  # |dc/ds| at s = 1
        panels = max(4, math.ceil(longest / (6 * self.std)))
        nodes, weights = (torch.from_numpy(x) for x in np.polynomial.legendre.leggauss(16))
        starts = torch.arange(panels, dtype=torch.float64)[:, None]
        s = ((starts + (nodes + 1) / 2) / panels).flatten()
        return s, (2 * s * weights.repeat(panels) / (2 * panels)).log()

    @cached_property
    def _nodes(self) -> tuple[Tensor, Tensor]:
        """Points of all arms and their log weights, (K N, 2) and (K N)."""
        s, log_weights = self._rule
        k = torch.arange(len(self.weights))[:, None]
        points = self.arm(s.expand(len(k), -1), k).flatten(0, 1)
        return points, (self.weights.log()[:, None] + log_weights).flatten()

    def log_density(self, points: Tensor) -> Tensor:
        nodes, log_weights = self._nodes

        def some(rows: Tensor) -> Tensor:
            exponents = -0.5 * (torch.cdist(rows, nodes) / self.std).square()
            return torch.logsumexp(exponents + log_weights, dim=1)

        return in_parts(some, points) - math.log(2 * math.pi * self.std**2)

    def _nearest(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Distance to the nearest node, and its arm. Nodes are closer than the noise is wide."""
        nodes, per_arm = self._nodes[0], len(self._rule[0])
        near = in_parts(lambda rows: torch.stack(torch.cdist(rows, nodes).min(1), dim=1), points)
        return near[:, 0], near[:, 1].long() // per_arm

    def assign(self, points: Tensor) -> Tensor:
        return self._nearest(points)[1]

    def distance(self, points: Tensor) -> Tensor:
        return self._nearest(points)[0]
