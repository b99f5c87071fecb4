"""A verdict on a measure: right, wrong and said so, or silently wrong."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from gancore_lab import distributions, metric_checks
from gancore_lab.cases import CASES, Case, CaseData
from gancore_lab.metric_checks import (
    CaseSets,
    CellResult,
    check_metrics,
    checkable_metrics,
    median_letter,
    question_for,
)

from gancore.entries import MetricEntry
from gancore.evaluation.cache import DiskCache
from gancore.metrics.metric import Interval, Metric
from gancore.random import Key

ENTRY = MetricEntry("tried", "gancore_lab.metric_checks:check_metrics", "made up")


def width(inputs):
    """Of the samples beside the real rows: 0 where both are as wide."""
    return abs(math.log(float(inputs.fake.features.std() / inputs.real.features.std())))


def steady(compute, reach=0.02):
    return lambda inputs: Interval(compute(inputs) - reach, compute(inputs) + reach, "known")


def distinct(inputs):
    """1 over the share of different samples: sees repetition and nothing else."""
    return len(inputs.fake.features) / len(inputs.fake.features.unique(dim=0))


WIDTH = Metric(width, "log", interval=steady(width, 0.1))
DISTINCT = Metric(distinct, "ratio", interval=steady(distinct))


def verdict(measure: Metric, name: str | Case, tmp_path, n=64, d=3) -> CellResult:
    case = CASES[name] if isinstance(name, str) else name
    case_data = CaseData(case.distribution, Key.of("judging"), n, d)
    found = dict(
        check_metrics(case, CaseSets.of(case, case_data), d, {"tried": (ENTRY, measure)}, DiskCache(tmp_path))
    )
    return found["tried"]


BUT = frozenset({"shrunk", "widened", "noise", "points"})
"""Anchors that a measure of repeated rows is blind to: all but the collapse."""
OTHER = replace(CASES["widened"], same_as_controls=frozenset())
"""A fault that nothing says beforehand."""


def test_what_sees_the_fault_passes(tmp_path):
    sees = replace(WIDTH, insensitive_to=frozenset({"collapse", "noise", "widened", "points"}))
    assert verdict(sees, "shrunken", tmp_path).letter == "P"
    assert verdict(sees, "equal laws", tmp_path).letter == "P"


def test_what_orders_its_anchors_and_misses_the_fault_is_silent(tmp_path):
    blind = replace(DISTINCT, insensitive_to=BUT)
    found = verdict(blind, OTHER, tmp_path)
    assert (found.letter, found.why) == ("S", "like real rows") and found.value == found.real == 1


def test_what_takes_the_fault_for_the_better_has_said_so(tmp_path):
    def spread(inputs):
        return float(inputs.fake.features.std()) + 100 * (distinct(inputs) - 1)

    blind = BUT
    found = verdict(
        Metric(spread, "", interval=steady(spread), insensitive_to=blind),
        replace(CASES["shrunken"], same_as_controls=frozenset()),
        tmp_path,
    )
    assert (found.letter, found.why) == ("W", "no: better than real rows")


def test_blindness_by_definition_is_said(tmp_path):
    blind = replace(DISTINCT, insensitive_to=BUT)
    found = verdict(blind, "shrunken", tmp_path)
    assert (found.letter, found.why) == ("W", "blind to it by its definition")


def test_what_does_not_order_its_anchors_has_said_so(tmp_path):
    nothing = Metric(lambda inputs: 1.0, "", interval=lambda inputs: Interval(0.9, 1.1, "none"))
    found = verdict(nothing, "shrunken", tmp_path)
    assert found.letter == "W" and found.why.startswith("no: ")


def test_an_interval_that_holds_a_bad_anchor_says_nothing(tmp_path):
    """It is sure of the good anchor alone, and of these samples of nothing."""

    def unsure(inputs):
        reach = 1e-6 if torch.equal(inputs.fake.features, held) else 100.0
        return Interval(distinct(inputs) - reach, distinct(inputs) + reach, "wide")

    case = OTHER
    held = CaseData(case.distribution, Key.of("judging"), 64, 3).held_out
    measure = Metric(distinct, "", interval=unsure, insensitive_to=BUT)
    assert verdict(measure, case, tmp_path).why == "its interval contains real rows and a bad control"


@pytest.mark.parametrize(("weight", "letter"), [(1e4, "F"), (1.0, "P")])
def test_fault_found_in_equal_laws_is_silent_where_it_is_material(weight, letter, tmp_path):
    """The value is one of the first row, which differs; a collapse is 1,900 behind real rows."""

    def first(inputs):
        return -weight * float(inputs.fake.features[0, 0]) + 100 * (distinct(inputs) - 1)

    jumpy = Metric(first, "", interval=steady(first, 1e-9), insensitive_to=BUT)
    assert verdict(jumpy, "equal laws", tmp_path).letter == letter


def test_a_value_that_depends_on_the_order_of_rows_is_found(tmp_path):
    def first(inputs):
        return -float(inputs.fake.features[0, 0]) + 100 * (distinct(inputs) - 1)

    case = replace(CASES["order of rows"], classes=False)
    blind = BUT
    assert (
        verdict(Metric(first, "", interval=steady(first, 0.5), insensitive_to=blind), case, tmp_path).letter
        == "D"
    )
    assert verdict(WIDTH, case, tmp_path).letter == "P"


def test_a_value_of_its_own_n_says_so(tmp_path):
    def count(inputs):
        return float(len(inputs.fake.features)) + 1e4 * (distinct(inputs) - 1)

    case, blind = CASES["number of rows"], frozenset({"shrunk", "widened", "noise", "points"})
    silent = Metric(count, "", interval=steady(count, 1.0), insensitive_to=blind)
    result = replace(
        silent, interval=lambda e: Interval(count(e) - 1, count(e) + 1, "of the value at this n")
    )
    assert verdict(silent, case, tmp_path).letter == "D"
    assert verdict(result, case, tmp_path).letter == "W"


def test_a_measure_that_fails_has_said_so(tmp_path):
    def fails(inputs):
        raise ValueError("no")

    found = verdict(Metric(fails, ""), "shrunken", tmp_path)
    assert found.letter == "W" and found.why.startswith("not computed")


@pytest.mark.parametrize(
    ("letters", "result"), [("PPS", "P"), ("PWS", "W"), ("SFP", "S"), ("PS", "S"), ("D", "D"), ("WWW", "W")]
)
def test_draws_are_told_by_their_median(letters, result):
    assert median_letter(letters) == result


def test_samples_at_half_the_spread_in_64_dimensions(tmp_path):
    """Each lies in the ball of some real row: precision is 1 (public knowledge), Frechet is far from real."""
    found = {
        name: pair for name, pair in checkable_metrics().items() if name in ("precision", "recall", "frechet")
    }
    case = CASES["shrunken"]
    case_data = CaseData(case.distribution, Key.of("judging"), 200, 64)
    result = dict(check_metrics(case, CaseSets.of(case, case_data), 64, found, DiskCache(tmp_path)))
    assert result["precision"].value == 1 and result["precision"].letter in "WS"
    assert result["recall"].letter == result["frechet"].letter == "P"


def test_every_measure_on_rows_posteriors_and_labels_is_checked():
    found = checkable_metrics()
    assert {"precision", "birthday", "label_accuracy", "inception_score"} <= found.keys()
    assert not found.keys() & {"nll", "classification_accuracy"}
    requested = {kind for case in CASES.values() for kind in case.worse}
    assert {question_for(name, measure) for name, (_, measure) in found.items()} <= requested


def test_laws_and_module_agree_on_the_number_of_modes():
    assert len(metric_checks.ExactPosteriors().classes) == len(distributions.centres(16))


@pytest.mark.parametrize(("reach", "letter"), [(0.6, "W"), (0.2, "S")])
def test_an_interval_as_wide_as_its_scale_says_nothing_without_an_anchor(reach, letter, tmp_path):
    """Blind to every anchor, as shares of classes are: only its interval can say that it does not know."""
    blind = frozenset({"collapse", "noise", "shrunk", "widened", "points"})
    measure = Metric(lambda e: 1.0, "", True, interval=steady(lambda e: 1.0, reach), insensitive_to=blind)
    assert verdict(measure, OTHER, tmp_path).letter == letter
