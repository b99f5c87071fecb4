"""The degree-corrected stochastic block model: blocks by spectral clustering, then maximum likelihood."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveInt
from scipy.sparse import csr_array, diags_array
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.utils.extmath import randomized_svd
from torch import Tensor

from gancore import Recipe, RecipeConfig, Spec
from gancore.games import FittedGame, fitted_game
from gancore.random import Key
from gancore_graph.edge_models import PairModel, require_one_graph
from gancore_graph.graph import Ints, adjacency

MANY_NODES = 20_000
"""Above so many nodes, k-means takes parts of them at a time."""


class BlockModelConfig(RecipeConfig):
    """It is fitted in one step."""

    steps: PositiveInt = Field(1, description="steps, when the command gives no budget")
    blocks: PositiveInt = Field(40, le=4096, description="blocks of nodes, at most a quarter of the nodes")
    smoothing: float = Field(
        0.05,
        gt=0,
        le=1,
        description="share of edges whose ends ignore the blocks, so that no pair is impossible",
    )


class BlockModel(PairModel):
    """An edge joins i and j with probability in proportion to d_i d_j m_rs / (kappa_r kappa_s).

    i is in block r and j in s; d_i: degree of i; kappa_r: sum of the degrees in r; m_rs: edges between r
    and s, those within r twice. It is the maximum likelihood for given blocks (Karrer and Newman 2011). m is
    mixed with kappa_r kappa_s / 2E, the configuration model, by ``smoothing``.
    """

    data_shaped = ("stubs",)
    stubs: Tensor
    """(2 x edges): the node of each end of an edge, by block"""
    block_of: Tensor
    degrees: Tensor
    ends: Tensor
    """m, (blocks, blocks), float64"""

    def __init__(self, spec: Spec, blocks: int, smoothing: float) -> None:
        super().__init__(spec)
        self.blocks, self.smoothing = max(1, min(blocks, self.nodes // 4)), smoothing
        self.register_buffer("stubs", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("block_of", torch.zeros(self.nodes, dtype=torch.int64))
        self.register_buffer("degrees", torch.zeros(self.nodes, dtype=torch.int64))
        self.register_buffer("ends", torch.zeros(self.blocks, self.blocks, dtype=torch.float64))

    def learn(self, graphs: list[tuple[Tensor, int]], key: Key) -> None:
        edges = graphs[0][0].to(self.stubs.device)
        found = find_blocks(edges.cpu().numpy(), self.nodes, self.blocks, key.seed % 2**32)
        self.block_of = torch.from_numpy(found).to(edges.device)
        self.degrees = torch.bincount(edges.flatten(), minlength=self.nodes)
        stubs = edges.flatten()
        self.stubs = stubs[self.block_of[stubs].argsort(stable=True)]
        own = self.block_of[edges]
        cells = torch.cat([own[:, 0] * self.blocks + own[:, 1], own[:, 1] * self.blocks + own[:, 0]])
        m = torch.bincount(cells, minlength=self.blocks**2).reshape(self.blocks, self.blocks).double()
        kappa = m.sum(1)
        self.ends = (1 - self.smoothing) * m + self.smoothing * torch.outer(kappa, kappa) / kappa.sum()
        self.edge_count.fill_(len(edges))

    def draw_ordered(self, count: int, key: Key) -> Tensor:
        """A stub, the block of the other end by m, and a stub of that block."""
        kappa = self.ends.sum(1).round().long()
        starts = kappa.cumsum(0) - kappa
        one = self.stubs[(key / "one").integers(len(self.stubs), count)]
        rows = self.ends.cumsum(1) / self.ends.sum(1, keepdim=True).clamp_min(1e-300)
        row = self.block_of[one]
        steps = (rows + torch.arange(self.blocks, device=one.device)[:, None]).flatten()
        u = (key / "block").uniform(count).double()
        block = torch.searchsorted(steps, row + u, right=True) - row * self.blocks
        block = block.clamp(0, self.blocks - 1)
        offset = ((key / "other").uniform(count).double() * kappa[block]).long()
        return torch.stack([one, self.stubs[starts[block] + torch.minimum(offset, kappa[block] - 1)]], 1)

    def log_pair_prob(self, pairs: Tensor) -> Tensor:
        kappa, total = self.ends.sum(1), self.ends.sum()
        theta = self.degrees.double() / kappa[self.block_of].clamp_min(1e-300)
        squares = torch.zeros_like(kappa).index_add_(0, self.block_of, theta.square())
        loops = (self.ends.diagonal() * squares).sum() / total
        r, s = self.block_of[pairs].unbind(1)
        ordered = (theta[pairs].prod(1) * self.ends[r, s] / total).log()
        return ordered + torch.log(2 / (1 - loops))


def find_blocks(edges: Ints, nodes: int, blocks: int, seed: int) -> Ints:
    """The block of each node: k-means of the leading singular vectors of D_t^-1/2 A D_t^-1/2, rows of norm 1.

    D_t is the degree plus its mean (Qin and Rohe 2013), which keeps nodes of few edges from deciding.
    """
    if blocks < 2:
        return np.zeros(nodes, dtype=np.int64)
    vectors = _leading_vectors(adjacency(edges, nodes), blocks, seed)
    rows = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    method = MiniBatchKMeans if nodes > MANY_NODES else KMeans
    found = method(blocks, n_init=4, random_state=seed).fit_predict(rows.astype(np.float32))
    numbers: Ints = found.astype(np.int64)
    return numbers


def _leading_vectors(matrix: csr_array, count: int, seed: int) -> NDArray[np.float64]:
    degrees = np.asarray(matrix.sum(1, dtype=np.float64))
    scale = diags_array(1 / np.sqrt(degrees + degrees.mean()))
    scaled = csr_array(scale @ matrix.astype(np.float64) @ scale)
    vectors: NDArray[np.float64] = randomized_svd(scaled, count, n_iter=8, random_state=seed)[0]
    return vectors


class DegreeCorrectedBlockModel(Recipe):
    """Blocks of nodes and degrees: the likelihood model that is hardest to beat in link prediction."""

    Config = BlockModelConfig

    def build(self, config: BlockModelConfig, spec: Spec) -> FittedGame:
        require_one_graph(spec, "dcsbm")
        return fitted_game(BlockModel(spec, config.blocks, config.smoothing))
