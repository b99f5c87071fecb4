"""Canonical samples: whole graphs as tensors, ``{"edges": (batch, most, 2), "nodes": (batch,)}`` of int64.

Edges are u < v, in order, each once, and padded with -1; ``nodes`` counts the nodes of each graph.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor

from gancore import Batch, TensorView
from gancore.random import Key
from gancore_graph.graph import Ints

PAD = -1


class GraphTensors(TypedDict):
    """A batch of graphs."""

    edges: Tensor
    nodes: Tensor


def to_tensors(graphs: Sequence[tuple[Tensor, int]], most: int) -> GraphTensors:
    """Graphs as (edges (count, 2), nodes), padded to ``most`` edges."""
    device = graphs[0][0].device
    edges = torch.full((len(graphs), most, 2), PAD, dtype=torch.int64, device=device)
    for row, (pairs, _) in zip(edges, graphs, strict=True):
        row[: len(pairs)] = pairs
    return {"edges": edges, "nodes": torch.tensor([nodes for _, nodes in graphs], device=device)}


def each_graph(samples: GraphTensors) -> Iterator[tuple[Tensor, int]]:
    """(edges (count, 2), nodes) of each row, without padding."""
    for edges, nodes in zip(samples["edges"], samples["nodes"].tolist(), strict=True):
        yield edges[edges[:, 0] >= 0], int(nodes)


def edges_of(samples: GraphTensors, row: int) -> Ints:
    """(count, 2) of one row, as an array."""
    edges: Ints = samples["edges"][row].cpu().numpy()
    return edges[edges[:, 0] >= 0]


def are_canonical(data: GraphTensors) -> Tensor:
    """Which rows are graphs: edges u < v in order, each once, then padding; bool (batch)."""
    u, v = data["edges"].unbind(2)
    is_edge = u >= 0
    nodes = data["nodes"][:, None]
    keys = torch.where(is_edge, u * nodes + v, nodes * nodes)
    in_order = (keys[:, 1:] > keys[:, :-1]) | ~is_edge[:, 1:]
    valid = torch.where(is_edge, (u < v) & (v < nodes), (u == PAD) & (v == PAD))
    return valid.all(1) & (in_order & (is_edge[:, :-1] | ~is_edge[:, 1:])).all(1)


def keys_of(edges: Tensor, nodes: int) -> Tensor:
    """One number for each pair (count, 2), which sorts as the pairs do."""
    return edges.amin(1) * nodes + edges.amax(1)


def pairs_of(keys: Tensor, nodes: int) -> Tensor:
    """The pairs (count, 2) of :func:`keys_of`."""
    return torch.stack([torch.div(keys, nodes, rounding_mode="floor"), keys % nodes], 1)


class GraphView(TensorView):
    """Graphs in memory. Rows of one graph share its memory, however many are asked for."""

    def __init__(self, graphs: Sequence[tuple[Ints, int]], most: int) -> None:
        tensors = to_tensors([(torch.from_numpy(np.asarray(edges)), nodes) for edges, nodes in graphs], most)
        super().__init__(tensors)

    def get_batch(self, indices: Tensor, key: Key) -> Batch:
        if len(self) > 1:
            return super().get_batch(indices, key)
        count = len(indices)
        rows = {name: leaf.to(key.device) for name, leaf in self.data.items()}
        return Batch({name: leaf.expand(count, *leaf.shape[1:]) for name, leaf in rows.items()})
