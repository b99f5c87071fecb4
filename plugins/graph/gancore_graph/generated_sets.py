"""Sets of small graphs that are generated: planar ones, and ones of a stochastic block model.

The settings are those of SPECTRE (Martinkus et al. 2022, section 5), which later work took over. Graph i of a
set is a function of the seed and i alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy.spatial import Delaunay

from gancore_graph.graph import Arcs, Ints

DEFAULT_COUNT = 1000
"""Graphs of a set. SPECTRE has 200, too few for its measures (Krimmel et al. 2025)."""
PLANAR_NODES = 64
BLOCKS = (2, 5)
BLOCK_SIZES = (20, 40)
"""Fewest and most blocks of a graph, and nodes of a block; uniform."""
DENSITY_WITHIN, DENSITY_BETWEEN = 0.3, 0.005
"""Probability of an edge in a block, and of one between two blocks."""


def draw_planar(rng: np.random.Generator) -> Arcs:
    """The Delaunay triangulation of 64 uniform points of the unit square: planar and connected."""
    triangles = Delaunay(rng.random((PLANAR_NODES, 2))).simplices.astype(np.int64)
    pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [0, 2]]])
    edges = np.unique(np.sort(pairs, axis=1), axis=0)
    return Arcs(edges, np.arange(PLANAR_NODES), False)


def draw_block_graph(rng: np.random.Generator) -> Arcs:
    """Two to five blocks of 20 to 40 nodes; edges are independent. It may be in pieces."""
    sizes = rng.integers(BLOCK_SIZES[0], BLOCK_SIZES[1] + 1, rng.integers(BLOCKS[0], BLOCKS[1] + 1))
    return Arcs(_block_edges(np.repeat(np.arange(len(sizes)), sizes), rng), np.arange(sizes.sum()), False)


def _block_edges(blocks: Ints, rng: np.random.Generator) -> Ints:
    pairs = np.stack(np.triu_indices(len(blocks), 1), 1).astype(np.int64)
    same = blocks[pairs[:, 0]] == blocks[pairs[:, 1]]
    return pairs[rng.random(len(pairs)) < np.where(same, DENSITY_WITHIN, DENSITY_BETWEEN)]


DRAWS: Mapping[str, Callable[[np.random.Generator], Arcs]] = {"planar": draw_planar, "sbm": draw_block_graph}
"""The generated sets by the name of their source."""


def draw_set(name: str, count: int, seed: int) -> tuple[list[Arcs], list[str]]:
    """``count`` graphs of one of :data:`DRAWS`, and their names ``planar-1``, ..."""
    draw = DRAWS[name]
    graphs = [draw(np.random.default_rng([seed, number])) for number in range(count)]
    return graphs, [f"{name}-{number + 1}" for number in range(count)]
