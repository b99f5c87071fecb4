"""Breadth-first orders of nodes: drawn for a batch of graphs at once, with their probability."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gancore.random import Key
from gancore_graph.canonical import GraphTensors, to_tensors
from gancore_graph.dense import dense_adjacency
from gancore_graph.graph import Graph

MOST_NODES = 1000
"""Nodes of the largest graph whose orders are drawn."""
ROWS_AT_ONCE, DRAWN_ORDERS = 64, 8


class Orders(NamedTuple):
    """``nodes`` (batch, size) int64: the node at each place; places beyond a graph's size hold their number.

    ``log_prob`` (batch,) float64: the log probability of having drawn this order, in nats.
    """

    nodes: Tensor
    log_prob: Tensor


def draw_orders(adjacency: Tensor, counts: Tensor, priority: Tensor) -> Orders:
    """Random breadth-first orders (You et al. 2018, section 2.3.4) of graphs of all components.

    The first node is uniform, and so is the next one whenever a component is complete; the new neighbours of
    a node follow in uniform order. So an order has the probability of its starts, times one over the
    factorial of each number of new neighbours.

    Args:
        adjacency: (batch, size, size) bool, symmetric.
        counts: (batch,) nodes of each graph, the first ones.
        priority: (batch, size) independent uniform numbers in [0, 1), which decide the order.
    """
    batch, size = adjacency.shape[:2]
    rows = torch.arange(batch, device=adjacency.device)
    places = torch.arange(size, device=adjacency.device)
    rank = priority.double() + size  # of a node that is not found: after all that are
    waiting = places < counts[:, None]
    found = torch.zeros_like(waiting)
    order = places.repeat(batch, 1)
    log_prob = torch.zeros(batch, dtype=torch.float64, device=adjacency.device)
    for place in range(int(counts.max())):
        active = place < counts
        node = torch.where(waiting, rank, torch.inf).argmin(1)
        starts = active & ~found[rows, node]
        log_prob -= torch.where(starts, (counts - place).double().log(), 0.0)
        order[:, place] = torch.where(active, node, place)
        found[rows, node] = True
        waiting[rows, node] = False
        new = adjacency[rows, node] & ~found & active[:, None]
        rank = torch.where(new, priority.double() + place, rank)
        found |= new
        log_prob -= (new.sum(1).double() + 1).lgamma()
    return Orders(order, log_prob)


def reordered(adjacency: Tensor, order: Tensor) -> Tensor:
    """(batch, size, size): the entry of two places is that of the nodes in them."""
    rows = torch.arange(len(order), device=order.device)[:, None, None]
    return adjacency[rows, order[:, :, None], order[:, None, :]]


def spans(data: GraphTensors, order: Tensor) -> Tensor:
    """Most places between the two ends of an edge, (batch,) int64; 0 without edges."""
    place = order.argsort(1)
    ends = data["edges"].clamp_min(0)
    distance = place.gather(1, ends[:, :, 0]) - place.gather(1, ends[:, :, 1])
    return torch.where(data["edges"][:, :, 0] >= 0, distance.abs(), 0).amax(1)


def find_bandwidth(graphs: Sequence[Graph]) -> int | None:
    """The largest span of an edge in 8 breadth-first orders of each graph; None: a graph is too large.

    It is GraphRNN's M, whose code draws 100,000 orders of random graphs of the set.
    """
    ordered = sorted(graphs, key=lambda graph: graph.nodes)
    if ordered[-1].nodes > MOST_NODES:
        return None
    most = 1
    for start in range(0, len(ordered), ROWS_AT_ONCE):
        part = ordered[start : start + ROWS_AT_ONCE]
        pairs = [(torch.from_numpy(graph.edges), graph.nodes) for graph in part]
        data = to_tensors(pairs, max(len(graph.edges) for graph in part))
        adjacency = dense_adjacency(data, part[-1].nodes)
        for number in range(DRAWN_ORDERS):
            priority = Key.of("bandwidth", start, number).uniform(len(part), part[-1].nodes)
            order = draw_orders(adjacency, data["nodes"], priority).nodes
            most = max(most, int(spans(data, order).max()))
    return most
