"""Models of pairs have the law that they state: it sums to one, and samples follow it."""

from __future__ import annotations

from collections import Counter

import networkx
import numpy as np
import pytest
import torch
from gancore_graph.block_model import BlockModel, find_blocks
from gancore_graph.canonical import GraphView, are_canonical, each_graph, keys_of, to_tensors
from gancore_graph.cell import CellModel
from gancore_graph.cell_config import CellConfig
from gancore_graph.memory import edge_array

from gancore import Spec
from gancore.random import Key


def rows_of(graph):
    pairs = np.sort(edge_array(graph), 1)
    return torch.from_numpy(pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))])


def view_of(graph):
    return GraphView([(rows_of(graph).numpy(), len(graph))], graph.number_of_edges())


def spec_of(graph):
    return Spec({"graphs": 1, "max_nodes": len(graph), "max_edges": graph.number_of_edges()})


def block_model(graph, blocks, smoothing=0.05):
    model = BlockModel(spec_of(graph), blocks, smoothing)
    assert model.fit({"train": view_of(graph)}, Key.of(0))
    return model


def cell_model(graph, steps, **changes):
    model = CellModel(spec_of(graph), CellConfig(**{"rank": 3, **changes}))
    for step in range(steps):
        model.fit({"train": view_of(graph)}, Key.of(step))
    return model


KARATE = networkx.karate_club_graph()
EVERY = torch.triu_indices(34, 34, 1).T
MODELS = {"dcsbm": lambda: block_model(KARATE, 4), "cell": lambda: cell_model(KARATE, 15)}


@pytest.mark.parametrize("name", MODELS)
def test_the_law_of_a_pair_sums_to_one_and_is_what_is_drawn(name):
    model = MODELS[name]()
    chances = model.log_pair_prob(EVERY).double().exp()
    assert float(chances.sum()) == pytest.approx(1, abs=1e-5)
    drawn = model.draw_ordered(60_000, Key.of(1))
    keys = keys_of(drawn[drawn[:, 0] != drawn[:, 1]], 34)
    seen = torch.bincount(keys, minlength=34 * 34)[keys_of(EVERY, 34)].double()
    expected = chances * len(keys)
    large = expected > 10
    z = (seen - expected)[large] / expected[large].sqrt()
    assert float(z.square().mean()) < 1.4 and float(z.abs().max()) < 5.5


@pytest.mark.parametrize("name", MODELS)
def test_samples_have_the_edges_of_train_and_one_edge_scores_its_pair(name):
    model = MODELS[name]()
    for edges, nodes in each_graph(model.sample(3, Key.of(2))):
        assert len(edges) == 78 == len(keys_of(edges, nodes).unique()) and nodes == 34
    single = to_tensors([(EVERY[n : n + 1], 34) for n in range(20)], 78)
    torch.testing.assert_close(model.log_prob(single), model.log_pair_prob(EVERY[:20]).double())
    whole = to_tensors([(rows_of(KARATE), 34)], 78)
    own = model.log_pair_prob(rows_of(KARATE)).double().sum() + torch.lgamma(torch.tensor(79.0).double())
    torch.testing.assert_close(model.log_prob(whole), own[None], rtol=1e-6, atol=1e-6)


def test_rows_that_are_no_graphs_have_no_probability():
    rows = [
        [[0, 1], [0, 2]],
        [[0, 2], [0, 1]],
        [[1, 0], [0, 2]],
        [[0, 1], [0, 1]],
        [[-1, -1], [0, 1]],
        [[0, 9]] * 2,
    ]
    data = {"edges": torch.tensor(rows), "nodes": torch.full((len(rows),), 9)}
    assert are_canonical(data).tolist() == [True, *[False] * 5]


def test_planted_blocks_are_found():
    graph = networkx.planted_partition_graph(4, 40, 0.4, 0.01, seed=1)
    found = find_blocks(edge_array(graph), 160, 4, 0).reshape(4, 40)
    assert {len(set(row.tolist())) for row in found} == {1} and len(set(found[:, 0].tolist())) == 4
    model = block_model(graph, 4, smoothing=0.01)
    inside, outside = model.log_pair_prob(torch.tensor([[0, 1], [0, 159]]))
    degrees = dict(graph.degree)
    ratio = float(inside - outside) - np.log(degrees[1] / degrees[159])
    assert ratio == pytest.approx(np.log(0.4 / 0.01), abs=1.0)


