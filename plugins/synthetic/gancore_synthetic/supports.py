"""Distributions given by their support: a smooth manifold, a lattice of points, cubes with gaps."""

from __future__ import annotations

import torch
from torch import Tensor

from gancore.random import Key
from gancore_synthetic.distribution import Distribution, draw_components, geometric_weights

WAVE_AMPLITUDE = 0.5
"""Amplitude of the waves."""
STEPS = 12
"""Gauss-Newton steps to the nearest point of the manifold."""
MAX_SIGN_AXES = 4
"""Maximal number of intrinsic coordinates whose signs define cells."""


class Manifold(Distribution):
    """x = Q (u, h(u)) + N(0, std^2 I), u uniform in [-1, 1]^m, Q a rotation of R^D drawn once.

    h_j(u) = 1/2 sin(frequency <w_j, u> + phase_j), j = 1..D-m, w_j unit vectors drawn once: the graph of
    a smooth function, so it does not intersect itself; its curvature grows as frequency^2. The density of the
    noisy points is an m-dimensional integral without closed form and is not provided.
    """

    def __init__(
        self, *, intrinsic_dimension: int, ambient_dimension: int, frequency: float, std: float, seed: int
    ) -> None:
        key = Key.of("manifold", seed)
        self.m, self.frequency, self.std = intrinsic_dimension, frequency, std
        self.shape, self.weights = (ambient_dimension,), torch.ones(1, dtype=torch.float64)
        directions = (key / "w").normal(ambient_dimension - intrinsic_dimension, intrinsic_dimension).double()
        self.directions = directions / directions.norm(dim=1, keepdim=True)  # (D - m, m)
        self.phases = (
            (key / "phase").uniform(ambient_dimension - intrinsic_dimension, high=2 * torch.pi).double()
        )
        self.rotation = torch.linalg.qr((key / "q").normal(ambient_dimension, ambient_dimension).double())[0]

    def embed(self, u: Tensor) -> Tensor:
        """(n, m) to the points of the manifold, (n, D)."""
        result: Tensor = torch.cat([u, self._heights(u)], dim=1) @ self.rotation.T
        return result

    def _angles(self, u: Tensor) -> Tensor:
        result: Tensor = self.frequency * u @ self.directions.T + self.phases
        return result

    def _heights(self, u: Tensor) -> Tensor:
        return WAVE_AMPLITUDE * self._angles(u).sin()

    def sample(self, n: int, key: Key) -> tuple[Tensor, Tensor]:
        u = (key / "u").uniform(n, self.m, low=-1.0, high=1.0).double()
        noise = (key / "noise").normal(n, *self.shape).double()
        return self.embed(u) + self.std * noise, torch.zeros(n, dtype=torch.int64)

    def project(self, points: Tensor) -> Tensor:
        """The coordinates u of the nearest point, (n, m), iterated from the point's first coordinates."""
        rotated = points @ self.rotation
        tangent, normal = rotated[:, : self.m], rotated[:, self.m :]
        u: Tensor = tangent.clamp(-1, 1)
        identity = torch.eye(self.m, dtype=torch.float64)
        for _ in range(STEPS):
            slopes = WAVE_AMPLITUDE * self.frequency * self._angles(u).cos()  # (n, D - m)
            jacobian = slopes[:, :, None] * self.directions  # (n, D - m, m)
            residual = (normal - self._heights(u))[:, :, None]
            gradient = (tangent - u)[:, :, None] + jacobian.mT @ residual  # (n, m, 1)
            step = torch.linalg.solve(identity + jacobian.mT @ jacobian, gradient)[:, :, 0]
            u = (u + step).clamp(-1, 1)
        return u

    def distance(self, points: Tensor) -> Tensor:
        result: Tensor = (points - self.embed(self.project(points))).norm(dim=1)
        return result

    def cells(self, points: Tensor) -> Tensor:
        """The signs of the first intrinsic coordinates; each sign has probability 1/2."""
        signs = (self.project(points)[:, :MAX_SIGN_AXES] > 0).long()
        return (signs * 2 ** torch.arange(signs.shape[1])).sum(1)

    @property
    def cell_masses(self) -> Tensor:
        count = 2 ** min(self.m, MAX_SIGN_AXES)
        return torch.full((count,), 1 / count, dtype=torch.float64)


