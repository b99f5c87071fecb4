"""Exact numbers of triangles and of cycles of four nodes, by products of sparse matrices.

Nodes are ranked by degree, and each subgraph is counted from one of its nodes, so that the work of an edge is
the smaller degree of its ends (Chiba and Nishizeki 1985): hubs cost little. Products are made by blocks of
rows; all counts are 64-bit.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from gancore_graph.graph import Graph, Ints, adjacency

BLOCK_TERMS = 10_000_000
"""Products of entries in a block: about 200 MB."""


def triangles_of_nodes(graph: Graph) -> Ints:
    """In how many triangles each node is, (nodes)."""
    ranked, order = _rank(graph)
    up = _upward(ranked, graph.nodes)  # from the lower to the higher rank
    counts = np.zeros(graph.nodes, dtype=np.int64)
    for first, last, block in _blocks(up, up):  # u to v to w, where u to w is an edge, too
        closed = block.multiply(up[first:last])
        counts[first:last] += np.asarray(closed.sum(1), dtype=np.int64)
        counts += np.asarray(closed.sum(0), dtype=np.int64)
    for first, last, block in _blocks(csr_array(up.T), up):  # v from u to w, where v to w is an edge
        counts[first:last] += np.asarray(block.multiply(up[first:last]).sum(1), dtype=np.int64)
    found = np.empty_like(counts)
    found[order] = counts
    return found


def count_four_cycles(graph: Graph) -> int:
    """Cycles a-b-c-d-a of four different nodes, with chords or without; each is counted once.

    From its node v of highest rank: v and the opposite node w share two nodes u of lower rank than v.
    """
    ranked, _ = _rank(graph)
    down = csr_array(_upward(ranked, graph.nodes).T)
    every = adjacency(ranked, graph.nodes).astype(np.int64)
    total = 0
    for first, last, block in _blocks(down, every):
        rows = np.repeat(np.arange(first, last), np.diff(block.indptr))
        shared = block.data[block.indices < rows]
        total += int((shared * (shared - 1) // 2).sum())
    return total


def _rank(graph: Graph) -> tuple[Ints, Ints]:
    """Edges between ranks by degree, the lower first; and the node of each rank, (nodes)."""
    order = np.lexsort((np.arange(graph.nodes), graph.degrees()))
    rank = np.empty_like(order)
    rank[order] = np.arange(graph.nodes)
    return np.sort(rank[graph.edges], axis=1), order


def _upward(ranked: Ints, nodes: int) -> csr_array:
    ones = np.ones(len(ranked), dtype=np.int64)
    return csr_array((ones, (ranked[:, 0], ranked[:, 1])), shape=(nodes, nodes))


def _blocks(left: csr_array, right: csr_array) -> Iterator[tuple[int, int, csr_array]]:
    """(first, last, rows first to last of left @ right), without blocks of zeros."""
    terms = np.concatenate([[0], np.cumsum(np.diff(right.indptr)[left.indices])])
    before: NDArray[np.int64] = terms[left.indptr]
    first = 0
    while first < left.shape[0]:
        last = int(np.searchsorted(before, before[first] + BLOCK_TERMS, side="right")) - 1
        last = min(max(last, first + 1), left.shape[0])
        if before[last] > before[first]:
            yield first, last, csr_array(left[first:last] @ right)
        first = last
