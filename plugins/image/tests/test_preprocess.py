"""From a picture to a square of bytes: crop, size, channels, alpha, and how a side is chosen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gancore_image.preprocess import PreprocessConfig, array_to_levels, preprocess_image, suggest_image_size
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from refusals import refused

from gancore.data.inventory import SkipItem

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def picture(height: int, width: int, channels: int = 3, seed: int = 0) -> Image.Image:
    array = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.fromarray(array[:, :, 0] if channels == 1 else array)


def ramp(height: int, width: int) -> Image.Image:
    """Its level is its column."""
    return Image.fromarray(np.repeat(np.arange(width, dtype=np.uint8)[None], height, axis=0))


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    channels=st.integers(1, 4),
    to=st.sampled_from([None, 1, 2, 3, 4]),
    side=st.sampled_from([4, 7, 16, 33]),
    fit=st.sampled_from(["crop", "pad", "stretch"]),
)
def test_any_picture_becomes_a_square_of_bytes(height, width, channels, to, side, fit):
    pixels = preprocess_image(picture(height, width, channels), PreprocessConfig(side, to, fit, min_side=1))
    assert pixels.shape == (to or 3, side, side) and pixels.dtype == np.uint8 and pixels.flags.c_contiguous


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_picture_of_the_right_size_is_kept_to_the_bit(channels):
    image = picture(16, 16, channels)
    pixels = preprocess_image(image, PreprocessConfig(16, channels))
    assert np.array_equal(pixels.transpose(1, 2, 0).squeeze(), np.asarray(image))


@pytest.mark.parametrize(("height", "width", "first"), [(16, 40, 12), (16, 41, 12), (16, 17, 0), (40, 16, 0)])
def test_the_centre_is_cut_out(height, width, first):
    pixels = preprocess_image(ramp(height, width), PreprocessConfig(16, 1))
    assert np.array_equal(pixels[0], np.repeat(np.arange(first, first + 16)[None], 16, axis=0))


@pytest.mark.parametrize("side", [8, 12, 20, 32])
def test_shrinking_is_antialiased_as_in_another_library(side):
    """PyTorch's bicubic interpolation with antialias, of the same centre."""
    image = picture(64, 80)
    theirs = torch.from_numpy(np.asarray(image)[:, 8:72].transpose(2, 0, 1).astype(np.float32))[None]
    theirs = torch.nn.functional.interpolate(theirs, (side, side), mode="bicubic", antialias=True)[0]
    ours = preprocess_image(image, PreprocessConfig(side))
    assert np.abs(ours - theirs.numpy().clip(0, 255)).max() <= 1.5  # they round once, PIL after each axis


def test_what_is_finer_than_the_new_pixels_is_averaged_away():
    stripes = Image.fromarray(np.tile(np.array([0, 255], dtype=np.uint8), (64, 32)))
    inside = preprocess_image(stripes, PreprocessConfig(16, 1))[0, :, 2:-2]
    assert np.abs(inside.astype(int) - 127.5).max() <= 0.5


def test_small_pictures_are_enlarged_smoothly():
    big = preprocess_image(ramp(16, 16), PreprocessConfig(32, 1))[0, 8].astype(int)
    assert (np.diff(big) >= 0).all() and big[0] == 0 and big[-1] == 15


