"""Distributions of points with a closed density: mixtures of Gaussians, noisy curves, heavy tails."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from gancore.random import Key
from gancore_synthetic.distribution import Distribution, draw_components, geometric_weights, map_in_chunks

HIGH_QUALITY = 3.0
"""Mahalanobis distance to the nearest mean below which a sample is of high quality (PacGAN)."""


class Mixture(Distribution):
    """p(x) = sum_k w_k N(x; m_k, std^2 I)."""

    has_density = True

    def __init__(self, means: Tensor, std: float, imbalance: float) -> None:
        self.means, self.std = means, std  # (K, d)
        self.shape, self.weights = (means.shape[1],), geometric_weights(len(means), imbalance)

    def sample(self, n: int, key: Key) -> tuple[Tensor, Tensor]:
        component = draw_components(self.weights, n, key)
        noise = (key / "noise").normal(n, *self.shape).double()
        return self.means[component] + self.std * noise, component

    def log_density(self, points: Tensor) -> Tensor:
        d = self.means.shape[1]
        exponents = -0.5 * (torch.cdist(points, self.means) / self.std).square()  # (n, K)
        normaliser = d * math.log(self.std * math.sqrt(2 * math.pi))
        return torch.logsumexp(exponents + self.weights.log(), dim=1) - normaliser

    def assign(self, points: Tensor) -> Tensor:
        return torch.cdist(points, self.means).argmin(1)

    def distance(self, points: Tensor) -> Tensor:
        """Mahalanobis, to the nearest mean."""
        return torch.cdist(points, self.means).amin(1) / self.std

    def on_support(self, points: Tensor) -> Tensor:
        """High quality: nearer than 3 standard deviations; in 2 dimensions 1 - e^-4.5 of true points."""
        return self.distance(points) < HIGH_QUALITY


def ring(*, components: int, radius: float, std: float, imbalance: float, seed: int) -> Mixture:
    """Mean k is at the angle 2 pi k / K."""
    angles = 2 * math.pi * torch.arange(components, dtype=torch.float64) / components
    return Mixture(radius * torch.stack([angles.cos(), angles.sin()], dim=1), std, imbalance)


def grid(*, components: int, separation: float, std: float, imbalance: float, seed: int) -> Mixture:
    """A square grid of means, centred at the origin; 25 means with separation 2 are {-4, -2, 0, 2, 4}^2."""
    side = math.isqrt(components)
    axis = separation * (torch.arange(side, dtype=torch.float64) - (side - 1) / 2)
    return Mixture(torch.cartesian_prod(axis, axis).view(-1, 2), std, imbalance)


def mixture(
    *, components: int, dimension: int, separation: float, std: float, imbalance: float, seed: int
) -> Mixture:
    """Random means; the distance of the two nearest is ``separation``."""
    means = spread_points(components, dimension, Key.of("means", seed))
    if components > 1:
        means *= separation / torch.pdist(means).min()
    return Mixture(means - means.mean(0), std, imbalance)


def spread_points(count: int, dimension: int, key: Key, candidates: int = 32) -> Tensor:
    """Points in a cube, far from each other: each is the candidate farthest from all points before it."""
    tries = key.uniform(count, candidates, dimension).double()
    points = tries[:1, 0]
    for row in tries[1:]:
        farthest = torch.cdist(row, points).amin(1).argmax()
        points = torch.cat([points, row[farthest, None]])
    return points


class Circles(Distribution):
    """Concentric circles of radius r_k = radius k / K, k = 1..K, with N(0, std^2 I) around them.

    The density of a noisy circle has a closed form: averaged over the angle, N(x; r e, std^2 I) is
    exp(-(rho - r)^2 / 2 std^2) i0e(rho r / std^2) / (2 pi std^2), with rho = |x| and i0e the scaled
    modified Bessel function I_0(a) exp(-a).
    """

    has_density = True
    shape = (2,)

    def __init__(self, *, components: int, radius: float, std: float, imbalance: float, seed: int) -> None:
        self.radii = radius * torch.arange(1, components + 1, dtype=torch.float64) / components
        self.std, self.weights = std, geometric_weights(components, imbalance)

    def sample(self, n: int, key: Key) -> tuple[Tensor, Tensor]:
        component = draw_components(self.weights, n, key)
        angle = 2 * math.pi * (key / "angle").uniform(n).double()
        on_curve = self.radii[component, None] * torch.stack([angle.cos(), angle.sin()], dim=1)
        return on_curve + self.std * (key / "noise").normal(n, 2).double(), component

    def log_density(self, points: Tensor) -> Tensor:
        rho, variance = points.norm(dim=1)[:, None], self.std**2  # (n, 1)
        bessel = torch.special.i0e(rho * self.radii / variance).log()
        each = bessel - (rho - self.radii).square() / (2 * variance) + self.weights.log()  # (n, K)
        return torch.logsumexp(each, dim=1) - math.log(2 * math.pi * variance)

    def assign(self, points: Tensor) -> Tensor:
        result: Tensor = (points.norm(dim=1)[:, None] - self.radii).abs().argmin(1)
        return result

    def distance(self, points: Tensor) -> Tensor:
        result: Tensor = (points.norm(dim=1)[:, None] - self.radii).abs().amin(1)
        return result


class Spirals(Distribution):
    """K arms c_k(s) = radius s (cos a, sin a), a = 2 pi (turns s + k / K), with N(0, std^2 I) around them.

    s in [0, 1] has the density 2 s, so points are about evenly spaced along an arm. The density
    is sum_k w_k int 2 s N(x; c_k(s), std^2 I) ds, by Gauss-Legendre rules of 16 nodes on panels no longer
    than 6 std: exact to nine digits.
    """

    has_density = True
    shape = (2,)

    def __init__(
        self, *, components: int, turns: float, radius: float, std: float, imbalance: float, seed: int
    ) -> None:
        self.turns, self.radius, self.std = turns, radius, std
        self.weights = geometric_weights(components, imbalance)

    def arm(self, s: Tensor, k: Tensor) -> Tensor:
        """c_k(s): (..., 2)."""
        angle = 2 * math.pi * (self.turns * s + k / len(self.weights))
        return self.radius * s[..., None] * torch.stack([angle.cos(), angle.sin()], dim=-1)

    def sample(self, n: int, key: Key) -> tuple[Tensor, Tensor]:
        component = draw_components(self.weights, n, key)
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

        return map_in_chunks(some, points) - math.log(2 * math.pi * self.std**2)

    def _nearest(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Distance to the nearest node, and its arm. Nodes are closer than the noise is wide."""
        nodes, per_arm = self._nodes[0], len(self._rule[0])
        near = map_in_chunks(lambda rows: torch.stack(torch.cdist(rows, nodes).min(1), dim=1), points)
        return near[:, 0], near[:, 1].long() // per_arm

    def assign(self, points: Tensor) -> Tensor:
        return self._nearest(points)[1]

    def distance(self, points: Tensor) -> Tensor:
        return self._nearest(points)[0]


