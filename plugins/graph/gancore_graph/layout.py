"""Where nodes are drawn: by springs, of a large graph by eigenvectors, of a huge one not at all."""

from __future__ import annotations

import networkx
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import ArpackError, eigsh

MOST_SPRINGS, MOST_DRAWN = 500, 50_000
"""Nodes up to which springs are relaxed, and up to which there is a layout at all."""


def find_layout(adjacency: csr_array) -> NDArray[np.float32] | None:
    """Positions (nodes, 2) in [-1, 1]; the same for the same graph. None: too many nodes.

    Up to 500 nodes Fruchterman and Reingold's springs (networkx, seed 0); above, ranks of the two leading
    eigenvectors of D^-1/2 A D^-1/2 after the first, since a few nodes far out would press the others
    together.
    """
    nodes = adjacency.shape[0]
    if nodes > MOST_DRAWN:
        return None
    if nodes <= MOST_SPRINGS:
        positions = networkx.spring_layout(networkx.from_scipy_sparse_array(adjacency), seed=0)
        found = np.array([positions[node] for node in range(nodes)])
    else:
        found = _spectral(adjacency)
    low, high = found.min(0), found.max(0)
    scaled: NDArray[np.float32] = (2 * (found - low) / np.maximum(high - low, 1e-12) - 1).astype(np.float32)
    return scaled


def _spectral(adjacency: csr_array) -> NDArray[np.float64]:
    degrees = np.maximum(np.asarray(adjacency.sum(1), dtype=np.float64), 1)
    scale = diags_array(1 / np.sqrt(degrees))
    start = np.cos(np.arange(len(degrees)))  # a fixed one, so that the layout is the same each time
    try:
        vectors = eigsh(scale @ adjacency.astype(np.float64) @ scale, k=3, which="LA", v0=start, tol=1e-3)[1]
    except ArpackError:
        vectors = np.stack([start, np.sin(np.arange(len(degrees))), start], 1)
    signs = np.sign(vectors[np.abs(vectors).argmax(0), range(3)])
    leading = (vectors * signs)[:, :2]
    ranks: NDArray[np.float64] = leading.argsort(0).argsort(0).astype(np.float64)
    return ranks
