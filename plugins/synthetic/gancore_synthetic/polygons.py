"""Convex polygons and triangles as grey pictures."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gancore.runtime.randomness import Key
from gancore_synthetic.truth import Truth

SUB = 8
"""Sub-pixels along the side of a pixel."""
GREYS = SUB * SUB
"""A pixel is a count of white sub-pixels, from 0 (black) to this (white)."""
SLACK = math.radians(20)
"""The published minimal angle a; see :func:`polygon_vertices`."""
SIZE = 0.75
"""Diameter of the circle through the vertices, as a share of the picture's side."""
DIRECTIONS = 64
"""Of the half-planes whose intersection is a shape's convex hull."""
EDGE = 1.25
"""Pixels to both sides of a hull's edge that may be grey."""


class Polygons(Truth):
    """Black convex polygons on white, (1, side, side) in [0, 1]: Lucic et al. 2018, section 5.2.

    The number of vertices is uniform in 3..``vertices``, and is the component; without ``vertices`` all are
    triangles. A picture is made as in :func:`polygon_vertices` and :func:`rasterise`. Pictures have no
    density; whether one is on the support is told by its convexity.
    """

    draws = 2000

    def __init__(self, *, side: int, seed: int, vertices: int = 3) -> None:
        self.side, self.shape = side, (1, side, side)
        self.weights = torch.full((vertices - 2,), 1 / (vertices - 2), dtype=torch.float64)

    def sample(self, n: int, key: Key) -> tuple[Tensor, Tensor]:
        counts, component = self.sample_counts(n, key)
        return counts.double() / GREYS, component

    def sample_counts(self, n: int, key: Key) -> tuple[Tensor, Tensor]:
        """The same as counts of white sub-pixels, uint8."""
        component = (key / "component").integers(len(self.weights), n)
        pictures = torch.empty(n, *self.shape, dtype=torch.uint8)
        for k in component.unique().tolist():
            rows = (component == k).nonzero()[:, 0]
            vertices = polygon_vertices(len(rows), k + 3, self.side, key / k)
            pictures[rows, 0] = rasterise(vertices, self.side)
        return pictures, component

    def distance(self, points: Tensor) -> Tensor:
        """Grey that is wrong in a picture of its own convex hull, in pixels."""
        return torch.cat([_unconvexity(part[:, 0]) for part in points.split(64)])


def polygon_vertices(n: int, count: int, side: int, key: Key) -> Tensor:
    """Vertices on a circle, one a sector, in order: (n, count, 2), in pixels.

    Vertex i of v lies at the angle i 2pi/v + a/2 + U (2pi/v - a/2) with a = 20 degrees, so that neighbours
    are at least a/2 apart; all turn by one uniform angle; the circle's diameter is 3/4 of the side, and the
    mean of the vertices is put in the middle of the picture.
    """
    sector = 2 * math.pi / count
    within = (key / "vertex").uniform(n, count).double()
    turn = (key / "turn").uniform(n, 1, high=2 * math.pi).double()
    angles = torch.arange(count) * sector + SLACK / 2 + within * (sector - SLACK / 2) + turn
    vertices = SIZE * side / 2 * torch.stack([angles.cos(), angles.sin()], dim=2)
    return vertices - vertices.mean(1, keepdim=True) + side / 2


def rasterise(vertices: Tensor, side: int) -> Tensor:
    """White sub-pixels of each pixel outside the polygon, of 8 x 8: (n, side, side), uint8.

    A row of sub-pixels meets a convex polygon in one stretch: between the highest of the bounds that the
    edges set on its left, and the lowest of those on its right.
    """
    return torch.cat([_rasterise(part, side) for part in vertices.split(512)])


def _rasterise(vertices: Tensor, side: int) -> Tensor:
    centres = (torch.arange(side * SUB, dtype=torch.float64) + 0.5) / SUB  # of the rows of sub-pixels
    low, high = _stretches(vertices, centres)  # (n, rows) each
    first = (low * SUB - 0.5).ceil().clamp(0, side * SUB)
    past = (high * SUB - 0.5).floor().add(1).clamp(0, side * SUB)
    starts = torch.arange(side, dtype=torch.float64) * SUB
    inside = torch.minimum(past[..., None], starts + SUB) - torch.maximum(first[..., None], starts)
    black = inside.clamp(min=0).unflatten(1, (side, SUB)).sum(2)  # (n, side, side)
    return (GREYS - black).to(torch.uint8)


def _stretches(vertices: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Where each horizontal line is inside: from low to high, (n, rows); low > high where it is nowhere.

    Vertices turn one way, so the inside of an edge with direction (dx, dy) is dx (y - y0) - dy (x - x0) >= 0.
    """
    x, y = vertices[..., 0, None], vertices[..., 1, None]  # (n, v, 1)
    following = vertices.roll(-1, 1)
    dx, dy = following[..., 0, None] - x, following[..., 1, None] - y
    bound = x + dx * (rows - y) / dy  # (n, v, rows)
    above = (dy == 0) & (dx * (rows - y) < 0)  # a level edge bounds no row: it shuts out those beyond it
    low = torch.where(dy < 0, bound, torch.where(above, torch.inf, -torch.inf)).amax(1)
    high = torch.where(dy > 0, bound, torch.inf).amin(1)
    return low, high


def _unconvexity(pictures: Tensor) -> Tensor:
    """(n, side, side) to (n): grey that is wrong in a picture of its convex hull, in pixels.

    The hull is the intersection of half-planes that just hold the centre of every pixel at least half black.
    Pixels about its edge may be of any grey; the others are black within and white without. A picture with no
    such pixel is wrong all over.
    """
    side = pictures.shape[-1]
    axis = torch.arange(side, dtype=torch.float64) + 0.5
    place = torch.stack([axis.expand(side, side), axis[:, None].expand(side, side)], dim=-1).flatten(0, 1)
    angles = 2 * math.pi * torch.arange(DIRECTIONS, dtype=torch.float64) / DIRECTIONS
    along = place @ torch.stack([angles.cos(), angles.sin()])  # (pixels, directions)
    black = 1 - pictures.flatten(1)  # (n, pixels)
    held = black >= 0.5
    reach = torch.where(held[..., None], along, -torch.inf).amax(1)  # (n, directions)
    depth = (reach[:, None] - along).amin(2)  # (n, pixels), below 0 outside
    wrong = torch.where(depth > EDGE, (1 - black).abs(), torch.where(depth < -EDGE, black.abs(), 0.0))
    return torch.where(held.any(1), wrong.sum(1), float(side * side))
