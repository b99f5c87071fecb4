"""Where latents come from."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gancore.runtime.randomness import Key


@dataclass(frozen=True)
class Prior:
    """Latents of ``size`` numbers; ``between`` walks from one latent to another within the prior.

    ``truncate`` brings latents within a threshold of the middle; None: nobody truncates such a prior.
    """

    size: int
    draw: Callable[[Key, int, int], Tensor]
    between: Callable[[Tensor, Tensor, Tensor], Tensor]
    truncate: Callable[[Tensor, float], Tensor] | None = None

    def sample(self, key: Key, n: int) -> Tensor:
        """(n, size)."""
        return self.draw(key, n, self.size)


def normal(size: int) -> Prior:
    """z ~ N(0, I)."""
    return Prior(size, lambda key, n, size: key.normal(n, size), slerp, truncated)


def uniform(size: int) -> Prior:
    """z ~ U(-1, 1), as in DCGAN and WaveGAN."""
    return Prior(size, lambda key, n, size: key.uniform(n, size, low=-1.0, high=1.0), torch.lerp)


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Spherical interpolation of rows (White 2016, section 2.1): stays where a Gaussian has its mass."""
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=-1, eps=1e-8).clamp(-1 + 1e-6, 1 - 1e-6)
    angle = cosine.acos().unsqueeze(-1)
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)


def truncated(z: Tensor, psi: float) -> Tensor:
    """sqrt(2) erfinv(erf(psi / sqrt(2)) erf(z / sqrt(2))): z ~ N(0, 1) given |z| <= psi, number by number.

    The law that resampling what lies beyond psi gives (Brock et al. 2019, section 3.1, the truncation trick),
    as a rising function of z: a sample changes gradually with psi, and is itself where psi is infinite. In
    float64, since erf comes close to 1.
    """
    if math.isinf(psi):
        return z
    root = math.sqrt(2)
    within: Tensor = (
        torch.special.erfinv(math.erf(psi / root) * torch.special.erf(z.cpu().double() / root)) * root
    )
    return within.to(z).clamp(-psi, psi)
