"""How a model scores held-out edges of one graph, and how much of train its samples repeat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gancore import Batch, Interval, Metric, MetricInputs
from gancore.errors import ConfigError
from gancore.metrics import mean_interval
from gancore_graph.canonical import GraphTensors, edges_of, keys_of, pairs_of

NORMAL_95 = 1.959964


@dataclass(frozen=True)
class HeldOut:
    """Pairs (count, 2) of nodes: edges that are held out, and pairs that are no edges."""

    edges: Tensor
    non_edges: Tensor


def held_out(inputs: MetricInputs) -> HeldOut:
    """Edges of the reference row that are not in train; of the row of test, those of valid are not, either.

    Raises:
        ConfigError: the data are a set of graphs, or the reference has no such edges.
    """
    spec = inputs.spec
    if spec["graphs"] != 1 or "valid_edges" not in spec:
        raise ConfigError("held-out edges are of one graph", "give data of one graph")
    nodes = int(spec["max_nodes"])
    listed = _first_row(inputs.real.samples), _first_row(inputs.train.samples), spec["valid_edges"].cpu()
    row, train, valid = (keys_of(edges, nodes) for edges in listed)
    edges, non_edges = row[~torch.isin(row, train)], spec["valid_non_edges"]
    rest = edges[~torch.isin(edges, valid)]
    if len(rest) and len(rest) + len(valid) == len(edges):
        edges, non_edges = rest, spec["test_non_edges"]
    if not len(edges):
        raise ConfigError("the reference has no edges that train has not", "give --split valid or test")
    return HeldOut(pairs_of(edges, nodes), non_edges.cpu())


def _first_row(samples: GraphTensors) -> Tensor:
    return torch.from_numpy(edges_of(samples, 0))


def pair_scores(inputs: MetricInputs, pairs: Tensor) -> Tensor:
    """The model's log-probability of each pair (count, 2), as of a graph of that edge alone, (count)."""
    if inputs.likelihood is None:
        raise ConfigError("this model has no likelihood", "take another model, or leave out this measure")
    nodes = torch.full((len(pairs),), int(inputs.spec["max_nodes"]))
    scores = inputs.likelihood(Batch({"edges": pairs[:, None], "nodes": nodes}))
    if scores is None:
        raise ConfigError("this model's likelihood is not of graphs", "leave out this measure")
    return scores.double()


def _both_scores(inputs: MetricInputs) -> tuple[Tensor, Tensor]:
    pairs = held_out(inputs)
    return pair_scores(inputs, pairs.edges), pair_scores(inputs, pairs.non_edges)


def roc_parts(edges: Tensor, non_edges: Tensor) -> tuple[Tensor, Tensor]:
    """Of each edge the share of non-edges below it, of each non-edge that of edges above; ties are half."""

    def below(values: Tensor, others: Tensor) -> Tensor:
        ordered = others.sort().values
        counts = [torch.searchsorted(ordered, values, right=right) for right in (False, True)]
        return (counts[0] + counts[1]).double() / (2 * len(others))

    return below(edges, non_edges), 1 - below(non_edges, edges)


def roc_auc(edges: Tensor, non_edges: Tensor) -> float:
    """Probability that a random edge has a larger score than a random non-edge."""
    return float(roc_parts(edges, non_edges)[0].mean())


def roc_interval(edges: Tensor, non_edges: Tensor) -> Interval:
    """DeLong et al. 1988: the variance of a two-sample U-statistic, from the shares of each score."""
    value, parts = roc_auc(edges, non_edges), roc_parts(edges, non_edges)
    if min(map(len, parts)) < 2:
        raise ConfigError("an interval of one held-out edge", "hold out more edges: data.test_fraction")
    spread = NORMAL_95 * float(sum(part.var() / len(part) for part in parts)) ** 0.5
    method = f"DeLong, over {len(edges)} edges and {len(non_edges)} other pairs"
    return Interval(max(0.0, value - spread), min(1.0, value + spread), method)


def average_precision(edges: Tensor, non_edges: Tensor) -> float:
    """Mean over the thresholds at which recall grows, of precision there; equal scores are one threshold."""
    scores = torch.cat([edges, non_edges])
    ordered, order = scores.sort(descending=True, stable=True)
    hits = (order < len(edges)).double().cumsum(0)
    is_last = torch.ones_like(ordered, dtype=torch.bool)
    is_last[:-1] = ordered[:-1] != ordered[1:]
    found, seen = hits[is_last], torch.arange(1, len(ordered) + 1)[is_last]
    gains = torch.diff(found, prepend=torch.zeros(1, dtype=found.dtype)) / len(edges)
    return float((gains * found / seen).sum())


def overlaps(inputs: MetricInputs) -> Tensor:
    """Of each sample the share of train's edges that it has, (n,)."""
    if inputs.spec["graphs"] != 1:
        raise ConfigError("the overlap of edges is of one graph", "give data of one graph")
    nodes = int(inputs.spec["max_nodes"])
    train = keys_of(_first_row(inputs.train.samples), nodes)
    samples = inputs.fake.samples
    rows = (torch.from_numpy(edges_of(samples, row)) for row in range(len(inputs.fake)))
    return torch.stack([torch.isin(train, keys_of(row, nodes)).double().mean() for row in rows])


MODEL: frozenset[Literal["likelihood", "train"]] = frozenset({"likelihood", "train"})

link_roc_auc = Metric(
    lambda inputs: roc_auc(*_both_scores(inputs)),
    unit="",
    higher_is_better=True,
    interval=lambda inputs: roc_interval(*_both_scores(inputs)),
    requires=MODEL,
)
link_average_precision = Metric(
    lambda inputs: average_precision(*_both_scores(inputs)), unit="", higher_is_better=True, requires=MODEL
)
held_out_nats = Metric(
    lambda inputs: -float(pair_scores(inputs, held_out(inputs).edges).mean()),
    unit="nats an edge",
    higher_is_better=False,
    interval=lambda inputs: mean_interval(-pair_scores(inputs, held_out(inputs).edges)),
    requires=MODEL,
)
edge_overlap = Metric(
    lambda inputs: float(overlaps(inputs).mean()),
    unit="share of train's edges",
    higher_is_better=None,
    interval=lambda inputs: mean_interval(overlaps(inputs)),
    requires=frozenset({"train"}),
    kind="memory",
)