LATTICE_RADIUS = 0.05
"""A sample is on a lattice point if it is nearer than this share of the spacing."""


class Lattice(Distribution):
    """The ``levels^dimension`` points of a cubic lattice centred at the origin. It has no density."""

    def __init__(
        self, *, levels: int, dimension: int, separation: float, imbalance: float, seed: int
    ) -> None:
        self.levels_per_axis, self.separation, self.shape = levels, separation, (dimension,)
        self.weights = geometric_weights(levels**dimension, imbalance)
        self._powers = levels ** torch.arange(dimension)

    def points(self, index: Tensor) -> Tensor:
        """Lattice points by index: the first coordinate varies fastest."""
        steps = index[:, None] // self._powers % self.levels_per_axis
        return self.separation * (steps - (self.levels_per_axis - 1) / 2).double()

    def sample(self, n: int, key: Key) -> tuple[Tensor, Tensor]:
        index = draw_components(self.weights, n, key)
        return self.points(index), index

    def assign(self, points: Tensor) -> Tensor:
        steps = points / self.separation + (self.levels_per_axis - 1) / 2
        return (steps.round().clamp(0, self.levels_per_axis - 1).long() * self._powers).sum(1)

    def distance(self, points: Tensor) -> Tensor:
        result: Tensor = (points - self.points(self.assign(points))).norm(dim=1)
        return result

    def on_support(self, points: Tensor) -> Tensor:
        return self.distance(points) < LATTICE_RADIUS * self.separation

    def cells(self, points: Tensor) -> Tensor:
        """The lattice point, and one cell for all points off the lattice."""
        return torch.where(self.on_support(points), self.assign(points), len(self.weights))

    @property
    def cell_masses(self) -> Tensor:
        return torch.cat([self.weights, torch.zeros(1, dtype=torch.float64)])


class Cubes(Distribution):
    """Uniform on K unit cubes in a row tangent the first axis, ``gap`` apart."""

    has_density = True

    def __init__(self, *, components: int, dimension: int, gap: float, imbalance: float, seed: int) -> None:
        self.centres = (1 + gap) * (torch.arange(components, dtype=torch.float64) - (components - 1) / 2)
        self.shape, self.weights = (dimension,), geometric_weights(components, imbalance)

    def sample(self, n: int, key: Key) -> tuple[Tensor, Tensor]:
        component = draw_components(self.weights, n, key)
        points = (key / "within").uniform(n, *self.shape, low=-0.5, high=0.5).double()
        points[:, 0] += self.centres[component]
        return points, component

    def within(self, points: Tensor) -> Tensor:
        """Coordinates relative to the centre of the nearest cube, (n, d)."""
        shift = self.centres[self.assign(points)]
        return torch.cat([points[:, :1] - shift[:, None], points[:, 1:]], dim=1)

    def assign(self, points: Tensor) -> Tensor:
        return (points[:, :1] - self.centres).abs().argmin(1)

    def distance(self, points: Tensor) -> Tensor:
        result: Tensor = (self.within(points).abs() - 0.5).clamp(min=0).norm(dim=1)
        return result

    def on_support(self, points: Tensor) -> Tensor:
        return self.within(points).abs().amax(1) <= 0.5

    def log_density(self, points: Tensor) -> Tensor:
        inside = self.weights.log()[self.assign(points)]
        return torch.where(self.on_support(points), inside, -torch.inf)

    def cells(self, points: Tensor) -> Tensor:
        """The quarters of each cube by its first two coordinates, and one cell for all points outside."""
        signs = (self.within(points)[:, :2] > 0).long()
        quarter = (signs * 2 ** torch.arange(signs.shape[1])).sum(1)
        each = 2 ** signs.shape[1]
        cell = self.assign(points) * each + quarter
        return torch.where(self.on_support(points), cell, len(self.weights) * each)

    @property
    def cell_masses(self) -> Tensor:
        each = 2 ** min(2, *self.shape)
        inside = self.weights.repeat_interleave(each) / each
        return torch.cat([inside, torch.zeros(1, dtype=torch.float64)])
