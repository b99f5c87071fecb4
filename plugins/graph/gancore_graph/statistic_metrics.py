"""Statistics of graphs generated from one graph, over those of the training graph.

The values are comparable with train's alone, since models generate as many edges as train has. Real rows have
held-out edges too: they are thinned to as many edges as train, in the way in which train itself was drawn.
One row is thinned several times: its interval is the spread of graphs that are drawn like train.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gancore import Interval, Metric, MetricInputs
from gancore.errors import ConfigError
from gancore.metrics import Control, mean_interval
from gancore_graph import statistics
from gancore_graph.canonical import GraphTensors, edges_of
from gancore_graph.communities import communities_of, community_densities
from gancore_graph.graph import Graph
from gancore_graph.memo import Memo, as_graph, digest_graph
from gancore_graph.path_lengths import PathLength, characteristic_path_length
from gancore_graph.splits import spanning_edges

MOST_GRAPHS = 64
"""Samples that a statistic is computed of; more would narrow the interval little."""
MOST_FOR_PATHS = 16
THINNED = 16
"""Thinned graphs of a single row, as of real rows."""
NORMAL_95 = 1.959964

_VALUES: Memo[float] = Memo(100_000)
_PATHS: Memo[PathLength] = Memo(10_000)


@dataclass(frozen=True)
class Statistic:
    """A function of a graph and of the training graph.

    As a metric it is its mean over samples, over train's value; ``is_difference``: minus that value, for what
    may be 0 or negative. ``uses_train``: the value of a graph depends on the training graph, too. ``most``:
    samples that it is computed of.
    """

    function: Callable[[Graph, Graph], float]
    is_difference: bool = False
    uses_train: bool = False
    most: int = MOST_GRAPHS

    def of(self, graph: Graph, train: Graph) -> float:
        """The value, kept by the content of the graphs; NaN: not defined."""
        graphs = (graph, train) if self.uses_train else (graph,)
        digests = [digest_graph(one.edges, one.nodes) for one in graphs]
        return _VALUES.get((self.function, *digests), lambda: self.function(graph, train))

    def compare(self, values: Tensor, train: float) -> Tensor:
        return values - train if self.is_difference else values / train


def train_graph(inputs: MetricInputs) -> Graph:
    """The training graph. Raises ConfigError: the data are a set of graphs."""
    if inputs.spec["graphs"] != 1:
        raise ConfigError("this statistic is of one graph", "give data of one graph")
    return as_graph(edges_of(inputs.train.samples, 0), int(inputs.spec["max_nodes"]))


def sampled_graphs(inputs: MetricInputs, train: Graph, most: int) -> list[Graph]:
    """Up to ``most`` of the samples, drawn by the key, each with at most as many edges as train.

    A single row with more edges gives :data:`THINNED` graphs.
    """
    samples: GraphTensors = inputs.fake.samples
    if len(inputs.fake) == 1:
        whole = as_graph(edges_of(samples, 0), int(samples["nodes"][0]))
        copies = THINNED if len(whole.edges) > len(train.edges) else 1
        return [thin(whole, len(train.edges), inputs.key.seed + copy) for copy in range(copies)]
    rows = inputs.fake.content_order()[(inputs.key / "rows").permutation(len(inputs.fake))[:most]].tolist()
    return [
        thin(as_graph(edges_of(samples, row), int(samples["nodes"][row])), len(train.edges), inputs.key.seed)
        for row in rows
    ]


def thin(graph: Graph, edges: int, seed: int) -> Graph:
    """With ``edges`` of its edges: others are left out, outside a random spanning forest, as for train.

    A graph of fewer edges is returned as it is; if the forest has more, it remains.
    """
    surplus = len(graph.edges) - edges
    if surplus <= 0:
        return graph
    rng = np.random.default_rng([seed % 2**32, graph.nodes, edges])
    free = np.flatnonzero(~spanning_edges(graph, rng))
    kept = np.ones(len(graph.edges), dtype=bool)
    kept[rng.permutation(free)[:surplus]] = False
    return as_graph(graph.edges[kept], graph.nodes)


def _values(statistic: Statistic, inputs: MetricInputs) -> tuple[Tensor, float, int]:
    """Of the samples (defined), of train, and of how many samples it is not defined."""
    graph = train_graph(inputs)
    train = statistic.of(graph, graph)
    if np.isnan(train) or (train == 0 and not statistic.is_difference):
        word = "not defined" if np.isnan(train) else "0"
        raise ConfigError(f"this statistic is {word} for the training graph", "leave it out")
    found = [statistic.of(sample, graph) for sample in sampled_graphs(inputs, graph, statistic.most)]
    values = torch.tensor(sorted(value for value in found if not np.isnan(value)), dtype=torch.float64)
    if not len(values):
        raise ConfigError("this statistic is not defined for any sample", "check the samples")
    return values, train, len(found) - len(values)


def _compute(statistic: Statistic, inputs: MetricInputs) -> float:
    values, train, _ = _values(statistic, inputs)
    return float(statistic.compare(values, train).mean())


def _interval(statistic: Statistic, inputs: MetricInputs) -> Interval:
    values, train, _ = _values(statistic, inputs)
    return spread(statistic.compare(values, train), inputs)


def spread(values: Tensor, inputs: MetricInputs) -> Interval:
    """Of the mean over samples (n); of a single row, whose edges are thinned, where one such graph lies."""
    if len(inputs.fake) > 1 or len(values) < 2:
        return mean_interval(values)
    half, mean = NORMAL_95 * float(values.std()), float(values.mean())
    return Interval(mean - half, mean + half, f"spread of {len(values)} thinned graphs")


def _details(statistic: Statistic, inputs: MetricInputs) -> Mapping[str, Any]:
    values, train, undefined = _values(statistic, inputs)
    return {"samples": float(values.mean()), "train": train, "graphs": len(values), "not defined": undefined}


def statistic_metric(statistic: Statistic) -> Metric:
    """The metric of a statistic: best where it is train's."""
    return Metric(
        partial(_compute, statistic),
        unit="minus train's" if statistic.is_difference else "of train's",
        higher_is_better=False,
        ideal=0.0 if statistic.is_difference else 1.0,
        interval=partial(_interval, statistic),
        details=partial(_details, statistic),
        requires=frozenset({"train"}),
        insensitive_to=frozenset[Control]({"collapse"}),
        mean_over_samples=True,
    )


