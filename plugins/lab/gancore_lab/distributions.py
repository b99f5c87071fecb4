"""Distributions with known properties, on which metrics are checked. Rows are (n, d) float32."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gancore.random import Key

Distribution = Callable[[Key, int, int], Tensor]
"""``distribution(key, n, d)`` gives independent rows (n, d) float32."""

MODES = 10
APART = 10.0
"""The smallest distance of two centres; each coordinate of a mode has standard deviation 1."""


def gaussian(key: Key, n: int, d: int) -> Tensor:
    return key.normal(n, d)


def centres(d: int) -> Tensor:
    """The centres of ten modes, (10, d): on a ring in few dimensions, on different axes in many."""
    made = torch.zeros(MODES, d)
    if d >= MODES:
        made[:, :MODES] = APART * torch.eye(MODES)
        return made
    angles = 2 * math.pi * torch.arange(MODES) / MODES
    radius = APART / (2 * math.sin(math.pi / MODES))
    made[:, 0], made[:, 1] = radius * angles.cos(), radius * angles.sin()
    return made


def mixture(shares: Sequence[float]) -> Distribution:
    """Gaussians around the first ``len(shares)`` of the ten :func:`centres`, with these shares."""
    ends = torch.tensor(shares, dtype=torch.float64).cumsum(0)
    ends = ends / ends[-1]

    def distribution(key: Key, n: int, d: int) -> Tensor:
        mode = torch.searchsorted(ends, (key / "mode").uniform(n).double()).clamp(max=len(shares) - 1)
        return centres(d)[mode] + key.normal(n, d)

    return distribution


def moved_modes(count: int, by: float) -> Distribution:
    """Ten equal modes; the first ``count`` are shifted outwards from the origin by ``by``."""
    even = mixture([1.0] * MODES)

    def distribution(key: Key, n: int, d: int) -> Tensor:
        rows, where = even(key, n, d), centres(d)
        mode = torch.cdist(rows, where).argmin(1)
        outward = where[mode] / where[mode].norm(dim=1, keepdim=True)
        result: Tensor = rows + by * outward * (mode < count).unsqueeze(1)
        return result

    return distribution


def two_modes(key: Key, n: int, d: int) -> Tensor:
    """Two Gaussians, four standard deviations from the origin on either side along the diagonal."""
    side = 2 * (key / "side").integers(2, n).float() - 1
    result: Tensor = key.normal(n, d) + 4 * side.unsqueeze(1) / d**0.5
    return result


def one_mode(key: Key, n: int, d: int) -> Tensor:
    """The Gaussian with the mean and the covariance of :func:`two_modes`."""
    along = 4 * (key / "side").normal(n, 1) / d**0.5
    result: Tensor = key.normal(n, d) + along
    return result


def sphere(radius: float) -> Distribution:
    """Uniform on the sphere of this radius."""

    def distribution(key: Key, n: int, d: int) -> Tensor:
        rows = key.normal(n, d)
        result: Tensor = radius * rows / rows.norm(dim=1, keepdim=True)
        return result

    return distribution


def ball(key: Key, n: int, d: int) -> Tensor:
    """Uniform in a ball of radius 0.8 in the first three coordinates (or two); the others are small."""
    flat = min(d, 3)
    rows = 0.1 * key.normal(n, d)
    inner = sphere(0.8)(key / "inner", n, flat)
    rows[:, :flat] = inner * (key / "radius").uniform(n, 1) ** (1 / flat)
    return rows


def torus(key: Key, n: int, d: int) -> Tensor:
    """A tube of radius 0.1 around the circle of radius 1, which contains no point of :func:`ball`."""
    flat = min(d, 3)
    rows = 0.1 * key.normal(n, d)
    angle = 2 * math.pi * (key / "angle").uniform(n)
    tube = sphere(0.1)(key / "tube", n, flat - 1) * (key / "radius").uniform(n, 1) ** (1 / max(flat - 1, 1))
    out = 1 + tube[:, 0]
    rows[:, 0], rows[:, 1] = out * angle.cos(), out * angle.sin()
    if flat == 3:
        rows[:, 2] = tube[:, 1]
    return rows


def cube(key: Key, n: int, d: int) -> Tensor:
    return key.uniform(n, d)


def correlated(key: Key, n: int, d: int) -> Tensor:
    """A Gaussian whose neighbouring coordinates have correlation 0.9, each of variance 1."""
    rows = key.normal(n, d)
    for i in range(1, d):
        rows[:, i] = 0.9 * rows[:, i - 1] + (1 - 0.9**2) ** 0.5 * rows[:, i]
    return rows


def heavy(key: Key, n: int, d: int) -> Tensor:
    """Multivariate Student's t with three degrees of freedom."""
    return key.normal(n, d) / ((key / "chi").normal(n, 3).square().sum(1, keepdim=True) / 3).sqrt()


def pareto(key: Key, n: int, d: int) -> Tensor:
    """Gaussian except for the second coordinate, which is Pareto with exponent 1.01 (a mean just exists)."""
    rows = key.normal(n, d)
    rows[:, 1] = (1 - (key / "tail").uniform(n).double()).pow(-1 / 1.01).float()
    return rows


def one_wide(key: Key, n: int, d: int) -> Tensor:
    """Gaussian, with the second coordinate multiplied by 1000."""
    rows = key.normal(n, d)
    rows[:, 1] *= 1000
    return rows


def integers(key: Key, n: int, d: int) -> Tensor:
    return key.normal(n, d).round()
