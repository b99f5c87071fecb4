"""Whether a graph may be one of the generated block models: a test at a level of 1 %."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom
from sklearn.cluster import KMeans

from gancore_graph.generated_sets import BLOCK_SIZES, BLOCKS, DENSITY_BETWEEN, DENSITY_WITHIN
from gancore_graph.graph import Graph, Ints

LEVEL = 0.01
SWEEPS = 20
MISPLACED = 1
"""Nodes by which a block may be smaller or larger than the model's: so many may be in a wrong one."""
EDGE_GAIN = math.log(DENSITY_WITHIN / DENSITY_BETWEEN)
PAIR_GAIN = math.log((1 - DENSITY_WITHIN) / (1 - DENSITY_BETWEEN))
"""Nats by which a pair of one block is more probable than one of two: with an edge, and without."""


def is_block_graph(graph: Graph) -> bool:
    """Whether the most probable blocks that are found are two to five of 20 to 40 nodes, of the densities.

    The edges within each block and between each two are binomial. The smallest of their two-sided p-values,
    times their number (Bonferroni), must be 1 % or more: of 100 graphs of the model 99 pass, as far as their
    blocks are found. SPECTRE's code asks for a mean p-value of Wald tests above 0.9 of blocks by sampling.
    """
    blocks = find_probable_blocks(graph)
    sizes = np.bincount(blocks)
    if not BLOCKS[0] <= len(sizes) <= BLOCKS[1]:
        return False
    if sizes.min() < BLOCK_SIZES[0] - MISPLACED or sizes.max() > BLOCK_SIZES[1] + MISPLACED:
        return False
    counts = np.zeros((len(sizes), len(sizes)), dtype=np.int64)
    np.add.at(counts, (blocks[graph.edges[:, 0]], blocks[graph.edges[:, 1]]), 1)
    counts = counts + np.triu(counts.T, 1) - np.tril(counts, -1)
    values = []
    for a, b in itertools.combinations_with_replacement(range(len(sizes)), 2):
        pairs = sizes[a] * (sizes[a] - 1) // 2 if a == b else sizes[a] * sizes[b]
        density = DENSITY_WITHIN if a == b else DENSITY_BETWEEN
        law = binom(int(pairs), density)
        values.append(2 * min(law.cdf(counts[a, b]), law.sf(counts[a, b] - 1)))
    return bool(min(values) * len(values) >= LEVEL)


def find_probable_blocks(graph: Graph) -> Ints:
    """The block of each node (nodes,), numbered from 0: a maximum of the likelihood by the known densities.

    From k-means of the leading eigenvectors of the adjacency matrix, for each number of blocks, nodes move to
    the block in which they are most probable, all at once; the best partition of all is taken. Nodes of
    blocks of less than half of the model's smallest then go to the most probable one of the others.
    """
    adjacency = graph.adjacency().toarray().astype(np.float64)
    most = min(BLOCKS[1], graph.nodes)
    vectors = np.linalg.eigh(adjacency)[1][:, ::-1]
    best, found = -math.inf, np.zeros(graph.nodes, dtype=np.int64)
    for count in range(1, most + 1):
        start = KMeans(count, n_init=3, random_state=0).fit_predict(vectors[:, :count])
        value, blocks = _climb(adjacency, start.astype(np.int64))
        if value > best + 1e-9:
            best, found = value, blocks
    return np.unique(_without_small(adjacency, found), return_inverse=True)[1].reshape(-1)


def _without_small(adjacency: NDArray[np.float64], blocks: Ints) -> Ints:
    small = np.bincount(blocks) < BLOCK_SIZES[0] / 2
    if small.all():
        return blocks
    scores = np.where(small, -np.inf, _scores(adjacency, np.eye(len(small))[blocks]))
    return np.where(small[blocks], scores.argmax(1), blocks)


def _scores(adjacency: NDArray[np.float64], member: NDArray[np.float64]) -> NDArray[np.float64]:
    """Nats of each node in each block, (nodes, blocks), given the blocks of the others."""
    pairs = member.sum(0) - member
    scores: NDArray[np.float64] = adjacency @ member * (EDGE_GAIN - PAIR_GAIN) + pairs * PAIR_GAIN
    return scores


def _climb(adjacency: NDArray[np.float64], blocks: Ints) -> tuple[float, Ints]:
    """The best of the partitions on the way, and its log likelihood up to a constant."""
    kept = -math.inf, blocks
    for _ in range(SWEEPS):
        member = np.eye(int(blocks.max()) + 1)[blocks]
        scores = _scores(adjacency, member)
        value = float((scores * member).sum()) / 2
        if value <= kept[0] + 1e-9:
            break
        kept = value, blocks
        blocks = scores.argmax(1)
    return kept
