"""Texts in shards are those of a file of lines: members of tar files, rows of tables, local or at a URL."""

from __future__ import annotations

import json

import fsspec
import pyarrow
import pytest
from gancore_text.config import TextConfig
from gancore_text.dataset import open_text
from gancore_text.sources import SOURCES
from hub_data import open_in_process, repository_files
from hub_server import local_hub
from pyarrow import ipc, parquet
from refusals import refused
from tars import write_tar

from gancore.data.sources import resolve_source
from gancore.errors import DataError

TEXTS = [f"a sentence of number {number}" for number in range(60)]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path / "cache"))


def table():
    info = {"features": {"kind": {"names": ["even", "odd"], "_type": "ClassLabel"}}}
    columns = {"text": TEXTS, "kind": [number % 2 for number in range(len(TEXTS))]}
    return pyarrow.table(columns).replace_schema_metadata({"huggingface": json.dumps({"info": info})})


def lay_out(form: str, root) -> None:
    root.mkdir()
    kinds = ["even", "odd"] * 30
    if form == "jsonl":
        lines = (json.dumps({"text": text, "kind": kind}) for text, kind in zip(TEXTS, kinds, strict=True))
        (root / "a.jsonl").write_text("\n".join(lines))
    elif form == "tar":
        for shard in range(2):
            part = range(shard * 30, shard * 30 + 30)
            members = {f"{n:02}.txt": TEXTS[n].encode() for n in part}
            members |= {f"{n:02}.json": json.dumps({"kind": kinds[n]}).encode() for n in part}
            write_tar(root / f"train-{shard}.tar", members | {f"{n:02}.png": b"picture" for n in part})
    elif form == "parquet":
        parquet.write_table(table(), root / "train-00000-of-00001.parquet")
    else:
        with ipc.new_stream(root / "data-00000-of-00001.arrow", table().schema) as sink:
            sink.write_table(table())


def opened(source, **config):
    found = resolve_source(str(source), SOURCES, None, lambda line: None, reads_shards=True)
    return open_text(found, TextConfig(min_count=1, **config))


def rows(data):
    """The split, label and bytes of each text."""
    import torch

    from gancore.random import Key

    found = []
    for split in ("train", "valid", "test"):
        view = data.view(split)
        batch = view.get_batch(torch.arange(len(view)), Key.of(0))
        labels = [data.spec["classes"][label] for label in batch.condition.tolist()]
        found += [(split, label, bytes(row.tolist())) for label, row in zip(labels, batch.data, strict=True)]
    return found


@pytest.mark.parametrize("form", ["tar", "parquet", "arrow"])
def test_shards_give_the_texts_labels_and_splits_of_lines(tmp_path, form):
    lay_out("jsonl", tmp_path / "lines")
    lay_out(form, tmp_path / "shards")
    expected = rows(opened(tmp_path / "lines", label_column="kind"))
    assert rows(opened(tmp_path / "shards", label_column="kind")) == expected
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path / "shards"), "/texts", recursive=True)
    try:
        assert rows(opened("memory://texts/*", label_column="kind")) == expected
    finally:
        memory.rm("/texts", recursive=True)


@pytest.mark.slow
def test_a_data_set_of_the_hub_is_that_of_its_shards(tmp_path):
    lay_out("parquet", tmp_path / "local")
    local = opened(tmp_path / "local", label_column="kind")
    with local_hub() as hub:
        hub.add("datasets/ada/lines", repository_files(tmp_path / "local"))
        settings = {"label_column": "kind", "min_count": 1}
        address = {"HF_ENDPOINT": hub.address}
        *_, sizes, facts = open_in_process("text", "hub:ada/lines", tmp_path, settings, **address)
    assert sizes.startswith(str([len(local.view(split)) for split in ("train", "valid", "test")]))
    assert facts == "['even', 'odd'] ada/lines none stated"


def test_shards_named_after_splits_are_these(tmp_path):
    for split, first, last in (("train", 0, 40), ("validation", 40, 50), ("test", 50, 60)):
        (tmp_path / "set").mkdir(exist_ok=True)
        part = table().slice(first, last - first)
        parquet.write_table(part, tmp_path / "set" / f"{split}-00000-of-00001.parquet")
    data = opened(tmp_path / "set")
    assert [len(data.view(split)) for split in ("train", "valid", "test")] == [40, 10, 10]


def test_members_that_are_no_text_are_left_out_and_named(tmp_path):
    members = {f"{n:02}.txt": text.encode() for n, text in enumerate(TEXTS)}
    write_tar(tmp_path / "a.tar", members | {"70.txt": b"\xff", "71.json": b"{", "72.json": b'{"text": 1}'})
    data = opened(tmp_path / "a.tar")
    assert sum(len(data.view(split)) for split in ("train", "valid", "test")) == len(TEXTS)
    line = next(line for line in data.summary if line.startswith("left out: "))
    assert "not UTF-8" in line and "not JSON" in line
    (tmp_path / "a.tar").write_bytes(b"torn")
    with refused(DataError, tmp_path / "a.tar"):
        opened(tmp_path / "a.tar")
