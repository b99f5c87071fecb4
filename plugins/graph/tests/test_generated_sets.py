"""Generated sets: planar triangulations, and block graphs that a calibrated test recognises."""

from __future__ import annotations

import gancore_graph.novelty_metrics as novelty
import networkx as nx
import numpy as np
import pytest
from gancore_graph.block_test import find_probable_blocks, is_block_graph
from gancore_graph.config import GraphConfig
from gancore_graph.dataset import open_graph
from gancore_graph.generated_sets import draw_set
from gancore_graph.memo import as_graph
from gancore_graph.sources import SOURCES

from gancore import Source
from gancore.errors import ConfigError


def graphs(name, count, seed=3):
    return [as_graph(arcs.pairs, len(arcs.names)) for arcs in draw_set(name, count, seed)[0]]


def source(name):
    return Source(name, None, SOURCES[name])


def test_planar_graphs_are_triangulations():
    for graph in graphs("planar", 8):
        made = novelty.to_networkx(graph)
        assert nx.check_planarity(made)[0] and nx.is_connected(made)
        assert graph.nodes == 64
        assert 3 * 64 - 3 - 40 < len(graph.edges) <= 3 * 64 - 6  # triangulated, up to the hull


def test_a_set_is_a_function_of_the_seed_and_its_graphs_of_their_number():
    few, many = graphs("sbm", 5), graphs("sbm", 9)
    assert all(np.array_equal(a.edges, b.edges) for a, b in zip(few, many[:5], strict=True))
    assert not np.array_equal(few[0].edges, graphs("sbm", 5, seed=4)[0].edges)
    assert {graph.nodes for graph in few} <= set(range(40, 201))


def test_the_sources_open_with_the_number_of_graphs_that_is_asked_for():
    data = open_graph(source("planar"), GraphConfig(graphs=40))
    assert sum(len(data.view(split)) for split in ("train", "valid", "test")) == 40
    assert data.spec["max_nodes"] == 64 and 10 < data.spec["bandwidth"] < 64
    assert data.spec["node_counts"].tolist() == [0] * 64 + [data.spec["graphs"]]
    assert data.fingerprint == open_graph(source("planar"), GraphConfig(graphs=40)).fingerprint
    assert data.fingerprint != open_graph(source("planar"), GraphConfig(graphs=40, seed=1)).fingerprint
    with pytest.raises(ConfigError, match=r"data\.graphs"):
        open_graph(source("les_miserables"), GraphConfig(graphs=40))


def test_blocks_are_found_and_the_test_passes_the_model_alone():
    real = graphs("sbm", 60)
    for number, graph in enumerate(real[:5]):
        rng = np.random.default_rng([3, number])
        sizes = rng.integers(20, 41, rng.integers(2, 6))
        true, found = np.repeat(np.arange(len(sizes)), sizes), find_probable_blocks(graph)
        pairs = set(zip(true.tolist(), found.tolist(), strict=True))
        agreement = np.mean(
            [np.bincount(found[true == block]).max() / (true == block).sum() for block in set(true)]
        )
        assert len(pairs) < 2 * len(sizes) + 3 and agreement > 0.95
    assert np.mean([is_block_graph(graph) for graph in real]) >= 0.95
    noise = [nx.gnm_random_graph(g.nodes, len(g.edges), seed=1) for g in real[:8]]
    rewired = [nx.double_edge_swap(novelty.to_networkx(g), 2 * len(g.edges), 10**6, seed=1) for g in real[:8]]
    for graph in (*noise, *rewired):
        edges = np.array(sorted(tuple(sorted(edge)) for edge in graph.edges))
        assert not is_block_graph(as_graph(edges, len(graph)))


def test_the_block_test_is_required_of_samples_of_this_source_alone():
    train = graphs("sbm", 4)
    assert novelty.OF_BLOCKS in novelty.required_properties(train, "sbm")
    assert novelty.OF_BLOCKS not in novelty.required_properties(train, "enzymes")
    cut = as_graph(train[0].edges[::2], train[0].nodes)
    assert novelty.assess([train[1], cut], train, "sbm").valid.tolist() == [True, False]
