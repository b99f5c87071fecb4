"""NetGAN: the penalty without one-hot rows, walks drawn by chunks, and training on a graph."""

from __future__ import annotations

import math

import networkx
import numpy as np
import pytest
import torch
from gancore_graph import walk_networks
from gancore_graph.canonical import GraphView, each_graph, to_tensors
from gancore_graph.counts import PairCounts
from gancore_graph.memory import edge_array
from gancore_graph.netgan import NetGan, NetGanConfig
from gancore_graph.walk_models import StepLaw
from gancore_graph.walk_networks import WalkDiscriminator, WalkGenerator
from torch.nn.functional import one_hot

from gancore import Spec
from gancore.errors import ConfigError
from gancore.games import Discriminator, find_penalty
from gancore.random import Key, RowRange
from gancore.training import play, set_up

KARATE = networkx.karate_club_graph()
EDGES = edge_array(KARATE)
WGAN_GP = find_penalty("wgan-gp", 10.0).function


def view():
    return GraphView([(EDGES[np.lexsort((EDGES[:, 1], EDGES[:, 0]))], 34)], 78)


def spec():
    return Spec({"graphs": 1, "max_nodes": 34, "max_edges": 78, "train_edges": 78})


class OneHot(Discriminator):
    """The same function of one-hot rows, (batch, length, nodes), which are made."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def embed(self, data):
        return one_hot(data, len(self.inner.embedding)).to(self.inner.embedding.dtype)

    def logits(self, embedded, condition=None):
        return self.inner.logits(embedded @ self.inner.embedding)


def penalty_and_gradients(discriminator, real, fake, alpha):
    discriminator.zero_grad()
    values = WGAN_GP(discriminator, discriminator.embed(real), discriminator.embed(fake), None, alpha)
    values.mean().backward()
    return values.detach(), {name: p.grad.clone() for name, p in discriminator.named_parameters()}


def test_the_penalty_and_its_gradient_equal_those_of_one_hot_rows():
    torch.manual_seed(0)
    discriminator = WalkDiscriminator(50, 8, 6).double()
    real, fake = torch.randint(50, (2, 5, 7))
    fake[0] = real[0]  # the interpolate is a sample
    real[1, 2:5] = 3  # a node comes more than once
    alpha = torch.rand(5, dtype=torch.float64)
    values, gradients = penalty_and_gradients(discriminator, real, fake, alpha)
    dense_values, dense = penalty_and_gradients(OneHot(discriminator), real, fake, alpha)
    torch.testing.assert_close(values, dense_values, rtol=1e-12, atol=1e-12)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, dense[f"inner.{name}"], rtol=1e-12, atol=1e-12)
    assert gradients["embedding"].abs().max() > 1e-3


def test_the_discriminator_is_an_lstm():
    torch.manual_seed(0)
    discriminator = WalkDiscriminator(20, 5, 4).double()
    lstm = torch.nn.LSTM(5, 4, batch_first=True).double()
    order = torch.cat([torch.arange(8), torch.arange(12, 16), torch.arange(8, 12)])  # torch: i, f, g, o
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(discriminator.inputs.weight[order])
        lstm.bias_ih_l0.copy_(discriminator.inputs.bias[order])
        lstm.weight_hh_l0.copy_(discriminator.recurrence.T[order])
        lstm.bias_hh_l0.zero_()
    walks = torch.randint(20, (6, 9))
    outputs = lstm(discriminator.embed(walks))[0][:, -1]
    torch.testing.assert_close(discriminator(walks), discriminator.last(outputs)[:, 0])


@pytest.mark.parametrize("at_once", [3, 4, 10, 64])
def test_nodes_of_all_chunks_are_drawn_by_the_softmax(at_once, monkeypatch):
    monkeypatch.setattr(walk_networks, "NODES_AT_ONCE", at_once)
    torch.manual_seed(0)
    generator, n = WalkGenerator(10, 4, 3, 5, 2), 40_000
    with torch.no_grad():
        generator.bias.copy_(torch.linspace(-2, 2, 10).roll(3))
        features = torch.randn(5)
        expected = (generator.head(features) / 1.5).softmax(0).double()
        drawn = generator.draw_next(features.expand(n, -1), Key.of(0), temperature=1.5)
    observed = torch.bincount(drawn, minlength=10)
    chi_squared = ((observed - n * expected).square() / (n * expected)).sum()
    assert chi_squared < 30  # of 9 degrees of freedom: exceeded by chance in 4 of 10,000 draws


def test_no_draw_is_beyond_the_last_class_with_a_weight():
    logits = torch.tensor([[0.0, 1.0, -1e9, -1e9]]).expand(3, -1).clone()
    drawn, log_sum = walk_networks.draw_with_sum(logits, torch.tensor([0.0, 0.5, 1.0]))
    assert drawn.tolist() == [0, 1, 1] and torch.allclose(log_sum, torch.tensor(math.log1p(math.e)))


def test_walks_depend_on_their_rows_of_the_key():
    generator, key = WalkGenerator(34, 6, 4, 5, 3), Key.of(3)
    whole = generator.sample(8, key.with_rows(RowRange.all(8)))
    assert torch.equal(whole[2:4], generator.sample(2, key.with_rows(RowRange(2, 4, 8))))
    assert whole.shape == (8, 6) and len(whole.unique(dim=0)) == 8


def test_the_law_of_steps_sums_to_one_and_orders_pairs_by_their_counts():
    counts = PairCounts.empty(34, torch.device("cpu")).add_walks(torch.tensor([[0, 1, 0, 2], [5, 5, 4, 3]]))
    every = torch.triu_indices(34, 34, 1).T
    log_probs = StepLaw(spec(), counts).log_pair_prob(every)
    assert math.isclose(float(log_probs.exp().sum()), 1.0)
    seen = counts.of_pairs(every)
    assert log_probs[seen == 2].min() > log_probs[seen == 1].max() > log_probs[seen == 0].max()


def game(**changes):
    values = {
        "width": 12,
        "embedding_dim": 12,
        "discriminator_embedding_dim": 12,
        "discriminator_width": 12,
        "batch_size": 32,
        "walk_length": 6,
        "counted_walks": 200,
    }
    return NetGan().build(NetGanConfig(**{**values, **changes}), spec())


def trained(steps, **changes):
    setup = set_up(game(**changes), {"train": view()}, batch_size=32, seed=0)
    return setup.game, play(setup, steps)


def test_samples_are_graphs_of_as_many_edges_and_have_a_likelihood():
    trained_game, _ = trained(2)
    sampler = trained_game.sampler()
    samples = sampler.sample(2, Key.of(0))
    assert [len(edges) for edges, _ in each_graph(samples)] == [78, 78]
    rows = to_tensors([(torch.from_numpy(EDGES[:1]), 34), (torch.from_numpy(EDGES), 34)], 78)
    model = sampler.model
    assert model.log_prob(rows).isfinite().all() and model.lower_bound and sampler.can("likelihood")


def test_the_squares_of_all_parameters_are_in_the_costs():
    setup = set_up(game(discriminator_l2=0.5, generator_l2=0.25), {"train": view()}, batch_size=32, seed=0)
    setup.game.representation.fit(view())
    draw = setup.batches.draw(0, 0, RowRange.all(32), 0, 0.0)
    for player, weight in (("discriminator", 0.5), ("generator", 0.25)):
        term = getattr(setup.game, f"{player}_cost")(draw).terms["l2"]
        squares = sum(float(p.detach().square().sum()) for p in getattr(setup.game, player).parameters())
        assert float(term.numerator) == pytest.approx(squares / 2) and term.scale == weight


def test_training_ends_at_the_overlap_and_not_without_one():
    early = trained(8, overlap=0.01, check_every=2)[1]
    late = trained(8, overlap=1.0, check_every=2)[1]
    assert early.step == 2 and late.step == 8


def test_the_temperature_falls_with_progress():
    estimator = game(temperature=4.0, temperature_end=1.0).estimator
    assert [estimator.temperature(p) for p in (0.0, 0.5, 1.0)] == pytest.approx([4, 2, 1])


def share_on_edges(game):
    """Of the steps of 2,000 generated walks; 156 of 1,156 pairs of nodes are edges."""
    walks = game.generator.sample(2000, Key.of(5))
    is_edge = torch.zeros(34, 34, dtype=torch.bool)
    is_edge[EDGES[:, 0], EDGES[:, 1]] = is_edge[EDGES[:, 1], EDGES[:, 0]] = True
    return float(is_edge[walks[:, :-1], walks[:, 1:]].double().mean())


@pytest.mark.slow
def test_walks_come_to_follow_edges():
    trained_game, _ = trained(400, overlap=1.0, lr=3e-3, temperature=2.0, counted_walks=500)
    assert share_on_edges(trained_game) > share_on_edges(game()) + 0.2


def test_a_set_of_graphs_is_refused():
    many = Spec({"graphs": 2, "max_nodes": 34, "max_edges": 78, "train_edges": 78})
    with pytest.raises(ConfigError, match="netgan models one graph"):
        NetGan().build(NetGanConfig(), many)
