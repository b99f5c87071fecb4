"""GraphRNN's representation: a graph as rows of edges to the nodes before, in a breadth-first order."""

from __future__ import annotations

import torch
from torch import Tensor

from gancore import Batch, Spec
from gancore.errors import ConfigError
from gancore.games import Representation, noise
from gancore.random import Key
from gancore_graph.breadth_first import MOST_NODES, Orders, draw_orders, reordered, spans
from gancore_graph.canonical import GraphTensors
from gancore_graph.dense import dense_adjacency, edges_of_dense

DRAWS = 4
"""Orders that are drawn of each graph; the first is taken whose edges are within the bandwidth."""

RowTensors = dict[str, Tensor]
"""``rows`` (batch, size, bandwidth) bool: at place i, whether its node is joined to that of place i - 1 - k.
``nodes`` (batch,) and ``order`` (batch, size) int64: how many nodes there are, and the node at each place.
"""


class BreadthFirstRows(Representation):
    """Rows of a random breadth-first order, new in every batch; in evaluation one that is fixed.

    With q the law of the orders and f the share of them that fit in the bandwidth, for any law p of rows and
    order,

        log p(graph) >= log f + E log p(rows, order) / q(order), over the orders that fit.

    f is estimated by DRAWS orders, which makes the bound lower still (Jensen). A graph of which none fits has
    log likelihood -inf in evaluation; in training its longest edges are left out.
    """

    lower_bound = True

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.size, self.max_edges = int(spec["max_nodes"]), int(spec["max_edges"])
        self.bandwidth = bandwidth_of(spec)

    def encode(self, batch: Batch) -> Batch:
        orders, _ = self._draw(batch.data)
        matrix = reordered(dense_adjacency(batch.data, self.size), orders.nodes)
        rows = rows_of(matrix, self.bandwidth)
        return Batch({"rows": rows, "nodes": batch.data["nodes"], "order": orders.nodes}, batch.condition)

    def decode(self, outputs: RowTensors) -> GraphTensors:
        order = outputs["order"]
        matrix = matrix_of(outputs["rows"])
        matrix |= matrix.transpose(1, 2)
        return edges_of_dense(reordered(matrix, order.argsort(1)), outputs["nodes"], self.max_edges)

    def log_det(self, batch: Batch) -> Tensor:
        """log f - log q(order), nats, (batch,), float64."""
        orders, fitting = self._draw(batch.data)
        return fitting.log() - orders.log_prob

    def _draw(self, data: GraphTensors) -> tuple[Orders, Tensor]:
        """An order of each graph, and the share of DRAWS orders that fit, (batch,) float64."""
        count = len(data["nodes"])
        if self.training:
            uniform = noise(count, data["nodes"].device).uniform(count, DRAWS, self.size)
        else:
            key = Key.of("breadth-first orders", device=data["nodes"].device)
            uniform = key.uniform(1, DRAWS, self.size).expand(count, -1, -1)
        adjacency = dense_adjacency(data, self.size)
        drawn = [draw_orders(adjacency, data["nodes"], uniform[:, draw]) for draw in range(DRAWS)]
        fits = torch.stack([spans(data, order.nodes) <= self.bandwidth for order in drawn], 1)
        first, rows = fits.int().argmax(1), torch.arange(count, device=fits.device)
        nodes, log_prob = (torch.stack(parts, 1)[rows, first] for parts in zip(*drawn, strict=True))
        return Orders(nodes, log_prob), fits.double().mean(1)


def bandwidth_of(spec: Spec) -> int:
    """Raises ConfigError: the graphs are too large for it, or the data were opened without it."""
    if spec.get("bandwidth") is None:
        raise ConfigError(
            f"GraphRNN generates graphs of at most {MOST_NODES:,} nodes, and train has {spec['max_nodes']:,}",
            "take model configuration, or netgan for one graph",
        )
    return int(spec["bandwidth"])


def rows_of(matrix: Tensor, bandwidth: int) -> Tensor:
    """(batch, size, size) to (batch, size, bandwidth): entry (i, k) is that of places i and i - 1 - k."""
    column = _columns(matrix.shape[1], bandwidth, matrix.device)
    rows = matrix.gather(2, column.clamp_min(0).expand(len(matrix), -1, -1))
    return rows & (column >= 0)


def matrix_of(rows: Tensor) -> Tensor:
    """The lower triangle, (batch, size, size) bool, of :func:`rows_of`."""
    size, bandwidth = rows.shape[1:]
    column = _columns(size, bandwidth, rows.device)
    matrix = torch.zeros(len(rows), size, size + 1, dtype=torch.bool, device=rows.device)
    at = torch.where(column >= 0, column, size)  # what is before the first place goes to a column of its own
    return matrix.scatter_(2, at.expand(len(rows), -1, -1), rows)[:, :, :size]


def _columns(size: int, bandwidth: int, device: torch.device) -> Tensor:
    places = torch.arange(size, device=device)
    return places[:, None] - 1 - torch.arange(bandwidth, device=device)
