"""Small graphs as dense adjacency matrices, and back."""

from __future__ import annotations

import torch
from torch import Tensor

from gancore_graph.canonical import PAD, GraphTensors


def dense_adjacency(data: GraphTensors, size: int) -> Tensor:
    """(batch, size, size) bool, symmetric. ``size``: at least the nodes of each graph."""
    u, v = data["edges"].unbind(2)
    made = torch.zeros(len(u), size * size, dtype=torch.bool, device=u.device)
    for at in (u * size + v, v * size + u):
        made.scatter_(1, at.clamp_min(0), True)  # padding sets the pair (0, 0), which is cleared below
    dense = made.view(-1, size, size)
    dense.diagonal(dim1=1, dim2=2).fill_(False)
    return dense


def edges_of_dense(adjacency: Tensor, counts: Tensor, most: int) -> GraphTensors:
    """Canonical graphs of (batch, size, size) bool; edges beyond the first ``most`` of a graph are left out.

    The entries above the diagonal count, and no node beyond ``counts`` (batch) has edges.
    """
    row, u, v = adjacency.triu(1).nonzero(as_tuple=True)
    degrees = torch.bincount(row, minlength=len(adjacency))
    place = torch.arange(len(row), device=row.device) - (degrees.cumsum(0) - degrees)[row]
    kept = place < most
    edges = torch.full((len(adjacency), most, 2), PAD, dtype=torch.int64, device=row.device)
    edges[row[kept], place[kept]] = torch.stack([u, v], 1)[kept]
    return {"edges": edges, "nodes": counts}
