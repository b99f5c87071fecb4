"""The classification accuracy score, where the truth is known: what teaches well, what teaches nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from dots import CENTRES
from refusals import refused

import gancore
from gancore.data.dataset import Batch, Spec
from gancore.errors import ConfigError
from gancore.evaluation.classifier import ClassifierCache
from gancore.evaluation.reference import ReferenceData
from gancore.metrics.metric import MetricInputs, SampleSet
from gancore.metrics.scores import VALIDATION_SHARE, classification_accuracy, classifier_data, correct_rows
from gancore.plugins import plugins
from gancore.random import Key

SPEC = Spec({"classes": ["east", "north", "south"]})


def points(n: int, name: str, spread: float = 0.3) -> SampleSet:
    key = Key.of("points", name)
    labels = (key / "label").integers(3, n)
    return SampleSet(CENTRES[labels] + spread * (key / "noise").normal(n, 3), labels)


@pytest.fixture
def judging(of_dots, empty_cache) -> ClassifierCache:
    """Its own source must not be looked at: there is none."""
    domain = plugins().load_domain("dots")
    reference = ReferenceData(None, domain.Config(source="trio"), None)
    return ClassifierCache(
        domain, replace(reference, source=gancore.Source("none")), empty_cache / "judges", torch.device("cpu")
    )


@pytest.fixture
def shown(judging) -> Callable[[SampleSet], MetricInputs]:
    def show(fake: SampleSet) -> MetricInputs:
        return MetricInputs(
            fake,
            points(500, "real"),
            points(400, "train"),
            SPEC,
            train_classifier=lambda data: judging("judge", {"steps": 80}, data).sampler,
        )

    return show


def test_samples_of_the_law_teach_as_well_as_real_rows(shown):
    inputs = shown(points(300, "fake"))
    value, details = classification_accuracy.compute(inputs), classification_accuracy.details(inputs)
    ceiling = details["taught by real rows of train"]
    assert value > 0.97 and ceiling["value"] > 0.97
    assert ceiling["low"] <= ceiling["value"] <= ceiling["high"] and ceiling["rows"] == 300
    assert details["samples"] == 300
    low, high, method = classification_accuracy.interval(inputs)
    assert low <= value <= high and method == "Clopper-Pearson, 500 trials, given the one judge trained"


def test_rows_of_train_give_the_ceiling_itself(shown):
    inputs = shown(points(400, "train"))
    ceiling = classification_accuracy.details(inputs)["taught by real rows of train"]["value"]
    assert classification_accuracy.compute(inputs) == pytest.approx(ceiling, abs=0.02)


def test_labels_that_were_shuffled_teach_chance(shown):
    good = points(2000, "fake")
    fake = SampleSet(good.samples, good.condition[Key.of("shuffle").permutation(2000)])
    inputs = shown(fake)
    assert abs(classification_accuracy.compute(inputs) - 1 / 3) < 0.25
    assert classification_accuracy.details(inputs)["taught by real rows of train"]["value"] > 0.97


def test_labels_in_each_others_place_teach_what_is_wrong(shown):
    good = points(300, "fake")
    inputs = shown(SampleSet(good.samples, (good.condition + 1) % 3))
    assert classification_accuracy.compute(inputs) < 0.03


def test_a_class_that_is_never_made_is_never_called(shown):
    good = points(400, "fake")
    inputs = shown(good.select((good.condition < 2).nonzero().flatten()))
    by_class = classification_accuracy.details(inputs)["by class"]
    assert by_class["south"] == 0 and min(by_class["east"], by_class["north"]) > 0.95
    share = float((inputs.real.condition < 2).double().mean())
    assert classification_accuracy.compute(inputs) == pytest.approx(share, abs=0.03)


def test_only_the_samples_are_seen_in_training_and_the_same_ones_teach_once(judging):
    requests = []
    fake = points(200, "fake")

    def judge(data):
        requests.append(data)
        return judging("judge", {"steps": 30}, data).sampler

    inputs = MetricInputs(fake, points(50, "real"), points(90, "train"), SPEC, train_classifier=judge)
    for _ in range(2):
        correct_rows(inputs, fake)
    train, valid = requests[0].view("train"), requests[0].view("valid")
    rows = torch.cat([train.data, valid.data])
    assert len(valid) == VALIDATION_SHARE * 200
    assert sorted(rows.tolist()) == sorted(fake.samples.tolist())
    label_of_row = {
        tuple(row): label for row, label in zip(fake.samples.tolist(), fake.condition.tolist(), strict=True)
    }
    assert [label_of_row[tuple(row)] for row in train.data.tolist()] == train.condition.tolist()
    assert requests[0].fingerprint == requests[1].fingerprint
    folders = [path for path in judging.cache.iterdir() if path.is_dir()]
    assert len(folders) == 1


def test_other_rows_labels_or_a_source_are_other_judges(judging):
    rows = points(100, "fake")
    batches = [
        Batch(rows.samples, rows.condition),
        Batch(rows.samples + 1e-6, rows.condition),
        Batch(rows.samples, (rows.condition + 1) % 3),
    ]
    prints = {classifier_data(batch, SPEC, Key.of(0)).fingerprint for batch in batches}
    prints.add(classifier_data(batches[0], Spec({"classes": ["a", "b", "c"]}), Key.of(0)).fingerprint)
    assert len(prints) == 4
    for batch in batches:
        judging("judge", {"steps": 2}, classifier_data(batch, SPEC, Key.of(0)))
    folders = [path for path in judging.cache.iterdir() if path.is_dir()]
    assert len(folders) == 3
    assert "100 rows" not in "".join(path.name for path in folders)


@pytest.mark.parametrize(
    ("fake", "judge", "said"),
    [
        (SampleSet(torch.zeros(20, 3), torch.zeros(20, 2)), True, "class"),
        (SampleSet(torch.zeros(20, 3)), True, "class"),
        (points(20, "fake"), False, "domain"),
    ],
)
def test_what_cannot_be_taught_is_said(shown, fake, judge, said):
    inputs = shown(fake)
    with refused(ConfigError, fix=said):
        classification_accuracy.compute(inputs if judge else replace(inputs, train_classifier=None))


# A whole evaluation.


def test_a_model_that_passes_its_labels_over_teaches_chance_and_its_anchors_are_in_order(train):
    run = train(conditional=True)
    found = gancore.evaluate(run, metrics=["classification_accuracy"], n=300, device="cpu")
    reading = found["classification_accuracy"]
    assert not reading.skipped
    assert abs(reading.value - 1 / 3) < 0.3
    assert reading.anchors["real"] > 0.95
    assert reading.details["taught by real rows of train"]["value"] > 0.95


@pytest.mark.slow
def test_it_is_no_part_of_the_default_set_and_needs_a_conditional_model(train):
    run = train()
    found = gancore.evaluate(run, metrics=["classification_accuracy"], n=100, device="cpu")
    assert found["classification_accuracy"].skipped == "the model is not conditional"
    names = [r.metric for r in gancore.evaluate(run, n=100, device="cpu")]
    assert "classification_accuracy" not in names and "label_accuracy" in names
