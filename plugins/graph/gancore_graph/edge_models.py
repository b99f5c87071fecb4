"""What fitted models of graphs share: the graphs of train in buffers, and one graph out of each key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from gancore import Spec, View
from gancore.errors import ConfigError
from gancore.random import Key
from gancore_graph.canonical import GraphTensors, are_canonical, each_graph, keys_of, pairs_of, to_tensors

ROWS_AT_ONCE = 256
ROUNDS = 200
"""Rounds of draws after which a graph has fewer edges: nearly all probability is on fewer pairs."""


class EdgeModel(nn.Module):
    """A fitted model. A subclass defines ``learn`` and ``draw``.

    Buffers whose shapes train decides are named in ``data_shaped``.
    Every graph comes from a key of its own, so that any number of them can be drawn.
    """

    preferred_batch = 1
    one_step = True
    data_shaped: tuple[str, ...] = ()

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.max_edges = int(spec["max_edges"])

    def fit(self, views: Mapping[str, View], key: Key) -> bool:
        self.learn(list(read_graphs(next(iter(views.values())))), key)
        return True

    def learn(self, graphs: list[tuple[Tensor, int]], key: Key) -> None:
        """Fill the buffers from (edges (count, 2), nodes) of each graph of train."""
        raise TypeError(f"{type(self).__name__} must define learn(graphs, key)")

    def draw(self, key: Key) -> tuple[Tensor, int]:
        """One graph: its edges (count, 2), u < v, in order, each once, and its number of nodes."""
        raise TypeError(f"{type(self).__name__} must define draw(key)")

    def sample(self, n: int, key: Key) -> GraphTensors:
        return to_tensors([self.draw(own) for own in key.each(n)], self.max_edges)


class PairModel(EdgeModel):
    """A model of one graph by a law of an unordered pair; its edges are drawn by it, one after another.

    A subclass defines ``log_pair_prob`` and ``draw_ordered``. ``log_prob`` of a graph of m edges is log m! +
    the sum over its edges: of m independent draws. Drawn without repetition it is more probable: a bound.
    """

    lower_bound = True

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.nodes = int(spec["max_nodes"])
        self.edge_count: Tensor
        self.register_buffer("edge_count", torch.zeros((), dtype=torch.int64))

    def log_pair_prob(self, pairs: Tensor) -> Tensor:
        """log q of pairs (count, 2), u < v; exp of it sums to one over all pairs of different nodes."""
        raise TypeError(f"{type(self).__name__} must define log_pair_prob(pairs)")

    def draw_ordered(self, count: int, key: Key) -> Tensor:
        """Pairs (count, 2) of independent draws, in any order of their ends; loops are not used."""
        raise TypeError(f"{type(self).__name__} must define draw_ordered(count, key)")

    def draw(self, key: Key) -> tuple[Tensor, int]:
        keys = self.continue_draw(torch.zeros(0, dtype=torch.int64, device=key.device), key)
        return pairs_of(keys.sort().values, self.nodes), self.nodes

    def continue_draw(self, keys: Tensor, key: Key) -> Tensor:
        """As many different ``keys`` as train has edges, the given ones first; fewer after ROUNDS rounds."""
        wanted = int(self.edge_count)
        for number in range(ROUNDS):
            if len(keys) >= wanted:
                break
            drawn = self.draw_ordered(2 * (wanted - len(keys)) + 64, key / number)
            new = keys_of(drawn[drawn[:, 0] != drawn[:, 1]], self.nodes)
            keys = first_distinct(torch.cat([keys, new]))
        return keys[:wanted]

    def log_prob(self, data: GraphTensors) -> Tensor:
        """Nats, (batch,), float64."""
        edges = data["edges"]
        is_edge = edges[:, :, 0] >= 0
        known = is_edge & (edges < self.nodes).all(2)
        values = torch.full(is_edge.shape, -torch.inf, dtype=torch.float64, device=edges.device)
        values[known] = self.log_pair_prob(edges[known]).double()
        total = torch.where(is_edge, values, 0.0).sum(1) + (is_edge.sum(1).double() + 1).lgamma()
        return torch.where(are_canonical(data), total, -torch.inf)


def read_graphs(view: View) -> Iterator[tuple[Tensor, int]]:
    """(edges (count, 2), nodes) of every row."""
    for rows in torch.split(torch.arange(len(view)), ROWS_AT_ONCE):
        yield from each_graph(view.get_batch(rows, Key.of("graphs")).data)


def require_one_graph(spec: Spec, recipe: str) -> None:
    """Raises ConfigError: the data are a set of graphs, and the recipe models one."""
    if spec["graphs"] != 1:
        raise ConfigError(
            f"{recipe} models one graph, and train has {spec['graphs']:,}",
            "take model erdos-renyi or configuration",
        )


def draw_pairs(count: int, nodes: int, key: Key) -> Tensor:
    """``count`` different pairs of nodes (count, 2), u < v, in order; each set is as likely as another.

    All pairs, if there are no more.
    """
    every = nodes * (nodes - 1) // 2
    if every <= 4 * count:
        pairs = torch.triu_indices(nodes, nodes, 1, device=key.device).T
        return pairs[key.permutation(every)[:count].sort().values]
    found = torch.empty(0, dtype=torch.int64, device=key.device)
    number = 0
    while len(found) < count:
        drawn = (key / number).integers(nodes, 2 * (count - len(found)) + 16, 2)
        keys = keys_of(drawn[drawn[:, 0] != drawn[:, 1]], nodes)
        found, number = first_distinct(torch.cat([found, keys])), number + 1
    return pairs_of(found[:count].sort().values, nodes)


def first_distinct(keys: Tensor) -> Tensor:
    """The different ones of ``keys`` (count), in the order in which they come first."""
    return keys[first_of_each(keys)]


def first_of_each(keys: Tensor) -> Tensor:
    """Which entries of ``keys`` (count) are the first ones of their value: bool (count)."""
    ordered, numbers = keys.sort(stable=True)
    is_first = torch.ones_like(ordered, dtype=torch.bool)
    is_first[1:] = ordered[1:] != ordered[:-1]
    marked = torch.empty_like(is_first)
    marked[numbers] = is_first
    return marked
