"""A graph whose degrees follow a power law, of any size: what the benchmarks of graphs work on."""

from __future__ import annotations

import numpy as np
from gancore_graph.graph import pair_keys, unpack_keys


def power_law_graph(nodes: int, edges: int, seed: int = 0) -> np.ndarray:
    """Edges (edges, 2), u < v, in order: a cycle through all nodes, and pairs drawn by Pareto weights."""
    rng = np.random.default_rng(seed)
    weights = np.minimum(rng.pareto(1.5, nodes) + 1, nodes**0.5).cumsum()
    cycle = np.stack([np.arange(nodes), (np.arange(nodes) + 1) % nodes], 1)
    keys = np.unique(pair_keys(cycle, nodes))
    while len(keys) < edges:
        ends = np.searchsorted(weights, rng.random((edges - len(keys) + 64, 2)) * weights[-1])
        new = np.unique(pair_keys(ends[ends[:, 0] != ends[:, 1]], nodes))
        new = new[~np.isin(new, keys)]
        keys = np.concatenate([keys, rng.permutation(new)[: edges - len(keys)]])
        keys.sort()
    return unpack_keys(keys, nodes)
