"""Vectors of small graphs, on which the core's measures of sets are computed."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from gancore import FeatureContext, FeatureExtractor, Spec
from gancore.data import digest_json
from gancore.random import Key
from gancore_graph.canonical import GraphTensors
from gancore_graph.graph import Graph
from gancore_graph.memo import Memo, digest_graph
from gancore_graph.set_histograms import SPECTRUM_RANGE, Floats, graphs_of, laplacian_spectrum
from gancore_graph.statistics import (
    claws,
    component_sizes,
    four_cycles,
    local_clustering,
    triangles,
    wedges,
)

VERSION = 1
DEGREE_EDGES = (0, 1, 2, 3, 4, 5, 7, 10, 15, 30)
"""First degree of each bin."""
CLUSTERING_EDGES = (0.0, 1e-9, 0.2, 0.4, 0.6, 0.8, 1.0 + 1e-9)
SPECTRUM_BINS = 8
FITTING_ROWS = 2000

_VECTORS: Memo[Floats] = Memo(20_000)


def describe(graph: Graph) -> Floats:
    """(32): shares of nodes by degree and by local clustering, of eigenvalues, and logarithms of counts.

    The counts are of nodes, edges, wedges, claws, triangles, cycles of four and components, as log(1 + n),
    and the share of wedges that are closed.
    """
    degrees = np.searchsorted(DEGREE_EDGES, graph.degrees(), side="right") - 1
    shares = np.bincount(degrees, minlength=len(DEGREE_EDGES)) / graph.nodes
    clustered = np.histogram(local_clustering(graph), CLUSTERING_EDGES)[0] / graph.nodes
    spectrum = np.histogram(laplacian_spectrum(graph), SPECTRUM_BINS, SPECTRUM_RANGE)[0] / graph.nodes
    paths, closed = wedges(graph), triangles(graph)
    counts = [graph.nodes, len(graph.edges), paths, claws(graph), closed, four_cycles(graph)]
    logarithms = np.log1p(np.array([*counts, len(component_sizes(graph))], dtype=np.float64))
    return np.concatenate([shares, clustered, spectrum, logarithms, [3 * closed / max(paths, 1.0)]])


class GraphDescriptors(FeatureExtractor):
    """:func:`describe`, each number over its standard deviation in train, of 2,000 rows at most.

    Numbers that are equal for all graphs of train are as they are. Graphs that are the same but for the
    order of their nodes have the same vector; other graphs may share one.
    """

    name = "descriptors"

    def prepare(self, context: FeatureContext) -> None:
        train, key = context.data.view("train"), Key.of(self.name)
        rows = train.get_batch(key.permutation(len(train))[:FITTING_ROWS], key).data
        vectors = vectors_of(rows)
        deviations = vectors.std(0)
        self.mean = torch.from_numpy(vectors.mean(0))
        self.scale = torch.from_numpy(np.where(deviations > 1e-9, deviations, 1.0))

    @property
    def digest(self) -> str:
        return digest_json(self.name, VERSION, self.mean.tolist(), self.scale.tolist())

    def embed(self, samples: GraphTensors, spec: Spec) -> Tensor:
        vectors = torch.from_numpy(vectors_of(samples))
        return ((vectors - self.mean) / self.scale).float().to(samples["nodes"].device)


def vectors_of(samples: GraphTensors) -> Floats:
    """(rows, 32), kept by the content of the graphs."""
    graphs = graphs_of(samples)
    return np.stack([_VECTORS.get(digest_graph(g.edges, g.nodes), partial(describe, g)) for g in graphs])
