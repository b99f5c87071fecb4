"""Every statistic of a model beside that of the partial configuration model at the same overlap of edges.

A model that repeats a share of train has part of train's statistics by that alone. The configuration model
that keeps as many edges, and has train's degrees, shows how much; what it has too, no model has learnt.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gancore import MetricInputs
from gancore.metrics import MetricResult, Table, TableRow
from gancore.random import Key
from gancore_graph.canonical import keys_of, pairs_of
from gancore_graph.graph import Graph
from gancore_graph.link_scores import overlaps
from gancore_graph.memo import as_graph
from gancore_graph.random_graphs import rewire
from gancore_graph.statistic_metrics import KNOWN_STATISTICS, train_graph

TITLE = "Statistics at their overlap"
LINKS = ("link_roc_auc", "link_average_precision", "held_out_nats")
MOST_CONTROLS, FEWEST_CONTROLS, CONTROL_EDGES = 8, 2, 800_000
"""Controls that are drawn; fewer, if they would have more edges than this together."""


def overlap_table(inputs: MetricInputs, results: Sequence[MetricResult]) -> list[Table]:
    """The table of the statistics among ``results``; [] if there are none."""
    known = {result.metric: result for result in results if result.value is not None}
    links, names = ([name for name in group if name in known] for group in (LINKS, KNOWN_STATISTICS))
    if not names:
        return []
    train = train_graph(inputs)
    own = float(overlaps(inputs).mean())
    graphs, overlap = controls(train, own, inputs.key / "controls")

    def row(name: str, overlap: float | None, statistics: Sequence[float | None], linked: bool) -> TableRow:
        return TableRow(name, [overlap, *(known[n].value if linked else None for n in links), *statistics])

    details = {part: [known[name].details[part] for name in names] for part in ("train", "samples")}
    reference = [
        row("input: train", 1.0, details["train"], False),
        row("real, thinned", None, [_real(known[name]) for name in names], False),
    ]
    beside = [_mean(name, graphs, train) for name in names]
    rows = [
        row("", own, details["samples"], True),
        row(f"  configuration at {overlap:.3f}", overlap, beside, False),
    ]
    return [Table(TITLE, _note(train, len(graphs)), ["overlap", *links, *names], reference, rows)]


def controls(train: Graph, overlap: float, key: Key) -> tuple[list[Graph], float]:
    """Graphs of the partial configuration model with this overlap, and the overlap that they have.

    Edges that are wired again are train's by chance: with a share k kept the overlap is k + (1 - k)^2 c,
    where c is that of k = 0. Below c, nothing is kept.
    """
    count = min(MOST_CONTROLS, max(FEWEST_CONTROLS, CONTROL_EDGES // len(train.edges)))
    edges = torch.from_numpy(np.ascontiguousarray(train.edges))
    nothing_kept = [rewired(edges, train.nodes, 0.0, key / "free" / number) for number in range(count)]
    chance = _overlap(edges, nothing_kept, train.nodes)
    keep = share_to_keep(overlap, chance)
    if keep <= 0:
        made = nothing_kept
    else:
        made = [rewired(edges, train.nodes, keep, key / "kept" / number) for number in range(count)]
    graphs = [as_graph(pairs_of(keys, train.nodes).numpy(), train.nodes) for keys in made]
    return graphs, _overlap(edges, made, train.nodes)


def share_to_keep(overlap: float, chance: float) -> float:
    """k with k + (1 - k)^2 c = ``overlap``; 0 if chance alone gives more."""
    if overlap <= chance:
        return 0.0
    if chance <= 0:
        return overlap
    b = 1 - 2 * chance
    return float(min(1.0, (-b + (b * b + 4 * chance * (overlap - chance)) ** 0.5) / (2 * chance)))


def rewired(edges: Tensor, nodes: int, keep: float, key: Key) -> Tensor:
    """Keys, in order, of a graph that keeps a share of ``edges`` (count, 2), and all degrees."""
    order = (key / "order").permutation(len(edges))
    kept = round(keep * len(edges))
    keys = rewire(edges[order[kept:]], keys_of(edges[order[:kept]], nodes), nodes, key / "pairs")
    return keys.sort().values


def _overlap(edges: Tensor, graphs: Sequence[Tensor], nodes: int) -> float:
    own = keys_of(edges, nodes)
    return float(torch.stack([torch.isin(own, keys).double().mean() for keys in graphs]).mean())


def _mean(name: str, graphs: Sequence[Graph], train: Graph) -> float | None:
    statistic = KNOWN_STATISTICS[name]
    values = np.array([statistic.of(graph, train) for graph in graphs[: statistic.most]])
    return float(np.nanmean(values)) if np.isfinite(values).any() else None


def _real(result: MetricResult) -> float | None:
    """The statistic of the held-out row, from its value over train's."""
    if (value := result.anchors.get("real")) is None:
        return None
    train = float(result.details["train"])
    return value + train if KNOWN_STATISTICS[result.metric].is_difference else value * train


def _note(train: Graph, count: int) -> str:
    return (
        f"The input is the training graph ({train.nodes:,} nodes, {len(train.edges):,} edges), without "
        "held-out edges; real, thinned: the held-out graph with as many edges. Beside each model, the "
        f"configuration model that keeps as many of train's edges ({count} graphs): what it has too, no "
        "model has learnt. Means over graphs; links are scored by the model itself."
    )
