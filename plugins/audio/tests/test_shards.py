"""Recordings in shards are those of a folder: equal batches, labels and splits; broken ones are named."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pyarrow
import pytest
import soundfile
import torch
from gancore_audio.config import AudioConfig
from gancore_audio.dataset import open_audio
from hub_data import open_in_process, repository_files
from hub_server import local_hub
from pyarrow import parquet
from tars import write_tar

from gancore.data.sources import Source
from gancore.random import Key

SPLITS = ("train", "valid", "test")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path / "cache"))


def sound(number: int, form: str) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(number).uniform(-0.5, 0.5, (900 + number, 1 + number % 2))
    soundfile.write(file, noise, 8000, format=form)
    return file.getvalue()


ROWS = [
    (f"{n:02}.{('wav', 'flac')[n % 2]}", sound(n, ("WAV", "FLAC")[n % 2]), "ab"[n % 2]) for n in range(24)
]
BROKEN = {"cut.wav": ROWS[0][1][:200], "text.flac": b"no sound"}


def lay_out(form: str, root) -> None:
    root.mkdir()
    members = {f"{name.partition('.')[0]}.cls": label.encode() for name, _, label in ROWS}
    members |= {name: content for name, content, _ in ROWS}
    if form == "folder":
        for name, content in members.items():
            (root / name).write_bytes(content)
        lines = "".join(f"{name},{label}\n" for name, _, label in ROWS)
        (root / "metadata.csv").write_text(f"file_name,label\n{lines}")
    elif form == "zip":
        with zipfile.ZipFile(root / "a.zip", "w") as bundle:
            for name, content, label in ROWS:
                bundle.writestr(f"{label}/{name}", content)
    elif form == "tar":
        write_tar(root / "a.tar", members | BROKEN)
    else:
        cells = [{"bytes": content, "path": name} for name, content, _ in ROWS]
        cells += [{"bytes": content, "path": name} for name, content in BROKEN.items()]
        labels = [label for *_, label in ROWS] + ["a"] * len(BROKEN)
        parquet.write_table(pyarrow.table({"audio": cells, "label": labels}), root / "train.parquet")


def opened(path):
    if path.name == "zip":
        path = path / "a.zip"
    return open_audio(Source("sounds", path), AudioConfig(length=512))


def file_names(data, split):
    return [name.rpartition("/")[2] for name in data.splits[split]]


@pytest.mark.parametrize("form", ["tar", "parquet", "zip"])
def test_shards_give_the_samples_labels_and_splits_of_a_folder(tmp_path, form):
    lay_out("folder", tmp_path / "folder")
    lay_out(form, tmp_path / form)
    folder, shards = opened(tmp_path / "folder"), opened(tmp_path / form)
    assert folder.spec.fields == shards.spec.fields
    for split in SPLITS:
        rows, key = torch.arange(len(folder.view(split))), Key.of(0)
        one, other = (data.view(split).get_batch(rows, key) for data in (folder, shards))
        order = [file_names(shards, split).index(name) for name in file_names(folder, split)]
        assert torch.equal(one.data, other.data[order]) and torch.equal(one.condition, other.condition[order])
    if form != "zip":
        skipped = {line.split(":")[0].rpartition("/")[2].strip() for line in shards.summary}
        assert BROKEN.keys() <= skipped


@pytest.mark.slow
def test_a_data_set_of_the_hub_is_that_of_its_shards(tmp_path):
    lay_out("parquet", tmp_path / "local")
    local = opened(tmp_path / "local")
    with local_hub() as hub:
        hub.add("datasets/ada/sounds", repository_files(tmp_path / "local"))
        address = {"HF_ENDPOINT": hub.address}
        lines = open_in_process("audio", "hub:ada/sounds", tmp_path, {"length": 512}, **address)
    assert lines[-2].startswith(str([len(local.view(split)) for split in SPLITS]))
    assert lines[-1] == "['a', 'b'] ada/sounds none stated"
