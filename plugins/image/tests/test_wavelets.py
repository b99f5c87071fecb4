"""The quick distance: what its numbers are, and what it can tell apart."""

from __future__ import annotations

import pytest
import torch
from gancore_image.metrics import wavelet_frechet, wavelet_statistics
from torch.nn.functional import avg_pool2d

from gancore import MetricInputs, Spec
from gancore.random import Key

SPEC = Spec({"image_size": 16, "channels": 1})


def smooth(n: int, seed: int = 0) -> torch.Tensor:
    return avg_pool2d(Key.of(seed, "images").normal(n, 1, 16, 16), 5, 1, 2)


def distance(fake: torch.Tensor, real: torch.Tensor) -> float:
    return wavelet_frechet.compute(MetricInputs.from_samples(fake, real, SPEC))


@pytest.mark.parametrize(
    ("side", "channels", "numbers"),
    [(8, 1, 20), (16, 1, 24), (32, 3, 60), (12, 1, 20), (6, 1, 16), (4, 2, 32)],
)
def test_there_are_16_levels_a_channel_and_4_energies_a_scale(side, channels, numbers):
    assert wavelet_statistics(Key.of("x").normal(3, channels, side, side)).shape == (3, numbers)


def test_the_levels_and_energies_of_a_board_are_those_of_a_pencil():
    board = torch.ones(1, 1, 8, 8)
    board[:, :, :4, :4] = torch.tensor([[1.0, -1], [-1, 1]]).repeat(2, 2)  # finest detail, in one quarter
    levels, energies = wavelet_statistics(board)[0, :16].view(4, 4), wavelet_statistics(board)[0, 16:]
    assert levels.tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]]
    assert energies.tolist() == [1, 0, 0, 0]


def test_energy_is_divided_among_mean_and_scales():
    """Haar's basis is orthogonal: the mean square is that of the last a plus those of all d."""
    images = Key.of("x").normal(5, 1, 16, 16).double()
    result = wavelet_statistics(images)
    rest = result[:, 16:].view(5, 2, 4).square().mean(2).sum(1)
    assert torch.allclose(images.square().mean((1, 2, 3)), result[:, :16].square().mean(1) + rest)


def test_halves_of_one_law_are_near_and_other_laws_are_far():
    real = smooth(400)
    near = distance(smooth(400, 1), real)
    for name, fake in {
        "blurred": avg_pool2d(smooth(400, 1), 3, 1, 1),
        "noisy": smooth(400, 1) + 0.2 * Key.of("n").normal(400, 1, 16, 16),
        "shifted in level": smooth(400, 1) + 0.2,
        "collapsed": smooth(4, 1).repeat(100, 1, 1, 1),
        "lit on one side": smooth(400, 1) + torch.linspace(-0.3, 0.3, 16),
    }.items():
        assert distance(fake, real) > 2 * near, name


def test_equal_sets_are_at_zero():
    assert distance(smooth(100), smooth(100)) == pytest.approx(0, abs=1e-6)
