"""Statistics of a graph are those of networkx, of counting by hand, and of the formulas' definitions."""

from __future__ import annotations

from itertools import combinations

import gancore_graph.path_lengths as path_lengths
import gancore_graph.subgraph_counts as subgraph_counts
import networkx as nx
import numpy as np
import pytest
from gancore_graph import statistics
from gancore_graph.communities import communities_of, community_densities
from gancore_graph.memo import Memo, as_graph, digest_graph
from gancore_graph.path_lengths import characteristic_path_length
from gancore_graph.subgraph_counts import count_four_cycles, triangles_of_nodes
from scipy.special import zeta

GRAPHS = {
    "karate": nx.karate_club_graph(),
    "hubs": nx.barabasi_albert_graph(60, 3, seed=1),
    "dense": nx.gnp_random_graph(20, 0.5, seed=2),
    "pieces": nx.gnp_random_graph(60, 0.03, seed=3),
    "complete": nx.complete_graph(7),
    "tree": nx.balanced_tree(2, 4),
    "empty": nx.empty_graph(5),
    "star": nx.star_graph(6),
}


def ours(graph):
    edges = np.array(sorted(tuple(sorted(edge)) for edge in graph.edges), dtype=np.int64).reshape(-1, 2)
    return as_graph(edges, graph.number_of_nodes())


@pytest.fixture(params=GRAPHS)
def pair(request):
    return GRAPHS[request.param], ours(GRAPHS[request.param])


def test_triangles_and_clustering_are_those_of_networkx(pair):
    theirs, graph = pair
    counts = nx.triangles(theirs)
    assert triangles_of_nodes(graph).tolist() == [counts[node] for node in range(len(counts))]
    assert statistics.triangles(graph) == sum(counts.values()) / 3
    if statistics.wedges(graph):
        assert statistics.clustering(graph) == pytest.approx(nx.transitivity(theirs))
    assert statistics.mean_local_clustering(graph) == pytest.approx(nx.average_clustering(theirs))


def test_four_cycles_are_those_of_networkx(pair):
    theirs, graph = pair
    assert count_four_cycles(graph) == sum(len(cycle) == 4 for cycle in nx.simple_cycles(theirs, 4))


def test_blocks_of_rows_give_the_same_counts(monkeypatch):
    graph = ours(GRAPHS["hubs"])
    whole = triangles_of_nodes(graph).tolist(), count_four_cycles(graph)
    monkeypatch.setattr(subgraph_counts, "BLOCK_TERMS", 7)
    assert (triangles_of_nodes(graph).tolist(), count_four_cycles(graph)) == whole


def test_wedges_and_claws_are_counted_by_hand(pair):
    theirs, graph = pair
    stars = [sum(1 for node in theirs for _ in combinations(theirs[node], k)) for k in (2, 3)]
    assert [statistics.wedges(graph), statistics.claws(graph)] == stars
    if stars[1]:
        triangles = sum(nx.triangles(theirs).values()) / 3
        assert statistics.claw_ratio(graph) == pytest.approx(3 * triangles / stars[1])


def test_counts_of_a_large_hub_do_not_overflow():
    graph = ours(nx.star_graph(70_000))
    assert statistics.wedges(graph) == 70_000 * 69_999 // 2
    assert statistics.claws(graph) == pytest.approx(70_000 * 69_999 * 69_998 / 6, rel=1e-15)
    assert count_four_cycles(graph) == statistics.triangles(graph) == 0
    wheel = ours(nx.wheel_graph(3001))
    assert statistics.triangles(wheel) == count_four_cycles(wheel) == 3000


def test_degrees_and_components_are_those_of_networkx(pair):
    theirs, graph = pair
    assert statistics.maximum_degree(graph) == max(degree for _, degree in theirs.degree())
    sizes = [len(part) for part in nx.connected_components(theirs)]
    assert statistics.components(graph) == len(sizes)
    assert statistics.largest_component_share(graph) == max(sizes) / len(theirs)


