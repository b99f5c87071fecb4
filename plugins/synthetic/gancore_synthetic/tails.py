"""Heavy tails."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from gancore.runtime.randomness import Key
from gancore_synthetic.truth import Truth


class StudentT(Truth):
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
        # torch has no chi^2 of a key's own
        g = torch.from_numpy(np.random.default_rng((key / "g").seed).chisquare(self.nu, (n, 1)))
        z = (key / "z").normal(n, *self.shape).double()
        return z / (g / self.nu).sqrt(), torch.zeros(n, dtype=torch.int64)

    def log_density(self, points: Tensor) -> Tensor:
        nu, d = self.nu, points.shape[1]
        constant = math.lgamma((nu + d) / 2) - math.lgamma(nu / 2) - d / 2 * math.log(nu * math.pi)
        return constant - (nu + d) / 2 * torch.log1p(points.square().sum(1) / nu)
