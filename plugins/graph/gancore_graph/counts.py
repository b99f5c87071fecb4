"""Sparse counts of the pairs that walks step over, by sorted numbers of pairs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gancore_graph.canonical import keys_of, pairs_of


@dataclass(frozen=True)
class PairCounts:
    """How often each unordered pair of ``nodes`` nodes was seen: ``keys`` (count), in order; ``counts``."""

    keys: Tensor
    counts: Tensor
    nodes: int

    @classmethod
    def empty(cls, nodes: int, device: torch.device) -> PairCounts:
        none = torch.zeros(0, dtype=torch.int64, device=device)
        return cls(none, none, nodes)

    def add_walks(self, walks: Tensor) -> PairCounts:
        """With the steps of walks (batch, length): S + S^T of NetGAN, without its diagonal."""
        steps = torch.stack([walks[:, :-1].reshape(-1), walks[:, 1:].reshape(-1)], 1)
        keys = keys_of(steps[steps[:, 0] != steps[:, 1]], self.nodes)
        seen, counts = torch.unique(keys, return_counts=True)
        return self.add(PairCounts(seen, counts, self.nodes))

    def add(self, other: PairCounts) -> PairCounts:
        keys, numbers = torch.unique(torch.cat([self.keys, other.keys]), return_inverse=True)
        counts = torch.zeros_like(keys).index_add_(0, numbers, torch.cat([self.counts, other.counts]))
        return PairCounts(keys, counts, self.nodes)

    @property
    def pairs(self) -> Tensor:
        """(count, 2), u < v."""
        return pairs_of(self.keys, self.nodes)

    def of_pairs(self, pairs: Tensor) -> Tensor:
        """The counts of pairs (any, 2), int64; 0 of those that were not seen."""
        if not len(self.keys):
            return torch.zeros(len(pairs), dtype=torch.int64, device=pairs.device)
        wanted = keys_of(pairs, self.nodes)
        at = torch.searchsorted(self.keys, wanted).clamp(max=len(self.keys) - 1)
        return torch.where(self.keys[at] == wanted, self.counts[at], 0)
