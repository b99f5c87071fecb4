"""From a source to keyed batches: folders, archives, labels, splits, cache, the contract, the named sets."""

from __future__ import annotations

import json
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from gancore_image.config import ImageConfig
from gancore_image.dataset import assign_row_splits, open_images
from gancore_image.preprocess import ImageItem, ImageSet, PreprocessConfig, open_cache
from gancore_image.sources import LAYOUTS, SOURCES
from hypothesis import given, settings
from hypothesis import strategies as st
from needs import data_root
from PIL import Image
from refusals import refused

from gancore.data.sources import Source, resolve_source
from gancore.errors import DataError
from gancore.random import Key, RowRange

SPLITS = ("train", "valid", "test")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path / "cache"))


def picture(seed: int, height: int = 20, width: int = 24, channels: int = 3) -> Image.Image:
    array = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.fromarray(array[:, :, 0] if channels == 1 else array)


def save(path: Path, image: Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


@pytest.fixture
def folder(tmp_path):
    """Forty images in two class folders."""
    for number in range(40):
        save(tmp_path / "data" / ("cat" if number % 2 else "dog") / f"{number:02}.png", picture(number))
    return tmp_path / "data"


def opened(path: Path, **config):
    return open_images(Source(path.name, path), ImageConfig(**config))


def names(data) -> dict[str, str]:
    """The split of each name."""
    return {name: split for split in SPLITS for name in data.splits[split]}


# Batches.


def test_a_batch_is_pictures_with_labels(folder):
    data = opened(folder, image_size=16)
    batch = data.view("train").get_batch(torch.arange(8), Key.of(0))
    assert batch.data.shape == (8, 3, 16, 16) and batch.data.dtype == torch.float32
    assert batch.condition.dtype == torch.int64
    assert [data.spec["classes"][label] for label in batch.condition] == [
        name.split("/")[0] for name in data.splits["train"][:8]
    ]


def test_levels_are_spread_over_minus_one_to_one(tmp_path):
    array = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for number in range(3):
        save(tmp_path / "d" / f"{number}.png", Image.fromarray(np.roll(array, number)))
    data = opened(tmp_path / "d")
    first = data.view("train").get_batch(torch.tensor([0]), Key.of(0)).data[0, 0]
    shift = int(data.splits["train"][0][0])
    assert torch.equal(first, torch.from_numpy(np.roll(array, shift)).float() / 127.5 - 1)
    assert first.min() == -1 and first.max() == 1


def test_the_spec_tells_what_building_needs(folder):
    facts = dict(opened(folder).spec)
    assert (facts["image_size"], facts["channels"], facts["classes"]) == (16, 3, ["cat", "dog"])
    assert abs(sum(facts["class_shares"]) - 1) < 1e-5
    assert "classes" not in dict(opened(folder, labels="none").spec)


def test_a_cut_of_the_joined_batch_is_the_batch_of_the_cut(folder):
    view = opened(folder).view("train")
    indices, key = torch.arange(len(view)), Key.of(3, "real")
    joined = view.get_batch(indices, key.with_rows(RowRange.all(len(view))))
    part = view.get_batch(indices[5:17], key.with_rows(RowRange(5, 17, len(view))))
    assert torch.equal(part.data, joined.data[5:17]) and torch.equal(part.condition, joined.condition[5:17])
    assert torch.equal(view.get_conditions(indices), joined.condition)


# Channels.


def grey_rgb(seed: int) -> Image.Image:
    return picture(seed, channels=1).convert("RGB")


@pytest.mark.parametrize(
    ("last", "channels"),
    [(grey_rgb(9), 1), (picture(9, channels=1), 1), (picture(9), 3), (picture(9, channels=4), 3)],
)
def test_grey_in_fact_is_grey_whatever_the_mode(tmp_path, last, channels):
    for number in range(4):
        save(tmp_path / "d" / f"{number}.png", grey_rgb(number))
    save(tmp_path / "d" / "last.png", last)
    data = opened(tmp_path / "d", image_size=20)
    assert data.spec["channels"] == channels
    row = data.view("train").get_batch(torch.tensor([0]), Key.of(0)).data[0]
    number = int(data.splits["train"][0][0])
    truth = torch.from_numpy(np.asarray(grey_rgb(number))[:, 2:22, 0].copy()).float() / 127.5 - 1
    assert all(torch.equal(plane, truth) for plane in row)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_as_many_channels_as_are_asked_for(folder, channels):
    data = opened(folder, channels=channels)
    batch = data.view("train").get_batch(torch.arange(3), Key.of(0)).data
    assert batch.shape[1] == data.spec["channels"] == channels
    if channels in (2, 4):
        assert (batch[:, -1] == 1).all()


def test_the_contract_speaks_of_alpha_and_frames(tmp_path):
    for number in range(6):
        save(tmp_path / "d" / f"{number}.png", picture(number, channels=4))
    frames = [picture(number).convert("P") for number in (7, 8)]
    frames[0].save(tmp_path / "d" / "a.gif", save_all=True, append_images=frames[1:])
    (tmp_path / "d" / "notes.txt").write_text("hello")
    lines = "\n".join(opened(tmp_path / "d", background=128).summary)
    assert "alpha: 6 images have it, laid on level 128" in lines
    assert "animated: 1, of which the first frame is taken" in lines
    assert "not used: 1 file of other kinds by suffix (.txt 1)" in lines
    assert "alpha: 6 images have it, kept" in "\n".join(opened(tmp_path / "d", channels=4).summary)


# Labels, folders, archives.


def test_whole_numbers_are_classes_in_their_order(tmp_path):
    for number in range(24):
        save(tmp_path / "d" / str(number % 12) / f"{number}.png", picture(number))
    assert opened(tmp_path / "d").spec["classes"] == [str(n) for n in range(12)]


def test_a_table_labels_pictures_and_those_without_are_left_out_by_name(tmp_path):
    for number in range(9):
        save(tmp_path / "d" / f"{number}.png", picture(number))
    rows = [
        {"file_name": f"{number}.png", "label": "even" if number % 2 == 0 else "odd"} for number in range(8)
    ]
    (tmp_path / "d" / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert len(names(opened(tmp_path / "d"))) == 9  # nobody asked for labels
    data = opened(tmp_path / "d", labels="metadata")
    assert data.spec["classes"] == ["even", "odd"] and "  8.png: it has no label" in data.summary
    assert len(names(data)) == 8


def test_folders_named_for_splits_are_the_splits_and_labels_lie_below(tmp_path):
    number = 0
    for split, count in (("train", 20), ("val", 4), ("test", 6)):
        for _ in range(count):
            save(tmp_path / "d" / split / ("a" if number % 2 else "b") / f"{number}.png", picture(number))
            number += 1
    data = opened(tmp_path / "d")
    assert {split: len(data.splits[split]) for split in SPLITS} == {"train": 20, "valid": 4, "test": 6}
    assert data.spec["classes"] == ["a", "b"]
    assert all(name.startswith({"valid": "val"}.get(split, split)) for name, split in names(data).items())


@pytest.mark.parametrize("kind", ["zip", "zip with a top folder", "zip with backslashes", "tar.gz"])
def test_an_archive_is_as_its_folder(folder, tmp_path, kind):
    path = tmp_path / ("pack.tar.gz" if kind == "tar.gz" else "pack.zip")
    top = "data/" if kind != "zip" else ""
    if kind == "tar.gz":
        with tarfile.open(path, "w:gz") as bundle:
            bundle.add(folder, "data")
    else:
        with zipfile.ZipFile(path, "w") as bundle:
            for file in folder.rglob("*.png"):
                name = top + str(file.relative_to(folder))
                info = zipfile.ZipInfo("x")
                info.filename = name.replace("/", "\\") if "back" in kind else name
                bundle.writestr(info, file.read_bytes())
    packed, loose = opened(path), opened(folder)
    assert names(packed) == names(loose) and packed.spec["classes"] == loose.spec["classes"]
    for split in SPLITS:
        ours, theirs = (data.view(split) for data in (packed, loose))
        rows = torch.arange(len(theirs))
        assert torch.equal(ours.get_batch(rows, Key.of(0)).data, theirs.get_batch(rows, Key.of(0)).data)


def test_hidden_files_and_circles_of_links_are_passed_by(folder):
    save(folder / ".thumbnails" / "x.png", picture(99))
    save(folder / "cat" / "._01.png", picture(98))
    (folder / "cat" / "round").symlink_to(folder)
    assert len(names(opened(folder))) == 40


def test_names_that_are_no_text_are_read_and_shown(tmp_path):
    for number in range(5):
        save(tmp_path / "d" / f"{number}.png", picture(number))
    Path(os.fsdecode(os.fsencode(tmp_path / "d") + b"/caf\xe9\n.png")).write_bytes(b"no image")
    lines = opened(tmp_path / "d").summary
    assert any("caf" in line and "not a PNG" in line for line in lines)
    assert all(line.isprintable() and line.encode() for line in lines)


# Splits.


def test_equal_pictures_are_stored_once_and_in_one_split(tmp_path):
    for number in range(40):
        save(tmp_path / "d" / f"{number:02}.png", picture(number // 2))
    data = opened(tmp_path / "d")
    of = names(data)
    assert all(of[f"{2 * n:02}.png"] == of[f"{2 * n + 1:02}.png"] for n in range(20))
    assert "data: d, 40 images (20 distinct)" in data.summary


identities = st.lists(st.integers(0, 30).map(str), min_size=40, max_size=60)


@settings(max_examples=80, deadline=None)
@given(identities, st.data())
def test_no_identity_is_in_two_splits_that_differ_in_use(rows, data):
    official = data.draw(
        st.lists(st.sampled_from([None, "train", "valid", "test"]), min_size=len(rows), max_size=len(rows))
    )
    if len({i for i, s in zip(rows, official, strict=True) if s in (None, "train")}) < 5:
        return
    held = {i for i, s in zip(rows, official, strict=True) if s in ("valid", "test")}
    if len(set(rows) - held) < 5:
        return
    splits = assign_row_splits(rows, official, 0.1, 0.1)
    train = {i for i, s in zip(rows, splits, strict=True) if s == "train"}
    assert train and not train & {i for i, s in zip(rows, splits, strict=True) if s in ("valid", "test")}
    for identity, own, split in zip(rows, official, splits, strict=True):
        assert split == own or own in (None, "train")
        assert (split is None) == (own in (None, "train") and identity in held)
    if "test" in official:
        assert splits.count("test") == official.count("test")


def test_valid_is_taken_from_train_where_the_set_fixes_test():
    rows = [str(n) for n in range(100)]
    splits = assign_row_splits(rows, ["train"] * 80 + ["test"] * 20, 0.2, 0.1)
    assert splits[80:] == ["test"] * 20 and 8 <= splits.count("valid") <= 25
    assert splits.count("train") + splits.count("valid") == 80


def test_half_a_set_is_divided_like_any_other():
    splits = assign_row_splits([str(n) for n in range(50)], ["test"] * 50, 0.1, 0.1)
    assert set(splits) == set(SPLITS)


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_pictures_are_refused(tmp_path, count):
    for number in range(count):
        save(tmp_path / "d" / f"{number}.png", picture(number))
    with refused(DataError, count, fix=3):
        opened(tmp_path / "d")


# The cache.


def test_what_was_prepared_is_not_read_again_until_it_changes(folder, monkeypatch):
    first = opened(folder)
    messages: list[str] = []
    again = open_images(Source("data", folder), ImageConfig(), messages.append)
    assert messages == [] and again.fingerprint == first.fingerprint
    save(folder / "cat" / "01.png", picture(1234))
    changed = open_images(Source("data", folder), ImageConfig(), messages.append)
    assert messages == ["Preparing 40 images of data, once"] and changed.fingerprint != first.fingerprint


def test_settings_of_their_own_have_caches_of_their_own(folder):
    prints = {
        opened(folder, **config).fingerprint
        for config in ({}, {"image_size": 8}, {"channels": 1}, {"fit": "pad"})
    }
    assert len(prints) == 4


def test_pictures_are_decoded_one_at_a_time():
    """However many there are, at most one is held."""
    alive: list[int] = [0, 0]

    class Counted:
        def __init__(self) -> None:
            alive[0] += 1
            alive[1] = max(alive)

        def __del__(self) -> None:
            alive[0] -= 1

    def read(seed: int):
        def one() -> Image.Image:
            image = picture(seed)
            image.held = Counted()
            return image

        return one

    pictures = (ImageItem(str(n), str(n), read(n)) for n in range(50))
    open_cache("content", lambda: ImageSet(pictures, 8), PreprocessConfig(), lambda line: None)
    assert alive[1] <= 2


# The named sets.


def test_the_built_in_digits_are_the_uci_test_set():
    from sklearn.datasets import load_digits

    data = open_images(resolve_source(None, SOURCES, None, print), ImageConfig())
    assert data.spec["source"] == "digits" and data.spec["classes"] == [str(n) for n in range(10)]
    assert (data.spec["image_size"], data.spec["channels"]) == (16, 1)
    whole = open_images(resolve_source(None, SOURCES, None, print), ImageConfig(image_size=8))
    images, labels = load_digits(return_X_y=True)
    for split in SPLITS:
        view = whole.view(split)
        numbers = [int(name.split()[1]) for name in whole.splits[split]]
        batch = view.get_batch(torch.arange(len(view)), Key.of(0))
        truth = torch.from_numpy(images[numbers].reshape(-1, 1, 8, 8))
        assert (((batch.data + 1) * 8).round() == truth).all()
        assert batch.condition.tolist() == labels[numbers].tolist()


def real(name: str):
    root = data_root(name)
    return open_images(resolve_source(name, SOURCES, root, lambda line: None), ImageConfig())


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "n", "test", "shape", "mean"),
    [
        ("mnist", 70_000, 10_000, (1, 32, 32), [0.1307]),
        ("fashion_mnist", 70_000, 10_000, (1, 32, 32), [0.2860]),
        ("cifar10", 18_000, 3_000, (3, 32, 32), [0.4914, 0.4822, 0.4465]),
        ("clothing64", 3_440, 372, (3, 64, 64), None),
    ],
)
def test_named_sets_are_what_is_known_of_them(name, n, test, shape, mean):
    """Counts, official test sets, order of classes, the known mean levels of train; nothing is skipped."""
    data = real(name)
    assert sum(len(data.splits[split]) for split in SPLITS) == n and len(data.view("test")) == test
    assert data.summary[-1] == "skipped: none"
    assert data.spec["classes"] == list(LAYOUTS.get(name, LAYOUTS["digits"]).classes) or name in (
        "mnist",
        "clothing64",
    )
    rows = data.view("train").get_batch(torch.arange(0, len(data.view("train")), 7), Key.of(0)).data
    assert rows.shape[1:] == shape
    if mean:
        padding = 28**2 / 32**2 if shape[0] == 1 else 1
        assert ((rows + 1) / 2).mean((0, 2, 3)).tolist() == pytest.approx(
            [m * padding for m in mean], abs=0.01
        )


def test_files_of_named_sets_have_homes_and_checksums():
    for name in ("mnist", "fashion_mnist", "cifar10"):
        entry = SOURCES[name]
        assert entry.homepage and entry.files
        assert all(
            url.startswith("http") and len(sha) == 64 and int(sha, 16) for url, sha in entry.files.items()
        )


def test_a_set_that_cannot_be_downloaded_says_where_it_is_to_be_had(monkeypatch):
    monkeypatch.delenv("GANCORE_DATA", raising=False)
    with refused(DataError, "clothing64", fix="https://github.com/alexeygrigorev"):
        resolve_source("clothing64", SOURCES, None, lambda line: None)


def test_pictures_replaced_by_others_of_equal_size_and_date_are_read_anew(tmp_path):
    marks = []
    for seed in (0, 100):
        for number in range(12):
            path = tmp_path / "data" / f"{number}.bmp"
            path.unlink(missing_ok=True)
            save(path, picture(seed + number))
            os.utime(path, (315_532_800, 315_532_800))
        marks.append(opened(tmp_path / "data").fingerprint)
    assert marks[0] != marks[1]


@pytest.mark.parametrize("highest, result", [(20, True), (200, False)])
def test_the_range_of_levels_is_told_where_it_is_narrow(tmp_path, highest, result):
    levels = np.random.default_rng(0).integers(0, highest, (30, 8, 8), dtype=np.uint8)
    for number, pixels in enumerate(levels):
        save(tmp_path / "d" / f"{number}.png", Image.fromarray(pixels))
    lines = [line for line in opened(tmp_path / "d").summary if line.startswith("levels: ")]
    assert [f"0 to {highest - 1}" in line for line in lines] == [True] * result


def level_lines(path, **config):
    return [line for line in opened(path, **config).summary if line.startswith("levels: ")]


def test_light_pictures_behind_dark_ones_are_seen(tmp_path, monkeypatch):
    monkeypatch.setattr("gancore_image.dataset.MAX_LEVELS_CHECKED", 4 * 64)
    for number in range(20):
        low = 0 if number < 10 else 200
        pixels = np.random.default_rng(number).integers(low, low + 20, (8, 8), dtype=np.uint8)
        save(tmp_path / "d" / f"{number:02}.png", Image.fromarray(pixels))
    assert level_lines(tmp_path / "d") == []


def test_alpha_hides_no_dark_pictures(tmp_path, monkeypatch):
    for number in range(20):
        pixels = np.random.default_rng(number).integers(0, 20, (8, 8, 4), dtype=np.uint8)
        pixels[..., 3] = 255
        save(tmp_path / "d" / f"{number:02}.png", Image.fromarray(pixels))
    (line,) = level_lines(tmp_path / "d", channels=4)
    assert "0 to 19" in line
    monkeypatch.setattr("gancore_image.dataset.MAX_LEVELS_CHECKED", 4 * 192)
    (line,) = level_lines(tmp_path / "d", channels=4)
    assert "in 4 images" in line
