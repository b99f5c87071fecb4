"""Mixtures of isotropic Gaussians: on a ring, on a grid, anywhere."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gancore.runtime.randomness import Key
from gancore_synthetic.truth import Truth, geometric, pick

HIGH_QUALITY = 3.0
"""Mahalanobis distance to the nearest mean below which a sample is of high quality (PacGAN)."""


class Mixture(Truth):
    """p(x) = sum_k w_k N(x; m_k, std^2 I)."""

    has_density = True

    def __init__(self, means: Tensor, std: float, imbalance: float) -> None:
        self.means, self.std = means, std  # (K, d)
        self.shape, self.weights = (means.shape[1],), geometric(len(means), imbalance)

    def sample(self, n: int, key: Key) -> tuple[Tensor, Tensor]:
        component = pick(self.weights, n, key)
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
        """Of high quality: nearer than 3 standard deviations. In 2 dimensions 1 - e^-4.5 of true points."""
        return self.distance(points) < HIGH_QUALITY


def ring(*, components: int, radius: float, std: float, imbalance: float, seed: int) -> Mixture:
    """Mean k at the angle 2 pi k / K."""
    angles = 2 * math.pi * torch.arange(components, dtype=torch.float64) / components
    return Mixture(radius * torch.stack([angles.cos(), angles.sin()], dim=1), std, imbalance)


def grid(*, components: int, separation: float, std: float, imbalance: float, seed: int) -> Mixture:
    """A square of means about the origin; 25 at distances of 2 are {-4, -2, 0, 2, 4}^2."""
    side = math.isqrt(components)
    axis = separation * (torch.arange(side, dtype=torch.float64) - (side - 1) / 2)
    return Mixture(torch.cartesian_prod(axis, axis).view(-1, 2), std, imbalance)


def mixture(
    *, components: int, dimension: int, separation: float, std: float, imbalance: float, seed: int
) -> Mixture:
    """Means at random, the two nearest ``separation`` apart."""
    means = spread(components, dimension, Key.of("means", seed))
    if components > 1:
        means *= separation / torch.pdist(means).min()
    return Mixture(means - means.mean(0), std, imbalance)


def spread(count: int, dimension: int, key: Key, candidates: int = 32) -> Tensor:
    """Points in a cube that keep away from each other: of some candidates, the farthest from all before."""
    tries = key.uniform(count, candidates, dimension).double()
    points = tries[:1, 0]
    for row in tries[1:]:
        farthest = torch.cdist(row, points).amin(1).argmax()
        points = torch.cat([points, row[farthest, None]])
    return points
