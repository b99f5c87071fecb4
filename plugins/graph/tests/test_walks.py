"""Walks have the law that they state; counts and assembly are those of small graphs done by hand."""

from __future__ import annotations

import itertools
from collections import Counter

import networkx
import numpy as np
import pytest
import torch
from gancore_graph.assembly import assemble, cover, gumbel
from gancore_graph.counts import PairCounts
from gancore_graph.memory import edge_array
from gancore_graph.walks import Walker

from gancore.random import Key, RowRange

BULL = networkx.bull_graph()  # a triangle 0 1 2 with horns 3 and 4


def walker(graph=BULL):
    return Walker(torch.from_numpy(edge_array(graph)), len(graph))


def chi_squared(counts, expected):
    return float((((counts - expected) ** 2) / expected).sum())


def test_each_neighbour_is_as_likely():
    walks = walker().uniform(torch.zeros(40_000, dtype=torch.int64), 3, Key.of(0))
    seen = Counter(map(tuple, walks[:, 1:].tolist()))
    for path in itertools.product(range(5), repeat=2):
        chance = 1.0
        for before, node in itertools.pairwise((0, *path)):
            chance *= BULL.has_edge(before, node) / BULL.degree(before)
        assert abs(seen[path] / 40_000 - chance) < 0.01


def test_rows_depend_on_their_own_draws():
    first = torch.arange(64) % 5
    whole = walker().uniform(first, 8, Key.of(3).with_rows(RowRange.all(64)))
    part = walker().uniform(first[10:20], 8, Key.of(3).with_rows(RowRange(10, 20, 64)))
    assert torch.equal(whole[10:20], part)
    whole = walker().biased(first, 8, Key.of(3).with_rows(RowRange.all(64)), 0.5, 4)
    part = walker().biased(first[10:20], 8, Key.of(3).with_rows(RowRange(10, 20, 64)), 0.5, 4)
    assert torch.equal(whole[10:20], part)


def exact_second_step(graph, before, node, p, q):
    """Grover and Leskovec's weights, one by one."""
    weights = {
        x: 1 / p if x == before else 1.0 if graph.has_edge(before, x) else 1 / q
        for x in graph.neighbors(node)
    }
    total = sum(weights.values())
    return {x: weight / total for x, weight in weights.items()}


@pytest.mark.parametrize("p, q", [(0.25, 4), (4, 0.25), (1, 2)])
@pytest.mark.parametrize("way", ["rejection", "exact"])
def test_biased_steps_have_the_weights_of_node2vec(p, q, way, monkeypatch):
    if way == "exact":
        monkeypatch.setattr("gancore_graph.walks.MOST_DARTS", 0)
    walks = walker().biased(torch.zeros(30_000, dtype=torch.int64), 3, Key.of(1), p, q)
    for node in (1, 2):
        ends = walks[walks[:, 1] == node][:, 2].bincount(minlength=5) / (walks[:, 1] == node).sum()
        for end, chance in exact_second_step(BULL, 0, node, p, q).items():
            assert abs(float(ends[end]) - chance) < 0.015


@pytest.mark.parametrize("p, q", [(0.1, 5), (3, 0.5), (2, 2), (0.5, 0.5)])
def test_pairs_of_steps_have_the_chances_of_their_enumeration(p, q):
    graph, count = networkx.karate_club_graph(), 100_000
    walks = walker(graph).biased(torch.zeros(count, dtype=torch.int64), 3, Key.of("karate"), p, q)
    expected = {
        (v, x): count / graph.degree(0) * chance
        for v in graph.neighbors(0)
        for x, chance in exact_second_step(graph, 0, v, p, q).items()
    }
    seen = Counter(map(tuple, walks[:, 1:].tolist()))
    assert set(seen) <= set(expected)
    found = chi_squared(np.array([seen[key] for key in expected]), np.array(list(expected.values())))
    freedom = len(expected) - 1
    assert found < freedom + 4 * (2 * freedom) ** 0.5


