"""Spectral norm: one is the largest singular value, and looking at it changes nothing."""

import pytest
import torch
from torch import nn
from toy_games import DenseDiscriminator, differing, play, points, set_up, whole

from gancore.games import R1, adversarial_game, normal
from gancore.nn.spectral_normalization import spectral_norm, spectral_norm_layers

LAYERS = {
    "linear": (lambda: nn.Linear(7, 5), lambda w: w),
    "convolution": (lambda: nn.Conv1d(3, 5, 4), lambda w: w.flatten(1)),
    "transposed": (lambda: nn.ConvTranspose1d(3, 5, 4), lambda w: w.transpose(0, 1).flatten(1)),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_the_largest_singular_value_becomes_one(kind, float64):
    torch.manual_seed(0)
    make, matrix = LAYERS[kind]
    layer = spectral_norm(make())
    with torch.no_grad():
        layer.parametrizations.weight.original.mul_(3.0)
    for _ in range(300):
        power_iterate(layer)
    assert torch.linalg.svdvals(matrix(layer.weight.detach()))[0].item() == pytest.approx(1, abs=1e-6)


def test_a_forward_pass_changes_nothing_and_an_iteration_does():
    torch.manual_seed(0)
    net, x = spectral_norm(nn.Linear(7, 5)), torch.randn(4, 7)
    first, second = net(x), net(x)
    assert torch.equal(first, second)
    power_iterate(net)
    assert not torch.equal(net(x), first)


def test_only_weights_of_two_axes_or_more_are_normalised_and_gradients_flow_through_the_norm():
    net = spectral_norm(nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 1)))
    assert [hasattr(part, "parametrizations") for part in net] == [True, False, True]
    original = net[0].parametrizations.weight.original
    (gradient,) = torch.autograd.grad(net[0].weight.square().sum(), original)
    # |W / sigma|^2 does not change along W itself.
    assert abs((gradient * original).sum()) < 1e-4 < gradient.norm()


def test_it_normalises_in_full_precision_under_autocast():
    torch.manual_seed(0)
    net = spectral_norm(nn.Linear(7, 5))
    expected = net.weight
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(net.weight, expected)


def power_iterate(net):
    for norm, weight in spectral_norm_layers(net):
        norm.power_iterate(weight)


def build():
    return adversarial_game(
        generator=lambda: spectral_norm(nn.Linear(3, 2)),
        discriminator=lambda: spectral_norm(DenseDiscriminator()),
        prior=normal(3),
        penalties=[R1(1.0, every=2)],
        ema_halflife=30.0,
    )


def test_a_game_with_the_remedy_keeps_its_norms_at_one_and_resumes_bit_equal(tmp_path):
    undisturbed = play(build, points(), 20)
    for net in (undisturbed.game.generator, undisturbed.game.discriminator.layers[0]):
        assert torch.linalg.svdvals(net.weight.detach())[0].item() == pytest.approx(1, abs=0.02)
    killed = play(build, points(), 20, kills=(9,), folder=tmp_path)
    assert differing(whole(undisturbed), whole(killed)) == []


def test_norms_move_on_once_a_step_in_every_game():
    before, after = set_up(build, points()).game, play(build, points(), 1).game
    moved = differing(before.state_dict(), after.state_dict())
    assert "discriminator.layers.0.parametrizations.weight.0.left" in moved
