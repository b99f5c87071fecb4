"""The softmax in two levels is the dense one that it stands for, and CELL by it draws by its law."""

from __future__ import annotations

import networkx
import numpy as np
import pytest
import torch
from gancore_graph.adam import update_rows
from gancore_graph.canonical import GraphView, each_graph, keys_of
from gancore_graph.cell import Cell, CellModel
from gancore_graph.cell_config import CellConfig
from gancore_graph.large_cell import LargeCellModel
from gancore_graph.memory import edge_array
from gancore_graph.two_level import TwoLevelSoftmax, cluster_size, places_of_nodes

from gancore import Spec
from gancore.random import Key

NODES, RANK = 23, 4
"""5 clusters, of 5, 5, 5, 5 and 3 nodes"""


def softmax_and_rows(dtype=torch.float64):
    draws = (Key.of("two levels") / name for name in ("clusters", "v", "u"))
    a, v, u = (key.normal(rows, RANK).to(dtype) for key, rows in zip(draws, (5, NODES, 7), strict=True))
    return TwoLevelSoftmax(a, v, cluster_size(NODES)), u


def dense(softmax: TwoLevelSoftmax, u):
    """(rows, nodes): all probabilities, by their definition."""
    own = torch.arange(NODES) // softmax.size
    weights = (u @ softmax.v.T).exp()
    sums = torch.stack([weights[:, own == c].sum(1) for c in range(5)], 1)
    return (u @ softmax.clusters.T).softmax(1)[:, own] * weights / sums[:, own]


def test_it_is_normalised_and_equals_the_dense_form_for_every_node():
    softmax, u = softmax_and_rows()
    chances = dense(softmax, u)
    torch.testing.assert_close(chances.sum(1), torch.ones(7, dtype=torch.float64))
    every = torch.stack([softmax.log_prob(u, torch.full((7,), j)) for j in range(NODES)], 1)
    torch.testing.assert_close(every, chances.log(), rtol=1e-12, atol=1e-12)


def test_its_gradients_are_those_of_the_dense_form():
    softmax, u = softmax_and_rows()
    places = torch.tensor([0, 4, 5, 22, 22, 13, 7])
    parts = [part.clone().requires_grad_() for part in (u, softmax.clusters, softmax.v)]
    form = TwoLevelSoftmax(parts[1], parts[2], softmax.size)
    cost = -dense(form, parts[0]).gather(1, places[:, None]).log().mean()
    expected = torch.autograd.grad(cost, parts)
    found = softmax.gradients(u, places)
    for own, other in zip((found.u, found.clusters, found.v), expected, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-12, atol=1e-13)


def test_draws_follow_it():
    softmax, u = softmax_and_rows(torch.float32)
    count = 40_000
    places = softmax.draw(u[:1].expand(count, -1), Key.of("draws").uniform(count, 2))
    expected = dense(softmax, u[:1])[0].double() * count
    seen = torch.bincount(places, minlength=NODES).double()
    assert float(((seen - expected).square() / expected).sum()) < 48  # 99.9 % of chi-square, 22 degrees


def test_adam_on_some_rows_is_that_of_torch():
    start, gradient, rows = Key.of(1).normal(6, 3), Key.of(2).normal(2, 3), torch.tensor([4, 1])
    other = start.clone().requires_grad_()
    optimizer = torch.optim.SparseAdam([other], lr=0.1)
    own, first, second = start.clone(), torch.zeros(6, 3), torch.zeros(6, 3)
    for step in (1, 2, 3):
        other.grad = torch.sparse_coo_tensor(rows[None], gradient * step, (6, 3))
        optimizer.step()
        update_rows(own, first, second, rows, gradient * step, step, 0.1, 0.0)
    torch.testing.assert_close(own, other.detach(), rtol=1e-5, atol=1e-6)
    assert torch.equal(own[[0, 2, 3, 5]], start[[0, 2, 3, 5]])


GRAPH = networkx.les_miserables_graph()
SPEC = Spec({"graphs": 1, "max_nodes": 77, "max_edges": 254})


def large_cell(steps, **changes):
    model = LargeCellModel(SPEC, CellConfig(**{"rank": 5, "overlap": 1.0, **changes}))
    view = GraphView([(np.unique(np.sort(edge_array(GRAPH), 1), axis=0), 77)], 254)
    done = [model.fit({"train": view}, Key.of(step)) for step in range(steps)]
    return model, view, done[-1]


@pytest.fixture(scope="module")
def fitted():
    return large_cell(60)[0]


def test_the_law_of_a_pair_sums_to_one_and_is_what_is_drawn(fitted):
    every = torch.triu_indices(77, 77, 1).T
    chances = fitted.log_pair_prob(every).double().exp()
    assert float(chances.sum()) == pytest.approx(1, abs=1e-5)
    drawn = fitted.draw_ordered(60_000, Key.of(1))
    keys = keys_of(drawn[drawn[:, 0] != drawn[:, 1]], 77)
    seen = torch.bincount(keys, minlength=77 * 77)[keys_of(every, 77)].double()
    expected = chances * len(keys)
    large = expected > 10
    z = (seen - expected)[large] / expected[large].sqrt()
    assert float(z.square().mean()) < 1.4 and float(z.abs().max()) < 5.5


def test_it_is_fitted_until_the_overlap_and_covers_every_node():
    model, view, done = large_cell(60, overlap=0.5)
    train = next(each_graph(view.get_batch(torch.tensor([0]), Key.of(0)).data))[0]
    assert done and model.overlap(train, Key.of(3)) > 0.4
    edges, nodes = model.draw(Key.of(4))
    assert len(edges) == 254 and len(edges.unique()) == nodes == 77


def test_a_part_of_the_edges_a_step_has_no_other_gradient_on_average(fitted):
    """Edges are drawn with both directions equally likely: the mean of parts is the whole."""
    model, view, _ = large_cell(1)
    edges = model._edges(view)
    ends = torch.cat([edges, edges.flip(1)])
    softmax = fitted.softmax
    whole = softmax.gradients(fitted.u[ends[:, 0]], fitted.places[ends[:, 1]])
    parts = [softmax.gradients(fitted.u[e[:, 0]], fitted.places[e[:, 1]]) for e in ends.split(127)]
    torch.testing.assert_close(torch.stack([part.v for part in parts]).mean(0), whole.v, rtol=1e-4, atol=1e-6)


def test_walks_of_the_model_step_by_its_softmax(fitted):
    walks = fitted.walks(20_000, 3, Key.of("walks"))
    pair = walks[:, 1:][walks[:, 1] == 11, 1]
    expected = fitted.step_log_prob(torch.full((77,), 11), torch.arange(77)).exp()
    seen = torch.bincount(pair, minlength=77) / len(pair)
    assert float((seen - expected).abs().sum() / 2) < 0.06


def test_neighbours_have_near_places_and_all_places_are_taken():
    edges = np.array([[0, 9], [9, 4], [4, 7]])
    places = places_of_nodes(edges, 11)
    assert sorted(places) == list(range(11)) and (np.abs(np.diff(places[edges], axis=1)) == 1).all()


def test_above_the_stated_size_cell_has_two_levels():
    for nodes, kind in ((20_000, CellModel), (20_001, LargeCellModel)):
        spec = Spec({"graphs": 1, "max_nodes": nodes, "max_edges": 3})
        assert type(Cell().build(CellConfig(rank=1), spec).model) is kind
