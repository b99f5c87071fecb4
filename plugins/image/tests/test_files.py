"""The reader: every mode to grey or RGB with or without alpha, upright; and what of it is told beforehand."""

from __future__ import annotations

import io

import numpy as np
import pytest
from gancore_image.files import decode, read_header
from gancore_image.preprocess import PreprocessConfig, preprocess_image
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from refusals import refused

from gancore.data.inventory import SkipItem


def levels(height: int = 12, width: int = 10, channels: int = 3, seed: int = 0) -> np.ndarray:
    array = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return array[:, :, 0] if channels == 1 else array


def saved(image: Image.Image, form: str = "PNG", **settings) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **settings)
    return buffer.getvalue()


def read(content: bytes) -> np.ndarray:
    return np.asarray(decode(content))


# Modes.


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_8_bit_pictures_come_back_exactly(channels):
    array = levels(channels=channels)
    assert np.array_equal(read(saved(Image.fromarray(array))), array)


@pytest.mark.parametrize(
    ("form", "settings"),
    [
        ("BMP", {}),
        ("WEBP", {"lossless": True}),
        ("PNG", {"interlace": 1}),
        ("PNG", {"compress_level": 0}),
        ("TIFF", {}),
        ("PPM", {}),
    ],
)
def test_lossless_formats_come_back_exactly(form, settings):
    array = levels()
    assert np.array_equal(read(saved(Image.fromarray(array), form, **settings)), array)


def test_lossy_formats_come_back_nearly():
    smooth = np.linspace(0, 255, 64)[None, :, None] * np.ones((48, 1, 3))
    for form in ("JPEG", "WEBP", "AVIF"):
        back = read(saved(Image.fromarray(smooth.astype(np.uint8)), form, quality=95))
        assert np.abs(back - smooth).mean() < 3, form


@pytest.mark.parametrize("value", [0, 1, 128, 129, 257, 1000, 32_767, 65_406, 65_535])
def test_16_bit_grey_is_divided_by_257_and_rounded(value):
    image = Image.fromarray(np.full((8, 8), value, dtype=np.uint16))
    assert (read(saved(image)) == round(value / 257)).all()


def test_of_16_bit_grey_one_level_may_be_transparent():
    array = np.full((8, 8), 1000, dtype=np.uint16)
    array[:4] = 40_000
    # tRNS of a 16-bit grey picture: two bytes, big-endian
    content = saved(Image.fromarray(array))
    import struct
    import zlib

    data = struct.pack(">H", 1000)
    chunk = struct.pack(">I", 2) + b"tRNS" + data + struct.pack(">I", zlib.crc32(b"tRNS" + data))
    at = content.index(b"IDAT") - 4
    back = decode(content[:at] + chunk + content[at:])
    assert back.mode == "LA"
    assert np.array_equal(np.asarray(back)[:, :, 1], np.repeat([255, 0], 32).reshape(8, 8))
    assert (np.asarray(back)[:4, :, 0] == round(40_000 / 257)).all()