def test_the_gini_coefficient_is_the_mean_difference_over_twice_the_mean():
    for name in ("karate", "pieces", "star"):
        degrees = np.array([degree for _, degree in GRAPHS[name].degree()])
        mean_difference = np.abs(degrees[:, None] - degrees).mean()
        assert statistics.gini(ours(GRAPHS[name])) == pytest.approx(mean_difference / (2 * degrees.mean()))


def test_assortativity_is_that_of_networkx_and_not_defined_for_equal_degrees():
    for name in ("karate", "hubs", "dense", "pieces", "star"):
        theirs = nx.degree_assortativity_coefficient(GRAPHS[name])
        assert statistics.assortativity(ours(GRAPHS[name])) == pytest.approx(theirs)
    assert np.isnan(statistics.assortativity(ours(nx.cycle_graph(5))))
    assert np.isnan(statistics.assortativity(ours(nx.empty_graph(5))))


def test_the_exponents_maximise_their_likelihoods():
    graph = ours(GRAPHS["hubs"])
    degrees = graph.degrees().astype(float)
    least, exponents = degrees.min(), np.linspace(1.2, 6, 48_001)
    mean = np.log(degrees / least).mean()
    continuous = np.log((exponents - 1) / least) - exponents * mean
    assert statistics.power_law(graph) == pytest.approx(exponents[continuous.argmax()], abs=2e-4)
    discrete = -np.log(zeta(exponents, least)) - exponents * np.log(degrees).mean()
    assert statistics.discrete_power_law(graph) == pytest.approx(exponents[discrete.argmax()], abs=2e-4)
    for fit in (statistics.power_law, statistics.discrete_power_law):
        assert np.isnan(fit(ours(nx.cycle_graph(6)))) and np.isnan(fit(ours(nx.empty_graph(3))))


def test_path_lengths_are_those_of_networkx(pair):
    theirs, graph = pair
    part = theirs.subgraph(max(nx.connected_components(theirs), key=len))
    found = characteristic_path_length(graph)
    if len(part) > 1:
        assert found.mean == pytest.approx(nx.average_shortest_path_length(part)) and found.error == 0
    else:
        assert np.isnan(found.mean)


def test_drawn_sources_cover_the_exact_length(monkeypatch):
    graphs = [ours(nx.barabasi_albert_graph(300, 2, seed=seed)) for seed in range(20)]
    exact = [characteristic_path_length(graph).mean for graph in graphs]
    monkeypatch.setattr(path_lengths, "MOST_EXACT", 100)
    monkeypatch.setattr(path_lengths, "SOURCES", 70)
    drawn = [characteristic_path_length(graph) for graph in graphs]
    hits = [abs(one.mean - other) <= 2 * one.error for one, other in zip(drawn, exact, strict=True)]
    assert sum(hits) >= 17 and all(one.sources == 70 and one.error > 0 for one in drawn)


def test_densities_are_shares_of_pairs():
    theirs = nx.planted_partition_graph(4, 12, 0.7, 0.02, seed=1)
    graph, blocks = ours(theirs), np.repeat(np.arange(4), 12)
    pairs = list(combinations(range(48), 2))
    inner = [theirs.has_edge(u, v) for u, v in pairs if blocks[u] == blocks[v]]
    outer = [theirs.has_edge(u, v) for u, v in pairs if blocks[u] != blocks[v]]
    assert community_densities(graph, blocks) == pytest.approx((np.mean(inner), np.mean(outer)))
    found = community_densities(graph, communities_of(graph))
    assert found.within > 2 * found.between
    alone = community_densities(graph, np.zeros(48, dtype=np.int64))
    assert np.isnan(alone.between)


def test_values_are_kept_by_content():
    one, other = ours(GRAPHS["karate"]), ours(GRAPHS["karate"].copy())
    assert digest_graph(one.edges, one.nodes) == digest_graph(other.edges, other.nodes)
    assert digest_graph(one.edges, one.nodes) != digest_graph(one.edges, one.nodes + 1)
    memo, calls = Memo(2), []
    for key in (1, 1, 2, 1, 3, 1, 2):
        memo.get(key, lambda key=key: calls.append(key))
    assert calls == [1, 2, 3, 2]
