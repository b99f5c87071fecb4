"""The GAN of sets of graphs: what its networks may not depend on, and the law of its edges."""

from __future__ import annotations

import itertools

import networkx as nx
import pytest
import torch
from gancore_graph.canonical import are_canonical, to_tensors
from gancore_graph.dense_networks import GeometricGenerator, GraphCritic, latent_sizes
from gancore_graph.gg_gan import DenseGraphs, GgGan, GgGanConfig
from gancore_graph.sizes import SizeLaw, mean_degree

from gancore import Batch, Spec
from gancore.errors import ConfigError
from gancore.games import WGANGP
from gancore.random import Key

SIZES = torch.tensor([0, 0, 0, 0, 0, 0, 3, 0, 0, 1])


def spec(most=30):
    fields = {"graphs": 4, "max_nodes": 9, "max_edges": most, "bandwidth": 8}
    return Spec(fields, {"node_counts": SIZES, "degree_counts": torch.tensor([1, 4, 10, 10, 5])})


def generator(most=30):
    torch.manual_seed(0)
    made = GeometricGenerator(spec(most), 16, 2, 4, 3, 2, 0.7).double()
    with torch.no_grad():
        for parameter in (made.moved.weight, made.offset.weight):
            parameter.normal_()
    return made


def latents(rows, seed=0):
    return torch.randn(
        rows, sum(latent_sizes(9, 4, 3)), generator=torch.Generator().manual_seed(seed)
    ).double()


def test_the_critic_does_not_depend_on_the_order_of_nodes_and_neither_does_its_penalty():
    torch.manual_seed(0)
    critic = GraphCritic(spec(), 8, 2).double()
    upper = torch.rand(5, 9, 9, dtype=torch.float64).triu(1)
    present = (torch.arange(9) < torch.tensor([9, 4, 6, 1, 9])[:, None]).double()
    soft = (upper + upper.transpose(1, 2)) * present[:, :, None] * present[:, None]
    order = torch.randperm(9)
    one = {"adjacency": soft, "present": present}
    other = {"adjacency": soft[:, order][:, :, order], "present": present[:, order]}
    torch.testing.assert_close(critic(one), critic(other), rtol=1e-12, atol=1e-12)
    alpha = torch.full((5,), 0.3, dtype=torch.float64)
    values = [WGANGP().function(critic, tree, tree, None, alpha) for tree in (one, other)]
    torch.testing.assert_close(*values, rtol=1e-10, atol=1e-10)
    larger = {key: torch.nn.functional.pad(leaf, (0, 3) * (leaf.dim() - 1)) for key, leaf in one.items()}
    torch.testing.assert_close(critic(one), critic(larger), rtol=1e-12, atol=1e-12)  # padding is no node


def test_the_critic_sees_triangles_which_message_passing_does_not():
    hexagon, triangles = nx.cycle_graph(6), nx.disjoint_union(nx.cycle_graph(3), nx.cycle_graph(3))
    rows = [(torch.tensor(sorted(tuple(sorted(e)) for e in g.edges)), 6) for g in (hexagon, triangles)]
    encoded = DenseGraphs(spec()).encode(Batch(to_tensors(rows, 30))).data
    torch.manual_seed(0)
    logits = GraphCritic(spec(), 8, 2)(encoded)
    assert abs(float((logits[0] - logits[1]).detach())) > 1e-3


def test_the_order_of_node_latents_permutes_the_graph():
    made, drawn = generator(), latents(6)
    drawn[:, 0] = 3.0  # nine nodes
    count, shared, nodes, pairs = drawn.split(latent_sizes(9, 4, 3), 1)
    order = torch.randperm(9)
    table = torch.zeros(6, 9, 9, dtype=torch.float64)
    u, v = torch.triu_indices(9, 9, 1)
    table[:, u, v] = table[:, v, u] = pairs
    moved = table[:, order][:, :, order][:, u, v]
    permuted = torch.cat([count, shared, nodes.view(6, 9, 4)[:, order].flatten(1), moved], 1)
    one, other = made(drawn), made(permuted)
    assert torch.equal(one["adjacency"][:, order][:, :, order] > 0.5, other["adjacency"] > 0.5)
    assert one["adjacency"].sum() > 10


def test_edges_are_bernoulli_with_the_stated_logits_and_carry_a_gradient():
    made = generator()
    fixed = latents(1).expand(4000, -1).clone()
    fixed[:, -36:] = latents(4000, 1)[:, -36:]
    with torch.no_grad():
        seen = {}
        inner, made._logits = made._logits, lambda p, o: seen.setdefault("logits", inner(p, o))
        adjacency = made(fixed)["adjacency"]
    count = int(made(fixed[:1])["present"].sum())
    for i, j in itertools.combinations(range(count), 2):
        expected = float(seen["logits"][0, i, j].sigmoid())
        assert float((adjacency[:, i, j] > 0.5).double().mean()) == pytest.approx(expected, abs=0.035)
    made = generator()
    made(latents(8))["adjacency"].square().sum().backward()
    assert all(bool(p.grad.isfinite().all() and p.grad.any()) for p in made.parameters())


def test_no_graph_has_more_edges_than_the_largest_of_the_data_and_sizes_are_those_of_train():
    made = generator(most=4)
    outputs = made(latents(400))
    assert int((outputs["adjacency"] > 0.5).sum((1, 2)).max()) == 8  # four edges, both entries
    counts = outputs["present"].sum(1)
    assert set(counts.tolist()) == {6.0, 9.0}
    assert float((counts == 6).double().mean()) == pytest.approx(0.75, abs=0.06)
    decoded = DenseGraphs(spec(4)).decode(outputs)
    assert are_canonical(decoded).all() and SizeLaw(spec()).mean == 6.75
    assert mean_degree(spec()) == pytest.approx((4 + 20 + 30 + 20) / 29)


def test_an_untrained_generator_has_the_density_of_train():
    sizes = torch.zeros(41, dtype=torch.int64)
    sizes[40] = 1
    made_of = Spec(
        {"graphs": 2, "max_nodes": 40, "max_edges": 700},
        {"node_counts": sizes, "degree_counts": torch.eye(7)[5]},
    )
    made = GeometricGenerator(made_of, 16, 1, 4, 3, 3, 1.0)
    drawn = torch.randn(300, sum(latent_sizes(40, 4, 3)), generator=torch.Generator().manual_seed(0))
    degrees = (made(drawn)["adjacency"] > 0.5).double().sum(2)
    assert float(degrees.mean()) == pytest.approx(5, rel=0.05)


def test_large_graphs_and_odd_widths_are_refused():
    for config, data, said in ((GgGanConfig(), spec(), ""), (GgGanConfig(width=6), spec(), "multiple of 4")):
        if not said:
            assert GgGan().build(config, data).sampler().sample(2, Key.of("s"))["nodes"].shape == (2,)
            continue
        with pytest.raises(ConfigError, match=said):
            GgGan().build(config, data)
    with pytest.raises(ConfigError, match="1,000"):
        GgGan().build(GgGanConfig(), Spec({"max_nodes": 1001, "max_edges": 9}))
