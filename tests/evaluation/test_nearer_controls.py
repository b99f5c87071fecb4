"""Whether a value is nearer to real rows than to noise and to a collapse."""

from dataclasses import replace

import pytest

from gancore.evaluation.result import MetricResult

DISTANCE = MetricResult(
    "distance", 30.0, higher_is_better=False, anchors={"real": 10.0, "noise": 100.0, "collapse": 40.0}
)


@pytest.mark.parametrize(
    ("value", "nearer"),
    [(24.0, []), (25.0, ["collapse"]), (54.0, ["collapse"]), (60.0, ["noise", "collapse"]), (2.0, [])],
)
def test_of_a_distance(value, nearer):
    """Real rows have 10: halfway to the collapse is 25, to noise 54.5; below 10 real rows are the nearest."""
    assert replace(DISTANCE, value=value).nearer_controls == nearer


def test_the_value_for_as_many_rows_as_the_controls_decides():
    assert replace(DISTANCE, value=30.0, matched=20.0).nearer_controls == []


def test_of_shares_and_of_ratios():
    share = MetricResult("share", 0.3, higher_is_better=True, anchors={"real": 0.9, "noise": 0.1})
    assert share.nearer_controls == ["noise"] and replace(share, value=0.7).nearer_controls == []
    ratio = MetricResult("ratio", 1.4, ideal=1.0, anchors={"real": 0.95, "noise": 0.5})
    assert ratio.nearer_controls == ["noise"] and replace(ratio, value=1.1).nearer_controls == []


def test_a_control_that_the_measure_does_not_see_is_not_asked():
    assert replace(DISTANCE, trust="yes, blind to collapse by definition").nearer_controls == []


@pytest.mark.parametrize("change", [{"anchors": {}}, {"value": None}, {"anchors": {"real": 1.0}}])
def test_without_controls_it_is_not_known(change):
    assert replace(DISTANCE, **change).nearer_controls is None
    assert replace(DISTANCE, higher_is_better=None).nearer_controls is None
