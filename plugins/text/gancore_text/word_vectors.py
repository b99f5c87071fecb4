"""Vectors of tokens from their neighbours: a table that no game trains."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, normalize

CONTEXTS = 256
"""Tokens that count as neighbours: the ids from 0 on, which are the most frequent of words."""
OFFSETS = (-2, -1, 1, 2)


class WordVectors(nn.Module):
    """A table of unit vectors, (vocab_size, size), which :meth:`fit` sets and nothing else changes.

    Of each vector, ``random_share`` of the squared length is random and the rest follows from the neighbours
    of the token, so that similar tokens are near each other, and no two tokens are the same.
    """

    def __init__(self, vocab_size: int, size: int, random_share: float = 0.5) -> None:
        super().__init__()
        self.random_share = random_share
        self.table: Tensor
        start = normalize(torch.randn(vocab_size, size), dim=1)
        self.register_buffer("table", start)

    @torch.no_grad()
    def fit(self, tokens: Tensor) -> None:
        """From the sequences of train, ids (rows, time) that end with 0."""
        vocab_size, size = self.table.shape
        informed = neighbour_vectors(tokens, vocab_size, size).to(self.table)
        share = self.random_share
        mixed = share**0.5 * normalize(self.table, dim=1) + (1 - share) ** 0.5 * informed
        self.table.copy_(normalize(mixed, dim=1))

    def embed(self, tokens: Tensor) -> Tensor:
        """Ids (...) to vectors (..., size)."""
        return embedding(tokens, self.table)

    def nearest(self, vectors: Tensor) -> Tensor:
        """Vectors (..., size) to the ids of the nearest rows, (...)."""
        return (vectors @ self.table.T).argmax(-1)

    def distances(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Euclidean distances (...) of vectors (..., size) to the nearest row and to the second nearest."""
        products = (vectors @ self.table.T).topk(2, -1).values
        squares = vectors.square().sum(-1, keepdim=True) + 1 - 2 * products
        nearest, second = squares.clamp_min(0).sqrt().unbind(-1)
        return nearest, second


def neighbour_vectors(tokens: Tensor, vocab_size: int, size: int) -> Tensor:
    """Unit vectors (vocab_size, size), float64: the leading singular vectors of positive pointwise mutual
    information between tokens and their neighbours at each offset (Levy and Goldberg 2014), times the roots
    of their singular values. Tokens without neighbours have the zero vector.
    """
    counts = torch.zeros(vocab_size, len(OFFSETS) * CONTEXTS, dtype=torch.float64)
    for number, offset in enumerate(OFFSETS):
        left, right = tokens[:, : tokens.shape[1] - abs(offset)], tokens[:, abs(offset) :]
        centre, other = (left, right) if offset > 0 else (right, left)
        counted = (other < CONTEXTS) & ((left != 0) | (right != 0))  # not the padding's neighbours
        column = number * CONTEXTS + other[counted]
        ones = torch.ones(len(column), dtype=torch.float64)
        counts.index_put_((centre[counted], column), ones, accumulate=True)
    expected = counts.sum(1, keepdim=True) * counts.sum(0) / counts.sum().clamp_min(1)
    information = torch.where(counts > 0, (counts / expected.clamp_min(1e-12)).log(), 0.0).clamp_min(0)
    values, vectors = torch.linalg.eigh(information.T @ information)
    leading = vectors[:, -size:] * values[-size:].clamp_min(1e-12) ** -0.25
    found = torch.zeros(vocab_size, size, dtype=torch.float64)
    found[:, : leading.shape[1]] = information @ leading
    return normalize(found, dim=1)
