"""Samples beside their nearest rows of train: all are looked at, and each is what it is said to be."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass

import pytest
import torch
from refusals import refused

import gancore
from gancore import Batch, Samples, Spec, View
from gancore.errors import ConfigError
from gancore.evaluation import neighbours
from gancore.evaluation.cache import DiskCache
from gancore.evaluation.features import Coordinates, FeaturePipeline
from gancore.random import Key


@dataclass
class Drawn(View):
    """Rows of which each draws a part of itself, as a view that cuts or augments does."""

    n: int

    def __len__(self) -> int:
        return self.n

    def get_batch(self, indices, key) -> Batch:
        own = torch.stack([Key.of("drawn", int(index)).normal(3) for index in indices])
        return Batch(own + 0.5 * key.normal(len(indices), 3), indices.clone())


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(neighbours, "MAX_VALUES_IN_MEMORY", 3 * 16)


def test_the_search_finds_what_brute_force_finds_and_shows_the_very_rows_that_it_saw(small_chunks, tmp_path):
    view = Drawn(100)
    seen = torch.cat([batch.data for _, batch in neighbours._train_chunks(view)])
    x = Key.of("x").normal(20, 3)
    pipeline = FeaturePipeline(Spec({}), torch.device("cpu"), DiskCache(tmp_path), Coordinates())
    distances, rows = neighbours.search_train(x, view, pipeline, 7)
    true, order = torch.cdist(x.double(), seen.double()).sort(1)
    assert torch.equal(rows, order[:, :7])
    assert torch.allclose(distances, true[:, :7])
    shown = neighbours.interleave(Samples(x, Spec({})), view, rows, distances)
    table = shown.data.view(20, 8, 3)
    assert shown.columns == 8 and torch.equal(table[:, 0], x)
    assert torch.equal(table[:, 1:], seen[rows])
    assert shown.headings[:2] == ["sample 1", f"{distances[0, 0]:.3g}"] and len(shown.headings) == 160


def test_all_rows_are_given_where_there_are_fewer_than_asked(tmp_path, small_chunks):
    pipeline = FeaturePipeline(Spec({}), torch.device("cpu"), DiskCache(tmp_path), Coordinates())
    distances, rows = neighbours.search_train(torch.zeros(2, 3), Drawn(18), pipeline, 50)
    assert rows.shape == (2, 18) and rows.sort(1).values.tolist() == [list(range(18))] * 2
    assert (distances[:, 1:] >= distances[:, :-1]).all()


def beside(run, tmp_path, **settings):
    return gancore.neighbours(run, **{"out": tmp_path / "out", "n": 40, "device": "cpu", **settings})


def test_a_copyist_is_found_out_and_its_sources_named(train, cache, tmp_path):
    run = train(kept=300, blur=0.0)
    found = beside(run, tmp_path, k=3)
    content = json.loads((tmp_path / "out" / "neighbours.json").read_text())
    assert found.copy_test.significant and content["verdict"]["significant"] is True
    assert found.distances[:, 0].max() == 0 and found.train_indices[:, 0].max() < 300
    assert content["features"]["name"] == "coordinates" and content["train"] == 400
    assert content["samples"][0]["rows"] == found.train_indices[0].tolist()
    assert (tmp_path / "out" / "dots.txt").exists()
    data = found.samples.data.view(40, 4, 3)
    assert torch.equal(data[:, 0], data[:, 1]) and not torch.equal(data[:, 1], data[:, 2])


def test_one_that_only_learns_the_law_is_not(train, cache, tmp_path):
    assert beside(train(kept=300, blur=0.3), tmp_path, n=200).copy_test.significant is False


@pytest.mark.parametrize(
    ("samples", "held_out", "said"),
    [
        ([7] * 16, range(50), "all 16 samples"),
        ([7] * 9 + list(range(10, 17)), range(50), "9 of 16 samples"),
        ([7] * 16, [], "all 16 samples"),
        ([7] * 8 + list(range(10, 18)), range(50), ""),
        ([7] * 16, [0] * 30 + list(range(20)), ""),
        ([7] * 3, range(50), ""),
    ],
)
def test_samples_of_one_nearest_row_are_reported_unless_real_rows_share_one(samples, held_out, said):
    line = neighbours.describe_shared_row(torch.tensor(samples), torch.tensor(list(held_out)))
    assert line.startswith(said) and bool(line) == bool(said)


@pytest.mark.parametrize("features", ["plain", "doubled", "judged"])
def test_any_features_can_be_asked_for(train, cache, tmp_path, features):
    found = beside(train(blur=0.0), tmp_path, feature_extractor=features)
    assert found.metadata["features"]["name"] == features and found.copy_test.significant


def test_the_same_seed_gives_the_same_bytes(train, cache, tmp_path):
    run = train()
    messages = []
    for out in ("a", "b"):
        gancore.neighbours(run, n=5, out=tmp_path / out, device="cpu")
        messages.append((tmp_path / out / "neighbours.json").read_bytes())
    assert messages[0] == messages[1]


def test_a_model_folder_alone_finds_a_named_source_and_says_what_it_lacks_else(train, cache, tmp_path):
    shutil.copytree(train() / "model", tmp_path / "shared")
    assert beside(tmp_path / "shared", tmp_path).metadata["source"] == "trio"
    config = json.loads((tmp_path / "shared" / "config.json").read_text())
    config["data"].pop("source")
    (tmp_path / "shared" / "config.json").write_text(json.dumps(config))
    with refused(ConfigError, fix="--data") as error:
        beside(tmp_path / "shared", tmp_path, out=tmp_path / "refused")
    assert "--data" in error.value.fix
    again = {"out": tmp_path / "again", "data": "trio"}
    assert beside(tmp_path / "shared", tmp_path, **again).metadata["source"] == "trio"


def test_what_cannot_be_is_refused(train, cache, tmp_path):
    run = train()
    with refused(ConfigError, 401, 400):
        beside(run, tmp_path, k=401)
    with refused(ConfigError, "plane", fix="plain"):
        beside(run, tmp_path, feature_extractor="plane")
