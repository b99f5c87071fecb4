"""CELL of large graphs: steps of walks by a softmax in two levels, from parts of the edges at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from gancore import Spec, View
from gancore.random import Key
from gancore_graph.adam import update_rows
from gancore_graph.canonical import keys_of
from gancore_graph.cell_config import CellConfig
from gancore_graph.edge_models import PairModel, first_distinct, read_graphs
from gancore_graph.two_level import TwoLevelSoftmax, cluster_size, places_of_nodes

ROWS_AT_ONCE = 1 << 17
"""Nodes of which steps are drawn or scored at once."""


class LargeCellModel(PairModel):
    """P(j | i) of :class:`TwoLevelSoftmax` with the row u_i; the cost is the cross entropy of a walk's step.

    A step of training takes ``pairs_per_step`` of the edges, in a direction each, or all, and has gradients
    of the rows that occur alone, as ``torch.optim.SparseAdam``. A pair is what a walk steps over that is at
    a node with the chance of its degree, as a walk on train is: q(ij) ~ d_i P(j | i) + d_j P(i | j).
    """

    one_step = False
    u: Tensor
    """(nodes, rank), by node"""
    v: Tensor
    """(nodes, rank), by place"""
    clusters: Tensor
    places: Tensor
    """The place of each node, (nodes)"""
    steps_taken: Tensor
    share: Tensor
    """d_i / 2E, (nodes,)"""

    def __init__(self, spec: Spec, config: CellConfig) -> None:
        super().__init__(spec)
        self.config, self.size = config, cluster_size(self.nodes)
        shape = self.nodes, config.rank
        of_clusters = -(-self.nodes // self.size), config.rank
        for name, own in (("u", shape), ("v", shape), ("clusters", of_clusters)):
            self.register_buffer(name, torch.zeros(own))
            for moment in ("first", "second"):
                self.register_buffer(f"{name}_{moment}", torch.zeros(own))
        self.register_buffer("share", torch.zeros(self.nodes))
        self.register_buffer("places", torch.zeros(self.nodes, dtype=torch.int64))
        self.register_buffer("steps_taken", torch.zeros((), dtype=torch.int64))
        self._train: tuple[View, Tensor] | None = None
        self._staying: tuple[int, float] | None = None

    @property
    def softmax(self) -> TwoLevelSoftmax:
        return TwoLevelSoftmax(self.clusters, self.v, self.size)

    def fit(self, views: Mapping[str, View], key: Key) -> bool:
        edges = self._edges(next(iter(views.values())))
        previous = int(self.steps_taken)
        if not previous:
            self._start(edges, key)
        count, most = 2 * len(edges), self.config.pairs_per_step
        arcs = torch.arange(count, device=edges.device)
        if count > most:
            arcs = (key / "arcs").integers(count, most).to(edges.device)
        pairs = edges[arcs % len(edges)]
        pairs = torch.where((arcs < len(edges))[:, None], pairs, pairs.flip(1))
        self.learn_pairs(pairs[:, 0], pairs[:, 1])
        if (previous + 1) % self.config.check_every or self.config.overlap >= 1:
            return False
        return self.overlap(edges, key.to(edges.device) / "overlap") >= self.config.overlap

    def _edges(self, view: View) -> Tensor:
        if self._train is None or self._train[0] is not view or self._train[1].device != self.u.device:
            self._train = view, next(read_graphs(view))[0].to(self.u.device)
        return self._train[1]

    def _start(self, edges: Tensor, key: Key) -> None:
        scale = math.sqrt(2 / (self.nodes + self.config.rank))
        for name in ("u", "v", "clusters"):
            part = getattr(self, name)
            part.copy_((key / name).normal(*part.shape) * scale)
        self.edge_count.fill_(len(edges))
        self.share.copy_(torch.bincount(edges.flatten(), minlength=self.nodes) / (2 * len(edges)))
        self.places.copy_(torch.from_numpy(places_of_nodes(edges.cpu().numpy(), self.nodes)))

    def learn_pairs(self, one: Tensor, other: Tensor) -> None:
        """A step of Adam by steps of walks from nodes ``one`` to nodes ``other``, (count) each."""
        places = self.places[other]
        found = self.softmax.gradients(self.u[one], places)
        rows, numbers = torch.unique(one, return_inverse=True)
        by_u = self.u.new_zeros(len(rows), self.config.rank).index_add_(0, numbers, found.u)
        seen = torch.zeros(len(self.clusters), dtype=torch.bool, device=self.u.device)
        seen[places // self.size] = True
        in_seen = seen.repeat_interleave(self.size)[: self.nodes].nonzero()[:, 0]
        self._update("u", rows, by_u)
        self._update("v", in_seen, found.v[in_seen])
        self._update("clusters", torch.arange(len(seen), device=self.u.device), found.clusters)
        self.steps_taken.add_(1)

    def _update(self, name: str, rows: Tensor, gradient: Tensor) -> None:
        part, first, second = (getattr(self, f"{name}{end}") for end in ("", "_first", "_second"))
        step, config = int(self.steps_taken) + 1, self.config
        update_rows(part, first, second, rows, gradient, step, config.lr, config.weight_decay)

    def cost(self, edges: Tensor) -> float:
        """Nats a step of a walk on train."""
        ends = torch.cat([edges, edges.flip(1)])
        return -float(self.step_log_prob(ends[:, 0], ends[:, 1]).mean())

    def step_log_prob(self, one: Tensor, other: Tensor) -> Tensor:
        """log P(other | one), (count)."""
        parts = [
            self.softmax.log_prob(self.u[one[rows]], self.places[other[rows]]) for rows in _parts(len(one))
        ]
        return torch.cat(parts) if parts else self.u.new_zeros(0)

    def step(self, nodes: Tensor, key: Key) -> Tensor:
        """The next node of walks at ``nodes`` (count); row i is a function of the key's row i."""
        uniform, node_at = key.uniform(len(nodes), 2), self.places.argsort()
        parts = [self.softmax.draw(self.u[nodes[rows]], uniform[rows]) for rows in _parts(len(nodes))]
        return node_at[torch.cat(parts)] if parts else nodes

    def walks(self, count: int, length: int, key: Key) -> Tensor:
        """Walks (count, length) of the model, that start at a node with the chance of its degree."""
        walks = [self._start_nodes(count, key / "start")]
        for at in range(1, length):
            walks.append(self.step(walks[-1], key / at))
        return torch.stack(walks, 1)

    def _start_nodes(self, count: int, key: Key) -> Tensor:
        sums = self.share.double().cumsum(0)
        at = torch.searchsorted(sums, key.uniform(count).double() * sums[-1], right=True)
        return at.clamp_(max=self.nodes - 1)

    def draw_ordered(self, count: int, key: Key) -> Tensor:
        nodes = self._start_nodes(count, key / "row")
        return torch.stack([nodes, self.step(nodes, key / "column")], 1)

    def continue_draw(self, keys: Tensor, key: Key) -> Tensor:
        """Each node steps once first, so that it has an edge, in an order drawn by the key."""
        nodes = torch.arange(self.nodes, device=self.u.device)
        own = torch.stack([nodes, self.step(nodes, key / "cover")], 1)
        covering = keys_of(own[own[:, 0] != own[:, 1]], self.nodes)
        covering = covering[(key / "order").permutation(len(covering))]
        return super().continue_draw(first_distinct(torch.cat([keys, covering])), key / "rest")

    def overlap(self, edges: Tensor, key: Key) -> float:
        """Share of the edges of train in one sample."""
        drawn, _ = self.draw(key)
        return float(torch.isin(keys_of(edges, self.nodes), keys_of(drawn, self.nodes)).double().mean())

    def log_pair_prob(self, pairs: Tensor) -> Tensor:
        shares = self.share.double().log()
        ordered = [
            shares[one] + self.step_log_prob(one, other).double()
            for one, other in (pairs.unbind(1), pairs.flip(1).unbind(1))
        ]
        return torch.logaddexp(*ordered) - math.log1p(-self._staying_share())

    def _staying_share(self) -> float:
        """Chance of a step from a node to itself, kept for the present parameters."""
        version = int(self.steps_taken)
        if self._staying is None or self._staying[0] != version:
            nodes = torch.arange(self.nodes, device=self.u.device)
            staying = (self.share.double() * self.step_log_prob(nodes, nodes).double().exp()).sum()
            self._staying = version, float(staying)
        return self._staying[1]


def _parts(count: int) -> Iterator[slice]:
    return (slice(at, min(at + ROWS_AT_ONCE, count)) for at in range(0, count, ROWS_AT_ONCE))
