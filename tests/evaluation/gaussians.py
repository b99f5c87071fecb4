"""What is known in closed form of distances between Gaussians with the covariance I."""

from __future__ import annotations

from torch import Tensor


def mean_kernel(a: Tensor, b: Tensor) -> float:
    """E (x . y / d + 1)^3 for x ~ N(a, I), y ~ N(b, I), by the moments of Gaussians."""
    d, t = len(a), float(a @ b)
    squares = float(a @ a + b @ b)
    second = d + squares + t**2
    third = t**3 + 3 * t * squares + (3 * d + 6) * t
    return 1 + 3 * t / d + 3 * second / d**2 + third / d**3


def mmd2_of_gaussians(a: Tensor, b: Tensor) -> float:
    """KID's expectation: it has no bias."""
    return mean_kernel(a, a) + mean_kernel(b, b) - 2 * mean_kernel(a, b)
