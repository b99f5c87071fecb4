"""Packed items: what was appended is what comes back, wherever it lives."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from needs import gpu
from refusals import refused

from gancore.data.packed import PackedArray
from gancore.errors import DataError

ITEMS = [np.arange(1, 8), np.arange(100, 103), np.arange(0), np.arange(200, 220)]


@pytest.fixture
def packed(tmp_path):
    with PackedArray.create(tmp_path / "set") as writer:
        assert [writer.append(item.astype(np.int16)) for item in ITEMS] == [0, 1, 2, 3]
    return PackedArray.open(tmp_path / "set")


def window(item, start, length):
    """The slow and obvious way."""
    padded = np.concatenate([item, np.zeros(length, dtype=item.dtype)])
    return padded[min(start, len(item)) :][:length]


def test_items_come_back(packed):
    assert len(packed) == 4 and packed.lengths.tolist() == [7, 3, 0, 20]
    assert packed.values.dtype == torch.int16
    whole = packed.windows(torch.tensor([3]), torch.tensor([0]), 20, "cpu")
    assert whole[0].tolist() == list(range(200, 220))


def test_behind_the_end_are_zeros_not_the_next_item(packed):
    rows = packed.windows(torch.tensor([1, 0]), torch.tensor([1, 5]), 5, "cpu")
    assert rows.tolist() == [[101, 102, 0, 0, 0], [6, 7, 0, 0, 0]]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), length=st.integers(1, 64))
def test_windows_equal_the_obvious_way(tmp_path_factory, data, length):
    items = data.draw(st.lists(st.lists(st.integers(-32768, 32767), max_size=40), min_size=1, max_size=6))
    if not any(items):
        items.append([1])
    folder = tmp_path_factory.mktemp("packed")
    with PackedArray.create(folder) as writer:
        for item in items:
            writer.append(np.array(item, dtype=np.int16))
    picks = data.draw(st.lists(st.integers(0, len(items) - 1), min_size=1, max_size=8))
    starts = [data.draw(st.integers(0, len(items[pick]))) for pick in picks]
    rows = PackedArray.open(folder).windows(torch.tensor(picks), torch.tensor(starts), length, "cpu")
    expected = [
        window(np.array(items[pick], dtype=np.int16), start, length)
        for pick, start in zip(picks, starts, strict=True)
    ]
    assert rows.tolist() == [row.tolist() for row in expected]


def test_an_item_may_come_in_parts_and_a_failed_one_leaves_no_trace(tmp_path):
    def broken():
        yield np.full(1000, 7, dtype=np.int16)
        raise ValueError("half way")

    with PackedArray.create(tmp_path) as writer:
        assert writer.append(np.full(2, part, dtype=np.int16) for part in (1, 2)) == 0
        with pytest.raises(ValueError):
            writer.append(broken())
        assert writer.append(np.array([3], dtype=np.int16)) == 1
    packed = PackedArray.open(tmp_path)
    assert packed.values.tolist() == [1, 1, 2, 2, 3] and packed.lengths.tolist() == [4, 1]


def test_a_killed_writer_leaves_no_valid_set(tmp_path):
    writer = PackedArray.create(tmp_path)
    writer.append(np.arange(5, dtype=np.int16))
    with pytest.raises(DataError):
        PackedArray.open(tmp_path)
    with pytest.raises(ZeroDivisionError), PackedArray.create(tmp_path) as writer:
        writer.append(np.arange(5, dtype=np.int16))
        raise ZeroDivisionError
    with pytest.raises(DataError):
        PackedArray.open(tmp_path)


@pytest.mark.parametrize("name", ["values.bin", "lengths.npy", "manifest.json"])
def test_a_set_cut_short_is_refused(packed, tmp_path, name):
    path = tmp_path / "set" / name
    path.write_bytes(path.read_bytes()[:-3])
    with refused(DataError, tmp_path / "set", fix="delete"):
        PackedArray.open(tmp_path / "set")


def test_another_format_is_refused(packed, tmp_path):
    path = tmp_path / "set" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    with pytest.raises(DataError):
        PackedArray.open(tmp_path / "set")


def test_an_empty_set_is_a_set(tmp_path):
    PackedArray.create(tmp_path).close()
    assert len(PackedArray.open(tmp_path)) == 0


def test_on_the_cpu_the_mapping_stays(packed):
    assert packed.to("cpu").values.data_ptr() == packed.values.data_ptr()


@gpu
def test_resident_windows_equal_mapped_ones(packed):
    items, starts = torch.tensor([3, 1, 0, 3]), torch.tensor([15, 0, 2, 0])
    mapped = packed.windows(items, starts, 9, "cpu")
    assert torch.equal(packed.to("cuda").windows(items, starts, 9, "cuda").cpu(), mapped)
