"""The graph domain: one large graph or a set of small ones, and models that generate graphs like them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gancore import (
    Data,
    Diagnostic,
    Domain,
    FeatureExtractorEntry,
    MetricEntry,
    RecipeEntry,
    Samples,
    Source,
    Spec,
)
from gancore.data import Tree
from gancore.random import Key
from gancore_graph.canonical import each_graph, to_tensors
from gancore_graph.config import GraphConfig, GraphSchema
from gancore_graph.dataset import open_graph
from gancore_graph.diagnosis import diagnose
from gancore_graph.edge_models import draw_pairs
from gancore_graph.export import FORMATS, write_samples
from gancore_graph.registry import CORE, FEATURE_EXTRACTORS, SETS, STATISTICS
from gancore_graph.sources import SOURCES

if TYPE_CHECKING:
    from PIL.Image import Image

    from gancore import MetricInputs
    from gancore.metrics import MetricResult, Table


class GraphDomain(Domain):
    """Canonical samples are whole graphs: :mod:`gancore_graph.canonical`."""

    name = "graph"
    Config = GraphConfig
    Schema = GraphSchema
    sources = SOURCES
    formats = FORMATS
    samples_are_points = False
    recipes = {
        entry.name: entry
        for entry in (
            RecipeEntry(
                "configuration",
                "gancore_graph.random_graphs:Configuration",
                "graphs of the degrees of train, or with a share of its edges",
            ),
            RecipeEntry(
                "erdos-renyi",
                "gancore_graph.random_graphs:ErdosRenyi",
                "random graphs of as many edges as train",
                capabilities=frozenset({"likelihood"}),
            ),
            RecipeEntry(
                "dcsbm",
                "gancore_graph.block_model:DegreeCorrectedBlockModel",
                "a degree-corrected stochastic block model of one graph",
                capabilities=frozenset({"likelihood", "bound"}),
            ),
            RecipeEntry(
                "cell",
                "gancore_graph.cell:Cell",
                "low-rank logits of the steps of walks on one graph, until an overlap of edges",
                capabilities=frozenset({"likelihood", "bound"}),
            ),
            RecipeEntry(
                "walk-lm",
                "gancore_graph.walk_models:WalkLanguageModel",
                "an LSTM of walks on one graph, by maximum likelihood; graphs from the steps of its walks",
                capabilities=frozenset({"likelihood", "bound"}),
            ),
            RecipeEntry(
                "netgan",
                "gancore_graph.netgan:NetGan",
                "a GAN of random walks on one graph, until an overlap of edges",
                capabilities=frozenset({"likelihood", "bound"}),
            ),
            RecipeEntry(
                "graphrnn",
                "gancore_graph.graphrnn:GraphRnn",
                "GraphRNN of sets of graphs: recurrent networks over nodes and their edges",
                capabilities=frozenset({"likelihood", "bound"}),
            ),
            RecipeEntry(
                "gg-gan",
                "gancore_graph.gg_gan:GgGan",
                "a GAN of sets of graphs: all edges at once from points of nodes, against a graph network",
                capabilities=frozenset({"parallel", "latents"}),
            ),
        )
    }

    metrics = {
        entry.name: entry
        for entry in (
            MetricEntry(
                "link_roc_auc",
                "gancore_graph.link_scores:link_roc_auc",
                "chance that the model scores a held-out edge above a pair that is none",
            ),
            MetricEntry(
                "link_average_precision",
                "gancore_graph.link_scores:link_average_precision",
                "average precision of held-out edges among as many pairs that are none",
            ),
            MetricEntry(
                "held_out_nats",
                "gancore_graph.link_scores:held_out_nats",
                "-log p of a held-out edge under the model",
            ),
            MetricEntry(
                "edge_overlap",
                "gancore_graph.link_scores:edge_overlap",
                "share of the edges of train that a sample has",
            ),
            MetricEntry(
                "canberra",
                "gancore_graph.canberra:canberra",
                "mean relative difference of the statistics of a sample from train's",
            ),
        )
    }

    metrics = {**metrics, **STATISTICS, **SETS}
    feature_extractors = FEATURE_EXTRACTORS

    def metrics_for(self, spec: Spec) -> Mapping[str, MetricEntry]:
        """One graph: links and statistics. A set: distances of sets, those of the core on descriptors too."""
        if spec["graphs"] > 1:
            return {**CORE, **SETS}
        return {name: entry for name, entry in self.metrics.items() if name not in SETS}

    def feature_extractors_for(self, spec: Spec) -> Mapping[str, FeatureExtractorEntry]:
        return self.feature_extractors if spec["graphs"] > 1 else {}

    def open(self, source: Source, config: GraphConfig) -> Data:
        return open_graph(source, config)

    def write(self, samples: Samples, folder: Path) -> list[Path]:
        return write_samples(samples, folder)

    def write_formats(self, samples: Samples, folder: Path, formats: Sequence[str]) -> list[Path]:
        self.require_formats(formats)
        return write_samples(samples, folder, formats)

    def preview(self, samples: Samples) -> Image:
        from gancore_graph.drawing import draw_graphs

        return draw_graphs(samples)

    def report_sample_count(self, spec: Spec) -> int:
        return 3

    def noise(self, samples: Tree, key: Key) -> Tree:
        """Random graphs of as many nodes and edges as each sample."""
        most = samples["edges"].shape[1]
        rows = [
            (draw_pairs(len(edges), nodes, key / row), nodes)
            for row, (edges, nodes) in enumerate(each_graph(samples))
        ]
        return to_tensors(rows, most)

    def tables(self, inputs: MetricInputs, results: Sequence[MetricResult]) -> list[Table]:
        from gancore_graph.overlap_table import overlap_table

        return overlap_table(inputs, results) if inputs.spec["graphs"] == 1 else []

    def diagnose(self, samples: Samples) -> list[Diagnostic]:
        return diagnose(samples)

    def tiny_config(self) -> Mapping[str, Any]:
        return {
            "data": {"source": "les_miserables"},
            "model": {
                "batch_size": 8,
                "blocks": 4,
                "rank": 3,
                "width": 8,
                "embedding_dim": 8,
                "counted_walks": 200,
                "layers": 2,
                "edge_width": 4,
                "edge_layers": 1,
            },
            "train": {"steps": 8},
        }
