"""GraphRNN's networks: a recurrent one over nodes, and for each node one over its edges, or a perceptron."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from gancore.nn import Recurrent
from gancore.random import Key
from gancore_graph.graph_rows import RowTensors

EdgeModelName = Literal["rnn", "mlp"]


class EdgeModel(nn.Module):
    """Edges of a node to those before, given a vector of the graph so far. A subclass has both methods."""

    def logits(self, context: Tensor, bits: Tensor) -> Tensor:
        """(rows, width) and (rows, bandwidth) of 0 and 1 to logits (rows, bandwidth) of each bit."""
        raise TypeError(f"{type(self).__name__} must define logits(context, bits)")

    def draw(self, context: Tensor, count: int, uniform: Tensor, room: Tensor) -> Tensor:
        """``count`` bits of each row, (rows, bandwidth) bool, by ``uniform`` (rows, bandwidth).

        After ``room`` (rows,) ones all are 0.
        """
        raise TypeError(f"{type(self).__name__} must define draw(context, count, uniform, room)")


class IndependentEdges(EdgeModel):
    """GraphRNN-S: a perceptron of one hidden layer; the edges of a node are independent given the context."""

    def __init__(self, width: int, bandwidth: int, hidden: int) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, bandwidth))

    def logits(self, context: Tensor, bits: Tensor) -> Tensor:
        made: Tensor = self.network(context)
        return made

    def draw(self, context: Tensor, count: int, uniform: Tensor, room: Tensor) -> Tensor:
        bits: Tensor = uniform < self.network(context).float().sigmoid()
        bits[:, count:] = False
        return bits & (bits.cumsum(1) <= room[:, None])


class RecurrentEdges(EdgeModel):
    """The full GraphRNN: a GRU over the edges of a node, from a state that is a function of the context."""

    def __init__(self, width: int, bandwidth: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.inputs = nn.Embedding(3, hidden)  # of the bit before: 0, 1, or none
        self.trunk = Recurrent(hidden, hidden, layers, condition=width)
        self.head = nn.Linear(hidden, 1)

    def logits(self, context: Tensor, bits: Tensor) -> Tensor:
        before = torch.cat([bits.new_full((len(bits), 1), 2), bits[:, :-1]], 1).long()
        made: Tensor = self.head(self.trunk(self.inputs(before), context))
        return made[:, :, 0]

    def draw(self, context: Tensor, count: int, uniform: Tensor, room: Tensor) -> Tensor:
        bits = torch.zeros_like(uniform, dtype=torch.bool)
        before = torch.full((len(uniform),), 2, device=uniform.device)
        state = self.trunk.initial(len(uniform), context)
        for k in range(count):
            features, state = self.trunk.step(state, self.inputs(before))
            bit = (uniform[:, k] < self.head(features)[:, 0].float().sigmoid()) & (room > 0)
            bits[:, k] = bit
            before, room = bit.long(), room - bit.long()
        return bits


class GraphSequenceModel(nn.Module):
    """p(rows, order) of graphs of at most ``size`` nodes and ``max_edges`` edges: normalised, exactly.

    A GRU reads the rows. Before each row it says whether another node follows, a decision of its own: in
    GraphRNN's code a node without edges ends the graph, so that no graph in pieces can be generated or has a
    likelihood. ``order`` is uniform. Where the largest graph is complete, the rest is certain.
    """

    def __init__(self, size: int, bandwidth: int, max_edges: int, trunk: Recurrent, edges: EdgeModel) -> None:
        super().__init__()
        self.size, self.bandwidth, self.max_edges = size, bandwidth, max_edges
        self.start = nn.Parameter(torch.zeros(trunk.in_features))
        self.inputs = nn.Linear(bandwidth, trunk.in_features)
        self.trunk, self.edges = trunk, edges
        self.follows = nn.Linear(trunk.out_features, 1)

    def log_prob(self, data: RowTensors) -> Tensor:
        """Nats, (batch,), float32."""
        counts, longest = data["nodes"], int(data["nodes"].max())
        rows = data["rows"][:, :longest].to(self.start.dtype)
        read = self.inputs(rows[:, 1:]).relu()
        features = self.trunk(torch.cat([self.start.expand(len(rows), 1, -1), read], 1))
        place = torch.arange(1, longest + 1, device=counts.device)  # of the node that may follow
        another = torch.where(place < counts[:, None], 1.0, -1.0) * self.follows(features)[:, :, 0].float()
        decided = (place <= counts[:, None]) & (place < self.size)
        total = torch.where(decided, logsigmoid(another), 0.0).sum(1)
        return total + self._edge_log_prob(features[:, :-1], rows[:, 1:], counts) - _log_factorial(counts)

    def _edge_log_prob(self, features: Tensor, rows: Tensor, counts: Tensor) -> Tensor:
        """Of rows (batch, longest - 1, bandwidth), the first of which is that of the second node."""
        place = torch.arange(1, rows.shape[1] + 1, device=rows.device)
        exists = place < counts[:, None]
        before = rows.flatten(1).cumsum(1).view_as(rows) - rows
        is_free = (torch.arange(self.bandwidth, device=rows.device) < place[:, None]) & (
            before < self.max_edges
        )
        logits = self.edges.logits(features[exists], rows[exists]).float()
        values = logsigmoid(torch.where(rows[exists] > 0, logits, -logits))
        of_row = torch.where(is_free[exists], values, 0.0).sum(1)
        return torch.zeros_like(exists, dtype=of_row.dtype).masked_scatter(exists, of_row).sum(1)

    @torch.no_grad()
    def sample(self, n: int, key: Key) -> RowTensors:
        """Row i is a function of the key's row i."""
        device = self.start.device
        rows = torch.zeros(n, self.size, self.bandwidth, dtype=torch.bool, device=device)
        counts = torch.ones(n, dtype=torch.int64, device=device)
        room = torch.full((n,), self.max_edges, device=device)
        going = torch.ones(n, dtype=torch.bool, device=device)
        inputs, state = self.start.expand(n, -1), self.trunk.initial(n)
        for place in range(1, self.size):
            features, state = self.trunk.step(state, inputs)
            own = key / "node" / place
            going &= own.uniform(n) < self.follows(features)[:, 0].float().sigmoid()
            if not going.any():
                break
            uniform = (own / "edges").uniform(n, self.bandwidth)
            drawn = self.edges.draw(features, min(place, self.bandwidth), uniform, room)
            rows[:, place] = drawn & going[:, None]
            counts, room = counts + going, room - rows[:, place].sum(1)
            inputs = self.inputs(rows[:, place].to(self.start.dtype)).relu()
        return {"rows": rows, "nodes": counts, "order": _random_orders(counts, self.size, key / "order")}


def _log_factorial(counts: Tensor) -> Tensor:
    return (counts.float() + 1).lgamma()


def _random_orders(counts: Tensor, size: int, key: Key) -> Tensor:
    """Uniform orders of the nodes of each graph, (batch, size); places beyond it hold their number."""
    places = torch.arange(size, device=counts.device)
    drawn = key.uniform(len(counts), size)
    return torch.where(places < counts[:, None], drawn, places + 1.0).argsort(1)
