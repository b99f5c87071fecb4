"""Modules that draw from torch's global random generators: still a function of (seed, step, index)."""

import pytest
import torch
from torch import nn
from toy_games import DenseDiscriminator, differing, play, points, set_up, whole

from gancore.errors import ConfigError
from gancore.games import SGD, adversarial_game, normal
from gancore.nn.dropout import Dropout
from gancore.random import Key, RowRange, fork_global_rng, noise_scope


class Drawing(nn.Module):
    def forward(self, x):
        return x + torch.rand_like(x)


class Noisy(DenseDiscriminator):
    def __init__(self, layer):
        super().__init__()
        self.layers.insert(1, layer)


GLOBAL = [nn.Dropout(0.3), nn.RReLU(), nn.AlphaDropout(0.2), nn.FeatureAlphaDropout(0.2), Drawing()]


def build(layer):
    def made():
        return adversarial_game(
            generator=lambda: nn.Linear(3, 2),
            discriminator=lambda: Noisy(layer),
            prior=normal(3),
            generator_optimizer=SGD(0.1),
            discriminator_optimizer=SGD(0.1),
        )

    return made


@pytest.mark.parametrize("layer", [*GLOBAL, Dropout(0.3)], ids=lambda layer: type(layer).__name__)
def test_a_resumed_run_is_an_undisturbed_one(layer, tmp_path):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    undisturbed = whole(play(build(layer), points(), 6))
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert differing(undisturbed, whole(play(build(layer), points(), 6, kills=[2], folder=tmp_path))) == []
    assert differing(undisturbed, whole(play(build(nn.Identity()), points(), 6)))


@pytest.mark.parametrize("layer", GLOBAL, ids=lambda layer: type(layer).__name__)
def test_micro_batches_refuse_them_by_name(layer):
    with pytest.raises(ConfigError, match="global random generator") as caught:
        play(build(layer), points(), 1, micro_batches=2)
    assert "gancore.nn.Dropout" in caught.value.fix
    assert "discriminator.layers.1" in caught.value.message or isinstance(layer, (Drawing, nn.RReLU))


def test_keyed_dropout_is_alike_in_parts():
    one, two = (whole(play(build(Dropout(0.3)), points(), 4, micro_batches=k)) for k in (1, 2))
    for name, tensor in one.items():
        assert torch.allclose(tensor, two[name], rtol=1e-4, atol=1e-6), name


@pytest.mark.parametrize("whole_channels", [False, True])
def test_keyed_dropout_keeps_the_mean_and_whole_channels(whole_channels):
    layer = Dropout(0.25, whole_channels)
    with noise_scope(Key.of(0), RowRange.all(500)):
        y = layer(torch.ones(500, 20, 4))
    assert y.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert abs((y == 0).double().mean().item() - 0.25) < 0.02  # 10,000 channels: 0.0043 is one deviation
    assert torch.equal(y, y[..., :1].expand_as(y)) is whole_channels
    assert torch.equal(layer.eval()(y), y)


def test_threads_take_turns_at_the_global_generators():
    from concurrent.futures import ThreadPoolExecutor

    def drawn(seed):
        made = []
        for step in range(50):
            with fork_global_rng(Key.of(seed, step)):
                made.append(torch.rand(3) + torch.rand(3))
        return torch.stack(made)

    alone = [drawn(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(drawn, range(4)))
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_playing_on_is_playing_longer():
    from gancore.training.loop import play as play_on

    tables = [set_up(build(nn.Dropout(0.3)), points()) for _ in range(2)]
    play_on(tables[0], 7)
    assert play_on(tables[1], 3).step == 3 and play_on(tables[1], 4).step == 7
    assert differing(whole(tables[0]), whole(tables[1])) == []


def test_a_game_at_rest_draws_nothing():
    table = set_up(build(nn.Identity()), points())
    with fork_global_rng(table.batches.key) as drew:
        assert not drew()
        torch.rand(1)
        assert drew()