class StudentT(Distribution):
    """Student's t with nu degrees of freedom: x = z / sqrt(g / nu), z ~ N(0, I_d), g ~ chi^2_nu.

    log p(x) = log G((nu + d) / 2) - log G(nu / 2) - d/2 log(nu pi) - (nu + d)/2 log(1 + |x|^2 / nu).
    P(|x| > r) falls as r^-nu: moments from the nu-th on do not exist.
    """

    has_density = True
    has_support = False

    def __init__(self, *, dimension: int, nu: float, seed: int) -> None:
        self.shape, self.nu = (dimension,), nu
        self.weights = torch.ones(1, dtype=torch.float64)

    def sample(self, n: int, key: Key) -> tuple[Tensor, Tensor]:
        # torch has no chi^2 sampler that takes a key
        g = torch.from_numpy(np.random.default_rng((key / "g").seed).chisquare(self.nu, (n, 1)))
        z = (key / "z").normal(n, *self.shape).double()
        return z / (g / self.nu).sqrt(), torch.zeros(n, dtype=torch.int64)

    def log_density(self, points: Tensor) -> Tensor:
        nu, d = self.nu, points.shape[1]
        constant = math.lgamma((nu + d) / 2) - math.lgamma(nu / 2) - d / 2 * math.log(nu * math.pi)
        return constant - (nu + d) / 2 * torch.log1p(points.square().sum(1) / nu)
