"""The classification accuracy score of images: digits that are real, mislabelled, or all of a few kinds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from gancore_image.config import ImageConfig
from gancore_image.domain import ImageDomain
from gancore_image.sources import SOURCES

import gancore
from gancore import Data, MetricInputs, SampleSet
from gancore.data.sources import resolve_source
from gancore.evaluation.classifier import ClassifierCache
from gancore.evaluation.reference import ReferenceData
from gancore.metrics.scores import classification_accuracy as cas
from gancore.random import Key

SMALL = {"steps": 200, "width": 8}


@pytest.fixture(scope="module")
def data() -> Data:
    return ImageDomain().open(resolve_source("digits", SOURCES, None, print), ImageConfig(source="digits"))


def rows(data: Data, split: str, first: int, count: int) -> SampleSet:
    view = data.view(split)
    batch = view.get_batch(Key.of("rows").permutation(len(view))[first : first + count], Key.of(0))
    return SampleSet(batch.data, batch.condition)


@pytest.fixture(scope="module")
def shown(data, tmp_path_factory) -> Callable[[SampleSet], MetricInputs]:
    """Samples beside the 169 digits of test and 700 of train, and a judge of a few steps."""
    section, cache = ImageConfig(source="digits"), tmp_path_factory.mktemp("judges")
    judging = ClassifierCache(
        ImageDomain(), ReferenceData(gancore.Source("digits"), section, data), cache, torch.device("cpu")
    )
    taught = lambda given: judging("classifier", SMALL, given).sampler  # noqa: E731
    beside = rows(data, "test", 0, 169), rows(data, "train", 0, 700)
    return partial(MetricInputs, real=beside[0], train=beside[1], spec=data.spec, train_classifier=taught)


@pytest.mark.slow
def test_other_real_rows_reach_the_ceiling(data, shown):
    inputs = shown(rows(data, "train", 700, 700))
    value, ceiling = cas.compute(inputs), cas.details(inputs)["taught by real rows of train"]
    assert ceiling["rows"] == 700 and ceiling["low"] < value < ceiling["high"]
    assert value > 0.85


def test_labels_that_were_shuffled_teach_chance(data, shown):
    real = rows(data, "train", 700, 700)
    inputs = shown(SampleSet(real.samples, real.condition[Key.of("shuffle").permutation(700)]))
    # If rows of one digit are called alike, ten digits, not 169 rows, are right by chance: sd 0.095.
    assert cas.compute(inputs) < 0.1 + 4 * 0.095


@pytest.mark.slow
def test_digits_never_made_are_never_called_and_the_ceiling_is_as_before(data, shown):
    real = rows(data, "train", 700, 700)
    inputs = shown(real.select((real.condition < 5).nonzero().flatten()))
    details = cas.details(inputs)
    by_class, above = details["by class"], details["by class, taught by real rows"]
    assert all(by_class[str(digit)] == 0 for digit in range(5, 10))
    assert sum(by_class[str(digit)] for digit in range(5)) > 4.3
    assert min(above.values()) > 0.5
    assert cas.compute(inputs) < 0.6


@pytest.mark.long
def test_a_conditional_model_is_scored_beside_its_anchors(tmp_path, monkeypatch):
    """The whole way, with the judge as it is: an untrained generator teaches little, held-out rows much."""
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path / "cache"))
    overrides = ["model.conditional=true", "model.width=4", "model.batch_size=16"]
    run = gancore.train(
        "image", data="digits", steps=4, out=tmp_path / "run", overrides=overrides, device="cpu"
    )
    reading = gancore.evaluate(run.folder, metrics=["classification_accuracy"], n=200, device="cpu")[
        "classification_accuracy"
    ]
    assert reading.value < 0.5 < 0.8 < reading.anchors["real"]
    assert max(reading.anchors["noise"], reading.anchors["collapse"]) < reading.anchors["real"]
    assert reading.trusted, reading.trust
    assert reading.details["taught by real rows of train"]["value"] > 0.8
