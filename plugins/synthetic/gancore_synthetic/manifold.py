"""A smooth manifold of low dimension in a space of high dimension."""

from __future__ import annotations

import torch
from torch import Tensor

from gancore.runtime.randomness import Key
from gancore_synthetic.truth import Truth

HEIGHT = 0.5
"""Amplitude of the waves."""
STEPS = 12
"""Of Gauss and Newton, to the nearest point of the manifold."""
HALVED = 4
"""Intrinsic coordinates that cells tell the sign of, at most."""


class Manifold(Truth):
    """x = Q (u, h(u)) + N(0, std^2 I), u uniform in [-1, 1]^m, Q a rotation of R^D drawn once.

    h_j(u) = 1/2 sin(frequency <w_j, u> + phase_j), j = 1..D-m, w_j unit vectors drawn once: the graph of
    a smooth function, so it never meets itself; its curvature grows as frequency^2. The density of the
    noisy points is an m-dimensional integral without closed form, and is not given.
    """

    def __init__(self, *, intrinsic: int, ambient: int, frequency: float, std: float, seed: int) -> None:
        key = Key.of("manifold", seed)
        self.m, self.frequency, self.std = intrinsic, frequency, std
        self.shape, self.weights = (ambient,), torch.ones(1, dtype=torch.float64)
        directions = (key / "w").normal(ambient - intrinsic, intrinsic).double()
        self.directions = directions / directions.norm(dim=1, keepdim=True)  # (D - m, m)
        self.phases = (key / "phase").uniform(ambient - intrinsic, high=2 * torch.pi).double()
        self.rotation = torch.linalg.qr((key / "q").normal(ambient, ambient).double())[0]

    def embed(self, u: Tensor) -> Tensor:
        """(n, m) to the points of the manifold, (n, D)."""
        return torch.cat([u, self._heights(u)], dim=1) @ self.rotation.T

    def _angles(self, u: Tensor) -> Tensor:
        return self.frequency * u @ self.directions.T + self.phases

    def _heights(self, u: Tensor) -> Tensor:
        return HEIGHT * self._angles(u).sin()

    def sample(self, n: int, key: Key) -> tuple[Tensor, Tensor]:
        u = (key / "u").uniform(n, self.m, low=-1.0, high=1.0).double()
        noise = (key / "noise").normal(n, *self.shape).double()
        return self.embed(u) + self.std * noise, torch.zeros(n, dtype=torch.int64)

    def project(self, points: Tensor) -> Tensor:
        """The coordinates u of the nearest point, (n, m), from the point's own first coordinates on."""
        own = points @ self.rotation
        along, above = own[:, : self.m], own[:, self.m :]
        u = along.clamp(-1, 1)
        identity = torch.eye(self.m, dtype=torch.float64)
        for _ in range(STEPS):
            slopes = HEIGHT * self.frequency * self._angles(u).cos()  # (n, D - m)
            jacobian = slopes[:, :, None] * self.directions  # (n, D - m, m)
            residual = (above - self._heights(u))[:, :, None]
            gradient = (along - u)[:, :, None] + jacobian.mT @ residual  # (n, m, 1)
            step = torch.linalg.solve(identity + jacobian.mT @ jacobian, gradient)[:, :, 0]
            u = (u + step).clamp(-1, 1)
        return u

    def distance(self, points: Tensor) -> Tensor:
        return (points - self.embed(self.project(points))).norm(dim=1)

    def cells(self, points: Tensor) -> Tensor:
        """The signs of the first intrinsic coordinates, each half as likely as the whole."""
        signs = (self.project(points)[:, :HALVED] > 0).long()
        return (signs * 2 ** torch.arange(signs.shape[1])).sum(1)

    @property
    def cell_masses(self) -> Tensor:  # type: ignore[override]
        count = 2 ** min(self.m, HALVED)
        return torch.full((count,), 1 / count, dtype=torch.float64)
