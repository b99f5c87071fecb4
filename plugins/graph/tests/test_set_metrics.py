"""Distances of sets of graphs against their definitions, and which graphs count as equal."""

from __future__ import annotations

import gancore_graph.novelty_metrics as novelty
import gancore_graph.set_metrics as set_metrics
import networkx as nx
import numpy as np
import pytest
import torch
from gancore_graph.canonical import each_graph, to_tensors
from gancore_graph.config import GraphConfig
from gancore_graph.dataset import _open_set
from gancore_graph.descriptors import GraphDescriptors, describe, vectors_of
from gancore_graph.domain import GraphDomain
from gancore_graph.graph import Arcs, make_graph
from gancore_graph.memo import as_graph
from gancore_graph.registry import CORE, SETS
from gancore_graph.set_histograms import clustering_histogram, laplacian_spectrum
from gancore_graph.sources import GraphSource
from gancore_graph.statistics import local_clustering
from scipy.stats import wasserstein_distance

from gancore import Data, FeatureContext, Metric, MetricInputs, SampleSet, Source, Spec, TensorView
from gancore.errors import ConfigError


def ours(graph):
    edges = np.array(sorted(tuple(sorted(edge)) for edge in graph.edges), dtype=np.int64).reshape(-1, 2)
    return as_graph(edges, graph.number_of_nodes())


def samples(graphs):
    rows = [(torch.from_numpy(ours(graph).edges), len(graph)) for graph in graphs]
    return to_tensors(rows, max(len(edges) for edges, _ in rows))


def random_graphs(count, p, seed=0, nodes=12):
    return [nx.gnp_random_graph(nodes, p, seed=1000 * seed + i) for i in range(count)]


def inputs(fake, real, train=None):
    spec = Spec({"graphs": 100, "max_nodes": 12, "max_edges": 66})
    return MetricInputs(*(SampleSet(samples(part)) for part in (fake, real, train or real)), spec)


def by_definition(kernel, fake, real):
    """The U-statistic of Gretton et al. 2012, eq. 3, by loops over pairs."""

    def mean(one, other, same):
        values = [kernel(a, b) for i, a in enumerate(one) for j, b in enumerate(other) if not same or i != j]
        return np.mean(values)

    return mean(real, real, True) + mean(fake, fake, True) - 2 * mean(fake, real, False)


def padded(one, other):
    width = max(len(one), len(other))
    return [np.pad(np.asarray(x, float), (0, width - len(x))) / sum(x) for x in (one, other)]


def total_variation(sigma):
    def kernel(one, other):
        x, y = padded(one, other)
        return np.exp(-((np.abs(x - y).sum() / 2) ** 2) / (2 * sigma**2))

    return kernel


def test_mmd_is_its_definition_on_histograms_of_networkx():
    fake, real = random_graphs(6, 0.3), random_graphs(7, 0.5, 1)
    shown = inputs(fake, real)
    degrees = [[nx.degree_histogram(graph) for graph in part] for part in (fake, real)]
    value = set_metrics.degree_mmd.compute(shown)
    assert value == pytest.approx(by_definition(total_variation(1), *degrees))

    def clustering(graph):
        return np.histogram(list(nx.clustering(graph).values()), 100, (0, 1))[0]

    value = set_metrics.clustering_mmd.compute(shown)
    expected = by_definition(total_variation(0.1), *[[*map(clustering, part)] for part in (fake, real)])
    assert value == pytest.approx(expected)

    def spectrum(graph):
        values = np.linalg.eigvalsh(nx.normalized_laplacian_matrix(graph).toarray())
        return np.histogram(np.minimum(values, 2), 200, (-1e-5, 2))[0]

    value = set_metrics.spectral_mmd.compute(shown)
    expected = by_definition(total_variation(1), *[[*map(spectrum, part)] for part in (fake, real)])
    assert value == pytest.approx(expected)


