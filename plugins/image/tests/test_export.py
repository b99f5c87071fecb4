"""Samples on disk: one PNG each, exact to the level, named by its label; grids that show what is there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gancore_image.domain import ImageDomain
from gancore_image.export import image_grid, to_bytes, write_samples
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from refusals import refused

from gancore import DataError, Samples, Spec


def pictures(n: int = 5, channels: int = 3, side: int = 16) -> torch.Tensor:
    levels = np.random.default_rng(0).integers(0, 256, (n, channels, side, side))
    return torch.from_numpy(levels / 127.5 - 1).float()


def samples(data: torch.Tensor, labels: list[int] | None = None) -> Samples:
    spec = Spec(
        {"image_size": data.shape[-1], "channels": data.shape[1], "classes": ["a", "Größe/2", "\u732b"]}
    )
    return Samples(data, spec, None if labels is None else torch.tensor(labels))


def test_every_level_is_written_as_it_is():
    levels = torch.arange(256)
    assert to_bytes((levels / 127.5 - 1).view(1, 1, 16, 16)).ravel().tolist() == levels.tolist()


@given(st.floats(-3, 3))
def test_values_go_to_the_nearest_level_and_no_further_than_the_ends(value):
    level = int(to_bytes(torch.full((1, 1, 1, 1), value)).item())
    exact = min(max((value + 1) * 127.5, 0), 255)
    assert abs(level - exact) <= 0.5 + 1e-4


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_png_for_each_holds_its_pixels(tmp_path, channels):
    data = pictures(3, channels)
    *files, overview = write_samples(samples(data), tmp_path)
    assert [file.name for file in files] == ["0001.png", "0002.png", "0003.png"]
    assert overview.name == "overview.png"
    for file, row in zip(files, to_bytes(data), strict=True):
        with Image.open(file) as image:
            assert image.mode == {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
            assert np.array_equal(np.asarray(image), row.transpose(1, 2, 0).squeeze())


def test_labels_are_part_of_the_name(tmp_path):
    files = write_samples(samples(pictures(3), [2, 1, 0]), tmp_path)
    assert [file.name for file in files] == [
        "0001-\u732b.png",
        "0002-Größe_2.png",
        "0003-a.png",
        "overview.png",
    ]


def test_the_same_samples_give_the_same_bytes(tmp_path):
    for folder in ("a", "b"):
        write_samples(samples(pictures(), [0] * 5), tmp_path / folder)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_what_is_not_finite_is_refused_with_its_number(tmp_path):
    data = pictures()
    data[3, 0, 0, 0] = float("nan")
    with refused(DataError, 1, 5, 4, "finite", fix="fp32"):
        write_samples(samples(data), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_grid_shows_every_picture_in_reading_order_enlarged_by_whole_pixels():
    data = pictures(5, 3, 16)
    sheet = np.asarray(image_grid(data))
    assert sheet.shape == (2 * 66 + 2, 3 * 66 + 2, 3)
    for place, row in enumerate(to_bytes(data)):
        top, left = 2 + place // 3 * 66, 2 + place % 3 * 66
        shown = sheet[top : top + 64, left : left + 64]
        assert np.array_equal(shown, row.transpose(1, 2, 0).repeat(4, 0).repeat(4, 1))


def test_large_pictures_are_shown_as_they_are():
    assert image_grid(pictures(1, 1, 128)).size == (132, 132)


def test_transparent_pictures_show_a_chequered_ground():
    data = pictures(1, 4, 64)
    data[:, 3] = -1
    assert set(np.asarray(image_grid(data))[2:66, 2:66].ravel().tolist()) == {153, 204}


def test_captions_take_room_and_show_ink():
    bare, titled = image_grid(pictures(2)), image_grid(pictures(2), ["cat", "a very long name of a class"])
    assert titled.height > bare.height
    strip = np.asarray(titled)[-14:-2].min(2)
    assert (strip[:, :66] < 128).any() and (strip[:, 66:132] < 128).any()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_the_domain_previews_any_channels(channels):
    picture = ImageDomain().preview(samples(pictures(4, channels), [0, 1, 2, 0]))
    assert picture.mode == "RGB" and min(picture.size) > 100


def test_what_belongs_side_by_side_is_named_and_shown_by_row_and_column(tmp_path):
    rows = Samples(pictures(6), samples(pictures()).spec, columns=2, headings=[f"{i}" for i in range(6)])
    *files, overview = write_samples(rows, tmp_path)
    assert [file.stem for file in files] == ["0001-01", "0001-02", "0002-01", "0002-02", "0003-01", "0003-02"]
    with Image.open(overview) as image:
        assert image.size == (2 * 66 + 2, 3 * 78 + 2)
        shown = np.asarray(image)
    for place, row in enumerate(to_bytes(rows.data)):
        top, left = 2 + place // 2 * 78, 2 + place % 2 * 66
        whole = row.transpose(1, 2, 0).repeat(4, 0).repeat(4, 1)
        assert np.array_equal(shown[top : top + 64, left : left + 64], whole)
        assert (shown[top + 64 : top + 76, left : left + 64] < 128).any()  # its title
    assert ImageDomain().preview(rows).size == (134, 236)


def test_an_overview_has_whole_rows_however_many_there_are(tmp_path):
    many = Samples(pictures(8).repeat(130, 1, 1, 1), samples(pictures()).spec, columns=8)
    *files, overview = write_samples(many, tmp_path)
    assert len(files) == 1040
    with Image.open(overview) as image:
        assert image.size == (8 * 66 + 2, 128 * 66 + 2)
