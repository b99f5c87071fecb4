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

NARROWEST, WIDEST = 1e-4, 10.0
"""Bandwidths tried, in units of the standardised rows."""
TRIED = 60


class Kernel(nn.Module):
    """p(x) = 1/m sum_i N(x; c_i, h^2 I) (Parzen 1962)."""

    def __init__(self, centres: int, held_out: int, size: int) -> None:
        super().__init__()
        self.held_out, self.size = held_out, size
        self.register_buffer("centres", torch.zeros(centres, size))
        self.register_buffer("bandwidth", torch.ones(()))

    def fit(self, views: Mapping[str, View], key: Key) -> bool:
        """Centres and held-out rows are different rows of train; the bandwidth is the likeliest of 60."""
        (view,) = views.values()
        m = len(self.centres)
        rows = (key.to("cpu") / "rows").permutation(len(view))[: m + self.held_out]
        points = view.take(rows, key / "take").data
        self.centres.copy_(points[:m])
        tried = torch.logspace(math.log10(NARROWEST), math.log10(WIDEST), TRIED, device=points.device)
        likelihoods = torch.stack([self._log_prob(points[m:], h).mean() for h in tried])
        self.bandwidth.copy_(tried[likelihoods.argmax()])
        return True

    def log_prob(self, data: Tensor) -> Tensor:
        return self._log_prob(data, self.bandwidth)

    def _log_prob(self, data: Tensor, h: Tensor) -> Tensor:
        """By differences, not by products: near pairs decide, and must not be lost to rounding."""

        def some(rows: Tensor) -> Tensor:
            apart = torch.cdist(rows, self.centres, compute_mode="donot_use_mm_for_euclid_dist")
            return torch.logsumexp(-0.5 * (apart / h).square(), dim=1)

        normaliser = math.log(len(self.centres)) + self.size * (h.log() + 0.5 * math.log(2 * math.pi))
        return in_parts(some, data, 512) - normaliser

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
