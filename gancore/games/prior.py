"""Priors of latents."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gancore.random import Key


@dataclass(frozen=True)
class Prior:
    """Latents of ``size`` numbers. ``interpolate(a, b, t)`` stays within the prior.

    ``truncate(z, psi)`` brings latents within a threshold; None: this prior cannot be truncated. ``name``:
    ``normal`` or ``uniform``, by which a program without gancore draws them; empty: any other distribution.
    """

    size: int
    draw_latents: Callable[[Key, int, int], Tensor]
    interpolate: Callable[[Tensor, Tensor, Tensor], Tensor]
    truncate: Callable[[Tensor, float], Tensor] | None = None
    name: str = ""

    def sample(self, key: Key, n: int) -> Tensor:
        """(n, size)."""
        return self.draw_latents(key, n, self.size)


def normal(size: int) -> Prior:
    """z ~ N(0, I)."""
    return Prior(size, lambda key, n, size: key.normal(n, size), slerp, truncate_normal, "normal")


def uniform(size: int) -> Prior:
    """z ~ U(-1, 1), as in DCGAN and WaveGAN."""
    return Prior(
        size, lambda key, n, size: key.uniform(n, size, low=-1.0, high=1.0), torch.lerp, name="uniform"
    )


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Spherical interpolation of rows (White 2016, section 2.1): it keeps the norm of Gaussian latents."""
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=-1, eps=1e-8).clamp(-1 + 1e-6, 1 - 1e-6)
    angle = cosine.acos().unsqueeze(-1)
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)


def truncate_normal(z: Tensor, psi: float) -> Tensor:
    """sqrt(2) erfinv(erf(psi / sqrt(2)) erf(z / sqrt(2))): z ~ N(0, 1) given |z| <= psi, elementwise.

    The same distribution as resampling values beyond psi (Brock et al. 2019, section 3.1, the truncation
    trick), as a monotone function of z: a sample changes continuously with psi and is unchanged for infinite
    psi. In float64, because erf comes close to 1.
    """
    if math.isinf(psi):
        return z
    root = math.sqrt(2)
    within: Tensor = (
        torch.special.erfinv(math.erf(psi / root) * torch.special.erf(z.cpu().double() / root)) * root
    )
    return within.to(z).clamp(-psi, psi)
