"""Levels, cells and bits: one unit for all likelihoods of images."""

import math

import pytest
import torch
from gancore_image.levels import (
    CELL_WIDTH,
    LEVELS,
    Levels,
    dequantised_images,
    from_levels,
    quantisation_cells,
    to_levels,
)
from gancore_image.metrics import bits, bits_per_dimension

from gancore import Batch
from gancore.games import ModelSampler

EVERY = torch.arange(LEVELS)


def test_every_level_comes_back_from_the_pixel_that_it_stands_for():
    x = from_levels(EVERY)
    torch.testing.assert_close(x.double(), EVERY.double() / 127.5 - 1, atol=1e-7, rtol=0)
    assert x[0] == -1 and x[-1] == 1 and torch.equal(to_levels(x), EVERY)
    assert torch.equal(to_levels(EVERY.float() / 127.5 - 1), EVERY)
    images = EVERY.view(4, 1, 8, 8)
    assert torch.equal(Levels().encode(Batch(Levels().decode(images))).data, images)


def test_pixels_between_levels_and_beyond_go_to_the_nearest():
    assert to_levels(
        torch.tensor([-3.0, -1 + 0.4 * CELL_WIDTH, -1 + 0.6 * CELL_WIDTH, 0.999, 9.0])
    ).tolist() == [
        0,
        0,
        1,
        255,
        255,
    ]


def test_cells_lie_side_by_side_about_their_levels():
    x = from_levels(EVERY).double()
    low, width = quantisation_cells(x)
    assert width.item() == pytest.approx(1 / 127.5)
    torch.testing.assert_close(low + width / 2, EVERY.double() / 127.5 - 1, rtol=0, atol=1e-12)
    torch.testing.assert_close(low[1:], low[:-1] + width, rtol=0, atol=1e-12)


def test_dequantised_pixels_fill_their_cells_and_no_others():
    images = from_levels(EVERY).view(4, 1, 8, 8).expand(4, 3, 8, 8)
    spread = dequantised_images().train()
    for _ in range(3):
        assert torch.equal(to_levels(spread.encode(Batch(images)).data), to_levels(images))
    noise = (
        spread.encode(Batch(images.repeat(300, 1, 1, 1))).data - images.repeat(300, 1, 1, 1)
    ) / CELL_WIDTH
    assert noise.mean().abs() < 0.003 and noise.std().item() == pytest.approx(12**-0.5, abs=0.003)


class Even(torch.nn.Module):
    """The even law, of levels or of pixels between the ends of the cells."""

    def __init__(self, discrete):
        super().__init__()
        self.each = -math.log(LEVELS) if discrete else -math.log(LEVELS * CELL_WIDTH)

    def log_prob(self, data):
        return torch.full((len(data),), data[0].numel() * self.each)


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 8, 8)])
@pytest.mark.parametrize("discrete", [True, False])
def test_an_even_law_takes_8_bits_a_dimension_of_levels_or_of_pixels(discrete, shape):
    sampler = ModelSampler(Even(discrete), Levels() if discrete else dequantised_images(), False).eval()
    images = from_levels(torch.randint(0, LEVELS, (5, *shape), generator=torch.Generator().manual_seed(0)))
    found = bits(sampler.log_prob(Batch(images)), images[0].numel())
    torch.testing.assert_close(found, torch.full((5,), 8.0).double(), rtol=1e-5, atol=0)
    assert sampler.lower_bound is not discrete


def test_a_coin_for_each_pixel_takes_one_bit():
    log_prob = torch.full((4,), -64 * math.log(2) - 64 * math.log(CELL_WIDTH))
    torch.testing.assert_close(bits(log_prob, 64), torch.ones(4).double())


def test_the_measure_asks_for_a_likelihood_and_is_blind_to_collapse():
    assert (
        bits_per_dimension.requires == {"log_prob"} and bits_per_dimension.unit == "bits a dimension at 8 bit"
    )
