"""Random graph networks: their definition on dense matrices, order of nodes, and what they notice."""

from __future__ import annotations

import pkgutil

import networkx as nx
import numpy as np
import pytest
import torch
from gancore_graph.canonical import to_tensors
from gancore_graph.generated_sets import draw_set
from gancore_graph.random_gin import RandomGIN, draw_layers, node_sums
from gancore_graph.registry import CORE, FEATURE_EXTRACTORS

from gancore import Data, FeatureContext, MetricInputs, SampleSet, Spec, TensorView


def samples(graphs, most=300):
    rows = [(torch.tensor(sorted(tuple(sorted(e)) for e in g.edges)).reshape(-1, 2), len(g)) for g in graphs]
    return to_tensors(rows, most)


def dense(graph, layers):
    """Thompson et al.'s features by matrices: two rounds of two layers, sums over nodes of each round."""
    matrix = nx.to_numpy_array(graph, nodelist=range(len(graph)))
    x, sums = 2 * matrix.sum(1, keepdims=True), []
    for number in range(2):
        x = x + matrix @ x
        for weight, bias in layers[2 * number : 2 * number + 2]:
            x = np.maximum(x @ weight.numpy().T + bias.numpy(), 0)
        sums.append(x.sum(0))
    return np.concatenate(sums)


def test_features_are_those_of_their_definition_on_dense_matrices():
    graphs = [nx.gnp_random_graph(n, p, seed=n) for n, p in ((9, 0.4), (4, 0.0), (17, 0.2), (2, 1.0))]
    layers = draw_layers()
    values = node_sums(samples(graphs), layers)
    assert values.shape == (4, 70)
    np.testing.assert_allclose(values, np.stack([dense(g, layers) for g in graphs]), rtol=1e-12, atol=1e-12)
    for weight, _ in layers[1:]:
        torch.testing.assert_close(weight @ weight.T, torch.eye(35, dtype=torch.float64))
    assert float(layers[0][0].norm()) == pytest.approx(1)


def test_the_order_of_nodes_and_of_graphs_does_not_matter():
    graph = nx.random_geometric_graph(40, 0.3, seed=1)
    order = np.random.default_rng(0).permutation(40).tolist()
    moved = nx.relabel_nodes(graph, dict(enumerate(order)))
    other = nx.gnp_random_graph(40, 0.1, seed=2)
    values = node_sums(samples([graph, moved, other]), draw_layers())
    torch.testing.assert_close(values[0], values[1], rtol=1e-12, atol=0)
    torch.testing.assert_close(values[2:], node_sums(samples([other]), draw_layers()), rtol=1e-12, atol=0)
    assert (values[0] - values[2]).abs().max() > 1


def extractor(train):
    made = RandomGIN()
    spec = Spec({"graphs": len(train), "max_nodes": 40, "max_edges": 300})
    view = TensorView(samples(train))
    made.prepare(FeatureContext(Data(view, view, view, spec=spec), None, None))
    return made, spec


def test_distances_grow_with_the_share_of_random_graphs():
    """Frechet distance, MMD with a Gaussian kernel and precision order mixtures by their share of noise."""
    real = [nx.Graph(arcs.pairs.tolist()) for arcs in draw_set("planar", 160, 5)[0]]
    noise = [nx.gnm_random_graph(64, g.number_of_edges(), seed=7 + n) for n, g in enumerate(real)]
    made, spec = extractor(real[80:])
    shown = SampleSet(samples(real[:80]), None, made.embed(samples(real[:80]), spec))
    found = {name: [] for name in ("frechet", "mmd_gaussian", "precision")}
    for share in (0.0, 0.25, 0.5, 1.0):
        count = round(80 * share)
        mixed = [*noise[:count], *real[80 : 160 - count]]
        fake = SampleSet(samples(mixed), None, made.embed(samples(mixed), spec))
        for name, values in found.items():
            metric = pkgutil.resolve_name(CORE[name].target)
            values.append(metric.compute(MetricInputs(fake, shown, shown, spec)))
    for name, sign in (("frechet", 1), ("mmd_gaussian", 1), ("precision", -1)):
        steps = sign * np.diff(found[name])
        assert (steps > 0).all(), (name, found[name])


def test_it_is_offered_beside_the_descriptors_which_stay_the_default():
    assert list(FEATURE_EXTRACTORS) == ["descriptors", "random-gin"]
    first, _ = extractor([nx.path_graph(5), nx.cycle_graph(6)])
    second, _ = extractor([nx.path_graph(5), nx.star_graph(6)])
    assert first.digest != second.digest