# The metrics, by their names.


def find_path_length(graph: Graph) -> PathLength:
    """Kept by the graph's content."""
    key = digest_graph(graph.edges, graph.nodes)
    return _PATHS.get(key, lambda: characteristic_path_length(graph))


def _within(graph: Graph, train: Graph) -> float:
    return community_densities(graph, communities_of(train)).within


def _between(graph: Graph, train: Graph) -> float:
    return community_densities(graph, communities_of(train)).between


def _of_graph(function: Callable[[Graph], float], is_difference: bool = False) -> Statistic:
    return Statistic(lambda graph, train: function(graph), is_difference)


KNOWN_STATISTICS: Mapping[str, Statistic] = {
    "maximum_degree": _of_graph(statistics.maximum_degree),
    "gini": _of_graph(statistics.gini),
    "power_law": _of_graph(statistics.power_law),
    "discrete_power_law": _of_graph(statistics.discrete_power_law),
    "assortativity": _of_graph(statistics.assortativity, is_difference=True),
    "wedges": _of_graph(statistics.wedges),
    "claws": _of_graph(statistics.claws),
    "triangles": _of_graph(statistics.triangles),
    "four_cycles": _of_graph(statistics.four_cycles),
    "clustering": _of_graph(statistics.clustering),
    "claw_ratio": _of_graph(statistics.claw_ratio),
    "mean_local_clustering": _of_graph(statistics.mean_local_clustering),
    "path_length": Statistic(lambda graph, train: find_path_length(graph).mean, most=MOST_FOR_PATHS),
    "components": _of_graph(statistics.components),
    "largest_component": _of_graph(statistics.largest_component_share),
    "density_within": Statistic(_within, uses_train=True),
    "density_between": Statistic(_between, uses_train=True),
}
"""By the names of their metrics, in the order of tables."""

(
    maximum_degree,
    gini,
    power_law,
    discrete_power_law,
    assortativity,
    wedges,
    claws,
    triangles,
    four_cycles,
    clustering,
    claw_ratio,
    mean_local_clustering,
    path_length,
    components,
    largest_component,
    density_within,
    density_between,
) = map(statistic_metric, KNOWN_STATISTICS.values())
# Random graphs of more than n log n / 2 edges are in one piece, as most real graphs are.
_IN_PIECES = frozenset[Control]({"noise", "collapse"})
components = replace(components, insensitive_to=_IN_PIECES)
largest_component = replace(largest_component, insensitive_to=_IN_PIECES)

_PATH = KNOWN_STATISTICS["path_length"]


def _path_interval(inputs: MetricInputs) -> Interval:
    """Over samples and, for a large graph, over the sources that were drawn in train."""
    values, mean, _ = _values(_PATH, inputs)
    low, high, method = spread(values / mean, inputs)
    ratio, error = float(values.mean()) / mean, find_path_length(train_graph(inputs)).error / mean
    half = ((high - low) ** 2 / 4 + (NORMAL_95 * ratio * error) ** 2) ** 0.5
    return Interval(ratio - half, ratio + half, f"{method}, with the error of train's drawn sources")


def _path_details(inputs: MetricInputs) -> Mapping[str, Any]:
    found = find_path_length(train_graph(inputs))
    half = NORMAL_95 * found.error
    ends = {"train low": found.mean - half, "train high": found.mean + half, "sources": found.sources}
    return {**_details(_PATH, inputs), **ends}


path_length = replace(path_length, interval=_path_interval, details=_path_details)