def test_a_hub_is_left_by_its_exact_weights_in_parts(monkeypatch):
    monkeypatch.setattr("gancore_graph.walks.MOST_DARTS", 0)
    monkeypatch.setattr("gancore_graph.walks.MOST_NEIGHBOURS", 50)
    graph = networkx.star_graph(200)
    walks = walker(graph).biased(torch.arange(1, 101), 4, Key.of(0), 0.01, 1)
    assert (walks[:, 1] == 0).all() and (walks[:, 3] == 0).all()
    assert int((walks[:, 2] == walks[:, 0]).sum()) in range(15, 55)  # chance 100 / 299


def test_adjacency_is_that_of_networkx():
    graph = networkx.gnp_random_graph(300, 0.2, seed=1)
    one, other = torch.meshgrid(torch.arange(300), torch.arange(300), indexing="ij")
    own = walker(graph)
    found = own.are_adjacent(one.flatten(), other.flatten()).reshape(300, 300)
    assert np.array_equal(found.numpy(), networkx.to_numpy_array(graph).astype(bool))
    assert len(own._table.tables) > 2  # pairs that share a slot were looked up, too


def test_walks_never_leave_the_edges_of_a_graph_with_isolated_nodes():
    graph = networkx.Graph([(1, 2), (4, 5)])
    graph.add_nodes_from(range(7))
    own = Walker(torch.tensor([[1, 2], [4, 5]]), 7)
    starts = own.nodes_with_neighbours()
    assert starts.tolist() == [1, 2, 4, 5]
    walks = own.uniform(starts, 5, Key.of(0)).tolist()
    assert all(graph.has_edge(u, v) for walk in walks for u, v in itertools.pairwise(walk))


def test_counts_are_those_of_a_loop():
    walks = torch.tensor([[0, 1, 0, 2], [2, 1, 1, 0]])
    counted = PairCounts.empty(3, torch.device("cpu")).add_walks(walks).add_walks(walks[:1])
    expected = Counter()
    for walk in (*walks.tolist(), walks[0].tolist()):
        expected.update(tuple(sorted(pair)) for pair in itertools.pairwise(walk) if pair[0] != pair[1])
    assert dict(zip(map(tuple, counted.pairs.tolist()), counted.counts.tolist(), strict=True)) == expected
    assert counted.of_pairs(torch.tensor([[1, 0], [1, 2], [0, 0]])).tolist() == [
        expected[0, 1],
        expected[1, 2],
        0,
    ]


def test_every_node_is_covered_and_the_number_of_edges_is_kept():
    pairs = torch.triu_indices(12, 12, 1).T
    weights = Key.of(0).normal(len(pairs)) * 3
    for number in range(20):
        edges = assemble(pairs, weights, 12, 20, Key.of(number))
        assert len(edges) == 20 == len(set(map(tuple, edges.tolist()))) and len(edges.unique()) == 12
    assert torch.equal(assemble(pairs, weights, 12, 100, Key.of(0)), pairs)
    assert len(assemble(pairs, weights, 12, 3, Key.of(0))) == 3


def test_pairs_without_replacement_have_the_law_of_drawing_one_after_another():
    weights = torch.tensor([1.0, 2.0, 3.0, 6.0], dtype=torch.float64)
    expected = Counter()
    for one, other in itertools.permutations(range(4), 2):
        chance = weights[one] / 12 * weights[other] / (12 - weights[one])
        expected[tuple(sorted((one, other)))] += float(chance)
    n = 20_000
    noise = gumbel(4 * n, Key.of(5)).reshape(n, 4)
    drawn = (weights.log() + noise).topk(2, 1).indices.sort(1).values
    seen = Counter(map(tuple, drawn.tolist()))
    assert (
        chi_squared(np.array([seen[k] for k in expected]), np.array([n * v for v in expected.values()])) < 20
    )


def test_a_node_draws_its_own_pair_by_weight():
    pairs = torch.tensor([[0, 1], [0, 2]])
    weights = torch.tensor([1.0, 3.0]).log()
    firsts = [len(cover(pairs, weights, 3, Key.of(n))) for n in range(200)]
    assert set(firsts) == {2}  # 1 and 2 have one pair each, and draw it
    star = torch.tensor([[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]])
    scores = torch.tensor([0.0, 0, 0, 9, 0, 0])
    hits = np.mean([3 in cover(star, scores, 4, Key.of(n)).tolist() for n in range(200)])
    assert hits > 0.99
