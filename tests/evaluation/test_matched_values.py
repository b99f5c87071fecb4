"""A value stands beside its anchors at their own number of rows, or nothing is said of real rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import dots
import pytest
import torch
from torch import Tensor

import gancore
from gancore.data.dataset import Batch, Spec
from gancore.evaluation.cache import DiskCache
from gancore.evaluation.catalogue import CORE_METRICS
from gancore.evaluation.controls import Controls, cluster_to_points, scale_about_mean
from gancore.evaluation.evaluator import Evaluator
from gancore.evaluation.features import Coordinates, FeaturePipeline
from gancore.evaluation.result import MetricResult
from gancore.metrics.metric import MetricInputs, SampleSet
from gancore.plugins import plugins
from gancore.random import CPU, Key

ENTRIES = {entry.name: entry for entry in CORE_METRICS}
CENTRES = 6 * Key.of("centres").normal(10, 8)


def modes(n: int, name: str, count: int = 10) -> Tensor:
    key = Key.of("modes", name)
    return CENTRES[(key / "which").integers(count, n)] + 0.5 * (key / "noise").normal(n, 8)


def read(folder: Path, measure: str, fake: Tensor, real: Tensor, held: Tensor, **anchored) -> MetricResult:
    inputs = MetricInputs(*(SampleSet(x, features=x) for x in (fake, real, real)), Spec({}))
    pipeline = FeaturePipeline(Spec({}), CPU, DiskCache(folder), Coordinates())
    anchors = Controls(Batch(held), inputs, pipeline, **anchored)
    entry = ENTRIES[measure]
    return Evaluator(inputs, pipeline, anchors, {}, MetricResult("", None)).evaluate(
        entry, plugins().load_metric(entry)
    )


def test_half_of_the_modes_are_told_from_real_rows_however_few_of_these_there_are(tmp_path):
    """2,000 samples cover half; so do 300 held-out rows, since they are 300."""
    real, held = modes(2000, "real"), modes(300, "held")
    half = read(tmp_path, "coverage", modes(2000, "half", 5), real, held)
    assert half.value == pytest.approx(half.anchors["real"], abs=0.05)
    assert (half.n, half.n_anchors) == (2000, 300)
    assert half.matched < 0.42 and half.worse_than_real()
    whole = read(tmp_path, "coverage", modes(2000, "whole"), real, held)
    assert whole.value > 0.95 and not whole.worse_than_real()
    assert whole.matched == pytest.approx(whole.anchors["real"], abs=0.05)


def test_where_numbers_are_equal_the_value_itself_is_compared(tmp_path):
    found = read(tmp_path, "coverage", modes(300, "a"), modes(300, "real"), modes(300, "held"))
    assert (found.matched, found.matched_low, found.matched_high) == (found.value, found.low, found.high)


def test_an_equal_law_is_seldom_told_from_real_rows(tmp_path):
    """100 laws by one measure at 95 %; both intervals count, so that it is far less often."""
    false_alarms = 0
    for number in range(100):
        fake, real, held = (modes(100, f"{name}{number}") for name in ("fake", "real", "held"))
        false_alarms += bool(read(tmp_path, "kid", fake, real, held).worse_than_real())
    assert false_alarms <= 5


@pytest.mark.parametrize("measure", ["frechet", "coverage", "recall", "c2st_neighbour"])
def test_three_lost_modes_of_ten_are_told_at_a_thousand(tmp_path, measure):
    lost = read(tmp_path, measure, modes(1000, "lost", 7), modes(1000, "real"), modes(1000, "held"))
    assert lost.worse_than_real(comparisons=20)


def test_a_difference_has_the_bounds_of_both():
    """MOVER by hand: a = 3 (2.5 to 4), b = 1 (0.8 to 1.3); higher is worse."""
    found = MetricResult("m", 3.0, higher_is_better=False, anchors={"real": 1.0}, real_low=0.8, real_high=1.3)
    found = replace(found, matched=3.0, matched_low=2.5, matched_high=4.0)
    beside = found.difference_from("real")
    assert beside.value == 2.0
    assert beside.low == pytest.approx(2 - (0.5**2 + 0.3**2) ** 0.5)
    assert beside.high == pytest.approx(2 + (1.0**2 + 0.2**2) ** 0.5)
    assert found.difference_from("real", comparisons=10).low < beside.low
    turned = replace(found, higher_is_better=True).difference_from("real")
    assert (turned.value, turned.low) == (-2.0, pytest.approx(-2 - (1.0**2 + 0.2**2) ** 0.5))


@pytest.mark.parametrize(("value", "worse"), [(0.5, False), (0.8, True), (0.2, True), (0.53, False)])
def test_of_a_two_sample_test_either_side_of_one_half_is_worse(value, worse):
    found = MetricResult("c2st", value, higher_is_better=False, ideal=0.5, anchors={"real": 0.51})
    found = replace(found, real_low=0.47, real_high=0.55)
    found = replace(found, matched=value, matched_low=value - 0.03, matched_high=value + 0.03)
    assert found.worse_than_real() is worse


@pytest.mark.parametrize("d", [2, 64])
def test_shrunken_features_are_half_as_wide_about_the_same_mean(d):
    x = 3 + Key.of("x").normal(500, d)
    assert torch.allclose(scale_about_mean(x, 0.5).mean(0), x.mean(0), atol=1e-5)
    assert torch.allclose(scale_about_mean(x, 0.5).std(0), x.std(0) / 2, atol=1e-5)
    near = cluster_to_points(x)
    before, after = (torch.cdist(rows.double(), x[:25].double()).min(1).values for rows in (x, near))
    assert (after <= before / 10 + 1e-5).all()


def test_where_shrunken_rows_pass_for_better_than_real_ones_a_measure_is_not_trusted(tmp_path):
    """In 64 dimensions rows at half their distance from the mean are near to every real row."""
    x = [Key.of("many", name).normal(400, 64) for name in ("fake", "real", "held")]
    for measure in ("precision", "coverage"):
        assert "shrunk" in read(tmp_path, measure, *x).trust, measure
    for measure in ("frechet", "recall", "density"):
        assert read(tmp_path, measure, *x).trusted, measure


def test_a_trained_map_is_measured_on_rows_that_it_has_not_seen(tmp_path):
    """Of 300 held-out rows the last 180 are of train."""

    class Learned(Coordinates):
        trained_on_train = True

    held = modes(300, "held")
    sets = modes(200, "fake"), modes(200, "real")
    inputs = MetricInputs(*(SampleSet(x, features=x) for x in (*sets, sets[1])), Spec({}))
    for features, rows in ((Learned(), 120), (Coordinates(), 300)):
        pipeline = FeaturePipeline(Spec({}), CPU, DiskCache(tmp_path), features)
        anchors = Controls(Batch(held), inputs, pipeline, n_not_trained_on=120)
        measure = plugins().load_metric(ENTRIES["coverage"])
        assert anchors.n_rows_for(measure) == rows
        assert len(anchors.sets_for(measure)["real"]) == rows


def test_a_score_says_how_good_its_classifier_is_and_has_no_anchor_of_train(train):
    run = train(data_points=300, data_valid=0, data_test=60)
    found = gancore.evaluate(run, metrics=["class_coverage", "height"], n=60, device="cpu")
    assert (
        found["class_coverage"].trust
        == "unchecked: no rows on which its classifier was not trained for controls"
    )
    assert "the classifier of the scores is right on" in found["class_coverage"].note
    assert found["height"].n_anchors == 60 and dots.CALLS