def test_the_kernel_of_graphrnn_is_of_the_earth_movers_distance():
    fake, real = random_graphs(5, 0.3), random_graphs(6, 0.6, 1)

    def kernel(one, other):
        x, y = padded(one, other)
        distance = wasserstein_distance(range(len(x)), range(len(y)), x, y)
        return np.exp(-(distance**2) / 2)

    degrees = [[nx.degree_histogram(graph) for graph in part] for part in (fake, real)]
    value = set_metrics.degree_mmd_emd.compute(inputs(fake, real))
    assert value == pytest.approx(by_definition(kernel, *degrees))


def test_with_equal_pairs_it_is_the_mean_over_all_pairs():
    gram = torch.tensor([[1.0, 0.2, 0.3], [0.2, 1.0, 0.5], [0.3, 0.5, 1.0]])
    real, fake = torch.tensor([0, 1]), torch.tensor([2, 2])
    assert set_metrics.mmd_squared(gram, real, fake) == pytest.approx(0.2 + 1 - 2 * 0.4)
    value = set_metrics.mmd_squared(gram, real, real, with_equal_pairs=True)
    assert value == pytest.approx(0)
    with pytest.raises(ConfigError, match="no pairs"):
        set_metrics.mmd_squared(gram, real, fake[:1])


def test_equal_laws_have_an_interval_about_zero_and_others_do_not():
    hits = 0
    for seed in range(20):
        shown = inputs(random_graphs(24, 0.3, 2 * seed), random_graphs(24, 0.3, 2 * seed + 1))
        low, high, _ = set_metrics.degree_mmd.interval(shown)
        hits += low <= 0 <= high
    assert hits >= 17
    shown = inputs(random_graphs(40, 0.25), random_graphs(40, 0.5, 1))
    for metric in (set_metrics.degree_mmd, set_metrics.clustering_mmd, set_metrics.spectral_mmd):
        assert metric.interval(shown).low > 0
        assert metric.details(shown)["MMD^2 with equal pairs"] > metric.compute(shown)
    with pytest.raises(ConfigError, match="few graphs"):
        set_metrics.degree_mmd.interval(inputs(random_graphs(15, 0.3), random_graphs(40, 0.3)))


def test_local_clustering_and_spectrum_are_those_of_networkx():
    for graph in (*random_graphs(4, 0.3), nx.star_graph(5), nx.gnp_random_graph(20, 0.05, seed=1)):
        own = ours(graph)
        assert local_clustering(own) == pytest.approx([*nx.clustering(graph).values()])
        assert clustering_histogram(own).sum() == pytest.approx(1)
        expected = np.linalg.eigvalsh(nx.normalized_laplacian_matrix(graph).toarray())
        assert laplacian_spectrum(own) == pytest.approx(expected, abs=1e-9)


def shuffled(graph, seed):
    order = np.random.default_rng(seed).permutation(len(graph)).tolist()
    return nx.relabel_nodes(graph, dict(enumerate(order)))


def test_descriptors_and_hashes_do_not_depend_on_the_order_of_nodes():
    for seed, graph in enumerate(random_graphs(8, 0.3)):
        one, other = ours(graph), ours(shuffled(graph, seed))
        assert describe(one) == pytest.approx(describe(other), abs=1e-12)
        assert novelty.weisfeiler_lehman_hash(one) == novelty.weisfeiler_lehman_hash(other)


def test_descriptors_have_unit_variance_on_train():
    view = TensorView(samples(random_graphs(60, 0.3)))
    data = Data(view, view, view, spec=Spec({"graphs": 60}), summary=[], fingerprint="", splits={})
    extractor = GraphDescriptors()
    extractor.prepare(FeatureContext(data, None, None))
    features = extractor.embed(view.data, data.spec)
    assert features.dtype == torch.float32 and features.isfinite().all() and features.shape == (60, 32)
    deviations = features.double().std(0, unbiased=False)
    varied = torch.from_numpy(vectors_of(view.data).std(0) > 1e-9)
    assert torch.allclose(deviations[varied], torch.ones(int(varied.sum()), dtype=torch.float64), atol=1e-4)
    again = GraphDescriptors()
    again.prepare(FeatureContext(data, None, None))
    assert again.digest == extractor.digest


