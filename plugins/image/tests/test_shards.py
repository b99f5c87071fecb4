"""Images in shards are those of a folder: equal batches, labels and splits; training resumes there."""

from __future__ import annotations

import io
import json
import shutil

import numpy as np
import pyarrow
import pytest
import torch
from gancore_image.config import ImageConfig
from gancore_image.dataset import open_images
from gancore_image.sources import SOURCES
from hub_data import open_in_process, repository_files
from hub_server import local_hub
from PIL import Image
from pyarrow import parquet
from refusals import refused
from tars import write_tar
from tiny_runs import press_ctrl_c

import gancore
from gancore.data.sources import resolve_source
from gancore.errors import GancoreError
from gancore.random import Key
from gancore.training.callbacks import Callbacks

SPLITS, CLASSES = ("train", "valid", "test"), ("cat", "dog")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path / "cache"))


def png(seed: int) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (18, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


ROWS = [
    (split, f"{split}{n:02}", png(n + first), n % 2)
    for split, first in (("train", 0), ("val", 26))
    for n in range(28)
]
"""Two pictures of train are also in val; names are in order."""


def table(split: str):
    rows = [row for row in ROWS if row[0] == split]
    images = [{"bytes": content, "path": f"{name}.png"} for _, name, content, _ in rows]
    info = {"features": {"label": {"names": list(CLASSES), "_type": "ClassLabel"}}}
    columns = pyarrow.table({"img": images, "label": [row[3] for row in rows]})
    return columns.replace_schema_metadata({"huggingface": json.dumps({"info": info})})


def lay_out(form: str, root) -> None:
    for split in ("train", "val"):
        rows = [row for row in ROWS if row[0] == split]
        if form == "folder":
            for _, name, content, _label in rows:
                path = root / split / f"{name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        elif form == "tar":
            for shard in range(2):
                part = rows[shard * 14 :][:14]
                sidecars = {f"{name}.cls": CLASSES[label].encode() for _, name, _, label in part}
                images = {f"{name}.png": content for _, name, content, _ in part}
                write_tar(root / f"{split}-{shard:03}.tar", images | sidecars)
        else:
            root.mkdir(exist_ok=True)
            parquet.write_table(table(split), root / f"{split}-00000-of-00001.parquet", row_group_size=5)
    if form == "folder":
        lines = (f"{name}.png,{CLASSES[label]}" for _, name, _, label in ROWS)
        named = (f"{row[0]}/{line}" for row, line in zip(ROWS, lines, strict=True))
        (root / "metadata.csv").write_text("\n".join(["file_name,label", *named]))


def opened(source: str, **config):
    found = resolve_source(source, SOURCES, None, print, reads_shards=True)
    return open_images(found, ImageConfig(**config))


@pytest.mark.parametrize("form", ["tar", "parquet"])
def test_shards_give_the_bytes_labels_and_splits_of_a_folder(tmp_path, form):
    lay_out("folder", tmp_path / "folder")
    lay_out(form, tmp_path / "shards")
    folder, shards = opened(str(tmp_path / "folder")), opened(str(tmp_path / "shards"))
    assert folder.spec.fields | {"source": ""} == shards.spec.fields | {"source": ""}
    for split in SPLITS:
        assert len(folder.view(split)) == len(shards.view(split)) > 0
        rows, key = torch.arange(len(folder.view(split))), Key.of(0)
        one, other = (data.view(split).get_batch(rows, key) for data in (folder, shards))
        assert torch.equal(one.data, other.data) and torch.equal(one.condition, other.condition)
        assert [name.rpartition("/")[2] for name in folder.splits[split]] == [
            name.rpartition("/")[2] for name in shards.splits[split]
        ]
    pattern = f"{tmp_path}/shards/{{train,val}}-*.{form}"
    assert opened(pattern).fingerprint == shards.fingerprint


def test_damaged_pictures_and_shards_are_named_in_the_summary_and_the_others_used(tmp_path):
    lay_out("tar", tmp_path / "shards")
    path = tmp_path / "shards" / "train-001.tar"
    path.write_bytes(path.read_bytes()[:9000])
    write_tar(tmp_path / "shards" / "train-002.tar", {"x.png": b"no picture", "y.png": png(99)[:80]})
    (tmp_path / "shards" / "train-003.tar").write_bytes(b"no tar file")
    data = opened(str(tmp_path / "shards"), labels="none")
    skipped = {line.split(":")[0].strip() for line in data.summary if line.startswith("  ")}
    assert {"train-002.tar/x.png", "train-002.tar/y.png", "train-003.tar"} <= skipped
    assert any(name.startswith("train-001.tar") for name in skipped)
    assert any(name.startswith("train-001.tar") for name in data.splits["train"])


def test_training_on_shards_resumes_as_if_undisturbed_and_not_on_others(tmp_path, monkeypatch):
    lay_out("tar", tmp_path / "shards")
    data = f"{tmp_path}/shards/{{train,val}}-{{000..001}}.tar"
    overrides = ["model.width=4", "model.batch_size=4"]
    settings = {"domain": "image", "data": data, "device": "cpu", "precision": "fp32", "overrides": overrides}
    gancore.train(**settings, steps=4, out=tmp_path / "whole", progress="none")
    on_step_end = Callbacks.on_step_end

    def stop(self, state):
        if state.step == 2:
            press_ctrl_c()
        on_step_end(self, state)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Callbacks, "on_step_end", stop)
        gancore.train(**settings, steps=4, out=tmp_path / "parts", progress="none")
    shard = tmp_path / "shards" / "train-001.tar"
    content = shard.read_bytes()
    write_tar(shard, {f"{n}.png": png(n + 100) for n in range(14)})
    with refused(GancoreError):
        gancore.train(resume=tmp_path / "parts", progress="none")
    shard.write_bytes(content)
    gancore.train(resume=tmp_path / "parts", progress="none")
    models = [tmp_path / run / "model" / "model.safetensors" for run in ("whole", "parts")]
    assert models[0].read_bytes() == models[1].read_bytes()


