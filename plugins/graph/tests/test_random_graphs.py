"""Random graphs keep what they promise: degrees, numbers of edges, shares; their law is uniform."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import networkx
import numpy as np
import pytest
import torch
from gancore_graph.canonical import GraphView, each_graph, keys_of, to_tensors
from gancore_graph.domain import GraphDomain
from gancore_graph.edge_models import draw_pairs, require_one_graph
from gancore_graph.memory import edge_array
from gancore_graph.random_graphs import ConfigurationModel, ErdosRenyiModel, rewire

from gancore import Spec
from gancore.errors import ConfigError
from gancore.random import Key


def view_of(*graphs):
    arrays = [(edge_array(g), len(g)) for g in graphs]
    return GraphView(arrays, max(g.number_of_edges() for g in graphs))


def spec_of(*graphs):
    edges = max(g.number_of_edges() for g in graphs)
    return Spec({"graphs": len(graphs), "max_nodes": max(map(len, graphs)), "max_edges": edges})


def fitted(model, *graphs):
    assert model.fit({"train": view_of(*graphs)}, Key.of(0))
    return model


def degrees_of(edges, nodes):
    return torch.bincount(edges.flatten(), minlength=nodes)


def test_sets_of_pairs_are_uniform():
    n, seen = 6000, Counter()
    for number in range(n):
        seen[tuple(map(tuple, draw_pairs(2, 4, Key.of(number)).tolist()))] += 1
    assert len(seen) == 15 and all(abs(count - n / 15) < 5 * math.sqrt(n / 15) for count in seen.values())
    assert len(draw_pairs(100, 5, Key.of(0))) == 10


def test_sparse_pairs_are_different_and_in_order():
    keys = keys_of(draw_pairs(5000, 400, Key.of(1)), 400)
    assert len(keys) == 5000 and bool((keys[1:] > keys[:-1]).all())


def test_erdos_renyi_has_the_edges_of_train_and_its_likelihood_is_exact():
    graph = networkx.gnm_random_graph(5, 4, seed=0)
    model = fitted(ErdosRenyiModel(spec_of(graph)), graph)
    every = [torch.tensor(pairs) for pairs in itertools.combinations(itertools.combinations(range(5), 2), 4)]
    log_prob = model.log_prob(to_tensors([(pairs, 5) for pairs in every], 4))
    assert float(log_prob.logsumexp(0)) == pytest.approx(0, abs=1e-12)
    made = list(each_graph(model.sample(50, Key.of(0))))
    assert {(len(edges), nodes) for edges, nodes in made} == {(4, 5)}


@pytest.mark.parametrize("graph", [networkx.karate_club_graph(), networkx.star_graph(9)])
def test_the_configuration_model_keeps_every_degree(graph):
    model = fitted(ConfigurationModel(spec_of(graph), 0.0), graph)
    own = degrees_of(torch.from_numpy(edge_array(graph)), len(graph))
    for edges, nodes in each_graph(model.sample(20, Key.of(2))):
        assert torch.equal(degrees_of(edges, nodes), own) and bool((edges[:, 0] < edges[:, 1]).all())
        assert len(keys_of(edges, nodes).unique()) == graph.number_of_edges()


def test_the_partial_model_keeps_its_share_of_edges():
    graph = networkx.barabasi_albert_graph(200, 3, seed=0)
    own = keys_of(torch.from_numpy(edge_array(graph)), 200)
    shares = []
    for keep in (0.0, 0.5, 0.9):
        model = fitted(ConfigurationModel(spec_of(graph), keep), graph)
        overlaps = [
            float(torch.isin(keys_of(edges, 200), own).double().mean())
            for edges, _ in each_graph(model.sample(5, Key.of(3)))
        ]
        shares.append(np.mean(overlaps))
    assert shares[0] < 0.15 and 0.5 <= shares[1] < 0.6 and 0.9 <= shares[2] < 0.93


def test_stubs_that_cannot_be_paired_are_left_out():
    keys = rewire(torch.tensor([[0, 1]]), torch.tensor([1]), 2, Key.of(0))  # the edge 0-1 is kept already
    assert keys.tolist() == [1]


def test_a_set_of_graphs_gives_graphs_of_each_size():
    graphs = [networkx.path_graph(4), networkx.cycle_graph(6)]
    for model in (ErdosRenyiModel(spec_of(*graphs)), ConfigurationModel(spec_of(*graphs), 0.0)):
        made = list(each_graph(fitted(model, *graphs).sample(40, Key.of(0))))
        assert {(len(edges), nodes) for edges, nodes in made} == {(3, 4), (6, 6)}
    with pytest.raises(ConfigError, match="cell models one graph, and train has 2"):
        require_one_graph(spec_of(*graphs), "cell")


def test_any_graph_comes_from_a_key_of_its_own():
    graph = networkx.karate_club_graph()
    model = fitted(ConfigurationModel(spec_of(graph), 0.0), graph)
    many, few = model.sample(5, Key.of(7)), model.sample(2, Key.of(7))
    assert torch.equal(many["edges"][:2], few["edges"]) and not torch.equal(
        many["edges"][0], many["edges"][1]
    )


def test_noise_has_the_nodes_and_edges_of_the_samples():
    data = to_tensors([(torch.tensor([[0, 1], [1, 2]]), 9), (torch.tensor([[0, 1]]), 3)], 4)
    noise = list(each_graph(GraphDomain().noise(data, Key.of(0))))
    assert [(len(edges), nodes) for edges, nodes in noise] == [(2, 9), (1, 3)]
