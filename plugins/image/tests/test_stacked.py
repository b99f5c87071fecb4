"""Stacked images, and their modes: what they are made of, and counts and divergences that are known."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
from gancore_image.config import ImageConfig
from gancore_image.domain import ImageDomain
from gancore_image.modes import (
    StackedFeatures,
    expected_modes,
    kl_divergence,
    mode_counts,
    mode_kl,
    mode_shares,
    modes,
    n_covered,
)
from gancore_image.sources import SOURCES
from gancore_image.stacked import ROWS, stack_images, unstack
from refusals import refused
from scipy.stats import entropy, multinomial
from torch import Tensor
from torch.nn.functional import one_hot

import gancore
from gancore import ConfigError, Data, FeatureContext, MetricInputs, SampleSet, Spec
from gancore.data.sources import resolve_source
from gancore.evaluation.classifier import ClassifierCache
from gancore.evaluation.reference import ReferenceData
from gancore.random import Key


def opened(**settings) -> Data:
    source = resolve_source("digits", SOURCES, None, print)
    return ImageDomain().open(source, ImageConfig(source="digits", **settings))


@pytest.fixture(scope="module")
def data() -> Data:
    return opened(stacked=True)


def test_a_row_is_three_images_of_its_split_and_its_label_theirs(data):
    alone = opened()
    assert data.spec["classes"] == [f"{number:03d}" for number in range(1000)]
    assert (data.spec["channels"], data.spec["image_size"]) == (3, 16)
    assert len(data.view("train")) == 128_000 and len(data.view("valid")) == len(data.view("test")) == 26_000
    for split in ("train", "valid", "test"):
        view, own = data.view(split), alone.view(split)
        rows = torch.tensor([0, 7, 25_999, 7])
        batch = view.get_batch(rows, Key.of(0))
        images = own.get_batch(torch.arange(len(own)), Key.of(0))
        known = {p.numpy().tobytes(): label for p, label in zip(images.data, images.condition, strict=True)}
        for row, label in zip(batch.data, batch.condition.tolist(), strict=True):
            digits = [int(known[channel[None].numpy().tobytes()]) for channel in row]
            assert data.spec["classes"][label] == "".join(map(str, digits))
        assert torch.equal(batch.data[1], batch.data[3])
        assert torch.equal(view.get_batch(rows, Key.of(1)).data, batch.data)
        assert torch.equal(view.get_conditions(rows), batch.condition)


def test_they_are_the_same_each_time_and_other_than_the_single_ones(data):
    again, alone = opened(stacked=True), opened()
    assert torch.equal(data.view("train").rows, again.view("train").rows)
    assert data.fingerprint == again.fingerprint != alone.fingerprint
    assert unstack(data).fingerprint not in (data.fingerprint, alone.fingerprint)
    assert dict(unstack(data).spec.fields) == {n: f for n, f in alone.spec.items() if n != "class_shares"}
    assert unstack(data).view("train") is data.view("train").single
    assert data.summary[-1] == (
        "stacked: three images per example, as red, green and blue; 1,000 modes; examples: 128,000 train, "
        "26,000 valid, 26,000 test"
    )


def test_rows_are_drawn_evenly_and_modes_as_often_as_their_digits_say(data):
    for split, count in ROWS.items():
        view = data.view(split)
        drawn = view.rows.flatten().bincount(minlength=len(view.single))
        chi_square = float(((drawn - 3 * count / len(drawn)) ** 2 / (3 * count / len(drawn))).sum())
        assert abs(chi_square - len(drawn)) < 5 * (2 * len(drawn)) ** 0.5
    labels = data.view("train").get_conditions(torch.arange(128_000))
    p = mode_shares(data.spec)
    assert math.isclose(float(p.sum()), 1) and len(p) == 1000
    single = torch.bincount(data.view("train").single.labels).double()
    assert float(p[123]) == pytest.approx(
        float(single[1] * single[2] * single[3] / single.sum() ** 3), rel=1e-4
    )
    counts = labels.bincount(minlength=1000).double()
    chi_square = float(((counts - 128_000 * p) ** 2 / (128_000 * p)).sum())
    assert abs(chi_square - 999) < 5 * (2 * 999) ** 0.5
    assert n_covered(counts) == 1000


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"channels": 3, "classes": ["a", "b"]}, "3|2"),
        ({"channels": 1}, "1|0"),
    ],
)
def test_colours_and_images_without_labels_are_refused(spec, said):
    with refused(ConfigError, "data.stacked", *said.split("|"), fix="data.channels=1"):
        stack_images(Data({}, {}, {}, Spec({**spec, "source": "these"})))


def test_only_stacked_images_have_these_measures(data):
    domain, alone = ImageDomain(), opened()
    assert {"modes", "mode_kl"} <= domain.metrics_for(data.spec).keys()
    assert not {"modes", "mode_kl"} & domain.metrics_for(alone.spec).keys()
    assert "classifier" in domain.feature_extractors_for(
        alone.spec
    ) and "classifier" not in domain.feature_extractors_for(data.spec)
    assert "stacked_classifier" in domain.feature_extractors_for(data.spec)


# The measures, of posteriors that are known.

EVEN = Spec({"class_shares": [0.001] * 1000})


def called(labels: Tensor, spec: Spec = EVEN, real: Tensor | None = None) -> MetricInputs:
    def sampled(rows: Tensor) -> SampleSet:
        sure = one_hot(rows, len(spec["class_shares"])).float().clamp_min(1e-9).log()
        return SampleSet(torch.zeros(len(rows), 3, 4, 4), log_posteriors=sure)

    beside = sampled(labels if real is None else real)
    return MetricInputs(sampled(labels), beside, beside, spec, Key.of("evaluate", 0))


@pytest.mark.parametrize("k", [1, 7, 250, 1000])
def test_k_known_modes_are_k_and_their_divergence_is_log_of_1000_over_k(k):
    inputs = called(torch.arange(2000 // k * k) % k * (1000 // k))
    assert modes.compute(inputs) == k
    assert mode_kl.compute(inputs) == pytest.approx(math.log(1000 / k), abs=1e-9)
    for measure in (modes, mode_kl):
        low, high, _ = measure.interval(inputs)
        assert low <= measure.compute(inputs) <= high


def test_even_draws_reach_as_many_modes_as_the_closed_form_says():
    """Also that of 26,000 draws, the published protocol: 1,000 modes but for one in 10^8 trials or so."""
    key = Key.of("draws")
    found = [modes.compute(called((key / i).integers(1000, 2000))) for i in range(20)]
    expected = 1000 * (1 - 0.999**2000)
    spread = math.sqrt(1000 * 0.999**2000 * (1 - 0.999**2000))  # more than it is: modes compete
    assert abs(sum(found) / 20 - expected) < 4 * spread / math.sqrt(20)
    details = modes.details(called(key.integers(1000, 2000)))
    assert details["modes of as many draws of the data"] == pytest.approx(expected)
    assert expected_modes(mode_shares(EVEN), 26_000) == pytest.approx(1000, abs=1e-7)
    assert n_covered(key.integers(1000, 26_000).bincount(minlength=1000)) == 1000


def test_the_closed_form_is_that_of_all_outcomes():
    p = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    law = multinomial(4, p.numpy())
    outcomes = [c for c in itertools.product(range(5), repeat=3) if sum(c) == 4]
    expected = sum(law.pmf(c) * sum(x > 0 for x in c) for c in outcomes)
    assert expected_modes(p, 4) == pytest.approx(expected)


def test_the_divergence_is_scipys_and_from_the_datas_own_shares():
    p = Key.of("p").uniform(50).double() + 0.1
    counts = Key.of("c").integers(50, 400).bincount(minlength=50).double()
    assert kl_divergence(counts, p / p.sum()) == pytest.approx(entropy(counts.numpy(), p.numpy()))
    shares = [0.5, 0.25, 0.125, 0.125]
    labels = torch.tensor([0] * 8 + [1] * 4 + [2] * 2 + [3] * 2).repeat(10)
    inputs = called(labels, Spec({"class_shares": shares}), real=torch.zeros(20, dtype=torch.int64))
    assert mode_kl.compute(inputs) == pytest.approx(0, abs=1e-12)
    details = mode_kl.details(inputs)
    assert details["KL from even modes, nats"] == pytest.approx(math.log(4) - 1.75 * math.log(2))
    assert details["KL of reference rows, nats"] == pytest.approx(math.log(2))
    assert details["modes of reference rows"] == 1


@pytest.mark.parametrize("few", [1.0, 0.2, 0.02])
def test_intervals_cover_what_is_expected_at_this_n(few):
    """Modes of unequal shares, a tenth of them rare by ``few``: at least 90 of 100 trials (95 expected)."""
    k, n, trials = 60, 300, 100
    p = torch.ones(k, dtype=torch.float64)
    p[: k // 10] = few
    p /= p.sum()
    edges = p.cumsum(0)
    spec, key = Spec({"class_shares": [1 / k] * k}), Key.of("cover", few)

    def draws(name: object, size: int) -> Tensor:
        return torch.bucketize((key / name).uniform(size).double(), edges).clamp_max(k - 1)

    divergences = [
        kl_divergence(draws(f"truth {i}", n).bincount(minlength=k).double(), mode_shares(spec))
        for i in range(2000)
    ]
    truth = {modes: expected_modes(p, n), mode_kl: sum(divergences) / len(divergences)}
    hits = dict.fromkeys(("modes", "kl"), 0)
    for trial in range(trials):
        inputs = replace(called(draws(trial, n), spec), key=key / "order" / trial)
        for name, measure in (("modes", modes), ("kl", mode_kl)):
            low, high, _ = measure.interval(inputs)
            hits[name] += low <= truth[measure] <= high
    assert min(hits.values()) >= 90, hits


# With a judge.


@pytest.fixture(scope="module")
def stacked_features(data, tmp_path_factory) -> StackedFeatures:
    section = ImageConfig(source="digits", stacked=True)
    cache = tmp_path_factory.mktemp("judges")
    judging = ClassifierCache(
        ImageDomain(), ReferenceData(gancore.Source("digits"), section, data), cache, torch.device("cpu")
    )

    def ask(recipe, changes, rows=None):
        return judging(recipe, {**changes, "steps": 300, "width": 8}, rows)

    features = StackedFeatures()
    features.prepare(FeatureContext(data, cache, ask))
    return features


def preprocess(features: StackedFeatures, images: Tensor) -> SampleSet:
    return SampleSet(images, log_posteriors=features.log_posteriors(images, features.spec))


@pytest.mark.slow
def test_the_judge_sees_each_channel_by_itself(data, stacked_features):
    batch = data.view("test").get_batch(torch.arange(40), Key.of(0))
    said = stacked_features.log_posteriors(batch.data, data.spec)
    assert said.shape == (40, 1000) and list(stacked_features.classes) == data.spec["classes"]
    assert torch.allclose(said.double().exp().sum(1), torch.ones(40, dtype=torch.float64), atol=1e-4)
    alone = [
        stacked_features.classifier.log_posteriors(batch.data[:, c : c + 1], data.spec) for c in range(3)
    ]
    digits = torch.stack([part.argmax(1) for part in alone], 1)
    assert torch.equal(said.argmax(1), (digits * torch.tensor([100, 10, 1])).sum(1))
    assert stacked_features.embed(batch.data, data.spec).shape == (40, 3 * 64)
    assert len(stacked_features.digest) == 64


def test_real_rows_reach_the_modes_that_are_to_be_expected(data, stacked_features):
    """By the labels, and by the judge, that is right on most triples, about as many."""
    rows = data.view("test").get_batch(torch.arange(3000), Key.of(0))
    sampled = preprocess(stacked_features, rows.data)
    right = float((sampled.log_posteriors.argmax(1) == rows.condition).double().mean())
    assert right > 0.8
    own = data.view("test").single.labels.bincount(minlength=10).double() / 169  # other shares than train's
    expected = expected_modes((own[:, None, None] * own[:, None] * own).flatten(), 3000)
    assert abs(n_covered(rows.condition.bincount(minlength=1000)) - expected) < 4 * math.sqrt(1000 - expected)
    inputs = MetricInputs(sampled, sampled, sampled, data.spec)
    assert abs(modes.compute(inputs) - expected) < 40
    assert mode_kl.compute(inputs) < 3 * 999 / 6000


def test_a_generator_of_a_few_triples_has_so_many_modes(data, stacked_features):
    rows = data.view("test").get_batch(torch.arange(400), Key.of(0))
    sure = preprocess(stacked_features, rows.data).log_posteriors.argmax(1) == rows.condition
    images, labels = rows.data[sure], rows.condition[sure]
    first = [int((labels == label).nonzero()[0]) for label in labels.unique()[:17]]
    sampled = preprocess(stacked_features, images[first].repeat(20, 1, 1, 1))
    inputs = MetricInputs(sampled, sampled, sampled, data.spec)
    assert modes.compute(inputs) == 17
    even = mode_kl.details(inputs)["KL from even modes, nats"]
    assert even == pytest.approx(math.log(1000 / 17))
    assert int(mode_counts(sampled).max()) == 20


@pytest.mark.long
def test_a_trained_model_is_told_its_modes(tmp_path, monkeypatch):
    """The whole way: train on stacked digits, evaluate; the anchors are in order."""
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path / "cache"))
    overrides = ["data.stacked=true", "model.width=4", "model.batch_size=16"]
    run = gancore.train(
        "image", data="digits", steps=4, out=tmp_path / "run", overrides=overrides, device="cpu"
    )
    found = gancore.evaluate(run.folder, metrics=["modes", "mode_kl"], n=1000, device="cpu")
    count, divergence = found["modes"], found["mode_kl"]
    assert count.anchors["collapse"] <= 50 < 550 < count.anchors["real"] < 700
    assert count.anchors["real"] == pytest.approx(count.details["modes of as many draws of the data"], abs=40)
    assert divergence.anchors["real"] < 0.8 < divergence.anchors["collapse"]
    assert count.trusted and divergence.trusted
    assert count.value < count.anchors["real"]
    assert count.features == "stacked_classifier"
    assert found.metadata["classifier"]["accuracy"]["value"] > 0.9
