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
"""By how much of |x|^2 + |y|^2 a squared distance from a product of matrices may be off."""


class Chunk(NamedTuple):
    """Squared distances (rows, m) of rows ``start``... of x to all of y, and how far off each may be."""

    start: int
    squared: Tensor
    rounding: Tensor

    def within(self, radii: Tensor) -> Tensor:
        """(rows, m) booleans: d <= radius; radii are (rows, 1) or (m). What ties to rounding is within."""
        return self.squared <= radii.square() + self.rounding


def chunks(x: Tensor, y: Tensor, entries: int = CHUNK_ENTRIES) -> Iterator[Chunk]:
    """|x_i - y_j|^2 = |x_i|^2 + |y_j|^2 - 2 x_i . y_j in float64, about the mean of y; rows of x chunked."""
    centre = y.double().mean(0)
    y = y.double() - centre
    y_norms = y.square().sum(1)
    height = max(1, entries // max(len(y), 1))
    for start in range(0, len(x), height):
        part = x[start : start + height].double() - centre
        norms = part.square().sum(1, keepdim=True) + y_norms
        yield Chunk(start, torch.addmm(norms, part, y.T, alpha=-2).clamp_min_(0), norms.mul_(ROUNDING))


def nearest(
    x: Tensor, y: Tensor, k: int, exclude_self: bool = False, entries: int = CHUNK_ENTRIES
) -> tuple[Tensor, Tensor]:
    """The k nearest rows of y (m, d) for each row of x (n, d): distances and indices (n, k), nearest first.

    ``exclude_self``: x is y, and no row is its own neighbour (a duplicate of it is, at 0). The distances
    are those of the differences, in float64: exactly 0 for equal rows, and the same whatever the chunks.
    """
    there = len(y) - exclude_self
    if not 1 <= k <= there:
        raise ConfigError(f"{k} nearest of {there} others", f"give at least {k + exclude_self} samples")
    found = [_nearest_in(chunk, x, y, k, exclude_self) for chunk in chunks(x, y, entries)]
    values, indices = (torch.cat(parts) for parts in zip(*found, strict=True))
    return values, indices


def _nearest_in(chunk: Chunk, x: Tensor, y: Tensor, k: int, exclude_self: bool) -> tuple[Tensor, Tensor]:
    squared, rows = chunk.squared, torch.arange(len(chunk.squared), device=x.device)
    if exclude_self:
        squared[rows, rows + chunk.start] = torch.inf
    indices = squared.topk(k, largest=False).indices
    mine = x[chunk.start : chunk.start + len(rows)].double()
    columns = [(mine - y[column].double()).norm(dim=1) for column in indices.unbind(1)]
    values, order = torch.stack(columns, 1).sort(stable=True, dim=1)
    return values, indices.gather(1, order)