@pytest.mark.parametrize(("height", "width"), [(28, 28), (20, 31), (32, 8), (100, 50)])
def test_padding_keeps_the_whole_picture_amid_the_background(height, width):
    pixels = preprocess_image(Image.new("L", (width, height), 200), PreprocessConfig(32, 1, "pad", 7))[0]
    scale = min(1, 32 / max(height, width))
    rows, columns = round(height * scale), round(width * scale)
    inside = pixels[(32 - rows) // 2 :, (32 - columns) // 2 :][:rows, :columns]
    assert (inside == 200).all() and (pixels == 7).sum() == 32 * 32 - rows * columns


def test_padding_28_to_32_is_two_pixels_on_each_side():
    image = picture(28, 28, 1)
    assert np.array_equal(
        preprocess_image(image, PreprocessConfig(32, 1, "pad", 0))[0], np.pad(np.asarray(image), 2)
    )


def test_stretching_keeps_the_edges():
    pixels = preprocess_image(ramp(16, 64), PreprocessConfig(16, 1, "stretch"))[0, 0].astype(int)
    assert pixels[0] <= 3 and pixels[-1] >= 60


# Channels.


def test_transparent_pixels_show_the_background():
    array = np.zeros((8, 8, 4), dtype=np.uint8)
    array[:, :4] = (10, 20, 30, 255)
    array[:, 4:] = (99, 99, 99, 51)  # a fifth
    pixels = preprocess_image(Image.fromarray(array), PreprocessConfig(8, background=200))
    assert pixels[:, 0, 0].tolist() == [10, 20, 30]
    assert pixels[:, 0, 7].tolist() == pytest.approx([99 * 0.2 + 200 * 0.8] * 3, abs=1)


def test_alpha_is_kept_when_asked_for_and_made_where_there_is_none():
    image = picture(8, 8, 4)
    assert np.array_equal(preprocess_image(image, PreprocessConfig(8, 4))[3], np.asarray(image)[:, :, 3])
    assert (preprocess_image(picture(8, 8, 3), PreprocessConfig(8, 4))[3] == 255).all()
    assert (preprocess_image(picture(8, 8, 1), PreprocessConfig(8, 2))[1] == 255).all()


def test_hidden_colours_do_not_bleed_into_a_shrunk_picture():
    """Colours are weighted by their alpha: green under full transparency is nothing."""
    array = np.zeros((32, 32, 4), dtype=np.uint8)
    array[:, ::2] = (255, 0, 0, 255)
    array[:, 1::2] = (0, 255, 0, 0)
    pixels = preprocess_image(Image.fromarray(array), PreprocessConfig(8, 4))
    assert pixels[0].min() >= 250 and pixels[1].max() <= 5
    assert np.abs(pixels[3].astype(int) - 127.5).max() < 20


def test_grey_is_luma():
    colours = Image.new("RGB", (8, 8), (200, 100, 50))
    assert (
        preprocess_image(colours, PreprocessConfig(8, 1)) == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)
    ).all()


# Which side, and what is too small.


@pytest.mark.parametrize(
    ("sides", "side"),
    [([28], 32), ([32], 32), ([8], 8), ([1], 8), ([500], 64), ([22], 16), ([23], 32), ([45], 32), ([46], 64)],
)
def test_the_side_is_the_nearest_power(sides, side):
    assert suggest_image_size(sides) == side
    assert suggest_image_size([1, *sides, *sides, 10_000]) == side


def test_what_is_under_the_least_side_is_refused():
    with refused(SkipItem, "90x7", "data.min_image_size", 8):
        preprocess_image(picture(7, 90), PreprocessConfig(16))


# Arrays.


@given(st.sampled_from([(5, 9, 7), (5, 9, 7, 1), (5, 9, 7, 3), (5, 9, 7, 4)]), st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_arrays_of_bytes_are_their_own_levels(shape, seed):
    array = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    assert np.array_equal(array_to_levels(array), array[..., 0] if shape[-1] == 1 else array)
    if len(shape) == 4:
        assert np.array_equal(array_to_levels(array.transpose(0, 3, 1, 2)), array_to_levels(array))


@pytest.mark.parametrize(
    "convert",
    [
        lambda levels: levels.astype(np.float32) / 255,
        lambda levels: levels / 127.5 - 1,
        lambda levels: levels.astype(np.uint16) * 257,
        lambda levels: levels.astype(np.int64),
        lambda levels: levels.astype(">i4"),
    ],
)
def test_numbers_of_other_types_are_the_same_levels(convert):
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    assert np.array_equal(array_to_levels(convert(levels)), levels)


def test_truth_values_are_black_and_white():
    assert array_to_levels(np.array([[[False, True]]])).tolist() == [[[0, 255]]]


@pytest.mark.parametrize(
    ("array", "result"),
    [
        (np.zeros((4, 4)), "shape"),
        (np.zeros((0, 4, 4)), "shape"),
        (np.zeros((2, 9, 9, 7)), "axis 4 channels"),
        (np.full((1, 4, 4), np.nan), "finite"),
        (np.full((1, 4, 4), 255.0), "outside"),
        (np.full((1, 4, 4), -1), "outside 0 65,535"),
        (np.full((1, 4, 4), 70_000), "outside 0 65,535"),
        (np.full((1, 4, 4), "a"), "numbers"),
        (np.full((1, 4, 4), 1j), "numbers"),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(array, result):
    with refused(SkipItem, *result.split()):
        array_to_levels(array)
