"""IDX files, npz files and CIFAR's batches: read as their formats say, or refused by name."""

from __future__ import annotations

import gzip
import pickle
import struct
import zipfile

import numpy as np
import pytest
from gancore_image.arrays import find_array_files, read_arrays, read_idx
from gancore_image.config import ImageConfig
from gancore_image.dataset import open_images
from gancore_image.npz import numeric_labels
from refusals import refused

from gancore.data.inventory import SkipItem
from gancore.data.sources import Source
from gancore.data.splits import split_from_name
from gancore.errors import DataError


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path / "cache"))


def levels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def idx(array: np.ndarray, kind: int = 8) -> bytes:
    """As the format's description has it, independently of the reader."""
    return (
        bytes([0, 0, kind, array.ndim])
        + b"".join(n.to_bytes(4, "big") for n in array.shape)
        + array.tobytes()
    )


def stacks_of(folder, classes=()):
    return read_arrays(find_array_files(folder), classes)


# IDX.


@pytest.mark.parametrize(
    ("kind", "dtype"), [(8, ">u1"), (9, ">i1"), (11, ">i2"), (12, ">i4"), (13, ">f4"), (14, ">f8")]
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_every_type_of_idx_is_read(tmp_path, kind, dtype, suffix):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    path = tmp_path / f"a-idx3-ubyte{suffix}"
    path.write_bytes(gzip.compress(idx(array, kind)) if suffix else idx(array, kind))
    assert np.array_equal(read_idx(path), array)


@pytest.mark.parametrize("names", ["{}-{}-idx{}-ubyte", "{}-{}-idx{}-ubyte.gz", "{}-{}.idx{}-ubyte"])
def test_the_four_files_of_mnist_are_two_labelled_splits(tmp_path, names):
    truth = {}
    for split, n in (("train", 30), ("t10k", 9)):
        truth[split] = levels(n, 28, 28), np.arange(n, dtype=np.uint8) % 10
        for kind, array in zip(("images", "labels"), truth[split], strict=True):
            content = idx(array)
            name = names.format(split, kind, array.ndim)
            (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    (train, test), skipped = stacks_of(tmp_path)
    assert (train.split, test.split, skipped) == ("train", "test", [])
    for stack, key in ((train, "train"), (test, "t10k")):
        assert np.array_equal(stack.pixels, truth[key][0]) and np.array_equal(stack.labels, truth[key][1])


def test_a_file_and_its_gzipped_twin_are_one(tmp_path):
    content = idx(levels(5, 9, 9))
    (tmp_path / "a-images-idx3-ubyte").write_bytes(content)
    (tmp_path / "a-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))
    (stack,), _ = stacks_of(tmp_path)
    assert len(stack.pixels) == 5


GOOD = idx(levels(3, 9, 9))


@pytest.mark.parametrize(
    ("content", "result"),
    [
        (b"", "truncated 0 4"),
        (GOOD[:10], "truncated 6 12"),
        (GOOD[:-1], "truncated 242 243"),
        (GOOD + b"x", "243"),
        (b"\x01" + GOOD[1:], "IDX"),
        (GOOD[:2] + b"\x07" + GOOD[3:], "IDX"),
        (GOOD[:3] + b"\x09" + GOOD[4:], "IDX"),
        (struct.pack(">HBBIII", 0, 8, 3, 2**31, 2**10, 2**10), "declares"),
        (struct.pack(">HBBIII", 0, 8, 3, 2**13, 2**10, 2**10), "truncated 0 8,589,934,592"),
        (idx(levels(3, 9, 9, 7)), "axis 4 channels"),
        (idx(levels(0, 9, 9)), "shape"),
    ],
)
def test_idx_files_that_lie_are_refused(tmp_path, content, result):
    (tmp_path / "a-images-idx3-ubyte").write_bytes(content)
    with refused(DataError, *result.split()):
        stacks_of(tmp_path)


def test_a_gzip_bomb_is_read_no_further_than_its_head_promises(tmp_path):
    path = tmp_path / "a-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(GOOD + bytes(50_000_000)))
    with refused(SkipItem, 243):
        read_idx(path)


def test_labels_that_do_not_fit_are_refused(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(GOOD)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(levels(4)))
    with refused(DataError, 3, "train-labels-idx1-ubyte", "(4,)"):
        stacks_of(tmp_path)


def test_labels_alone_are_no_pictures(tmp_path):
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(levels(4)))
    with refused(DataError, "labels", fix="height"):
        stacks_of(tmp_path)


# npz.


@pytest.mark.parametrize(
    "keys",
    [
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_X", "train_y", "test", "test_targets"),
    ],
)
def test_splits_and_labels_are_found_by_their_keys(tmp_path, keys):
    arrays = levels(20, 9, 9, 3), np.arange(20) % 3, levels(6, 9, 9, 3, seed=1), np.arange(6) % 3
    np.savez(tmp_path / "a.npz", **dict(zip(keys, arrays, strict=True)), class_names=["a", "b", "c"])
    (train, test), _ = stacks_of(tmp_path)
    assert (train.split, test.split) == ("train", "test")
    assert np.array_equal(train.pixels, arrays[0]) and np.array_equal(test.labels, arrays[3])
    assert list(train.classes) == ["a", "b", "c"]


def test_one_array_without_a_name_is_enough(tmp_path):
    np.savez_compressed(tmp_path / "set.npz", levels(30, 12, 14))
    data = open_images(Source("set", tmp_path / "set.npz"), ImageConfig())
    assert sum(map(len, data.splits.values())) == 30 and "classes" not in data.spec
    assert (data.spec["image_size"], data.spec["channels"]) == (16, 1)


def test_the_file_may_name_the_split(tmp_path):
    for split, n in (("train", 20), ("test", 5)):
        np.savez(tmp_path / f"set_{split}_small.npz", images=levels(n, 9, 9), labels=np.arange(n) % 2)
    stacks, _ = stacks_of(tmp_path)
    assert [(s.split, len(s.pixels)) for s in stacks] == [("train", 20), ("test", 5)]


@pytest.mark.parametrize(
    "labels", [np.array(["b", "a"] * 10), np.array([b"b", b"a"] * 10), np.array([[1], [0]] * 10)]
)
def test_labels_may_be_text_or_a_column(tmp_path, labels):
    np.savez(tmp_path / "a.npz", images=levels(20, 9, 9), labels=labels)
    classes = open_images(Source("a", tmp_path), ImageConfig()).spec["classes"]
    assert classes == (["0", "1"] if labels.dtype.kind == "i" else ["a", "b"])


class Trap:
    def __reduce__(self):
        return (open, ("/tmp/gancore-was-here", "w"))


@pytest.mark.parametrize(
    "labels",
    [
        np.arange(20) % 3,
        (np.arange(20) % 3).astype(np.float32),
        np.eye(3)[np.arange(20) % 3],
        np.eye(3, dtype=bool)[np.arange(20) % 3],
        (np.arange(20) % 3)[:, None].astype(np.float64),
    ],
)
def test_labels_are_whole_numbers_also_as_floats_and_one_hot_rows(tmp_path, labels):
    np.savez(tmp_path / "a.npz", images=levels(20, 9, 9), labels=labels)
    (stack,), skipped = stacks_of(tmp_path)
    assert stack.labels.tolist() == [number % 3 for number in range(20)] and skipped == []


@pytest.mark.parametrize("labels", [np.arange(20) / 3, np.ones((20, 3)), np.full(20, np.nan)])
def test_what_is_no_label_is_named_and_the_pictures_are_used(tmp_path, labels):
    np.savez(tmp_path / "a.npz", images=levels(20, 9, 9), labels=labels)
    data = open_images(Source("set", tmp_path), ImageConfig())
    assert "labels: none" in data.summary
    assert any("labels" in line and "one-hot" in line for line in data.summary)


def test_a_cache_that_was_made_without_numeric_labels_is_not_used_for_them(tmp_path):
    plain, soft = tmp_path / "plain.npz", tmp_path / "soft.npz"
    np.savez(plain, images=levels(4, 9, 9), labels=np.arange(4))
    np.savez(soft, images=levels(4, 9, 9), labels=np.eye(4), y_shift=np.zeros(4))
    assert numeric_labels(plain) == [] and numeric_labels(soft) == ["labels.npy", "y_shift.npy"]


@pytest.mark.parametrize(
    "other",
    [
        {"n_classes": np.int64(3)},
        {"n_classes": np.array([3])},
        {"class_weights": np.ones(3)},
        {"label_embedding": np.eye(3)},
        {"label_map": np.array(["a", "b", "c"])},
        {"y": np.ones(3)},
    ],
)
def test_other_arrays_that_speak_of_labels_cost_no_picture(tmp_path, other):
    np.savez(tmp_path / "a.npz", images=levels(20, 9, 9), **other, labels=np.arange(20) % 3)
    (stack,), notes = stacks_of(tmp_path)
    assert stack.labels.tolist() == [number % 3 for number in range(20)]
    (value,) = other.values()
    assert [name for name, _ in notes] == ([] if value.ndim == 0 else list(other))


@pytest.mark.parametrize(
    ("arrays", "result"),
    [
        ({"images": np.array([Trap(), None], dtype=object)}, "unpickling"),
        ({"labels": np.arange(4)}, "labels (4,)"),
        ({}, "nothing"),
        ({"images": levels(4, 9, 9), "labels": np.arange(5)}, "4 5 labels"),
        ({"x_train": levels(4, 9, 9), "y_train": np.array([["a"]] * 5)}, "4 y_train 5 labels"),
        ({"images": levels(4, 9, 9) * 1000.0}, "outside"),
    ],
)
def test_npz_files_that_are_no_pictures_are_refused(tmp_path, arrays, result):
    np.savez(tmp_path / "a.npz", **arrays)
    with refused(DataError, *result.split()):
        stacks_of(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"no archive", pickle.dumps(np.zeros((2, 9, 9))), b"\x93NUMPY\x01\x00v\x00" + bytes(100)],
    ids=["text", "pickle", "npy"],
)
def test_other_files_called_npz_are_refused(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with refused(DataError, "a.npz", "unpickling"):
        stacks_of(tmp_path)


@pytest.mark.parametrize(
    "header", [b"{'descr': [[[", b"{'descr': ',,', 'fortran_order': False, 'shape': (1,)}"]
)
@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_headers_that_are_no_python_are_refused(tmp_path, name, header):
    content = b"\x93NUMPY\x01\x00v\x00" + header.ljust(117) + b"\n"
    if name == "a.npz":
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("images.npy", content)
    else:
        (tmp_path / name).write_bytes(content)
    with refused(DataError, name, "unpickling"):
        open_images(Source("a", tmp_path / name), ImageConfig())


@pytest.mark.parametrize("offset, patch", [(8, 1), (10, 99)], ids=["encrypted", "unknown compression"])
def test_members_that_cannot_be_unpacked_are_refused(tmp_path, offset, patch):
    np.savez(tmp_path / "a.npz", images=levels(4, 9, 9), labels=np.arange(4))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    for name in (b"images.npy", b"labels.npy"):  # in the central directory, and before the member's content
        central, local = content.rindex(name) - 46 + offset, content.index(name) - 30 + offset - 2
        content[central : central + 2] = content[local : local + 2] = struct.pack("<H", patch)
    (tmp_path / "a.npz").write_bytes(content)
    with refused(DataError, "a.npz", "unpickling"):
        open_images(Source("a", tmp_path / "a.npz"), ImageConfig())


def test_what_an_npz_promises_is_summed_before_it_is_unpacked(tmp_path):
    head = {"descr": "|u1", "fortran_order": False, "shape": (2**20, 2**8, 2**8)}
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as bundle, bundle.open("images.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, head)
    with refused(DataError, "a.npz", "68,719,476,736"):
        stacks_of(tmp_path)


def test_of_several_files_the_bad_one_is_skipped_by_name(tmp_path):
    np.savez(tmp_path / "good.npz", levels(30, 12, 12))
    (tmp_path / "bad.npz").write_bytes(b"no archive")
    data = open_images(Source("a", tmp_path), ImageConfig())
    assert sum(map(len, data.splits.values())) == 30
    assert any(line.startswith("  bad.npz: it cannot be read as npz") for line in data.summary)


# CIFAR.


def test_binary_batches_are_a_label_and_three_planes(tmp_path):
    pixels, labels = levels(7, 32, 32, 3), np.arange(7, dtype=np.uint8)
    rows = np.concatenate([labels[:, None], pixels.transpose(0, 3, 1, 2).reshape(7, -1)], axis=1)
    (tmp_path / "data_batch_1.bin").write_bytes(rows[:5].tobytes())
    (tmp_path / "test_batch.bin").write_bytes(rows[5:].tobytes())
    (tmp_path / "batches.meta.txt").write_text("airplane\n")
    (train, test), _ = stacks_of(tmp_path, [f"kind {n}" for n in range(10)])
    assert (train.split, test.split) == ("train", "test")
    assert np.array_equal(train.pixels, pixels[:5]) and np.array_equal(test.labels, labels[5:])
    assert train.classes[3] == "kind 3"


@pytest.mark.parametrize("size", [0, 3072, 3074])
def test_batches_of_broken_records_are_refused(tmp_path, size):
    (tmp_path / "data_batch_1.bin").write_bytes(bytes(size))
    with refused(DataError, "data_batch_1.bin", "3,073"):
        stacks_of(tmp_path)


# Names.


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train-images-idx3-ubyte", "train"),
        ("t10k-images", "test"),
        ("x_test", "test"),
        ("val", "valid"),
        ("validation_images", "valid"),
        ("images", None),
        ("training wheels", None),
        ("contest", None),
        ("strain", None),
    ],
)
def test_splits_are_named_by_whole_words(name, split):
    assert split_from_name(name) == split


def test_an_npy_file_is_pictures_where_it_is_named_itself(tmp_path):
    np.save(tmp_path / "mine.npy", np.zeros((3, 8, 8), np.uint8))
    assert find_array_files(tmp_path / "mine.npy") == [tmp_path / "mine.npy"]
    assert find_array_files(tmp_path) == []
    with refused(DataError, tmp_path, "mine.npy", fix=tmp_path / "mine.npy"):
        open_images(Source("folder", tmp_path), ImageConfig())
    (stack,), _ = read_arrays([tmp_path / "mine.npy"], ())
    assert stack.pixels.shape == (3, 8, 8)


@pytest.mark.parametrize("content", [np.zeros((3, 8)), np.array([[[None]]], dtype=object)], ids=str)
def test_other_npy_files_are_refused(tmp_path, content):
    np.save(tmp_path / "mine.npy", content, allow_pickle=True)
    with refused(DataError, "mine.npy"):
        read_arrays([tmp_path / "mine.npy"], ())


def test_a_file_of_another_kind_is_named(tmp_path):
    (tmp_path / "mine.xyz").write_bytes(b"?")
    with refused(DataError, str(tmp_path / "mine.xyz"), fix=".npy"):
        open_images(Source("mine.xyz", tmp_path / "mine.xyz"), ImageConfig())
