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
    """|x_i - y_j|^2 = |x_i|^2 + |y_j|^2 - 2 x_i . y_j in float64, about the mean of y; rows of x chunked.

    A chunk holds until the next one, which is written in its place: small results that are kept between
    separate allocations would fragment the heap by as much as the matrix of all distances.
    """
    centre = y.double().mean(0)
    y = y.double() - centre
    y_norms = y.square().sum(1)
    height = max(1, entries // max(len(y), 1))
    squared, tolerance = y.new_empty(2, min(height, len(x)), len(y))
    for start in range(0, len(x), height):
        part = x[start : start + height].double() - centre
        norms = torch.add(part.square().sum(1, keepdim=True), y_norms, out=tolerance[: len(part)])
        torch.addmm(norms, part, y.T, alpha=-2, out=squared[: len(part)])
        yield DistanceChunk(start, squared[: len(part)].clamp_min_(0), norms.mul_(ROUNDING))


# Nearest rows. Products of matrices in float32 select candidates, with a bound of their error; differences in
# float64 decide between these. A row with more candidates than CANDIDATES is searched in float64 as a whole.

FLOAT32_ROUNDING = 2.0**-24
COLUMNS_AT_ONCE = 512
"""Coordinates of one product in float32: the error bound grows with their number."""
CANDIDATES = 16
"""Candidates beyond k that are kept for each row."""
LARGEST = 1e9
"""Rows of larger numbers are searched in float64."""
MIN_COLUMNS = 512
"""Coordinates from which float32 saves more than the check of the candidates costs."""
PAIR_ENTRIES = 2_000_000
"""Coordinates of the candidates that are compared at once: 16 MB in float64."""


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
    if len(y) <= k + CANDIDATES + exclude_self or not (_suits_float32(x) and _suits_float32(y)):
        return _nearest_in_float64(x, y, k, torch.arange(len(x), device=x.device), exclude_self, entries)
    values = torch.empty(len(x), k, dtype=torch.float64)
    indices = torch.empty(len(x), k, dtype=torch.int64)
    missed = [torch.empty(0, dtype=torch.int64)]
    for chunk in _lower_bounds(x, y, exclude_self, entries):
        rows = slice(chunk.start, chunk.start + len(chunk.squared))
        columns, is_candidate = _candidates(chunk, k)
        values[rows], indices[rows] = _nearest_candidates(x[rows], y, columns, is_candidate, k)
        missed.append(is_candidate.all(1).nonzero().flatten() + chunk.start)
    if len(rest := torch.cat(missed)):
        values[rest], indices[rest] = _nearest_in_float64(x[rest], y, k, rest, exclude_self, entries)
    return values, indices


def _suits_float32(rows: Tensor) -> bool:
    """Whether products in float32 are bounded, and save time on the processor."""
    is_wide = rows.device.type == "cpu" and rows.shape[1] >= MIN_COLUMNS
    if not (is_wide and rows.dtype in (torch.float32, torch.float64) and len(rows)):
        return False
    low, high = rows.aminmax()
    return float(low) > -LARGEST and float(high) < LARGEST  # false for NaN


def _lower_bounds(x: Tensor, y: Tensor, exclude_self: bool, entries: int) -> Iterator[DistanceChunk]:
    """Chunks whose ``squared`` are lower bounds in float32, and plus ``tolerance`` upper bounds.

    Rows are taken about the mean of y. With u = 2^-24 and N = |x|^2 + |y|^2, a product over b columns is off
    by at most b u |x||y|, 2 |x||y| <= N (Higham 2002, 3.1, for sums in any order); the sums over the p
    products, the norms and the rounding of the rows by (4 p + 12) u N. The absolute term is for numbers below
    the smallest normal one, times at most twice :data:`LARGEST`.
    """
    d, centre = x.shape[1], y.mean(0)
    y = (y - centre).float()
    y_norms = y.square().sum(1, dtype=torch.float64)
    bound = 1.01 * FLOAT32_ROUNDING * (min(d, COLUMNS_AT_ONCE) + 4 * -(-d // COLUMNS_AT_ONCE) + 12)
    height = max(1, entries // len(y))
    products = torch.empty(min(height, len(x)), len(y))
    for start in range(0, len(x), height):
        part = (x[start : start + height] - centre).float()
        norms = (part.square().sum(1, keepdim=True, dtype=torch.float64) + y_norms).float()
        tolerance = norms * (2 * bound) + 2e-28 * d
        squared = norms - tolerance / 2
        for first in range(0, d, COLUMNS_AT_ONCE):
            columns = slice(first, first + COLUMNS_AT_ONCE)
            torch.mm(part[:, columns], y[:, columns].T, out=products[: len(part)])
            squared.sub_(products[: len(part)], alpha=2)
        if exclude_self:
            squared.diagonal(start).fill_(torch.inf)
        yield DistanceChunk(start, squared, tolerance)


def _candidates(chunk: DistanceChunk, k: int) -> tuple[Tensor, Tensor]:
    """Columns (rows, k + CANDIDATES) of the least lower bounds, ascending, and which of them may be among the
    k nearest: all others are farther than the k-th upper bound, unless all of these may be.
    """
    lower, columns = chunk.squared.topk(k + CANDIDATES, largest=False)
    upper = (lower + chunk.tolerance.gather(1, columns))[:, :k].amax(1, keepdim=True)
    return columns, lower <= upper * (1 + 4 * FLOAT32_ROUNDING)


def _nearest_candidates(
    x: Tensor, y: Tensor, columns: Tensor, is_candidate: Tensor, k: int
) -> tuple[Tensor, Tensor]:
    """Distances and indices (n, k) of the nearest among the candidates."""
    distances = torch.full(columns.shape, torch.inf, dtype=torch.float64)
    rows, places = is_candidate.nonzero().unbind(1)
    at_once = max(1, PAIR_ENTRIES // x.shape[1])
    for row, place in zip(torch.split(rows, at_once), torch.split(places, at_once), strict=True):
        distances[row, place] = (x[row].double() - y[columns[row, place]].double()).norm(dim=1)
    values, order = distances.sort(stable=True, dim=1)
    return values[:, :k], columns.gather(1, order[:, :k])


def _nearest_in_float64(
    x: Tensor, y: Tensor, k: int, own: Tensor, exclude_self: bool, entries: int
) -> tuple[Tensor, Tensor]:
    """``own`` (n): the number of each row of x in y, which ``exclude_self`` leaves out."""
    distances = torch.empty(len(x), k, dtype=torch.float64, device=x.device)
    nearest_rows = torch.empty(len(x), k, dtype=torch.int64, device=x.device)
    for chunk in distance_chunks(x, y, entries):
        squared, rows = chunk.squared, slice(chunk.start, chunk.start + len(chunk.squared))
        if exclude_self:
            squared.scatter_(1, own[rows, None], torch.inf)
        indices = squared.topk(k, largest=False).indices
        part = x[rows].double()
        columns = [(part - y[column].double()).norm(dim=1) for column in indices.unbind(1)]
        values, order = torch.stack(columns, 1).sort(stable=True, dim=1)
        distances[rows], nearest_rows[rows] = values, indices.gather(1, order)
    return distances, nearest_rows