def test_the_hash_tells_apart_what_is_not_regular():
    trees = [ours(tree) for tree in nx.nonisomorphic_trees(8)]
    assert len({novelty.weisfeiler_lehman_hash(tree) for tree in trees}) == len(trees) == 23
    hexagon, triangles = nx.cycle_graph(6), nx.disjoint_union(nx.cycle_graph(3), nx.cycle_graph(3))
    hashes = {novelty.weisfeiler_lehman_hash(ours(graph)) for graph in (hexagon, triangles)}
    assert len(hashes) == 1, "the stated limit"


def test_shares_of_valid_unique_and_novel_graphs():
    trees = [*nx.nonisomorphic_trees(7)]
    train, new, cycle = trees[:6], trees[6], nx.cycle_graph(7)
    fake = [shuffled(train[0], 1), new, shuffled(new, 2), cycle]
    found = novelty.assess([*map(ours, fake)], [*map(ours, train)])
    assert found.valid.tolist() == [True, True, True, False]
    assert found.novel.tolist() == [False, True, True, True]
    assert found.kind.tolist() == [0, 1, 1, 2]
    shown = inputs(fake, train)
    values = {name: getattr(novelty, name).compute(shown) for name in SETS if "mmd" not in name}
    assert values == {
        "valid_graphs": 0.75,
        "unique_graphs": 0.75,
        "novel_graphs": 0.75,
        "valid_unique_novel": 0.25,
    }
    assert novelty.valid_graphs.details(shown)["valid graphs are"] == [
        "not empty",
        "connected",
        "without cycles",
        "planar",
    ]
    assert novelty.novel_graphs.interval(shown).low < 0.75


def test_only_what_all_of_train_has_is_required():
    assert novelty.required_properties([ours(nx.complete_graph(5))]) == ("not empty", "connected")
    two = nx.disjoint_union(nx.path_graph(2), nx.path_graph(2))
    assert novelty.required_properties([ours(two)]) == ("not empty", "without cycles", "planar")


def test_the_domain_offers_what_fits_the_data():
    domain = GraphDomain()
    one, many = (domain.metrics_for(Spec({"graphs": count})) for count in (1, 9))
    assert {"edge_overlap", "triangles"} <= one.keys() and not one.keys() & SETS.keys()
    assert many.keys() == {*SETS, *CORE}
    assert "descriptors" in domain.feature_extractors_for(Spec({"graphs": 9}))
    assert not domain.feature_extractors_for(Spec({"graphs": 1}))
    for name in SETS:
        assert isinstance(getattr(novelty if "mmd" not in name else set_metrics, name), Metric)


def test_empty_samples_count_and_samples_are_not_chosen_by_size():
    """GRAN's code leaves empty graphs out, and its clean_graphs those whose size no real graph has."""
    real = random_graphs(24, 0.4)
    other = random_graphs(24, 0.4, 1)
    emptied = [*other[:12], *[nx.empty_graph(12) for _ in range(12)]]
    larger = [*other[:12], *random_graphs(12, 0.4, 2, nodes=30)]
    for metric in (set_metrics.degree_mmd, set_metrics.spectral_mmd):
        good, bad, large = (metric.compute(inputs(fake, real)) for fake in (other, emptied, larger))
        assert bad > good + 0.01 and large > good + 0.01


def test_equal_graphs_are_in_one_split():
    """GraphRNN's code tests on graphs that it trains on (its issue 8)."""
    graphs = [ours(nx.gnp_random_graph(6, 0.4, seed=seed % 40)) for seed in range(200)]
    found = [Arcs(graph.edges, graph.names) for graph in graphs if len(graph.edges)]
    names = [f"g{n}" for n in range(len(found))]
    data = _open_set(
        [make_graph(arcs, "g") for arcs in found], GraphSource(found, names), Source("s", None), GraphConfig()
    )
    contents = [
        {tuple(map(tuple, edges.tolist())) for edges, _ in each_graph(data.view(split).data)}
        for split in ("train", "valid", "test")
    ]
    assert all(contents) and not contents[0] & contents[1] and not (contents[0] | contents[1]) & contents[2]
