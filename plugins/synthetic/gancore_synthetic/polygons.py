"""Convex polygons and triangles as grey images."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gancore.random import Key
from gancore_synthetic.distribution import Distribution

SUBPIXELS = 8
"""Sub-pixels along the side of a pixel."""
N_GREYS = SUBPIXELS * SUBPIXELS
"""A pixel is a count of white sub-pixels, from 0 (black) to this (white)."""
MIN_ANGLE = math.radians(20)
"""The published minimal angle a; see :func:`polygon_vertices`."""
SIZE = 0.75
"""Diameter of the circle through the vertices, as a share of the image's side."""
DIRECTIONS = 64
"""Of the half-planes whose intersection is a shape's convex hull."""
EDGE = 1.25
"""Pixels on both sides of a hull's edge that may be grey."""


class Polygons(Distribution):
    """Black convex polygons on white, (1, side, side) in [0, 1]: Lucic et al. 2018, section 5.2.

    The number of vertices is uniform in 3..``vertices``, and is the component; without ``vertices`` all are
    triangles. An image is made as in :func:`polygon_vertices` and :func:`rasterise`. Images have no
    density; an image is on the support if its black pixels are convex.
    """

    n_reference_points = 2000

    def __init__(self, *, image_size: int, seed: int, vertices: int = 3) -> None:
        self.side, self.shape = image_size, (1, image_size, image_size)
        self.weights = torch.full((vertices - 2,), 1 / (vertices - 2), dtype=torch.float64)

    def sample(self, n: int, key: Key) -> tuple[Tensor, Tensor]:
        counts, component = self.sample_counts(n, key)
        return counts.double() / N_GREYS, component

    def sample_counts(self, n: int, key: Key) -> tuple[Tensor, Tensor]:
        """The same images as counts of white sub-pixels, uint8."""
        component = (key / "component").integers(len(self.weights), n)
        images = torch.empty(n, *self.shape, dtype=torch.uint8)
        for k in torch.unique(component).tolist():
            rows = (component == k).nonzero()[:, 0]
            vertices = polygon_vertices(len(rows), k + 3, self.side, key / k)
            images[rows, 0] = rasterise(vertices, self.side)
        return images, component

    def distance(self, points: Tensor) -> Tensor:
        """Difference from an image of the convex hull, in pixels of grey."""
        return torch.cat([_convex_hull_error(part[:, 0]) for part in torch.split(points, 64)])


def polygon_vertices(n: int, count: int, side: int, key: Key) -> Tensor:
    """Vertices on a circle, one a sector, in order: (n, count, 2), in pixels.

    Vertex i of v lies at the angle i 2pi/v + a/2 + U (2pi/v - a/2) with a = 20 degrees, so that neighbours
    are at least a/2 apart; all turn by one uniform angle; the circle's diameter is 3/4 of the side, and the
    mean of the vertices is the middle of the image.
    """
    sector = 2 * math.pi / count
    within = (key / "vertex").uniform(n, count).double()
    turn = (key / "turn").uniform(n, 1, high=2 * math.pi).double()
    angles = torch.arange(count) * sector + MIN_ANGLE / 2 + within * (sector - MIN_ANGLE / 2) + turn
    vertices = SIZE * side / 2 * torch.stack([angles.cos(), angles.sin()], dim=2)
    return vertices - vertices.mean(1, keepdim=True) + side / 2


def rasterise(vertices: Tensor, side: int) -> Tensor:
    """White sub-pixels of each pixel outside the polygon, of 8 x 8: (n, side, side), uint8.

    A row of sub-pixels meets a convex polygon in one interval: between the highest of the bounds that the
    edges set on its left, and the lowest of those on its right.
    """
    return torch.cat([_rasterise(part, side) for part in torch.split(vertices, 512)])


def _rasterise(vertices: Tensor, side: int) -> Tensor:
    centres = (
        torch.arange(side * SUBPIXELS, dtype=torch.float64) + 0.5
    ) / SUBPIXELS  # of the rows of sub-pixels
    low, high = _row_intervals(vertices, centres)  # (n, rows) each
    first = (low * SUBPIXELS - 0.5).ceil().clamp(0, side * SUBPIXELS)
    past = (high * SUBPIXELS - 0.5).floor().add(1).clamp(0, side * SUBPIXELS)
    starts = torch.arange(side, dtype=torch.float64) * SUBPIXELS
    inside = torch.minimum(past[..., None], starts + SUBPIXELS) - torch.maximum(first[..., None], starts)
    black = torch.unflatten(inside.clamp(min=0), 1, (side, SUBPIXELS)).sum(2)  # (n, side, side)
    result: Tensor = (N_GREYS - black).to(torch.uint8)
    return result


def _row_intervals(vertices: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """The interval of each horizontal line that is inside, low to high, (n, rows); low > high: none.

    Vertices turn one way, so the inside of an edge with direction (dx, dy) is dx (y - y0) - dy (x - x0) >= 0.
    """
    x, y = vertices[..., 0, None], vertices[..., 1, None]  # (n, v, 1)
    following = vertices.roll(-1, 1)
    dx, dy = following[..., 0, None] - x, following[..., 1, None] - y
    bound = x + dx * (rows - y) / dy  # (n, v, rows)
    above = (dy == 0) & (
        dx * (rows - y) < 0
    )  # a horizontal edge bounds no interval; it excludes the rows beyond it
    low = torch.where(dy < 0, bound, torch.where(above, torch.inf, -torch.inf)).amax(1)
    high = torch.where(dy > 0, bound, torch.inf).amin(1)
    return low, high


def _convex_hull_error(images: Tensor) -> Tensor:
    """(n, side, side) to (n): difference from an image of the convex hull, in pixels of grey.

    The hull is the intersection of half-planes that just contain the centres of all pixels at least half
    black. Pixels at its edge may have any grey; the others must be black inside and white outside. An image
    without such a pixel is wrong everywhere.
    """
    side = images.shape[-1]
    axis = torch.arange(side, dtype=torch.float64) + 0.5
    place = torch.stack([axis.expand(side, side), axis[:, None].expand(side, side)], dim=-1).flatten(0, 1)
    angles = 2 * math.pi * torch.arange(DIRECTIONS, dtype=torch.float64) / DIRECTIONS
    along = place @ torch.stack([angles.cos(), angles.sin()])  # (pixels, directions)
    black = 1 - images.flatten(1)  # (n, pixels)
    is_black = black >= 0.5
    reach = torch.where(is_black[..., None], along, -torch.inf).amax(1)  # (n, directions)
    depth = (reach[:, None] - along).amin(2)  # (n, pixels), below 0 outside
    wrong = torch.where(depth > EDGE, (1 - black).abs(), torch.where(depth < -EDGE, black.abs(), 0.0))
    return torch.where(is_black.any(1), wrong.sum(1), float(side * side))
