"""The characteristic path length: exact for graphs of some thousand nodes, else from drawn sources."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from gancore_graph.graph import Graph, Ints, largest_component

MOST_EXACT = 4096
"""Nodes of the largest component up to which all are sources."""
SOURCES = 512
"""Sources above that, drawn without replacement and by a fixed seed."""
BITS = 64


class PathLength(NamedTuple):
    """Mean distance of two nodes, its standard error over drawn sources (0: exact), and their number."""

    mean: float
    error: float
    sources: int


def characteristic_path_length(graph: Graph) -> PathLength:
    """Mean number of steps of the shortest path between two nodes of the largest component.

    NaN where no component has two nodes. NetGAN's is the mean over all pairs that a path joins, which is the
    same for a connected graph.
    """
    part = largest_component(graph)
    n = part.nodes
    if n < 2:
        return PathLength(float("nan"), 0.0, 0)
    sources = np.arange(n)
    if n > MOST_EXACT:
        sources = np.sort(np.random.default_rng(0).choice(n, SOURCES, replace=False))
    means = distance_sums(part.adjacency(), sources) / (n - 1)
    count = len(sources)
    error = float(means.std(ddof=1) / count**0.5 * (1 - count / n) ** 0.5) if count < n else 0.0
    return PathLength(float(means.mean()), error, count)


def distance_sums(matrix: csr_array, sources: Ints) -> Ints:
    """Of each source the sum of the distances to all nodes of a connected graph, (sources).

    Breadth-first from 64 sources at once: bit s of a node's word says whether source s has reached it.
    """
    sums = np.zeros(len(sources), dtype=np.int64)
    for first in range(0, len(sources), BITS):
        part = sources[first : first + BITS]
        for distance, reached in _rings(matrix, part):
            sums[first : first + BITS] += distance * _bit_counts(reached)[: len(part)]
    return sums


def _rings(matrix: csr_array, sources: Ints) -> Iterator[tuple[int, NDArray[np.uint64]]]:
    """(distance, words of the nodes that are at this distance) for up to 64 sources."""
    frontier = np.zeros(matrix.shape[0], dtype=np.uint64)
    np.bitwise_or.at(frontier, sources, np.uint64(1) << np.arange(len(sources), dtype=np.uint64))
    seen, distance = frontier.copy(), 0
    while frontier.any():
        if distance:
            yield distance, frontier
        reached = np.bitwise_or.reduceat(frontier[matrix.indices], matrix.indptr[:-1])
        frontier = reached & ~seen
        seen |= frontier
        distance += 1


def _bit_counts(words: NDArray[np.uint64]) -> Ints:
    """How many words have each of the 64 bits."""
    octets = words[words != 0].astype("<u8").view(np.uint8).reshape(-1, 8)
    counts: Ints = np.unpackbits(octets, axis=1, bitorder="little").sum(0, dtype=np.int64)
    return counts
