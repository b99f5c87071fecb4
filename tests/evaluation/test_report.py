"""An evaluation in eight lines: each verdict on readings whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gancore.evaluation.report import MAX_LINES, MAX_WIDTH, metrics_showing_collapse, summary
from gancore.evaluation.result import SPREAD, EvaluationResult, MetricResult

ABOUT = {"n": 500, "n_real": 500, "split": "test", "source": "ring"}
ANCHORS = {
    False: {"real": 10.0, "noise": 100.0, "collapse": 80.0},
    True: {"real": 0.9, "noise": 0.0, "collapse": 0.05},
}


def reading(
    measure: str, value: float, half: float = 0.0, higher_is_better: bool = False, **facts
) -> MetricResult:
    """With an interval, and one of a twentieth of its anchor about real rows."""
    anchors = facts.pop("anchors", ANCHORS[higher_is_better])
    real = anchors.get("real", 0.0)
    half = half or abs(real) / 20
    around = {"low": value - half, "high": value + half}
    matched = {"matched": value, "matched_low": value - half, "matched_high": value + half}
    beside = {"real_low": real - abs(real) / 20, "real_high": real + abs(real) / 20, "n_anchors": 500}
    fields = {
        "higher_is_better": higher_is_better,
        "anchors": anchors,
        **around,
        **matched,
        **beside,
        "n": 500,
        "n_real": 500,
    }
    return MetricResult(measure, value, **(fields | facts))


def recall(value: float, **facts) -> MetricResult:
    return reading("recall", value, higher_is_better=True, kind="diversity", **facts)


def lines(*results: MetricResult, **about) -> dict[str, str]:
    """By label; the first line has none."""
    summary_lines = summary(EvaluationResult("runs/a", results, ABOUT | about))
    return {
        "": summary_lines[0],
        **{line.partition(":")[0]: line.partition(":")[2].strip() for line in summary_lines[1:]},
    }


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (120.0, "frechet 120 (real 10, noise 100): no better than noise"),
        (99.9, "frechet 99.9 (real 10, noise 100): no better than noise"),
        (85.0, "frechet 85 (real 10, noise 100): no better than a collapsed model"),
        (37.0, "frechet 37 (real 10, noise 100): 70 % of the way to real"),
        (10.5, "frechet 10.5 (real 10, noise 100): not distinguishable from real rows"),
        (5.0, "frechet 5 (real 10, noise 100): not distinguishable from real rows"),
    ],
)
def test_how_good(value, said):
    assert lines(reading("frechet", value))["good"] == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.04, "collapsed: recall 0.04 of 0.9"),
        (0.5, "less than real: recall 0.5 of 0.9"),
        (0.88, "as real rows: recall 0.88 of 0.9"),
    ],
)
def test_how_diverse(value, said):
    assert lines(recall(value, half=0.02))["diverse"] == said


@pytest.mark.parametrize(("spread", "collapsed"), [(0.0, True), (0.8, True), (0.95, False), (1.2, False)])
def test_samples_that_miss_the_data_but_do_not_repeat_are_not_called_collapsed(spread, collapsed):
    """They cover as little as a few repeated rows do, since they are elsewhere."""
    covers_little = recall(0.04, half=0.02, details={SPREAD: spread})
    assert bool(metrics_showing_collapse([covers_little])) is collapsed
    assert lines(covers_little)["diverse"].startswith("collapsed" if collapsed else "less than real")


def test_what_is_compared_is_the_value_at_the_numbers_of_the_anchors():
    """Of 2,000 samples half a mode is covered; of 300, as many as there are real rows, a third."""
    many = recall(0.9, matched=0.3, matched_low=0.28, matched_high=0.32)
    assert lines(many)["diverse"] == "less than real: recall 0.3 of 0.9"
    unknown = recall(0.9, matched=None, matched_low=None, matched_high=None)
    assert unknown.worse_than_real() is None


def test_a_model_that_scores_its_controls_itself_is_not_called_like_real_rows():
    """By its own scores it has all rows alike, however few it makes; what others see of it decides."""
    own = reading("link_auc", 10.0, own_scored=True)
    assert own.difference_from("real") is None and own.worse_than_real() is None
    assert own.gap_closed is None and own.nearer_controls is None
    assert own.no_better_than("noise") is False
    alone = lines(own)
    assert alone["good"] == "link_auc 10 (noise 100): its own scores: not compared with real rows"
    assert "do not distinguish" not in alone["next"]
    far = reading("triangles", 55.0)
    assert lines(own, far)["good"] == "triangles 55 (real 10, noise 100): 50 % of the way to real"
    assert lines(own, reading("triangles", 10.0))["good"].endswith("not distinguishable from real rows")
    assert "no better than noise" in lines(replace(own, matched=99.0, matched_high=104.0))["good"]


def test_the_metric_that_decides_opens_and_others_behind_noise_are_named():
    results = [reading("frechet", 105.0), reading("lm", 37.0), reading("kid", 12.0)]
    shown = summary(EvaluationResult("m", results, ABOUT), main="lm")
    assert shown[1] == "good:     lm 37 (real 10, noise 100): 70 % of the way to real"
    assert shown[2] == "behind:   no better than noise by 1 of 3 metrics: frechet"
    assert "behind" not in lines(reading("frechet", 37.0))


def test_copies_are_said():
    def copies(value, half):
        return reading("copies", value, half, kind="memory", anchors={"real": 0.0})

    summary = lines(reading("frechet", 30.0), copies(0.2, 0.05))
    assert summary["copies"] == "samples copy train: 15 to 25 % of the samples"
    assert "gancore neighbours" in summary["next"]
    assert lines(copies(0.01, 0.01))["copies"].startswith("none found: 0 to 2 %")
    assert lines(reading("frechet", 30.0))["copies"] == "unknown"


def test_what_cannot_be_trusted_is_named_and_decides_nothing():
    doubted = reading("frechet", 5.0, trust="no: shrunk better than real")
    summary = lines(doubted, reading("kid", 99.0))
    assert summary["distrust"] == "1 of 2 metrics: frechet"
    assert summary["good"].startswith("kid 99 ")
    assert "no distance is trusted" in lines(doubted)["good"]


def test_the_gravest_fault_gives_the_advice():
    assert "no better than noise" in lines(reading("frechet", 120.0), recall(0.0))["next"]
    assert "samples repeat" in lines(reading("frechet", 30.0), recall(0.03))["next"]
    assert "do not distinguish" in lines(reading("frechet", 10.0), recall(0.9))["next"]


@pytest.mark.parametrize(("n_real", "advice"), [(3, "add data"), (500, "inspect samples, or choose")])
def test_samples_are_not_called_like_real_rows_where_no_distance_is_trusted(n_real, advice):
    doubted = reading("frechet", 10.0, trust="no: noise not distinguished from real")
    blind = reading("kid", 10.0, trust="yes, blind to noise and collapse by definition")
    for results in ([doubted], [doubted, blind]):
        assert lines(*results, n_real=n_real)["next"].startswith(advice)


def test_few_rows_and_weak_classifiers_are_noted():
    weak = {"accuracy": {"value": 0.528, "low": 0.36, "high": 0.69, "n": 36}}
    lines = summary(
        EvaluationResult("m", [reading("frechet", 30.0)], ABOUT | {"n_real": 80, "classifier": weak})
    )
    assert sum(line.startswith("note:") for line in lines) == 2
    assert any("right on 52.8 % of 36 rows of test" in line for line in lines)


def test_one_distance_that_tells_is_enough():
    """The chief one rests on few rows and cannot; another can."""
    unsure = reading("frechet", 30.0, half=40.0)
    assert "not distinguishable" in lines(unsure)["good"]
    assert "78 % of the way" in lines(unsure, reading("kid", 50.0))["good"]


@given(
    st.lists(st.tuples(st.text(max_size=30), st.floats(allow_nan=True), st.sampled_from(["yes", "no: x"]))),
    st.text(max_size=200),
)
@example([("", 0.0, "yes")], "0" * 76)
def test_whatever_is_measured_it_is_eight_lines_of_eighty_columns(found, name):
    results = [
        reading(measure, value, trust=trust, note=measure, kind=kind)
        for measure, value, trust in found
        for kind in ("distance", "diversity", "memory")
    ]
    lines = summary(EvaluationResult(name, results, ABOUT))
    assert len(lines) <= MAX_LINES and all(len(line) <= MAX_WIDTH for line in lines)


def test_where_nothing_was_taken_nothing_is_said():
    skipped = MetricResult("nll", None, skipped="the model has no likelihood", trust="not taken")
    assert summary(EvaluationResult("m", [skipped], ABOUT)) == []
