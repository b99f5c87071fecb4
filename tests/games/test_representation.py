"""A representation is fitted once on train, lies before the networks and behind the samples."""

import math

import pytest
import torch
from torch import nn
from toy_games import DenseDiscriminator, Rows, differing, play, points, whole

from gancore.data.dataset import Batch
from gancore.games import Adam, Representation, adversarial_game, fitted_game, likelihood_game, normal
from gancore.random import Key

STRETCH = torch.tensor([30.0, 0.01])


def stretched(rows=64):
    return points(rows) * STRETCH


class Standardised(Representation):
    """(x - mean) / std, of train."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(2))
        self.register_buffer("std", torch.ones(2))
        self.register_buffer("fits", torch.zeros(()))

    def fit(self, train):
        data = train.get_batch(torch.arange(len(train)), Key.of(0)).data
        self.mean.copy_(data.mean(0))
        self.std.copy_(data.std(0))
        self.fits += 1

    def encode(self, batch):
        return Batch((batch.data - self.mean) / self.std, batch.condition)

    def decode(self, outputs):
        return outputs * self.std + self.mean

    def log_det(self, batch):
        return -self.std.log().sum().expand(len(batch))


class Gaussian(nn.Module):
    def __init__(self):
        super().__init__()
        self.mean, self.log_std = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))

    def log_prob(self, x, condition=None):
        z = (x - self.mean) / self.log_std.exp()
        return (-0.5 * z**2 - self.log_std - 0.5 * math.log(2 * math.pi)).sum(1)

    def sample(self, n, key, condition=None):
        return self.mean + self.log_std.exp() * key.normal(n, 2)


def density():
    return likelihood_game(Gaussian, representation=Standardised(), optimizer=Adam(0.02))


def test_it_is_fitted_once_though_the_run_is_killed(tmp_path):
    undisturbed = play(density, stretched(), 30)
    killed = play(density, stretched(), 30, kills=(10, 20), folder=tmp_path)
    assert killed.game.representation.fits == 1
    assert torch.allclose(killed.game.representation.std, stretched().std(0))
    assert differing(whole(undisturbed), whole(killed)) == []


def test_networks_see_encoded_reals_and_people_decoded_samples():
    seen = []

    class Watching(DenseDiscriminator):
        def logits(self, embedded, condition=None):
            seen.append(embedded.detach())
            return super().logits(embedded)

    def build():
        return adversarial_game(generator=lambda: nn.Linear(2, 2), discriminator=Watching, prior=normal(2),
                           representation=Standardised())  # fmt: skip

    table = play(build, stretched(), 1, batch_size=64)
    assert torch.allclose(seen[0].mean(0), torch.zeros(2), atol=1e-4)
    assert torch.allclose(seen[0].std(0), torch.ones(2), atol=1e-4)
    sampler, key = table.game.sampler(), Key.of(0)
    samples = sampler.sample(500, key)
    raw = sampler.generator(sampler.latents(500, key))
    assert torch.allclose(samples, raw * table.game.representation.std + table.game.representation.mean)


def test_log_prob_is_a_density_of_canonical_samples_by_the_change_of_variables():
    game = play(density, stretched(), 5).game
    sampler = game.sampler()
    std, mean = sampler.representation.std, sampler.representation.mean
    true = torch.distributions.Normal(mean + game.model.mean * std, game.model.log_std.exp() * std)
    data = stretched()[:10]
    assert torch.allclose(sampler.log_prob(Batch(data)), true.log_prob(data).sum(1), rtol=1e-4)
    # And it integrates to one over canonical space.
    grids = [torch.linspace(-8, 8, 400) * s + m for s, m in zip(true.stddev, true.mean, strict=True)]
    cells = torch.cartesian_prod(*(g.detach() for g in grids))
    area = (grids[0][1] - grids[0][0]) * (grids[1][1] - grids[1][0])
    assert (sampler.log_prob(Batch(cells)).exp().sum() * area).item() == pytest.approx(1, abs=1e-3)


def test_a_representation_without_log_det_makes_likelihoods_incomparable_not_wrong():
    class Lossy(Standardised):
        def log_det(self, batch):
            return None

    game = likelihood_game(Gaussian, representation=Lossy())
    assert game.sampler().log_prob(Batch(stretched())) is None


def test_a_fitted_model_is_fitted_on_encoded_samples_and_decodes_its_own():
    class Moments(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("moments", torch.zeros(2, 2))

        def fit(self, views, key):
            data = views["train"].get_batch(torch.arange(len(views["train"])), key).data
            self.moments.copy_(torch.stack([data.mean(0), data.std(0)]))
            return True

        def sample(self, n, key):
            return self.moments[0] + self.moments[1] * key.normal(n, 2)

    game = play(lambda: fitted_game(Moments(), representation=Standardised()), stretched(), 3).game
    assert torch.allclose(game.model.moments, torch.tensor([[0.0, 0.0], [1.0, 1.0]]), atol=1e-3)
    assert torch.allclose(game.sampler().sample(4000, Key.of(0)).std(0), stretched().std(0), rtol=0.05)


def test_a_condition_reaches_a_likelihood_model_only_where_the_game_is_conditional():
    class Labelled(Gaussian):
        """Its mean is that of the label."""

        def __init__(self):
            super().__init__()
            self.mean = nn.Parameter(torch.zeros(2, 2))

        def log_prob(self, x, condition):
            return torch.distributions.Normal(self.mean[condition], self.log_std.exp()).log_prob(x).sum(1)

        def sample(self, n, key, condition):
            return self.mean[condition] + self.log_std.exp() * key.normal(n, 2)

    labels = torch.arange(40) % 2
    data = Rows(points() + 6 * labels[:, None], labels)
    game = play(
        lambda: likelihood_game(Labelled, conditional=True, optimizer=Adam(0.1)), data, 400, batch_size=40
    ).game
    apart = game.sampler().sample(200, Key.of(0), torch.arange(200) % 2)
    assert torch.allclose((apart[1::2] - apart[::2]).mean(0), torch.tensor([6.0, 6.0]), atol=0.6)
    assert game.sampler().conditional and game.sampler().log_prob(Batch(data.data, labels)).mean() > -3
    blind = play(lambda: likelihood_game(Gaussian), data, 3).game.sampler()
    assert not blind.conditional and blind.log_prob(Batch(data.data, labels)).shape == (40,)
