"""The moving average forgets by samples, not by steps."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from toy_games import DenseDiscriminator, play, points

from gancore.games import AdversarialGame, Game, LikelihoodGame, adversarial_game, normal
from gancore.games.classifier import ClassifierGame
from gancore.nn.ema import EMA


def constant(value):
    layer = nn.Linear(1, 1)
    for parameter in layer.parameters():
        nn.init.constant_(parameter, value)
    return layer


@pytest.mark.parametrize("batch", [1, 10, 50])
def test_after_a_half_life_the_old_weighs_a_half_whatever_the_batch(batch, float64):
    source = constant(1.0)
    average = EMA(source, halflife=100, ramp=0.0)
    nn.init.zeros_(source.weight)
    for step in range(100 // batch):
        average.update(batch, (step + 1) * batch)
    assert average.module.weight.item() == pytest.approx(0.5)


def test_the_ramp_keeps_the_half_life_to_a_share_of_what_was_seen():
    average = EMA(constant(0.0), halflife=1000, ramp=0.05)
    assert average.beta(batch=10, samples=200) == pytest.approx(0.5 ** (10 / 10))
    assert average.beta(batch=10, samples=20_000) == pytest.approx(0.5 ** (10 / 1000))
    assert average.beta(batch=10, samples=10**9) == average.beta(batch=10, samples=20_000)


def test_buffers_are_copied_and_nothing_asks_for_a_gradient():
    source = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = EMA(source, 100)
    source(torch.randn(8, 2))
    average.update(8, 8)
    for mine, theirs in zip(average.module.buffers(), source.buffers(), strict=True):
        assert torch.equal(mine, theirs)
    assert source[1].num_batches_tracked == 1
    assert not any(p.requires_grad for p in average.parameters())
    average.update(8, 8)
    assert all(p.requires_grad for p in source.parameters())


def test_a_game_averages_its_generator_and_samples_from_the_average():
    def build(ema_halflife):
        return lambda: adversarial_game(
            generator=lambda: nn.Linear(3, 2),
            discriminator=DenseDiscriminator,
            prior=normal(3),
            ema_halflife=ema_halflife,
        )

    game = play(build(400.0), points(), 50).game
    assert game.sampler().generator is game.ema.module
    assert not torch.equal(game.ema.module.weight, game.generator.weight)
    plain = play(build(None), points(), 50).game
    assert plain.sampler().generator is plain.generator
    assert torch.equal(plain.generator.weight, game.generator.weight)


@pytest.mark.parametrize("kind", [AdversarialGame, LikelihoodGame, ClassifierGame])
def test_a_game_whose_step_looks_at_more_than_a_batch_averages_by_what_it_looks_at(kind, monkeypatch):
    messages = []
    monkeypatch.setattr(EMA, "update", lambda self, batch, samples: messages.append((batch, samples)))
    game = kind.__new__(kind)
    Game.__init__(game)
    game.ema, game.discriminator = EMA(nn.Linear(1, 1), 100.0), None
    setup = SimpleNamespace(samples_per_step=24, batch_size=8)
    game.after_step(SimpleNamespace(setup=setup, samples=48))
    assert messages == [(24, 48)]
