"""Steps of walks of second order (node2vec), of a whole batch at once, by darts that rarely miss.

As in KnightKing (Yang et al. 2019): the board of a walk at a node of d neighbours is d columns as high as the
largest weight of a neighbour that is not where the walk comes from; what of the weight of going back is above
that is a column of its own. Darts below the smallest weight hit whatever their column is; for the others a
pair of nodes is looked up in a table of edges.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

SLOTS_AN_EDGE, MOST_SLOTS = 4, 1 << 27
"""Of a table, before they are rounded up to a power of two."""
FIRST, SECOND, GOLDEN = -4658895280553007687, -7723592293110705685, -7046029254386353131
"""Multipliers of SplitMix64 (Steele et al. 2014) and the golden ratio, as signed 64-bit integers."""
UNIT, MASK = 2.0**-24, (1 << 24) - 1


class EdgeTable:
    """A set of pairs of nodes in tables of hashes. Of pairs with one slot one is there, the others are in the
    next table: a slot that is empty ends a search, and few pairs need a second look.
    """

    def __init__(self, one: Tensor, other: Tensor, nodes: int) -> None:
        self.nodes = nodes
        self.tables: list[Tensor] = []
        keys = self._keys(one, other)
        while len(keys):
            size = 1 << (min(SLOTS_AN_EDGE * len(keys), MOST_SLOTS) - 1).bit_length()
            slots = self._slots(keys, size)
            table = torch.full((size,), -1, dtype=torch.int64, device=keys.device)
            table[slots] = keys
            self.tables.append(table)
            keys = keys[table[slots] != keys]

    @property
    def device(self) -> torch.device:
        return self.tables[0].device

    def are_edges(self, one: Tensor, other: Tensor) -> Tensor:
        """Of pairs (count), in either order, bool (count)."""
        keys = self._keys(one, other)
        found, open_rows = torch.zeros_like(keys, dtype=torch.bool), None
        for table in self.tables:
            there = table.index_select(0, self._slots(keys, len(table)))
            hits = there == keys
            if open_rows is None:
                found |= hits
            else:
                found[open_rows[hits]] = True
            left = (~hits & (there >= 0)).nonzero()[:, 0]
            if not len(left):
                break
            keys, open_rows = keys[left], left if open_rows is None else open_rows[left]
        return found

    def _keys(self, one: Tensor, other: Tensor) -> Tensor:
        """A number of each pair, whatever its order."""
        return torch.minimum(one, other).long().mul_(self.nodes).add_(torch.maximum(one, other))

    def _slots(self, keys: Tensor, size: int) -> Tensor:
        """By multiplication; tables differ in size, and so in the slots that pairs share."""
        bits = size.bit_length() - 1
        mixed = keys * (GOLDEN + 2 * bits)
        mixed ^= mixed >> 32
        return mixed.mul_(FIRST).bitwise_right_shift_(63 - bits).bitwise_and_(size - 1)


def uniform_pair(seeds: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """The ``number``-th pair of numbers in [0, 1), of 24 bits, of each of ``seeds`` (count) int64."""
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
