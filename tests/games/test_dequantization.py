"""Dequantisation against brute force: the bound is below a cell's probability, and no value has ever more."""

import math

import pytest
import torch
from toy_games import Rows, play

from gancore.data.dataset import Batch
from gancore.games import Dequantization, FlowGame, ModelSampler, likelihood_game
from gancore.games.draw import EncodedView
from gancore.nn.flows import ActNorm, Flow
from gancore.random import Key, noise_scope
from gancore.random import RowRange as Cut

EDGES = torch.tensor([-2.0, -0.5, 0.0, 0.1, 0.2, 1.0, 3.0])


def cells(x):
    """Six of them, of widths from 0.1 to 2."""
    edges = EDGES.to(x.dtype)
    code = torch.bucketize(x, edges, right=True).clamp(1, 6) - 1
    return edges[code], edges.diff()[code]


def gaussian(mean, deviation):
    """N(mean, deviation^2) as a flow of one coordinate."""
    norm = ActNorm(1)
    norm.mean.fill_(mean)
    norm.log_deviation.fill_(math.log(deviation))
    return ModelSampler(Flow([1], [norm]), Dequantization(cells), conditional=False)


def in_training(representation, x, seed=0):
    representation.train()
    with noise_scope(Key.of("move", seed), Cut.all(len(x))):
        return representation.encode(Batch(x)).data


X = torch.tensor([-1.0, -0.1, 0.05, 0.15, 0.3, 2.0])[:, None]
"""A number in each cell."""


@pytest.mark.parametrize(("mean", "deviation"), [(0.2, 1.0), (0.0, 0.3), (-1.0, 0.8)])
def test_the_bound_is_below_the_probability_of_each_cell(mean, deviation, float64):
    """P(cell) of a Gaussian by its distribution function; the bound, E_u log q, by 20,000 draws of u."""
    sampler, x = gaussian(mean, deviation), X.double()
    low, width = (each[:, 0] for each in cells(x))
    cumulative = torch.distributions.Normal(mean, deviation).cdf
    exact = (cumulative(low + width) - cumulative(low)).log() - width.log()
    rows = x.repeat(20_000, 1)
    seen = in_training(sampler.representation, rows)
    assert ((seen[:, 0] - cells(rows)[0][:, 0]) / cells(rows)[1][:, 0]).aminmax().max < 1
    bound = sampler.model.log_prob(seen).detach().view(20_000, 6)
    assert (bound.mean(0) < exact + 4 * bound.std(0) / 20_000**0.5).all()
    # and what lies between is Jensen's: the log of the mean over u is the probability itself
    torch.testing.assert_close(bound.logsumexp(0) - math.log(20_000), exact, rtol=0, atol=0.1)


def test_a_value_that_recurs_has_no_density_beyond_that_of_its_cell():
    """Without noise a Gaussian that closes in on a constant has ever more; with it ever less, in the end."""
    silence, width = torch.full((1000, 1), 0.05), 0.1
    bare, spread = [], []
    for deviation in (1.0, 0.1, 0.03, 0.01, 1e-3):
        sampler = gaussian(0.05, deviation)
        noisy = in_training(sampler.representation, silence)
        for result, rows in ((bare, silence), (spread, noisy)):
            result.append(sampler.model.log_prob(rows).mean().item())
    assert bare == sorted(bare) and bare[-1] > 5
    assert max(spread) <= -math.log(width) and spread[-1] < spread[2]


def test_the_noise_is_the_moves_in_training_and_one_for_all_rows_elsewhere():
    representation = Dequantization(cells)
    rows = torch.full((4, 3), 0.3)
    first, again, other = (in_training(representation, rows, seed) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert len(first.unique()) == 12 and (first >= 0.2).all() and (first < 1.0).all()
    fixed = representation.eval().encode(Batch(rows)).data
    assert torch.equal(fixed, fixed[:1].expand(4, 3)) and len(fixed.unique()) == 3
    assert torch.equal(fixed, representation.encode(Batch(rows)).data)
    key = Key.of("batch")
    whole = EncodedView(Rows(rows), representation.train()).get_batch(torch.arange(4), key)
    part = EncodedView(Rows(rows), representation).get_batch(torch.arange(2, 4), key.with_rows(Cut(2, 4, 4)))
    assert torch.equal(whole.data[2:], part.data)


def test_a_sampler_says_that_it_tells_a_bound_and_inverts_without_noise(float64):
    sampler = gaussian(0.2, 0.7).eval()
    assert sampler.lower_bound is True
    torch.testing.assert_close(sampler.render(sampler.invert(Batch(X.double()))), X.double())
    edge = ModelSampler(sampler.model, Dequantization(cells, low=-2, high=3), conditional=False)
    assert edge.render(torch.tensor([[9.0], [-9.0]])).flatten().tolist() == [3, -2]


def test_a_flow_of_a_constant_is_trained_to_its_cell_and_no_further():
    """The best Gaussian of U(0, w) has the variance w^2/12: its nll is log w + log(2 pi e / 12) / 2."""

    def build():
        representation = Dequantization(cells)
        return likelihood_game(lambda: Flow([1], [ActNorm(1)]), representation=representation, game=FlowGame)

    sampler = play(build, torch.full((512, 1), 0.05), 60, batch_size=512).game.sampler()
    rows = in_training(sampler.representation, torch.full((5000, 1), 0.05))
    best = math.log(0.1) + 0.5 * math.log(2 * math.pi * math.e / 12)
    assert -sampler.model.log_prob(rows).mean().item() == pytest.approx(best, abs=0.02)
