"""Densities of edges within and between communities: the blocks of the training graph."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gancore_graph.block_model import find_blocks
from gancore_graph.graph import Graph, Ints
from gancore_graph.memo import Memo, digest_graph

COMMUNITIES = 20
"""Blocks, but at most a quarter of the nodes."""

_BLOCKS: Memo[Ints] = Memo(4)


class Densities(NamedTuple):
    """Share of the pairs of nodes that are edges: of pairs in one community, of pairs in two."""

    within: float
    between: float


def communities_of(train: Graph) -> Ints:
    """The block of each node of the training graph by :func:`gancore_graph.block_model.find_blocks`."""
    count = max(1, min(COMMUNITIES, train.nodes // 4))
    key = digest_graph(train.edges, train.nodes)
    return _BLOCKS.get(key, lambda: find_blocks(train.edges, train.nodes, count, 0))


def community_densities(graph: Graph, blocks: Ints) -> Densities:
    """Edges over pairs; NaN where there is no such pair. ``blocks`` (nodes): the community of each node.

    NetGAN's code averages the densities of all pairs of blocks, and divides both by the square of their
    number; these are densities over all pairs of nodes.
    """
    sizes = np.bincount(blocks)
    inner_pairs = int((sizes * (sizes - 1) // 2).sum())
    outer_pairs = graph.nodes * (graph.nodes - 1) // 2 - inner_pairs
    inner = int((blocks[graph.edges[:, 0]] == blocks[graph.edges[:, 1]]).sum())
    outer = len(graph.edges) - inner
    return Densities(
        inner / inner_pairs if inner_pairs else float("nan"),
        outer / outer_pairs if outer_pairs else float("nan"),
    )
