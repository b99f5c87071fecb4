"""The measures and features of graphs, by name; imports none of them."""

from __future__ import annotations

from collections.abc import Mapping

from gancore import FeatureExtractorEntry, MetricEntry
from gancore.metrics import CORE_METRICS


def _entries(module: str, summaries: Mapping[str, str]) -> dict[str, MetricEntry]:
    return {
        name: MetricEntry(name, f"gancore_graph.{module}:{name}", text) for name, text in summaries.items()
    }


STATISTICS: Mapping[str, MetricEntry] = _entries(
    "statistic_metrics",
    {
        "maximum_degree": "largest degree, over train's",
        "gini": "Gini coefficient of the degrees, over train's",
        "power_law": "exponent of the degrees as NetGAN's code fits it, over train's",
        "discrete_power_law": "exponent of the degrees as integers, over train's",
        "assortativity": "correlation of the degrees of joined nodes, minus train's",
        "wedges": "paths of two edges, over train's",
        "claws": "stars of three edges, over train's",
        "triangles": "triangles, over train's",
        "four_cycles": "cycles of four nodes, over train's",
        "clustering": "share of wedges that are closed, over train's",
        "claw_ratio": "3 triangles / claws, the clustering of NetGAN's tables, over train's",
        "mean_local_clustering": "mean share of a node's neighbours that are joined, over train's",
        "path_length": "mean distance of two nodes of the largest component, over train's",
        "components": "connected components, over train's",
        "largest_component": "share of nodes in the largest component, over train's",
        "density_within": "density of edges within blocks of train, over train's",
        "density_between": "density of edges between blocks of train, over train's",
    },
)
"""Of one graph, in the order of the table."""

SETS: Mapping[str, MetricEntry] = {
    **_entries(
        "set_metrics",
        {
            "degree_mmd": "squared MMD of histograms of degrees",
            "clustering_mmd": "squared MMD of histograms of local clustering",
            "spectral_mmd": "squared MMD of histograms of the normalised Laplacian's eigenvalues",
            "degree_mmd_emd": "the first with GraphRNN's kernel, of earth mover's distances",
            "clustering_mmd_emd": "the second with GraphRNN's kernel",
        },
    ),
    **_entries(
        "novelty_metrics",
        {
            "valid_graphs": "share of samples with the properties that all graphs of train have",
            "unique_graphs": "different graphs among the samples, over their number",
            "novel_graphs": "share of samples that are not in train",
            "valid_unique_novel": "different graphs that are valid and novel, over the number of samples",
        },
    ),
}
"""Of sets of graphs."""

CORE_NAMES = (
    "frechet",
    "mmd_gaussian",
    "precision",
    "recall",
    "density",
    "coverage",
    "c2st_neighbour",
    "c2st_trained",
    "jensen_shannon",
)
CORE: Mapping[str, MetricEntry] = {entry.name: entry for entry in CORE_METRICS if entry.name in CORE_NAMES}
"""Metrics of the core that are computed of descriptors of sets."""

FEATURE_EXTRACTORS: Mapping[str, FeatureExtractorEntry] = {
    "descriptors": FeatureExtractorEntry(
        "descriptors",
        "gancore_graph.descriptors:GraphDescriptors",
        "degrees, clustering, spectrum and numbers of subgraphs",
    ),
    "random-gin": FeatureExtractorEntry(
        "random-gin",
        "gancore_graph.random_gin:RandomGIN",
        "sums over nodes of a graph network with fixed random weights",
    ),
}
"""Of sets of graphs."""
