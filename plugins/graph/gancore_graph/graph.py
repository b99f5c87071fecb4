"""Undirected simple graphs as arrays: from listed pairs of nodes, and their components."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from gancore.errors import DataError
from gancore.text import count_noun

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Arcs:
    """Pairs of nodes as a file lists them.

    ``pairs`` (count, 2): numbers of nodes, from 0. ``names`` (nodes): what the file calls them, int64 or
    text.
    ``directed``: what the file says of itself; None: it does not say. ``notes``: what was not read.
    """

    pairs: Ints
    names: NDArray[np.generic]
    directed: bool | None = None
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Graph:
    """An undirected graph without loops: ``edges`` (count, 2), u < v, in order, each once.

    ``names`` (nodes): what the source calls them.
    """

    edges: Ints
    names: NDArray[np.generic]
    notes: Sequence[str] = field(default=(), compare=False)

    @property
    def nodes(self) -> int:
        return len(self.names)

    def adjacency(self) -> csr_array:
        """(nodes, nodes), symmetric, of ones."""
        return adjacency(self.edges, self.nodes)

    def degrees(self) -> Ints:
        return np.bincount(self.edges.ravel(), minlength=self.nodes)

    def restricted(self, kept: NDArray[np.bool_]) -> Graph:
        """The subgraph of the nodes that ``kept`` (nodes) marks."""
        number = np.cumsum(kept) - 1
        edges = self.edges[kept[self.edges].all(1)]
        return Graph(number[edges], self.names[kept], self.notes)


def adjacency(edges: Ints, nodes: int) -> csr_array:
    """Symmetric (nodes, nodes), of ones, of edges (count, 2)."""
    ends = np.concatenate([edges, edges[:, ::-1]])
    ones = np.ones(len(ends), dtype=np.int8)
    return csr_array((ones, (ends[:, 0], ends[:, 1])), shape=(nodes, nodes))


def pair_keys(edges: Ints, nodes: int) -> Ints:
    """One number for each unordered pair, u * nodes + v with u < v; it sorts as the pairs do."""
    return np.minimum(edges[:, 0], edges[:, 1]) * nodes + np.maximum(edges[:, 0], edges[:, 1])


def unpack_keys(keys: Ints, nodes: int) -> Ints:
    """The pairs (count, 2) of :func:`pair_keys`."""
    return np.stack(np.divmod(keys, nodes), 1)


def number_names(names: NDArray[np.generic]) -> tuple[NDArray[np.generic], Ints]:
    """The different names in order (numbers by size, texts by alphabet), and the number of each entry."""
    different, numbers = np.unique(names, return_inverse=True)
    return different, numbers.reshape(names.shape).astype(np.int64)


def require_edges(arcs: Arcs, name: str) -> Ints:
    """The pairs (count, 2) that are no self-loops. Raises DataError: there is none."""
    looped: NDArray[np.bool_] = arcs.pairs[:, 0] == arcs.pairs[:, 1]
    if looped.all():
        what = f"{name} lists {count_noun(len(looped), 'self-loop')} and no edge between two nodes"
        raise DataError(
            what if len(looped) else f"{name} has no edges",
            "give a graph with edges, a pair of nodes a line",
        )
    return arcs.pairs[~looped]


def make_graph(arcs: Arcs, name: str, refuse_directed: bool = False) -> Graph:
    """Each pair becomes one undirected edge; loops and repetitions are dropped, and counted in the notes.

    Raises:
        DataError: no edge is left, or the pairs are directed and ``refuse_directed``.
    """
    nodes, pairs = len(arcs.names), require_edges(arcs, name)
    listed = np.unique(pairs[:, 0] * nodes + pairs[:, 1])
    keys = np.unique(pair_keys(pairs, nodes))
    both = len(listed) - len(keys)
    said, mixed = _direction(arcs.directed, len(pairs), len(listed), len(keys), both)
    if mixed and refuse_directed:
        raise DataError(f"{name} is directed ({said})", "set data.directed=symmetrise to drop the directions")
    notes = [said, *arcs.notes]
    if looped := len(arcs.pairs) - len(pairs):
        notes.append(f"self-loops: {looped:,}, left out")
    if repeated := len(pairs) - len(listed):
        notes.append(f"repeated pairs: {repeated:,}, each edge is kept once, without weight")
    return Graph(unpack_keys(keys, nodes), arcs.names, tuple(notes))


def _direction(directed: bool | None, pairs: int, listed: int, edges: int, both: int) -> tuple[str, bool]:
    """What to say of the direction of edges, and whether the listing is that of a directed graph."""
    if both == edges:
        return f"direction: both directions of all {edges:,} edges are listed", False
    if directed is False or (directed is None and both == 0):
        return f"direction: {count_noun(edges, 'edge')}, each listed once, read as undirected", False
    return (
        f"direction: {count_noun(listed, 'arc')}, {both:,} pairs in both directions; "
        f"made undirected: {count_noun(edges, 'edge')}",
        True,
    )


def largest_component(graph: Graph) -> Graph:
    """The nodes of the largest connected component; of equal ones that with the smallest node number."""
    count, labels = connected_components(graph.adjacency(), directed=False)
    if count == 1:
        return graph
    sizes = np.bincount(labels)
    kept = labels == sizes.argmax()
    left = graph.restricted(kept)
    note = (
        f"components: {count:,}; the largest is kept, {left.nodes:,} of {graph.nodes:,} nodes, "
        f"{len(left.edges):,} of {len(graph.edges):,} edges"
    )
    return Graph(left.edges, left.names, (*graph.notes, note))
