"""GraphRNN: probabilities of all graphs of few nodes sum to one, and orders have the law that is stated."""

from __future__ import annotations

import itertools
import math

import networkx as nx
import numpy as np
import pytest
import torch
from gancore_graph.breadth_first import draw_orders, find_bandwidth, spans
from gancore_graph.canonical import to_tensors
from gancore_graph.dense import dense_adjacency, edges_of_dense
from gancore_graph.graph_rows import BreadthFirstRows
from gancore_graph.graphrnn_networks import GraphSequenceModel, IndependentEdges, RecurrentEdges
from gancore_graph.memo import as_graph

from gancore import Batch, Spec
from gancore.errors import ConfigError
from gancore.games import ModelSampler
from gancore.nn import Recurrent
from gancore.random import Key


def spec(nodes=4, edges=6, bandwidth=3):
    return Spec({"graphs": 9, "max_nodes": nodes, "max_edges": edges, "bandwidth": bandwidth})


def model(kind="rnn", nodes=4, bandwidth=3, max_edges=6):
    torch.manual_seed(1)
    edges = RecurrentEdges(6, bandwidth, 5, 2) if kind == "rnn" else IndependentEdges(6, bandwidth, 5)
    made = GraphSequenceModel(nodes, bandwidth, max_edges, Recurrent(5, 6, 2), edges)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_()
    return made.double().eval()


def all_graphs(nodes):
    """Every labelled graph of this many nodes, (edges, nodes)."""
    pairs = list(itertools.combinations(range(nodes), 2))
    for kept in itertools.product((False, True), repeat=len(pairs)):
        chosen = [pair for pair, is_kept in zip(pairs, kept, strict=True) if is_kept]
        yield torch.tensor(chosen, dtype=torch.int64).reshape(-1, 2), nodes


def in_order(edges, nodes, order, size, bandwidth):
    """The rows of a graph in a given order of nodes, by their definition."""
    rows = torch.zeros(size, bandwidth, dtype=torch.bool)
    joined = {tuple(sorted(pair)) for pair in edges.tolist()}
    for place in range(nodes):
        for k in range(min(place, bandwidth)):
            rows[place, k] = tuple(sorted((order[place], order[place - 1 - k]))) in joined
    return rows


def exact(made, edges, nodes, size=4):
    """log p of a labelled graph: the sum over all orders of its nodes."""
    orders = [order for order in itertools.permutations(range(nodes))]
    rows = torch.stack([in_order(edges, nodes, order, size, 3) for order in orders])
    padded = torch.tensor([[*order, *range(nodes, size)] for order in orders])
    data = {"rows": rows, "nodes": torch.full((len(orders),), nodes), "order": padded}
    with torch.no_grad():
        return torch.logsumexp(made.log_prob(data), 0)


@pytest.mark.parametrize(("kind", "max_edges"), [("rnn", 6), ("rnn", 3), ("mlp", 6), ("mlp", 2)])
def test_probabilities_of_all_graphs_sum_to_one(kind, max_edges):
    made = model(kind, max_edges=max_edges)
    graphs = [g for nodes in (1, 2, 3, 4) for g in all_graphs(nodes) if len(g[0]) <= max_edges]
    total = torch.logsumexp(torch.stack([exact(made, *graph) for graph in graphs]), 0)
    assert float(total) == pytest.approx(0, abs=1e-5)


def test_the_stated_likelihood_is_a_bound_and_orders_have_the_stated_law():
    """E over orders of p(rows, order) / q(order) is the probability of all breadth-first orders."""
    made, representation = model(), BreadthFirstRows(spec()).train()
    sampler = ModelSampler(made, representation, False)
    rng = np.random.default_rng(0)
    for edges, nodes in list(all_graphs(4))[1::9]:
        data = to_tensors([(edges, nodes)] * 4000, 6)
        priority = torch.from_numpy(rng.random((4000, 4)))
        orders = draw_orders(dense_adjacency(data, 4), data["nodes"], priority)
        rows = torch.stack([in_order(edges, 4, order, 4, 3) for order in orders.nodes[:300].tolist()])
        cut = {"rows": rows, "nodes": data["nodes"][:300], "order": orders.nodes[:300]}
        with torch.no_grad():
            values = made.log_prob(cut) - orders.log_prob[:300]
        assert float(values.mean()) <= float(exact(made, edges, nodes)) + 1e-9
        different = {tuple(order.tolist()): float(q) for order, q in zip(*orders, strict=True)}
        assert sum(map(math.exp, different.values())) == pytest.approx(1)
        counts = np.bincount([list(different).index(tuple(o)) for o in orders.nodes.tolist()])
        expected = np.exp(list(different.values()))
        assert np.abs(counts / 4000 - expected).max() < 0.04
    representation.eval()
    assert sampler.can("bound")


