"""A kernel density: a Gaussian at some points of train, as wide as held-out points like it best."""

from __future__ import annotations

import math
from collections.abc import Mapping
from math import prod

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from gancore import Recipe, RecipeSection, Spec, View
from gancore.games import Game, fitted
from gancore.runtime.randomness import Key
from gancore_synthetic.networks import Standardised
from gancore_synthetic.truth import in_parts

NARROWEST, WIDEST, TRIED = 1e-3, 10.0, 40
"""Bandwidths tried, in units of the standardised rows, each a quarter wider than the one before."""


class Kernel(nn.Module):
    """p(x) = 1/m sum_i N(x; c_i, h^2 I) (Parzen 1962)."""

    def __init__(self, centres: int, held_out: int, size: int) -> None:
        super().__init__()
        self.held_out, self.size = held_out, size
        self.register_buffer("centres", torch.zeros(centres, size))
        self.register_buffer("bandwidth", torch.ones(()))

    def fit(self, views: Mapping[str, View], key: Key) -> bool:
        """Centres and held-out rows are different rows of train; the bandwidth is the likeliest tried."""
        (view,) = views.values()
        m = len(self.centres)
        rows = (key.to("cpu") / "rows").permutation(len(view))[: m + self.held_out]
        points = view.take(rows, key / "take").data
        self.centres.copy_(points[:m])
        tried = torch.logspace(math.log10(NARROWEST), math.log10(WIDEST), TRIED, device=points.device)
        apart = self._apart(points[m:])
        likelihoods = torch.stack([self._log_density(apart, h).mean() for h in tried])
        self.bandwidth.copy_(tried[likelihoods.argmax()])
        return True

    def log_prob(self, data: Tensor) -> Tensor:
        return in_parts(lambda rows: self._log_density(self._apart(rows), self.bandwidth), data, 512)

    def _apart(self, points: Tensor) -> Tensor:
        """|x - c_i|, (n, m), by differences: by products the nearest, which decide, are lost to rounding."""
        return torch.cdist(points, self.centres, compute_mode="donot_use_mm_for_euclid_dist")

    def _log_density(self, apart: Tensor, h: Tensor) -> Tensor:
        normaliser = math.log(apart.shape[1]) + self.size * (h.log() + 0.5 * math.log(2 * math.pi))
        return torch.logsumexp(-0.5 * (apart / h).square(), dim=1) - normaliser

    def sample(self, n: int, key: Key) -> Tensor:
        chosen = (key / "centre").integers(len(self.centres), n)
        return self.centres[chosen] + self.bandwidth * (key / "noise").normal(n, self.size)


class KernelConfig(RecipeSection):
    """Nothing is trained: one round fits it all."""

    steps: PositiveInt = Field(1, description="rounds; one is all it takes")
    centres: PositiveInt = Field(10_000, description="rows of train that carry a kernel, at most")
    held_out: PositiveInt = Field(1000, description="rows of train that choose the bandwidth, at most")


class KernelDensity(Recipe):
    """At most nine tenths of train are centres; the bandwidth is chosen on others."""

    Config = KernelConfig

    def build(self, config: KernelConfig, spec: Spec) -> Game:
        points = int(spec["points"])
        centres = max(1, min(config.centres, points * 9 // 10))
        held_out = max(1, min(config.held_out, points - centres))
        model = Kernel(centres, held_out, prod(spec["shape"]))
        game = fitted(model, representation=Standardised(tuple(spec["shape"])))
        game.full_precision = True
        return game