def test_palettes_become_rgb_and_keep_their_transparency():
    image = Image.fromarray((levels(channels=1) % 2).astype(np.uint8), mode="P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    back = decode(saved(image))
    assert back.mode == "RGB" and {tuple(p) for p in np.asarray(back).reshape(-1, 3)} == {
        (10, 20, 30),
        (200, 100, 50),
    }
    see_through = decode(saved(image, transparency=1))
    assert see_through.mode == "RGBA"
    rows = np.asarray(see_through).reshape(-1, 4)
    assert {(int(row[0]), int(row[3])) for row in rows} == {(10, 255), (200, 0)}


def test_a_transparent_colour_is_alpha():
    array = np.zeros((8, 8, 3), dtype=np.uint8)
    array[:4] = 255
    back = decode(saved(Image.fromarray(array), transparency=(255, 255, 255)))
    assert back.mode == "RGBA" and np.asarray(back)[:, 0, 3].tolist() == [0] * 4 + [255] * 4


def test_black_and_white_is_grey_of_two_levels():
    bits = levels(channels=1) > 127
    back = decode(saved(Image.fromarray(bits)))
    assert back.mode == "L" and np.array_equal(np.asarray(back), bits * np.uint8(255))


def test_cmyk_becomes_rgb():
    ink = np.zeros((16, 16, 4), dtype=np.uint8)
    ink[:, :8, 0] = 255  # cyan; the right half is paper
    back = read(saved(Image.fromarray(ink, mode="CMYK"), "JPEG", quality=100)).astype(int)
    assert back.shape == (16, 16, 3)
    assert np.abs(back[:, :4] - [0, 255, 255]).max() < 12 and back[:, 12:].min() > 243


# The way up.

UPRIGHT = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
SEEN = {  # what is stored for a picture that shall be seen as UPRIGHT (Exif 2.32, Orientation)
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.T,
    6: UPRIGHT.T[::-1],
    7: UPRIGHT.T[::-1, ::-1],
    8: UPRIGHT.T[:, ::-1],
}


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_the_camera_was_held(orientation, form):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.repeat(SEEN[orientation][:, :, None], 3, axis=2))
    content = saved(stored, form, exif=exif, **({"lossless": True} if form == "WEBP" else {}))
    assert np.array_equal(read(content)[:, :, 0], UPRIGHT)


@pytest.mark.parametrize("exif", [b"Exif\x00\x00nonsense", b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\xff\xff"])
def test_damaged_notes_of_the_camera_spoil_no_picture(exif):
    image = Image.fromarray(levels(32, 32))
    assert decode(saved(image, "JPEG", exif=exif)).size == (32, 32)


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_orientations_that_do_not_exist_turn_nothing(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(read(saved(Image.fromarray(levels()), exif=exif)), levels())


# Animations.


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_of_an_animation_the_first_frame_is_read(form):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    lossless = {"lossless": True} if form == "WEBP" else {}
    content = saved(frames[0], form, save_all=True, append_images=frames[1:], **lossless)
    assert read_header(content).animated
    assert (read(content)[:, :, :3] == [255, 0, 0]).all()
    assert not read_header(saved(frames[0], form)).animated


# Whatever comes.


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
@example(b"\x89PNG\r\n\x1a\n" + bytes(100))
@example(b"GIF89a\x08\x00\x08\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,")
def test_bytes_are_a_picture_or_are_refused(content):
    try:
        assert min(decode(content).size) > 0
    except SkipItem as refused:
        assert str(refused).startswith("it ")


@settings(max_examples=150, deadline=None)
@given(
    form=st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "WEBP"]),
    at=st.floats(0, 1),
    bytes_=st.binary(min_size=1, max_size=8),
    end=st.floats(0.2, 1),
)
def test_damaged_pictures_are_read_or_refused_and_never_worse(form, at, bytes_, end):
    content = bytearray(saved(Image.fromarray(levels(24, 24)), form))
    place = int(at * len(content))
    content[place : place + len(bytes_)] = bytes_
    try:
        picture = decode(bytes(content[: int(end * len(content))]))
        assert preprocess_image(picture, PreprocessConfig(8, min_side=1)).shape == (3, 8, 8)
    except SkipItem as refused:
        assert str(refused).startswith("it ")


def test_the_number_of_pixels_is_looked_at_before_they_are_decoded():
    fine, over = Image.new("1", (8192, 8192)), Image.new("1", (8193, 8192))
    assert read_header(saved(fine)).width == 8192
    with refused(SkipItem, "8,193", "8,192", "67,108,864"):
        read_header(saved(over))


def test_levels_that_are_fractions_are_refused():
    image = Image.fromarray(np.linspace(0, 1, 100, dtype=np.float32).reshape(10, 10))
    with refused(SkipItem, "fractions", 8, 16):
        decode(saved(image, "TIFF"))