def test_orders_are_breadth_first():
    graph = nx.random_geometric_graph(30, 0.2, seed=3)
    edges = torch.tensor(sorted(tuple(sorted(e)) for e in graph.edges))
    data = to_tensors([(edges, 30), (edges[:7], 30)], len(edges))
    drawn = draw_orders(dense_adjacency(data, 32), data["nodes"], torch.rand(2, 32))
    assert drawn.nodes.sort(1).values.tolist() == [list(range(32))] * 2
    assert drawn.nodes[:, 30:].tolist() == [[30, 31]] * 2
    order, start = drawn.nodes[0].tolist(), 0
    while start < 30:
        component = nx.node_connected_component(graph, order[start])
        distances = nx.single_source_shortest_path_length(graph, order[start])
        part = order[start : start + len(component)]
        assert set(part) == component
        assert [distances[node] for node in part] == sorted(distances.values())
        start += len(component)


def test_rows_give_back_the_graph_and_samples_are_graphs():
    graphs = [nx.gnp_random_graph(nodes, 0.3, seed=nodes) for nodes in (2, 5, 12, 9)]
    rows = [(torch.tensor(sorted(g.edges)).reshape(-1, 2), len(g)) for g in graphs]
    data = to_tensors(rows, 30)
    representation = BreadthFirstRows(spec(12, 30, 11)).eval()
    back = representation.decode(representation.encode(Batch(data)).data)
    assert torch.equal(back["edges"], data["edges"]) and torch.equal(back["nodes"], data["nodes"])
    sampled = representation.decode(model("mlp", 12, 11, 30).sample(50, Key.of("s")))
    again = edges_of_dense(dense_adjacency(sampled, 12), sampled["nodes"], 30)
    assert torch.equal(again["edges"], sampled["edges"])
    assert int((sampled["edges"][:, :, 0] >= 0).sum(1).max()) <= 30


@pytest.mark.parametrize("kind", ["rnn", "mlp"])
def test_samples_have_the_stated_probabilities(kind):
    made = model(kind, nodes=3, bandwidth=2, max_edges=2)
    drawn = made.sample(20_000, Key.of("samples"))
    codes = drawn["nodes"] * 16 + drawn["rows"].flatten(1).int() @ torch.tensor([0, 0, 1, 0, 2, 4]).int()
    with torch.no_grad():
        log_prob = made.log_prob(drawn) + (drawn["nodes"].double() + 1).lgamma()
    for code in codes.unique():
        share = float((codes == code).double().mean())
        assert share == pytest.approx(float(log_prob[codes == code][0].exp()), abs=0.012)


def test_a_graph_that_fits_no_band_has_no_likelihood_and_the_band_is_that_of_the_data():
    star = torch.tensor([[0, leaf] for leaf in range(1, 8)])
    assert find_bandwidth([as_graph(star.numpy(), 8)]) in (6, 7)  # from a leaf on, or from the centre
    assert find_bandwidth([as_graph(star.numpy(), 1001)]) is None
    data = to_tensors([(star, 8), (star[:1], 8)], 7)
    assert spans(data, torch.arange(8).repeat(2, 1)).tolist() == [7, 1]
    representation = BreadthFirstRows(spec(8, 7, 2)).eval()
    assert torch.isfinite(representation.log_det(Batch(data))).tolist() == [False, True]
    with pytest.raises(ConfigError, match="1,000"):
        BreadthFirstRows(Spec({"max_nodes": 2000, "max_edges": 5000}))
