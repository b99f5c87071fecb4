"""A softmax over many nodes in two levels: a cluster, then a node of it; exactly normalised.

With about sqrt(N) clusters of equal size, a row takes 2 sqrt(N) exponentials in place of N (Goodman 2001).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import reverse_cuthill_mckee
from torch import Tensor

from gancore_graph.graph import Ints, adjacency

CHUNK_NUMBERS = 1 << 21
"""Logits that are in memory at once."""


@dataclass(frozen=True)
class Gradients:
    """Of the mean of -log p over pairs: by the rows ``u`` of these pairs' first nodes, (pairs, rank), and by
    all of ``clusters`` (clusters, rank) and ``v`` (nodes, rank)."""

    u: Tensor
    clusters: Tensor
    v: Tensor


@dataclass(frozen=True)
class TwoLevelSoftmax:
    """p(j | u) = exp(u a_c) / sum over clusters · exp(u v_j) / sum over the nodes of c, c that of j.

    Nodes are named by their place (nodes): cluster c has the places from c ``size`` on, the last one maybe
    fewer. ``clusters`` (clusters, rank): a; ``v`` (nodes, rank).
    """

    clusters: Tensor
    v: Tensor
    size: int

    def log_prob(self, u: Tensor, places: Tensor) -> Tensor:
        """log p of ``places`` (rows), given ``u`` (rows, rank), (rows)."""
        own = places // self.size
        found = torch.empty(len(u), dtype=u.dtype, device=u.device)
        for part in self._chunks(len(u)):
            logits = u[part] @ self.clusters.T
            found[part] = logits.gather(1, own[part, None])[:, 0] - logits.logsumexp(1)
        for rows, cluster in self.groups(own):
            logits = u[rows] @ self._of_cluster(cluster).T
            within = places[rows] - cluster * self.size
            found[rows] += logits.gather(1, within[:, None])[:, 0] - logits.logsumexp(1)
        return found

    def draw(self, u: Tensor, uniform: Tensor) -> Tensor:
        """A place of each row of ``u`` (rows, rank), by two numbers of ``uniform`` (rows, 2), (rows)."""
        own = torch.empty(len(u), dtype=torch.int64, device=u.device)
        for part in self._chunks(len(u)):
            own[part] = _quantile(u[part] @ self.clusters.T, uniform[part, 0])
        places = torch.empty_like(own)
        for rows, cluster in self.groups(own):
            logits = u[rows] @ self._of_cluster(cluster).T
            places[rows] = cluster * self.size + _quantile(logits, uniform[rows, 1])
        return places

    def gradients(self, u: Tensor, places: Tensor) -> Gradients:
        """Of the mean of -log p of ``places`` (rows), given ``u`` (rows, rank)."""
        own, weight = places // self.size, 1 / len(u)
        by_u = torch.empty_like(u)
        by_clusters, by_v = torch.zeros_like(self.clusters), torch.zeros_like(self.v)
        for part in self._chunks(len(u)):
            chances = (u[part] @ self.clusters.T).softmax(1)
            by_u[part] = chances @ self.clusters - self.clusters[own[part]]
            by_clusters += chances.T @ u[part]
        by_clusters.index_add_(0, own, u, alpha=-1)
        for rows, cluster in self.groups(own):
            of_cluster, given = self._of_cluster(cluster), u[rows]
            chances = (given @ of_cluster.T).softmax(1)
            by_u[rows] += chances @ of_cluster
            by_v[cluster * self.size : cluster * self.size + len(of_cluster)] += chances.T @ given
        by_u -= self.v[places]
        by_v.index_add_(0, places, u, alpha=-1)
        return Gradients(by_u * weight, by_clusters * weight, by_v * weight)

    def groups(self, own: Tensor) -> Iterator[tuple[Tensor, int]]:
        """(rows of a cluster, the cluster) for the clusters ``own`` (rows) that there are, in parts."""
        order = own.argsort(stable=True)
        clusters, counts = torch.unique_consecutive(own[order], return_counts=True)
        most = max(1, CHUNK_NUMBERS // self.size)
        parts = torch.split(order, counts.tolist())
        for cluster, rows in zip(clusters.tolist(), parts, strict=True):
            yield from ((part, cluster) for part in torch.split(rows, most))

    def _of_cluster(self, cluster: int) -> Tensor:
        return self.v[cluster * self.size : (cluster + 1) * self.size]

    def _chunks(self, rows: int) -> Iterator[slice]:
        step = max(1, CHUNK_NUMBERS // len(self.clusters))
        return (slice(at, min(at + step, rows)) for at in range(0, rows, step))


def _quantile(logits: Tensor, uniform: Tensor) -> Tensor:
    """The class of each row of ``logits`` at the quantile ``uniform`` (rows) of their softmax, (rows)."""
    sums = (logits - logits.amax(1, keepdim=True)).exp_().cumsum(1)
    total = sums[:, -1]
    wanted = torch.minimum(uniform * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(sums, wanted[:, None], right=True)[:, 0]


def cluster_size(nodes: int) -> int:
    """Nodes of a cluster: the root of ``nodes``, rounded up."""
    return math.isqrt(nodes - 1) + 1


def places_of_nodes(edges: Ints, nodes: int) -> Ints:
    """The place of each node, (nodes), such that neighbours are near: reverse Cuthill-McKee, O(edges)."""
    matrix = csr_matrix(adjacency(edges, nodes))
    places = np.empty(nodes, dtype=np.int64)
    places[reverse_cuthill_mckee(matrix, symmetric_mode=True)] = np.arange(nodes)
    return places