def test_the_model_of_a_stranger_asks_no_other_machine(tmp_path):
    lay_out("tar", tmp_path / "shards")
    settings = {"device": "cpu", "precision": "fp32", "overrides": ["model.width=4", "model.batch_size=4"]}
    gancore.train(
        "image", data=tmp_path / "shards", steps=1, out=tmp_path / "run", progress="none", **settings
    )
    model = shutil.copytree(tmp_path / "run" / "model", tmp_path / "stranger")
    config = json.loads((model / "config.json").read_text())
    for source in ("s3://bucket/a.tar", "hub:ada/pets"):
        config["data"]["source"] = source
        (model / "config.json").write_text(json.dumps(config))
        with refused(GancoreError, source, fix="--data"):
            gancore.evaluate(model, n=16)


@pytest.mark.slow
def test_a_data_set_of_the_hub_is_downloaded_once_and_then_read_offline(tmp_path):
    """The library datasets against a hub on this machine, then without one."""

    def run(name: str, **environment: str) -> list[str]:
        return open_in_process("image", name, tmp_path, **environment)

    card = b"---\nlicense: cc0-1.0\n---\n# Pets\n"
    lay_out("parquet", tmp_path / "local")
    with local_hub() as hub:
        hub.add("datasets/ada/pets", {"README.md": card, **repository_files(tmp_path / "local")})
        online = run("hub:ada/pets", HF_ENDPOINT=hub.address)
        assert any("cc0-1.0" in line and "MB" in line for line in online)
        assert run("hub:ada/nothing", HF_ENDPOINT=hub.address)[-1].startswith("error: hub:ada/nothing")
    offline = run("hub:ada/pets", HF_HUB_OFFLINE="1")
    assert offline[-2:] == online[-2:] and offline[-1] == "['cat', 'dog'] ada/pets cc0-1.0"
    local = opened(str(tmp_path / "local"))
    assert offline[-2].startswith(str([len(local.view(split)) for split in SPLITS]))
    assert run("hub:ada/pets/other", HF_HUB_OFFLINE="1")[-1].startswith("error: hub:ada/pets/other")
