"""A verdict on a measure: right, wrong and said so, or silently wrong."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from gancore_lab import judging_measures, laws
from gancore_lab.cases import CASES, Case, World
from gancore_lab.judging_measures import Sets, Verdict, asked_of, judge, letter_of, measures

from gancore.evaluation.measure import Interval, Measure
from gancore.evaluation.store import Store
from gancore.records import MeasureEntry
from gancore.runtime.randomness import Key

ENTRY = MeasureEntry("tried", "gancore_lab.judging_measures:judge", "made up")


def width(evidence):
    """Of the samples beside the real rows: 0 where both are as wide."""
    return abs(math.log(float(evidence.fake.features.std() / evidence.real.features.std())))


def steady(compute, reach=0.02):
    return lambda evidence: Interval(compute(evidence) - reach, compute(evidence) + reach, "known")


def distinct(evidence):
    """1 over the share of different samples: sees repetition and nothing else."""
    return len(evidence.fake.features) / len(evidence.fake.features.unique(dim=0))


WIDTH = Measure(width, "log", interval=steady(width, 0.1))
DISTINCT = Measure(distinct, "ratio", interval=steady(distinct))


def verdict(measure: Measure, name: str | Case, tmp_path, n=64, d=3) -> Verdict:
    case = CASES[name] if isinstance(name, str) else name
    world = World(case.law, Key.of("judging"), n, d)
    found = dict(judge(case, Sets.of(case, world), d, {"tried": (ENTRY, measure)}, Store(tmp_path)))
    return found["tried"]


BUT = frozenset({"shrunk", "widened", "noise", "points"})
"""Anchors that a measure of repeated rows is blind to: all but the collapse."""
OTHER = replace(CASES["widened"], like=frozenset())
"""A fault that nothing says beforehand."""


def test_what_sees_the_fault_passes(tmp_path):
    sees = replace(WIDTH, blind=frozenset({"collapse", "noise", "widened", "points"}))
    assert verdict(sees, "shrunken", tmp_path).letter == "P"
    assert verdict(sees, "equal laws", tmp_path).letter == "P"


def test_what_orders_its_anchors_and_misses_the_fault_is_silent(tmp_path):
    blind = replace(DISTINCT, blind=BUT)
    found = verdict(blind, OTHER, tmp_path)
    assert (found.letter, found.why) == ("S", "like real rows") and found.value == found.real == 1


def test_what_takes_the_fault_for_the_better_has_said_so(tmp_path):
    def spread(evidence):
        return float(evidence.fake.features.std()) + 100 * (distinct(evidence) - 1)

    blind = BUT
    found = verdict(
        Measure(spread, "", interval=steady(spread), blind=blind),
        replace(CASES["shrunken"], like=frozenset()),
        tmp_path,
    )
    assert (found.letter, found.why) == ("W", "no: better than real rows")


def test_blindness_by_definition_is_said(tmp_path):
    blind = replace(DISTINCT, blind=BUT)
    found = verdict(blind, "shrunken", tmp_path)
    assert (found.letter, found.why) == ("W", "blind to it by its definition")


def test_what_does_not_order_its_anchors_has_said_so(tmp_path):
    nothing = Measure(lambda evidence: 1.0, "", interval=lambda evidence: Interval(0.9, 1.1, "none"))
    found = verdict(nothing, "shrunken", tmp_path)
    assert found.letter == "W" and found.why.startswith("no: ")


def test_an_interval_that_holds_a_bad_anchor_says_nothing(tmp_path):
    """It is sure of the good anchor alone, and of these samples of nothing."""

    def unsure(evidence):
        reach = 1e-6 if torch.equal(evidence.fake.features, held) else 100.0
        return Interval(distinct(evidence) - reach, distinct(evidence) + reach, "wide")

    case = OTHER
    held = World(case.law, Key.of("judging"), 64, 3).held
    measure = Measure(distinct, "", interval=unsure, blind=BUT)
    assert verdict(measure, case, tmp_path).why == "its interval holds what is good and what is bad"


@pytest.mark.parametrize(("weight", "letter"), [(1e4, "F"), (1.0, "P")])
def test_fault_found_in_equal_laws_is_silent_where_it_is_material(weight, letter, tmp_path):
    """The value is one of the first row, which differs; a collapse is 1,900 behind real rows."""

    def first(evidence):
        return -weight * float(evidence.fake.features[0, 0]) + 100 * (distinct(evidence) - 1)

    jumpy = Measure(first, "", interval=steady(first, 1e-9), blind=BUT)
    assert verdict(jumpy, "equal laws", tmp_path).letter == letter


def test_a_value_that_depends_on_the_order_of_rows_is_found(tmp_path):
    def first(evidence):
        return -float(evidence.fake.features[0, 0]) + 100 * (distinct(evidence) - 1)

    case = replace(CASES["order of rows"], classes=False)
    blind = BUT
    assert verdict(Measure(first, "", interval=steady(first, 0.5), blind=blind), case, tmp_path).letter == "D"
    assert verdict(WIDTH, case, tmp_path).letter == "P"


def test_a_value_of_its_own_n_says_so(tmp_path):
    def count(evidence):
        return float(len(evidence.fake.features)) + 1e4 * (distinct(evidence) - 1)

    case, blind = CASES["number of rows"], frozenset({"shrunk", "widened", "noise", "points"})
    silent = Measure(count, "", interval=steady(count, 1.0), blind=blind)
    told = replace(silent, interval=lambda e: Interval(count(e) - 1, count(e) + 1, "of the value at this n"))
    assert verdict(silent, case, tmp_path).letter == "D"
    assert verdict(told, case, tmp_path).letter == "W"


def test_a_measure_that_fails_has_said_so(tmp_path):
    def fails(evidence):
        raise ValueError("no")

    found = verdict(Measure(fails, ""), "shrunken", tmp_path)
    assert found.letter == "W" and found.why.startswith("not taken")


@pytest.mark.parametrize(
    ("letters", "told"), [("PPS", "P"), ("PWS", "W"), ("SFP", "S"), ("PS", "S"), ("D", "D"), ("WWW", "W")]
)
def test_draws_are_told_by_their_median(letters, told):
    assert letter_of(letters) == told


def test_samples_at_half_the_spread_in_64_dimensions(tmp_path):
    """Each lies in the ball of some real row: precision is 1 (public knowledge), Frechet is far from real."""
    found = {name: pair for name, pair in measures().items() if name in ("precision", "recall", "frechet")}
    case = CASES["shrunken"]
    world = World(case.law, Key.of("judging"), 200, 64)
    told = dict(judge(case, Sets.of(case, world), 64, found, Store(tmp_path)))
    assert told["precision"].value == 1 and told["precision"].letter in "WS"
    assert told["recall"].letter == told["frechet"].letter == "P"


def test_every_measure_on_rows_posteriors_and_labels_is_checked():
    found = measures()
    assert {"precision", "birthday", "label_accuracy", "inception_score"} <= found.keys()
    assert not found.keys() & {"nll", "classification_accuracy"}
    asked = {kind for case in CASES.values() for kind in case.worse}
    assert {asked_of(name, measure) for name, (_, measure) in found.items()} <= asked


def test_laws_and_module_agree_on_the_number_of_modes():
    assert len(judging_measures.Bayes().classes) == len(laws.centres(16))


@pytest.mark.parametrize(("reach", "letter"), [(0.6, "W"), (0.2, "S")])
def test_an_interval_as_wide_as_its_scale_says_nothing_without_an_anchor(reach, letter, tmp_path):
    """Blind to every anchor, as shares of classes are: only its interval can say that it does not know."""
    blind = frozenset({"collapse", "noise", "shrunk", "widened", "points"})
    measure = Measure(lambda e: 1.0, "", "higher", interval=steady(lambda e: 1.0, reach), blind=blind)
    assert verdict(measure, OTHER, tmp_path).letter == letter