def test_one_block_is_the_configuration_model():
    model = block_model(KARATE, 1, smoothing=1.0)
    degrees = torch.tensor([d for _, d in KARATE.degree]).double()
    weights = degrees[EVERY].prod(1)
    torch.testing.assert_close(model.log_pair_prob(EVERY).exp(), weights / weights.sum())


def test_edges_keep_the_degrees_on_average():
    model = block_model(KARATE, 4)
    pairs = model.draw_ordered(40_000, Key.of(4))
    share = torch.bincount(pairs.flatten(), minlength=34) / 80_000
    torch.testing.assert_close(share, torch.tensor([d for _, d in KARATE.degree]) / 156, atol=0.005, rtol=0)


def test_the_gradient_in_chunks_is_that_of_autograd(monkeypatch):
    monkeypatch.setattr("gancore_graph.cell.CHUNK_NUMBERS", 34 * 5)
    model, edges = cell_model(KARATE, 2), rows_of(KARATE)
    by_u, by_v = model.gradient(edges)
    u, v = (part.clone().double().requires_grad_() for part in (model.u, model.v))
    logits = u @ v.T
    both = torch.cat([edges, edges.flip(1)])
    cost = (logits.logsumexp(1)[both[:, 0]] - logits[both[:, 0], both[:, 1]]).mean()
    cost.backward()
    torch.testing.assert_close(by_u.double(), u.grad, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(by_v.double(), v.grad, atol=1e-6, rtol=1e-4)
    assert model.cost(edges) == pytest.approx(cost.item(), abs=1e-5)


def test_updates_are_those_of_torch_adam():
    model, edges = cell_model(KARATE, 1), rows_of(KARATE)
    parts = [torch.nn.Parameter(part.clone()) for part in (model.u, model.v)]
    model.moments.zero_()
    model.steps_taken.zero_()
    adam = torch.optim.Adam(parts, lr=0.1, weight_decay=1e-7)
    for _ in range(3):
        gradients = model.gradient(edges)
        for part, gradient in zip(parts, gradients, strict=True):
            part.grad = gradient.clone()
        adam.step()
        model._adam(*gradients)
        model.steps_taken.add_(1)
    torch.testing.assert_close(model.u, parts[0].data, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(model.v, parts[1].data, atol=1e-5, rtol=1e-4)


def test_occupancy_is_stationary_in_one_piece_and_in_chunks(monkeypatch):
    model = cell_model(KARATE, 15)
    transitions = (model.u @ model.v.T).double().softmax(1)
    occupancy = model.scores().occupancy.double()
    torch.testing.assert_close(occupancy @ transitions, occupancy, atol=2e-4, rtol=0)
    whole = model.sample(2, Key.of(3))
    monkeypatch.setattr("gancore_graph.cell.KEPT_NUMBERS", 0)
    monkeypatch.setattr("gancore_graph.cell.CHUNK_NUMBERS", 34 * 7)
    parts = cell_model(KARATE, 15)
    torch.testing.assert_close(parts.scores().occupancy, model.scores().occupancy, atol=1e-4, rtol=0)
    overlaps = [
        float(torch.isin(keys_of(one, 34), keys_of(other, 34)).double().mean())
        for (one, _), (other, _) in zip(
            each_graph(whole), each_graph(parts.sample(2, Key.of(3))), strict=True
        )
    ]
    assert min(overlaps) > 0.9  # the same draws, up to rounding


def test_cell_stops_at_its_overlap_and_covers_every_node():
    graph = networkx.barabasi_albert_graph(120, 3, seed=2)
    model, done = CellModel(spec_of(graph), CellConfig(rank=8, overlap=0.3)), []
    while not done or not done[-1]:
        done.append(model.fit({"train": view_of(graph)}, Key.of(len(done))))
        assert len(done) < 200
    assert len(done) % 10 == 0
    for edges, _ in each_graph(model.sample(4, Key.of(9))):
        assert len(edges.unique()) == 120
        assert (
            0.2 < float(torch.isin(keys_of(edges, 120), keys_of(rows_of(graph), 120)).double().mean()) < 0.6
        )


def test_a_model_of_a_path_learns_the_path():
    graph = networkx.path_graph(12)
    edges = next(each_graph(cell_model(graph, 120, rank=8, overlap=1.0).sample(1, Key.of(0))))[0]
    assert len(Counter(map(tuple, edges.tolist())) & Counter(map(tuple, rows_of(graph).tolist()))) >= 9
