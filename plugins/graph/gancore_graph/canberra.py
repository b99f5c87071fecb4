"""The Canberra distance of the statistics of graphs from those of the training graph."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gancore import Metric, MetricInputs
from gancore.errors import ConfigError
from gancore_graph.graph import Graph
from gancore_graph.statistic_metrics import (
    KNOWN_STATISTICS,
    MOST_FOR_PATHS,
    sampled_graphs,
    spread,
    train_graph,
)

RATIOS = {name: known for name, known in KNOWN_STATISTICS.items() if not known.is_difference}
"""The statistics that are never negative."""


def relative_difference(value: float, train: float) -> float:
    """|value - train| / (value + train), a term of the Canberra distance: 0 for equal ones, at most 1.

    1 for a value that is not defined. Both are at least 0.
    """
    if np.isnan(value):
        return 1.0
    return 0.0 if value == train else abs(value - train) / (value + train)


def distances(inputs: MetricInputs) -> Tensor:
    """Of each graph the mean relative difference of its statistics from train's, (n,).

    NetSimile (Berlingerio et al. 2013) compares signatures of graphs by the same distance. Statistics that
    are not defined for train, or 0, are left out.

    Raises:
        ConfigError: the data are a set of graphs, or train has no such statistic.
    """
    train = train_graph(inputs)
    own = {name: statistic.of(train, train) for name, statistic in RATIOS.items()}
    known = {name: value for name, value in own.items() if value > 0}
    if not known:
        raise ConfigError("no statistic is defined for the training graph", "leave it out")

    def distance(graph: Graph) -> float:
        parts = [relative_difference(RATIOS[name].of(graph, train), value) for name, value in known.items()]
        return float(np.mean(parts))

    values = [distance(graph) for graph in sampled_graphs(inputs, train, MOST_FOR_PATHS)]
    return torch.tensor(sorted(values), dtype=torch.float64)


canberra = Metric(
    lambda inputs: float(distances(inputs).mean()),
    unit="0 to 1",
    higher_is_better=False,
    interval=lambda inputs: spread(distances(inputs), inputs),
    requires=frozenset({"train"}),
    mean_over_samples=True,
)
