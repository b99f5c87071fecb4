"""A language model of walks: it trains on walks of the training graph, and its graphs are of their steps."""

from __future__ import annotations

import itertools
import math

import networkx
import numpy as np
import pytest
import torch
from gancore_graph.canonical import GraphView, each_graph, keys_of, to_tensors
from gancore_graph.memory import edge_array
from gancore_graph.walk_models import WalkConfig, WalkLanguageModel, Walks

from gancore import Spec
from gancore.games import BatchSource
from gancore.random import Key, RowRange
from gancore.training import play, set_up

KARATE = networkx.karate_club_graph()
EDGES = edge_array(KARATE)


def view():
    return GraphView([(EDGES[np.lexsort((EDGES[:, 1], EDGES[:, 0]))], 34)], 78)


def spec():
    return Spec({"graphs": 1, "max_nodes": 34, "max_edges": 78, "train_edges": 78})


def test_rows_of_train_become_walks_that_depend_on_their_key():
    representation = Walks(spec(), 9)
    representation.fit(view())
    source = BatchSource({"train": view()}, representation, 0, torch.device("cpu"))
    whole = source.draw(3, 0, RowRange.all(64), 0, 0.0).real().data
    part = source.draw(3, 0, RowRange(16, 32, 64), 0, 0.0).real().data
    other = source.draw(4, 0, RowRange.all(64), 0, 0.0).real().data
    assert whole.shape == (64, 9) and torch.equal(whole[16:32], part) and not torch.equal(whole, other)
    assert all(KARATE.has_edge(u, v) for walk in whole.tolist() for u, v in itertools.pairwise(walk))


def test_a_walk_decodes_to_the_graph_of_its_steps():
    representation = Walks(spec(), 4)
    (edges, nodes), *_ = each_graph(representation.decode(torch.tensor([[3, 1, 3, 2]])))
    assert edges.tolist() == [[1, 3], [2, 3]] and nodes == 34


def trained(steps, **changes):
    values = {"width": 24, "embedding_dim": 24, "batch_size": 64, "walk_length": 8, "counted_walks": 1000}
    game = WalkLanguageModel().build(WalkConfig(**{**values, **changes}), spec())
    setup = set_up(game, {"train": view()}, batch_size=64, seed=0)
    state = play(setup, steps)
    return setup, state


def exact_floor(length):
    """Nats of a walk of uniform steps from a uniform start: ln N + sum_t E ln degree(v_t)."""
    matrix = networkx.to_numpy_array(KARATE, weight=None)
    degrees = matrix.sum(1)
    at, total = np.full(34, 1 / 34), math.log(34)
    for _ in range(length - 1):
        total += float(at @ np.log(degrees))
        at = at @ (matrix / degrees[:, None])
    return total


def test_training_comes_near_the_exact_entropy_of_walks_and_not_below():
    setup, _ = trained(400)
    draw = setup.batches.draw(10_000, 0, RowRange.all(512), 0, 0.0)
    with torch.no_grad():
        nats = -setup.game.model.log_prob(draw.real().data).mean().item()
    floor = exact_floor(8)
    assert floor - 0.5 < nats < floor + 2.5
    own = keys_of(torch.from_numpy(EDGES), 34)
    for edges, _ in each_graph(setup.game.sampler().sample(2, Key.of(0))):
        assert len(edges) == 78 and len(edges.unique()) == 34
        assert float(torch.isin(own, keys_of(edges, 34)).double().mean()) > 0.7


def test_counts_follow_the_parameters_and_graphs_their_keys():
    model = trained(2)[0].game.sampler().model
    one, two = model.sample(1, Key.of(0)), model.sample(2, Key.of(0))
    assert torch.equal(one["edges"], two["edges"][:1]) and not torch.equal(two["edges"][0], two["edges"][1])
    before = model.counts()
    assert model.counts() is before
    with torch.no_grad():
        model.generator.bias.add_(torch.randn(34, generator=Key.of(1).generator()))
    assert model.counts() is not before


def test_an_edge_has_the_share_of_the_steps_over_it():
    model = trained(100)[0].game.sampler().model
    counted, pairs = model.counts(), 34 * 33 / 2
    data = to_tensors([(torch.tensor([[0, 1]]), 34)], 78)
    count = float(counted.of_pairs(torch.tensor([[0, 1]]))[0])
    share = (count + 0.5) / (float(counted.counts.sum()) + pairs / 2)
    assert count > 10 and model.log_prob(data).item() == pytest.approx(math.log(share))


def test_training_ends_at_the_overlap():
    setup, state = trained(400, overlap=0.4, check_every=5)
    assert state.step < 400 and state.step % 5 == 0
    assert setup.game.overlap(Key.of(5)) == pytest.approx(0.5, abs=0.2)
