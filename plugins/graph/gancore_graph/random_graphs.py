"""Random graphs without structure: of as many edges as train, and of its degrees."""

from __future__ import annotations

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from gancore import Recipe, RecipeConfig, Spec
from gancore.games import FittedGame, fitted_game
from gancore.random import Key
from gancore_graph.canonical import GraphTensors, are_canonical, keys_of, pairs_of
from gancore_graph.edge_models import EdgeModel, draw_pairs, first_of_each

REPAIRS = 200
"""Rounds in which conflicting stubs are matched again; a graph keeps its conflicts out after that."""


class ErdosRenyiConfig(RecipeConfig):
    """It is fitted in one step: the numbers of nodes and edges of train."""

    steps: PositiveInt = Field(1, description="steps, when the command gives no budget")


class ErdosRenyiModel(EdgeModel):
    """G(n, m): of all graphs with the nodes and edges of a graph of train, each is as likely as another.

    ``log_prob`` is that of a graph given its numbers of nodes and edges, -log C(n (n - 1) / 2, m).
    """

    data_shaped = ("node_counts", "edge_counts")
    node_counts: Tensor
    edge_counts: Tensor

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        for name in self.data_shaped:
            self.register_buffer(name, torch.zeros(0, dtype=torch.int64))

    def learn(self, graphs: list[tuple[Tensor, int]], key: Key) -> None:
        device = self.node_counts.device
        self.node_counts = torch.tensor([nodes for _, nodes in graphs], device=device)
        self.edge_counts = torch.tensor([len(edges) for edges, _ in graphs], device=device)

    def draw(self, key: Key) -> tuple[Tensor, int]:
        row = int((key / "graph").integers(len(self.node_counts), 1))
        nodes = int(self.node_counts[row])
        return draw_pairs(int(self.edge_counts[row]), nodes, key / "pairs"), nodes

    def log_prob(self, data: GraphTensors) -> Tensor:
        """Nats, (batch,)."""
        nodes = data["nodes"].double()
        every, count = nodes * (nodes - 1) / 2, (data["edges"][:, :, 0] >= 0).sum(1).double()
        log_prob = (every - count + 1).lgamma() + (count + 1).lgamma() - (every + 1).lgamma()
        return torch.where(are_canonical(data), log_prob, -torch.inf)


class ErdosRenyi(Recipe):
    """Uniform random graphs (Erdos and Renyi 1959): the weakest baseline."""

    Config = ErdosRenyiConfig

    def build(self, config: ErdosRenyiConfig, spec: Spec) -> FittedGame:
        return fitted_game(ErdosRenyiModel(spec))


class ConfigurationConfig(RecipeConfig):
    """It is fitted in one step: the model holds the edges of train."""

    steps: PositiveInt = Field(1, description="steps, when the command gives no budget")
    keep: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the edges of train that every sample keeps; the others are wired again",
    )


class ConfigurationModel(EdgeModel):
    """Graphs of the degrees of a graph of train: stubs, two of each edge, are shuffled and paired.

    Pairs that are loops or repeat an edge are paired again with the stubs of as many random edges, so that
    all degrees are kept; what conflicts after REPAIRS rounds is left out.
    """

    data_shaped = ("node_counts", "edge_counts", "ends")
    node_counts: Tensor
    edge_counts: Tensor
    ends: Tensor
    """(edges of all graphs of train, 2)"""

    def __init__(self, spec: Spec, keep: float) -> None:
        super().__init__(spec)
        self.keep = keep
        for name in ("node_counts", "edge_counts"):
            self.register_buffer(name, torch.zeros(0, dtype=torch.int64))
        self.register_buffer("ends", torch.zeros(0, 2, dtype=torch.int64))

    def learn(self, graphs: list[tuple[Tensor, int]], key: Key) -> None:
        device = self.ends.device
        self.node_counts = torch.tensor([nodes for _, nodes in graphs], device=device)
        self.edge_counts = torch.tensor([len(edges) for edges, _ in graphs], device=device)
        self.ends = torch.cat([edges for edges, _ in graphs]).to(device)

    def draw(self, key: Key) -> tuple[Tensor, int]:
        row = int((key / "graph").integers(len(self.node_counts), 1))
        start, count = int(self.edge_counts[:row].sum()), int(self.edge_counts[row])
        edges, nodes = self.ends[start : start + count], int(self.node_counts[row])
        order = (key / "kept").permutation(count)
        kept = round(self.keep * count)
        keys = rewire(edges[order[kept:]], keys_of(edges[order[:kept]], nodes), nodes, key / "pairs")
        return pairs_of(keys.sort().values, nodes), nodes


def rewire(edges: Tensor, kept: Tensor, nodes: int, key: Key) -> Tensor:
    """Keys of ``kept``, and of as many new edges as ``edges`` (count, 2) has, of the same degrees."""
    new, stubs = kept.new_empty(0), edges.reshape(-1)
    if not len(stubs):
        return kept
    for number in range(REPAIRS):
        shuffled = stubs[(key / number).permutation(len(stubs))].reshape(-1, 2)
        made = keys_of(shuffled, nodes)
        good = first_of_each(torch.cat([kept, new, made]))[-len(made) :] & (shuffled[:, 0] != shuffled[:, 1])
        wrong, rest = shuffled[~good].reshape(-1), torch.cat([new, made[good]])
        if not len(wrong):
            return torch.cat([kept, rest])
        broken = torch.zeros_like(rest, dtype=torch.bool)
        broken[(key / number / "broken").permutation(len(rest))[: len(wrong)]] = True
        new, stubs = rest[~broken], torch.cat([wrong, pairs_of(rest[broken], nodes).reshape(-1)])
    return torch.cat([kept, rest])


class Configuration(Recipe):
    """The configuration model; with ``keep``, the control at an equal overlap of edges."""

    Config = ConfigurationConfig

    def build(self, config: ConfigurationConfig, spec: Spec) -> FittedGame:
        return fitted_game(ConfigurationModel(spec, config.keep))
