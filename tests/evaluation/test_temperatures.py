"""Curves over temperatures: areas in closed form, and what a point may say about another."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gancore.errors import ConfigError
from gancore.evaluation.result import BETTER_THAN_REAL, EvaluationResult, MetricResult
from gancore.evaluation.temperature_report import summarise_curve
from gancore.evaluation.temperatures import (
    CurvePoint,
    check_temperatures,
    curve_area,
    dominated_area,
    make_curve,
    read_temperatures,
    reference_point,
)

UNIT = st.floats(0, 1, allow_subnormal=False)


def result(metric: str, value: float, half: float = 0.0, **facts) -> MetricResult:
    defaults = {"higher_is_better": True, "anchors": {"real": 0.9, "noise": 0.0, "collapse": 0.0}}
    return MetricResult(metric, value, value - half, value + half, **(defaults | facts))


def point(quality: float, diversity: float, half: float = 0.0, temperature: float | None = 1.0) -> CurvePoint:
    return CurvePoint(temperature, result("precision", quality, half), result("recall", diversity, half))


@pytest.mark.parametrize(
    ("points", "area"),
    [
        ([], 0.0),
        ([(0.5, 0.4)], 0.2),
        ([(0.5, 0.4), (0.5, 0.4)], 0.2),
        ([(0.5, 0.4), (0.2, 0.8)], 0.2 + 0.2 * 0.4),
        ([(0.2, 0.8), (0.4, 0.6), (0.6, 0.4), (0.8, 0.2)], 0.04 * (4 + 3 + 2 + 1)),
        ([(0.5, 0.4), (0.4, 0.3)], 0.2),
        ([(-0.1, 0.9), (0.9, 0.0), (-1.0, -1.0)], 0.0),
    ],
    ids=["none", "one", "twice", "two", "a staircase", "one inside", "behind the reference"],
)
def test_the_area_in_closed_form(points, area):
    for _ in range(3):
        random.Random(0).shuffle(points)
        assert dominated_area(points, (0.0, 0.0)) == pytest.approx(area, abs=1e-12)
    moved = [(x + 3, y - 2) for x, y in points]
    assert dominated_area(moved, (3.0, -2.0)) == pytest.approx(area, abs=1e-12)


@given(st.lists(st.tuples(UNIT, UNIT), max_size=6), st.tuples(UNIT, UNIT))
def test_the_area_is_that_of_the_cells_below_a_point_and_no_point_makes_it_smaller(points, another):
    """Against a count on the grid of all coordinates."""
    xs, ys = (sorted({0.0, *(p[axis] for p in points)}) for axis in (0, 1))
    cells = [
        (right - left) * (top - bottom)
        for left, right in pairwise(xs)
        for bottom, top in pairwise(ys)
        if any(x >= right and y >= top for x, y in points)
    ]
    area = dominated_area(points, (0.0, 0.0))
    assert area == pytest.approx(math.fsum(cells), abs=1e-9)
    assert dominated_area([*points, another], (0.0, 0.0)) >= area - 1e-12


def test_a_quarter_circle_is_filled_from_inside():
    """n points on x^2 + y^2 = 1: the area tends to pi/4 from below, by less than 1/n of the side."""
    n = 2000
    angles = [math.pi / 2 * k / n for k in range(n + 1)]
    area = dominated_area([(math.cos(a), math.sin(a)) for a in angles], (0.0, 0.0))
    assert math.pi / 4 - 2 / n < area < math.pi / 4


def test_a_metric_that_should_be_low_gives_the_same_area():
    high = [point(0.6, 0.3), point(0.4, 0.7)]
    low = [
        CurvePoint(
            p.temperature,
            result("lm", 5 - p.quality.value, higher_is_better=False, anchors={"noise": 5.0}),
            result("reverse", 5 - p.diversity.value, higher_is_better=False, anchors={"collapse": 5.0}),
        )
        for p in high
    ]
    areas = [curve_area(curve, reference_point(curve)).value for curve in (high, low)]
    assert areas == pytest.approx([0.18 + 0.4 * 0.4] * 2)


def test_the_reference_is_the_worse_control_of_each_metric_or_the_worst_shown():
    def with_anchors(quality, diversity):
        return CurvePoint(1.0, result("p", 0.5, anchors=quality), result("r", 0.5, anchors=diversity))

    noisy = reference_point([with_anchors({"noise": 0.1, "collapse": 0.8}, {"noise": 0.9, "collapse": 0.2})])
    assert (noisy.quality, noisy.diversity, noisy.origin) == (0.1, 0.2, "controls")
    curve = [point(0.6, 0.3), point(0.4, 0.7), with_anchors({"noise": math.inf}, {})]
    shown = reference_point(curve[::-1])
    assert (shown.quality, shown.diversity, shown.origin) == (0.4, 0.3, "worst shown")
    assert reference_point([CurvePoint(1.0, result("p", math.nan), result("r", 0.5))]) is None


def test_the_ends_of_the_area_are_those_of_the_intervals():
    curve = [point(0.6, 0.3, 0.1), point(0.4, 0.7, 0.1)]
    area = curve_area(curve, reference_point(curve))
    assert (area.value, area.low, area.high) == pytest.approx(
        (0.18 + 0.16, 0.5 * 0.2 + 0.3 * 0.4, 0.7 * 0.4 + 0.5 * 0.4)
    )
    without = [CurvePoint(1.0, MetricResult("p", 0.5, higher_is_better=True), curve[0].diversity)]
    assert curve_area(without, reference_point(curve)).low is None


def test_a_point_dominates_only_beyond_both_intervals_in_both_metrics():
    assert point(0.8, 0.8, 0.04).dominates(point(0.7, 0.7, 0.04))
    assert not point(0.8, 0.8, 0.06).dominates(point(0.7, 0.7, 0.06))
    assert not point(0.8, 0.7, 0.04).dominates(point(0.7, 0.7, 0.04))
    assert not point(0.7, 0.7, 0.04).dominates(point(0.7, 0.7, 0.04))
    unbounded = CurvePoint(1.0, MetricResult("precision", 0.1, higher_is_better=True), result("recall", 0.1))
    assert not point(0.8, 0.8).dominates(unbounded)


def test_better_than_real_is_no_reason_for_distrust_of_a_cold_point_but_others_are():
    cold = CurvePoint(0.5, result("precision", 1.0, trust=BETTER_THAN_REAL), result("recall", 0.2))
    assert cold.distrust_reason == ""
    blind = CurvePoint(1.0, result("precision", 1.0, trust="yes, blind to collapse"), result("recall", 0.2))
    assert blind.distrust_reason == ""
    wrong = CurvePoint(
        1.0, result("precision", 1.0), result("recall", 0.2, trust="no: noise better than real")
    )
    assert wrong.distrust_reason == "recall: noise better than real"


def test_a_curve_is_in_the_order_of_its_temperatures():
    def evaluation(temperature, *metrics):
        return EvaluationResult("m", [result(m, 0.5) for m in metrics], {"temperature": temperature})

    found = make_curve([evaluation(1.2, "p", "r"), evaluation(0.6, "r", "p"), evaluation(0.1, "p")], "p", "r")
    assert [p.temperature for p in found] == [0.6, 1.2]
    assert {p.quality.metric for p in found} == {"p"}


def test_the_summary_names_area_corner_and_what_not_to_trust():
    metadata = {"n": 300, "seed": 0, "n_real": 100, "split": "test", "source": "ring", "temperature": 1.0}
    results = [result("precision", 0.6, 0.1), result("recall", 0.5, 0.1, trust="no: few rows")]
    lines = summarise_curve([EvaluationResult("m", results, metadata)])
    assert lines == [
        "n: 300 samples (seed 0) at each temperature beside 100 rows of test of ring; 95 % intervals over"
        " samples",
        "curve: precision against recall dominates an area of 0.3 (0.2 to 0.42) beyond the controls"
        " (precision 0, recall 0)",
        "distrust: recall: few rows",
    ]


def test_temperatures_are_read_in_order_and_once():
    assert read_temperatures("1, .6,1.2,0.6,") == [0.6, 1.0, 1.2]
    assert check_temperatures([2, 1]) == [1.0, 2.0]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("0", "temperature 0"),
        ("1,-0.5", "temperature -0.5"),
        ("nan", "temperature nan"),
        ("1,inf", "temperature inf"),
        ("warm", "'warm' names no temperatures"),
        ("", "names no temperatures"),
        (",".join(map(str, range(1, 60))), "59 temperatures are too many"),
    ],
)
def test_what_is_no_temperature_is_refused_in_one_line(text, named):
    with pytest.raises(ConfigError) as error:
        read_temperatures(text)
    assert named in str(error.value) and error.value.fix and "\n" not in str(error.value)
