"""Held-out edges of one graph, and as many pairs that are no edges, for link prediction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import minimum_spanning_tree

from gancore.errors import DataError
from gancore_graph.config import GraphConfig
from gancore_graph.graph import Graph, Ints, pair_keys, unpack_keys

PUBLISHED = ("train_ones", "val_ones", "val_zeros", "test_ones", "test_zeros")
"""The arrays of NetGAN's file of a split: pairs of node numbers, in both directions."""


@dataclass(frozen=True)
class LinkSplit:
    """Edges (count, 2) of each split, apart from each other, and pairs of nodes that are no edges."""

    train: Ints
    valid: Ints
    test: Ints
    valid_non_edges: Ints
    test_non_edges: Ints
    notes: tuple[str, ...] = ()


def draw_split(graph: Graph, config: GraphConfig) -> LinkSplit:
    """Held out are edges outside a random spanning tree of each component, so that train stays connected.

    As many pairs that are no edges of the whole graph are drawn uniformly: once, then divided. A pure
    function of the graph and of ``config.seed``.

    Raises:
        DataError: fewer than two edges are outside the spanning trees, or fewer than two pairs are no edges.
    """
    rng = np.random.default_rng([config.seed, graph.nodes, len(graph.edges)])
    free = np.flatnonzero(~spanning_edges(graph, rng))
    wanted = [
        max(1, round(share * len(graph.edges))) for share in (config.valid_fraction, config.test_fraction)
    ]
    missing = graph.nodes * (graph.nodes - 1) // 2 - len(graph.edges)
    if min(len(free), missing) < 2:
        raise DataError(
            f"of {len(graph.edges):,} edges {len(free):,} can be held out with all nodes connected, and "
            f"{missing:,} pairs of nodes are no edges",
            "give a graph with cycles that is not complete",
        )
    most = min(len(free), missing)
    notes = []
    if sum(wanted) > most:
        notes.append(f"held out: {most:,} edges instead of {sum(wanted):,}; the others keep train connected")
        valid = min(most - 1, max(1, round(most * wanted[0] / sum(wanted))))
        wanted = [valid, most - valid]
    held = rng.permutation(free)[: sum(wanted)]
    in_valid, in_test = np.sort(held[: wanted[0]]), np.sort(held[wanted[0] :])
    train = np.ones(len(graph.edges), dtype=bool)
    train[held] = False
    none = draw_non_edges(graph, sum(wanted), rng)
    return LinkSplit(
        graph.edges[train],
        graph.edges[in_valid],
        graph.edges[in_test],
        none[: wanted[0]],
        none[wanted[0] :],
        tuple(notes),
    )


def spanning_edges(graph: Graph, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which edges are in a spanning tree of their component: the minimal one of random weights."""
    weights = rng.permutation(len(graph.edges)) + 1.0
    matrix = csr_array((weights, (graph.edges[:, 0], graph.edges[:, 1])), shape=(graph.nodes, graph.nodes))
    tree = minimum_spanning_tree(matrix).tocoo()
    return np.isin(weights, tree.data)


def draw_non_edges(graph: Graph, count: int, rng: np.random.Generator) -> Ints:
    """``count`` different pairs (count, 2), u < v, uniform among those that are no edges, in random order."""
    nodes, edges = graph.nodes, pair_keys(graph.edges, graph.nodes)
    every = nodes * (nodes - 1) // 2
    if every - len(edges) < 4 * count and every < 50_000_000:
        u, v = np.triu_indices(nodes, 1)
        rest = np.setdiff1d(u.astype(np.int64) * nodes + v, edges, assume_unique=True)
        return unpack_keys(rng.permutation(rest)[:count], nodes)
    found = np.zeros(0, dtype=np.int64)
    while len(found) < count:
        drawn = rng.integers(0, nodes, (2 * count + 16, 2))
        keys = pair_keys(drawn[drawn[:, 0] != drawn[:, 1]], nodes)
        keys = np.concatenate([found, keys[~np.isin(keys, edges)]])
        found = keys[np.sort(np.unique(keys, return_index=True)[1])]
    return unpack_keys(found[:count], nodes)


def published_split(graph: Graph, arrays: Mapping[str, NDArray[Any]], name: str) -> LinkSplit:
    """The split in a file of NetGAN's kind, which counts the nodes of the largest component.

    Raises:
        DataError: it has other arrays, or it is not one of this graph.
    """
    if missing := [key for key in PUBLISHED if key not in arrays]:
        raise DataError(f"{name} has no {missing[0]}", f"give an npz with {', '.join(PUBLISHED)}")
    pairs = [arrays[key].astype(np.int64) for key in PUBLISHED]
    if any(p.ndim != 2 or p.shape[1] != 2 or p.min() < 0 or p.max() >= graph.nodes for p in pairs):
        raise DataError(
            f"{name} holds other pairs than those of {graph.nodes:,} nodes", "give the split's graph"
        )
    train, valid, valid_none, test, test_none = (np.unique(pair_keys(p, graph.nodes)) for p in pairs)
    ones = np.concatenate([train, valid, test])
    whole = pair_keys(graph.edges, graph.nodes)
    if len(np.unique(ones)) != len(ones) or not np.array_equal(np.sort(ones), whole):
        raise DataError(f"{name}: its edges are not those of the graph", "give the split's graph")
    if np.isin(np.concatenate([valid_none, test_none]), whole).any():
        raise DataError(f"{name}: a pair that should be no edge is one", "give the split's graph")
    shared = int(np.isin(valid_none, test_none).sum())
    notes = (f"published split: {shared} pairs are no edges of both valid and test",) if shared else ()
    parts = [unpack_keys(keys, graph.nodes) for keys in (train, valid, test, valid_none, test_none)]
    return LinkSplit(parts[0], parts[1], parts[2], parts[3], parts[4], notes)
