"""Graphs of other libraries in memory: networkx, scipy, torch-geometric."""

from __future__ import annotations

from typing import Any

import numpy as np

from gancore.errors import ConfigError
from gancore_graph.graph import Ints


def edge_array(graph: Any) -> Ints:
    """(count, 2) int64: the edges of a graph as integers, which ``gancore.train("graph", data=...)`` takes.

    ``graph``: a networkx graph (nodes are numbered in their order), a scipy sparse matrix, an object with
    ``edge_index`` (2, count) and ``num_nodes``, as ``torch_geometric.data.Data``, or an array of edges. A
    node without edges is a loop (i, i), so that it is not lost. Directions are kept; reading makes them
    undirected.

    Raises:
        ConfigError: it is none of these.
    """
    if hasattr(graph, "edge_index"):
        pairs = np.asarray(graph.edge_index.detach().cpu()).T.astype(np.int64)
        return _with_isolated(pairs, int(graph.num_nodes))
    if hasattr(graph, "edges") and hasattr(graph, "nodes"):
        number = {node: at for at, node in enumerate(graph.nodes)}
        pairs = np.array([(number[e[0]], number[e[1]]) for e in graph.edges], dtype=np.int64)
        return _with_isolated(pairs.reshape(-1, 2), len(number))
    if hasattr(graph, "tocoo"):
        matrix = graph.tocoo()
        kept = matrix.data != 0
        pairs = np.stack([matrix.row[kept], matrix.col[kept]], 1).astype(np.int64)
        return _with_isolated(pairs, max(matrix.shape))
    array = np.asarray(graph)
    if array.ndim == 2 and 2 in array.shape and array.dtype.kind in "iu":
        return (array if array.shape[1] == 2 else array.T).astype(np.int64)
    raise ConfigError(
        f"{type(graph).__name__} is no graph that is known here",
        "give a networkx graph, a scipy sparse matrix, Data of torch_geometric, or edges (count, 2)",
    )


def _with_isolated(pairs: Ints, nodes: int) -> Ints:
    degree = np.bincount(pairs.ravel(), minlength=nodes)
    lonely = np.flatnonzero(degree == 0)
    return np.concatenate([pairs, np.stack([lonely, lonely], 1)])
