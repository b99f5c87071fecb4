"""The real rows of an evaluation, and what tells data from other data."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from gancore import hookimpl
from gancore.data.dataset import Batch, Data, Spec, View
from gancore.entries import FeatureExtractorEntry
from gancore.evaluation.cache import DiskCache
from gancore.evaluation.features import ExtractorLoader, FeatureContext, FeatureExtractor, FeaturePipeline
from gancore.evaluation.reference import digest_data, select_real_data
from gancore.plugins import plugins
from gancore.random import Key


@dataclass
class Rows(View):
    data: Tensor
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.data)

    def get_batch(self, indices: Tensor, key: Key) -> Batch:
        return Batch(self.data[indices], None if self.labels is None else self.labels[indices])


def rows(n: int, name: str, labelled: bool = False) -> Rows:
    return Rows(Key.of(name).normal(n, 3), torch.arange(n) % 2 if labelled else None)


def data(train: bool = False, valid: bool = False, test: bool = False) -> Data:
    """Few rows each, of one fingerprint; with labels in the splits that are named."""
    views = rows(90, "train", train), rows(10, "valid", valid), rows(30, "test", test)
    return Data(*views, Spec({}), fingerprint="f")


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("valid", [False, True])
@pytest.mark.parametrize("test", [False, True])
def test_held_out_rows_are_of_one_kind_whichever_splits_have_labels(train, valid, test):
    found = select_real_data(data(train, valid, test), "test", 25, Key.of("evaluate"))
    assert found.held_out is not None
    assert (found.held_out.condition is not None) == (found.real.condition is not None) == test
    homes = {"train": train or not test, "valid": valid or not test, "test": True}
    assert set(found.held_out_counts) == {home for home, fits in homes.items() if fits}
    assert len(found.held_out) == sum(found.held_out_counts.values())
    assert found.n_train_disjoint == 90 - found.held_out_counts.get("train", 0)


def changed(split: str, view: Rows) -> Data:
    return replace(data(True, True, True), **{split: view})


@pytest.mark.parametrize(
    "other",
    [
        changed("train", Rows(rows(90, "train").data.flip(0), torch.arange(90) % 2)),
        changed("train", rows(90, "train")),
        changed("train", rows(89, "train", True)),
        changed("train", {"a": rows(90, "train", True), "b": rows(90, "b", True)}),
        changed("valid", rows(10, "other", True)),
        replace(data(True, True, True), fingerprint="g"),
    ],
    ids=["order", "labels", "size", "views", "valid", "fingerprint"],
)
def test_data_are_known_by_their_rows_and_not_by_their_fingerprint_alone(other):
    own = data(True, True, True)
    assert digest_data(own) == digest_data(data(True, True, True))
    assert digest_data(other) != digest_data(own)


def test_the_order_of_unpaired_views_is_part_of_what_data_are():
    """The first of them is what an evaluation looks at."""
    views = {"a": rows(90, "train", True), "b": rows(90, "b", True)}
    assert digest_data(changed("train", views)) == digest_data(changed("train", dict(views)))
    swapped = dict(reversed(views.items()))
    assert digest_data(changed("train", views)) != digest_data(changed("train", swapped))


SEEN: list[int] = []


class Fitted(FeatureExtractor):
    """Fitted to train; its own digest knows the fingerprint alone."""

    name = "fitted"
    digest = "f" * 64

    def prepare(self, bench: FeatureContext) -> None:
        self.mean = bench.data.view("train").data.mean(0)

    def embed(self, samples: Tensor, spec: Spec) -> Tensor:
        SEEN.append(len(samples))
        return samples - self.mean


class OfFitted:
    @hookimpl
    def gancore_feature_extractors(self) -> list[FeatureExtractorEntry]:
        return [FeatureExtractorEntry("fitted", f"{__name__}:Fitted", "")]


@pytest.fixture
def see(tmp_path, monkeypatch):
    """What the features say of the same rows, kept in one store, and how many rows they were shown."""
    before = list(plugins()._found)
    plugins().register(OfFitted(), "fitted")
    (entry,) = [entry for entry in plugins().entries("gancore_feature_extractors") if entry.name == "fitted"]

    def call(given: Data) -> tuple[Tensor, int]:
        SEEN.clear()
        pipeline = FeaturePipeline(Spec({}), torch.device("cpu"), DiskCache(tmp_path))
        ExtractorLoader({"fitted": entry}, FeatureContext(given, tmp_path, train_recipe=None)).load_extractor(
            pipeline, "fitted"
        )
        return pipeline.extract(Batch(given.view("test").data), cache=True).features, sum(SEEN)

    yield call
    plugins()._found[:] = before


def test_what_is_kept_of_features_is_made_again_when_the_rows_change(see):
    first, count = see(data())
    assert count == 30
    assert see(data())[1] == 0
    other, count = see(replace(data(), train=rows(90, "other")))
    assert count == 30
    assert not torch.equal(first, other)


def test_and_when_the_version_of_the_plugin_or_its_code_does(see, monkeypatch):
    see(data())
    origin = plugins()._found[-1].id
    monkeypatch.setattr(
        plugins()._found[-1], "id", replace(origin, distribution="gancore-fitted", version="2.0")
    )
    assert see(data())[1] == 30
    assert see(data())[1] == 0
    monkeypatch.setattr("gancore.evaluation.features.digest_code", lambda target: "other")
    assert see(data())[1] == 30
