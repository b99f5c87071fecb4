"""Steps of walks of second order (node2vec), of a whole batch at once, by darts that seldom miss.

As in KnightKing (Yang et al. 2019): the board of a walk at a node of d neighbours is d columns as high as the
largest weight of a neighbour that is not where the walk comes from; what of the weight of going back is above
that is a column of its own. Darts below the smallest weight hit whatever their column is, so that few pairs
of nodes are tested for an edge, and most of these by one look into a table of bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

BYTES_AN_EDGE, MOST_BYTES = 6, 1 << 29
"""Size of the table, before it is rounded up to a power of two."""
FIRST, SECOND, GOLDEN = -4658895280553007687, -7723592293110705685, -7046029254386353131
"""Multipliers of SplitMix64 (Steele et al. 2014) and the golden ratio, as signed 64-bit integers."""
UNIT, MASK = 2.0**-24, (1 << 24) - 1


class EdgeTable:
    """Which pairs of nodes may be edges: a hash of each edge is marked in a table.

    A pair that is not marked is no edge; one that is marked may be another.
    """

    def __init__(self, one: Tensor, other: Tensor) -> None:
        self.bits = min(BYTES_AN_EDGE * max(1, len(one)), MOST_BYTES).bit_length()
        self.marks = torch.zeros(1 << self.bits, dtype=torch.bool, device=one.device)
        self.marks[self._hash(one, other)] = True

    def may_be_edges(self, one: Tensor, other: Tensor) -> Tensor:
        """(count) bool, of pairs (count) in either order."""
        return self.marks.index_select(0, self._hash(one, other))

    def _hash(self, one: Tensor, other: Tensor) -> Tensor:
        """Of the sum and the product, which the pair decides and its order does not."""
        one, other = one.long(), other.long()
        mixed = (one * other).mul_(FIRST).add_((one + other).mul_(GOLDEN))
        mixed ^= mixed >> 29
        return mixed.mul_(SECOND).bitwise_right_shift_(63 - self.bits).bitwise_and_((1 << self.bits) - 1)


def uniform_pair(seeds: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """Two numbers in [0, 1) of 24 bits, float32, of each of ``seeds`` (count) int64: the ``number``-th pair."""
    mixed = seeds + (number * GOLDEN + 2**63) % 2**64 - 2**63
    for shift, factor in ((30, FIRST), (27, SECOND)):
        mixed ^= (mixed >> shift) & ((1 << (64 - shift)) - 1)
        mixed *= factor
    mixed ^= (mixed >> 31) & ((1 << 33) - 1)
    return ((mixed >> 40) & MASK) * UNIT, ((mixed >> 12) & MASK) * UNIT


@dataclass(frozen=True)
class Board:
    """Weights of a step from t over v to x: ``back`` if x is t, 1 if x is a neighbour of t, else ``far``."""

    back: float
    far: float

    @classmethod
    def of(cls, p: float, q: float) -> Board:
        return cls(1 / p, 1 / q)

    @property
    def height(self) -> float:
        """Of the column of a neighbour."""
        return max(1.0, self.far)

    @property
    def extra(self) -> float:
        """Width of the column of going back that is beside the others."""
        return max(0.0, self.back - self.height) / self.height

    def hits(self, at: Tensor, is_back: Tensor) -> tuple[Tensor, Tensor]:
        """(hit, open): of darts at the heights ``at`` (count) those that hit; and those that hit, or miss, if
        x is a neighbour of t: see :attr:`near_hits`.
        """
        certain, middle = min(1.0, self.far), (at >= min(1.0, self.far)) & ~is_back
        hit = torch.where(is_back, at < min(self.back, self.height), at < certain)
        return hit, middle

    @property
    def near_hits(self) -> bool:
        """Whether an open dart hits a neighbour of t, and misses others; else the reverse."""
        return self.far < 1
