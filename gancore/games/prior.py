"""Where latents come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gancore.runtime.randomness import Key


@dataclass(frozen=True)
class Prior:
    """Latents of ``size`` numbers; ``between`` walks from one latent to another within the prior."""

    size: int
    draw: Callable[[Key, int, int], Tensor]
    between: Callable[[Tensor, Tensor, Tensor], Tensor]

    def sample(self, key: Key, n: int) -> Tensor:
        """(n, size)."""
        return self.draw(key, n, self.size)


def normal(size: int) -> Prior:
    """z ~ N(0, I)."""
    return Prior(size, lambda key, n, size: key.normal(n, size), slerp)


def uniform(size: int) -> Prior:
    """z ~ U(-1, 1), as in DCGAN and WaveGAN."""
    return Prior(size, lambda key, n, size: key.uniform(n, size, low=-1.0, high=1.0), torch.lerp)


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Spherical interpolation of rows (White 2016, section 2.1): stays where a Gaussian has its mass."""
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=-1, eps=1e-8).clamp(-1 + 1e-6, 1 - 1e-6)
    angle = cosine.acos().unsqueeze(-1)
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)
