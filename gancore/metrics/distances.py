"""Euclidean distances between rows of features in chunks: never an n-by-n matrix, never float16."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from gancore.errors import ConfigError

CHUNK_ENTRIES = 4_000_000
"""Entries of a chunk of distances: 32 MB in float64."""

ROUNDING = 1e-13
"""Relative to |x|^2 + |y|^2: the error of a squared distance that is computed by a product of matrices."""


class DistanceChunk(NamedTuple):
    """Squared distances (rows, m) of rows ``start``... of x to all of y, with the error bound of each."""

    start: int
    squared: Tensor
    tolerance: Tensor

    def within(self, radii: Tensor) -> Tensor:
        """(rows, m) booleans: d <= radius; radii are (rows, 1) or (m). Ties up to rounding are within."""
        return self.squared <= radii.square() + self.tolerance


def distance_chunks(x: Tensor, y: Tensor, entries: int = CHUNK_ENTRIES) -> Iterator[DistanceChunk]:
    """|x_i - y_j|^2 = |x_i|^2 + |y_j|^2 - 2 x_i . y_j in float64, about the mean of y; rows of x chunked."""
    centre = y.double().mean(0)
    y = y.double() - centre
    y_norms = y.square().sum(1)
    height = max(1, entries // max(len(y), 1))
    for start in range(0, len(x), height):
        part = x[start : start + height].double() - centre
        norms = part.square().sum(1, keepdim=True) + y_norms
        yield DistanceChunk(
            start, torch.addmm(norms, part, y.T, alpha=-2).clamp_min_(0), norms.mul_(ROUNDING)
        )


def nearest(
    x: Tensor, y: Tensor, k: int, exclude_self: bool = False, entries: int = CHUNK_ENTRIES
) -> tuple[Tensor, Tensor]:
    """The k nearest rows of y (m, d) for each row of x (n, d): distances and indices (n, k), nearest first.

    ``exclude_self``: x is y, and no row is its own neighbour (a duplicate of it is, at 0). The distances
    are computed from the differences, in float64: exactly 0 for equal rows, and independent of the chunks.
    """
    available = len(y) - exclude_self
    if not 1 <= k <= available:
        raise ConfigError(
            f"k = {k} is not between 1 and the {available} other rows",
            f"give at least {k + exclude_self} samples",
        )
    parts = [_nearest_in(chunk, x, y, k, exclude_self) for chunk in distance_chunks(x, y, entries)]
    values, indices = (torch.cat(chunked) for chunked in zip(*parts, strict=True))
    return values, indices


def _nearest_in(
    chunk: DistanceChunk, x: Tensor, y: Tensor, k: int, exclude_self: bool
) -> tuple[Tensor, Tensor]:
    squared, rows = chunk.squared, torch.arange(len(chunk.squared), device=x.device)
    if exclude_self:
        squared[rows, rows + chunk.start] = torch.inf
    indices = squared.topk(k, largest=False).indices
    part = x[chunk.start : chunk.start + len(rows)].double()
    columns = [(part - y[column].double()).norm(dim=1) for column in indices.unbind(1)]
    values, order = torch.stack(columns, 1).sort(stable=True, dim=1)
    return values, indices.gather(1, order)
