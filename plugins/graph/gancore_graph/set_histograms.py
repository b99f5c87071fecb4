"""Histograms of each graph of a set: of degrees, of local clustering, of the spectrum."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from gancore.errors import ConfigError
from gancore_graph.canonical import GraphTensors, edges_of
from gancore_graph.graph import Graph
from gancore_graph.memo import Memo, as_graph, digest_graph
from gancore_graph.statistics import local_clustering

CLUSTERING_BINS, SPECTRUM_BINS = 100, 200
SPECTRUM_RANGE = (-1e-5, 2.0)
"""As in GRAN's code; no bin ends at 0, 0.5, 1 or 1.5, which many graphs have as eigenvalues."""
MOST_NODES = 3000
"""Nodes of a graph whose eigenvalues are computed; a dense matrix of so many takes 72 MB."""

Floats = NDArray[np.float64]
Histogram = Callable[[Graph], Floats]
"""From a graph to shares of its nodes, of a length that may depend on the graph."""

_HISTOGRAMS: Memo[Floats] = Memo(20_000)


def graphs_of(samples: GraphTensors) -> list[Graph]:
    nodes = samples["nodes"].tolist()
    return [as_graph(edges_of(samples, row), int(count)) for row, count in enumerate(nodes)]


def degree_histogram(graph: Graph) -> Floats:
    """Share of nodes of degree 0, 1, ..., the largest."""
    counts: Floats = np.bincount(graph.degrees()) / graph.nodes
    return counts


def clustering_histogram(graph: Graph) -> Floats:
    """Share of nodes by local clustering, in 100 bins of [0, 1]."""
    return np.histogram(local_clustering(graph), CLUSTERING_BINS, (0.0, 1.0))[0] / graph.nodes


def spectrum_histogram(graph: Graph) -> Floats:
    """Share of the eigenvalues of the normalised Laplacian, in 200 bins of [0, 2]."""
    return np.histogram(laplacian_spectrum(graph), SPECTRUM_BINS, SPECTRUM_RANGE)[0] / graph.nodes


def laplacian_spectrum(graph: Graph) -> Floats:
    """Eigenvalues of I - D^-1/2 A D^-1/2, in order, (nodes); 0 for an isolated node.

    Raises:
        ConfigError: the graph has more than MOST_NODES nodes.
    """
    if graph.nodes > MOST_NODES:
        raise ConfigError(f"the spectrum of {graph.nodes:,} nodes is too large", "leave out this measure")
    degrees = graph.degrees()
    scale = np.where(degrees > 0, 1 / np.sqrt(np.maximum(degrees, 1)), 0.0)
    matrix = -graph.adjacency().toarray() * scale[:, None] * scale
    matrix[np.diag_indices(graph.nodes)] = degrees > 0
    return np.minimum(np.linalg.eigvalsh(matrix), SPECTRUM_RANGE[1])  # rounding may exceed 2


def histograms(samples: GraphTensors, histogram: Histogram) -> list[Floats]:
    """Of each graph, kept by its content."""
    return [
        _HISTOGRAMS.get((histogram, digest_graph(graph.edges, graph.nodes)), partial(histogram, graph))
        for graph in graphs_of(samples)
    ]


def stacked(rows: list[Floats], width: int) -> Floats:
    """Histograms as one array (rows, width), filled with zeros."""
    made = np.zeros((len(rows), width))
    for to, row in zip(made, rows, strict=True):
        to[: len(row)] = row
    return made
