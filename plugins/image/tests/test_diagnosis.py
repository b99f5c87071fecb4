"""Constructed faults are found; real images raise no alarm."""

from __future__ import annotations

import pytest
import torch
from gancore_image.config import ImageConfig
from gancore_image.dataset import open_images
from gancore_image.diagnosis import checkerboard, diagnose, find_faults
from gancore_image.sources import SOURCES
from needs import data_root
from torch import Tensor
from torch.nn.functional import avg_pool2d

from gancore.data.sources import resolve_source
from gancore.random import Key

SIDE = 32


def noise(n: int, channels: int = 3) -> Tensor:
    return Key.of("noise").normal(n, channels, SIDE, SIDE)


def smooth(n: int, channels: int = 3) -> Tensor:
    """Like images: more energy, the coarser."""
    return (2 * avg_pool2d(noise(n, channels), 7, 1, 3)).clamp(-1, 1)


def test_each_fault_is_found_in_the_sample_that_has_it_and_nowhere_else():
    red = torch.tensor([1.0, -0.5, -0.5])[:, None, None]
    samples = {
        "blank": torch.zeros(3, SIDE, SIDE),
        "blank ": torch.tensor([0.3, -0.2, 0.9])[:, None, None] + 0.01 * noise(1)[0],
        "saturated": (200 * noise(1)[0]).tanh(),
        "one colour": (0.5 * smooth(1, 1)[0] + 0.5 * red).clamp(-1, 1),
        "none": smooth(1)[0],
        "none ": smooth(1, 1)[0].expand(3, -1, -1),  # grey
        "none  ": torch.where(torch.arange(SIDE) < 16, 1.0, -1.0).expand(3, SIDE, SIDE),  # a drawing
    }
    found = find_faults(torch.stack(list(samples.values())))
    for row, truth in enumerate(samples):
        expected = [truth.strip()] * (truth.strip() != "none")
        assert [name for name, rows in found.items() if rows[row]] == expected, truth


def test_four_levels_part_a_blank_image_from_one():
    stripes = torch.where(torch.arange(SIDE) % 2 == 0, 1.0, -1.0).expand(1, 1, SIDE, SIDE)  # RMS 1
    rows = torch.cat([level / 127.5 * stripes for level in (3.9, 4.1)])
    assert find_faults(rows)["blank"].tolist() == [True, False]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_alpha_is_not_looked_at(channels):
    images = smooth(8, channels)
    if channels in (2, 4):
        images[:, -1] = 1
        assert diagnose(images) == []
        images = smooth(8, channels)
        images[:, :-1] = 0.5
        assert [finding.name for finding in diagnose(images)] == ["blank"]
    else:
        assert diagnose(images) == []


@pytest.mark.parametrize("period", [2, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_board_of_an_upsampling_layer_is_found_with_its_period(period, channels):
    board = torch.zeros(SIDE, SIDE)
    board[::period, ::period] = 1
    board = (board - board.mean()) / board.std()
    images = smooth(32, channels)
    found = checkerboard(images + 0.2 * images.std() * board)
    assert found is not None and found[0] == period and 0.02 < found[2] < 0.06  # 0.2^2 of the energy
    assert checkerboard(images) is None


def test_a_layer_with_uneven_overlap_is_told_from_one_with_even():
    """Odena, Dumoulin and Olah 2016: kernel 3 stride 2 covers pixels unevenly, kernel 4 evenly."""
    from torch.nn.functional import conv_transpose2d

    coarse = avg_pool2d(Key.of("coarse").normal(32, 1, 20, 20), 3, 1, 1) + 0.5
    uneven = conv_transpose2d(coarse, torch.ones(1, 1, 3, 3) / 9, stride=2)[:, :, 3:35, 3:35]
    even = conv_transpose2d(coarse, torch.ones(1, 1, 4, 4) / 16, stride=2)[:, :, 3:35, 3:35]
    assert checkerboard(uneven) is not None and checkerboard(even) is None


def test_findings_say_how_many_and_what_to_do():
    samples = smooth(16)
    samples[:6] = 0
    blank, *others = diagnose(samples)
    assert blank.name == "blank" and blank.message.startswith("6 of 16 samples") and blank.fix
    assert others == []


@pytest.mark.parametrize("side", [1, 4, 8, 12, 30])
def test_images_of_any_side_can_be_diagnosed(side):
    assert diagnose(smooth(4)[:, :, :side, :side]) == [] or side == 1


def alarms(data) -> list[str]:
    return [f.name for rows in data.split(16) for f in diagnose(rows)]


def test_the_built_in_digits_raise_no_alarm(tmp_path, monkeypatch):
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path))
    train = open_images(resolve_source(None, SOURCES, None, print), ImageConfig()).view("train")
    assert alarms(train.get_batch(torch.arange(len(train)), Key.of(0)).data) == []


@pytest.mark.long
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "clothing64"])
def test_real_sets_raise_no_alarm(name):
    root = data_root(name)
    train = open_images(resolve_source(name, SOURCES, root, print), ImageConfig()).view("train")
    assert alarms(train.get_batch(torch.arange(0, len(train), 2)[:3000], Key.of(0)).data) == []
