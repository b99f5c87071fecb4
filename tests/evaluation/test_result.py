"""What an evaluation found is written and read without loss, in strict JSON, whole or not at all."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused

from gancore.errors import CheckpointError
from gancore.evaluation.result import (
    EvaluationResult,
    MetricResult,
    read_evaluations,
    store_evaluation,
    to_json_value,
)

FLOATS = st.floats(allow_nan=False)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
READINGS = st.builds(
    MetricResult,
    metric=st.text(min_size=1),
    value=st.none() | FLOATS,
    low=st.none() | FLOATS,
    high=st.none() | FLOATS,
    method=st.text(),
    anchors=st.dictionaries(st.sampled_from(["real", "noise", "collapse"]), FLOATS),
    details=st.dictionaries(st.text(), ANY, max_size=3),
    seconds=st.floats(0, 1e6),
    skipped=st.text(),
)
SOME = EvaluationResult(
    "runs/a", (MetricResult("kid", 0.5, seconds=1.5), MetricResult("nll", None, skipped="no")), {"n": 3}
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(READINGS, max_size=4, unique_by=lambda reading: reading.metric), st.dictionaries(st.text(), ANY)
)
def test_nothing_is_lost_on_the_way(tmp_path_factory, results, about):
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    evaluation = EvaluationResult("model", tuple(results), about)
    evaluation.write(path)
    assert EvaluationResult.read(path) == evaluation


def test_every_line_is_strict_json_with_numbers_that_are_none_too(tmp_path):
    def refuse(word):
        raise AssertionError(f"{word} is not a JSON")

    anchors = {"real": math.nan, "noise": math.inf, "collapse": -math.inf}
    evaluation = EvaluationResult("m", (MetricResult("a", math.nan, anchors=anchors),))
    for line in evaluation.lines():
        json.loads(line, parse_constant=refuse)
    evaluation.write(tmp_path / "there")
    (found,) = EvaluationResult.read(tmp_path / "there")
    assert math.isnan(found.value) and math.isnan(found.anchors["real"])
    assert (found.anchors["noise"], found.anchors["collapse"]) == (math.inf, -math.inf)


def test_only_the_last_line_tells_the_time():
    slower = replace(SOME, results=tuple(replace(reading, seconds=9.0) for reading in SOME))
    assert SOME.lines()[:-1] == slower.lines()[:-1]
    assert json.loads(slower.lines()[-1]) == {"seconds": {"kid": 9.0, "nll": 9.0}}


def test_a_file_keeps_what_was_asked_otherwise_and_replaces_what_was_asked_alike(tmp_path):
    path = tmp_path / "evaluations.jsonl"
    other = replace(SOME, metadata={"n": 4})
    again = replace(SOME, results=(MetricResult("kid", 0.25),))
    for evaluation in (SOME, other, again):
        store_evaluation(path, evaluation)
    assert read_evaluations(path) == [other, again]
    assert EvaluationResult.read(path) == again


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"{}", b"[1]", b'"format"', b"\xff\xfe", b'{"format": 9}\n{"seconds": {}}', b"{" * 5000],
)
def test_what_is_no_evaluation_is_refused_in_one_line_and_kept_beside_the_next_one(tmp_path, content):
    path = tmp_path / "evaluations.jsonl"
    path.write_bytes(content)
    with refused(CheckpointError, "evaluations.jsonl", fix="evaluate"):
        EvaluationResult.read(path)
    store_evaluation(path, SOME)
    assert EvaluationResult.read(path) == SOME
    assert (tmp_path / "evaluations.jsonl.unreadable").read_bytes() == content


def test_a_file_that_was_cut_anywhere_is_never_taken_for_a_whole_one(tmp_path):
    path = tmp_path / "evaluations.jsonl"
    SOME.write(path)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 1, 5):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            EvaluationResult.read(path)


@pytest.mark.parametrize("number", [1, 2, 4])
def test_an_evaluation_of_another_format_is_refused(tmp_path, number):
    path = tmp_path / "evaluations.jsonl"
    SOME.write(path)
    path.write_text(path.read_text().replace('"format": 3', f'"format": {number}'))
    with refused(CheckpointError, "evaluations.jsonl", fix="evaluate"):
        EvaluationResult.read(path)


def test_tensors_and_arrays_become_lists():
    torch, numpy = pytest.importorskip("torch"), pytest.importorskip("numpy")
    arguments = {"curve": torch.tensor([1.0, 2.0]), "n": numpy.int64(3), 4: (True, None)}
    assert to_json_value(arguments) == {"curve": [1.0, 2.0], "n": 3, "4": [True, None]}
    with refused(TypeError, "object", "JSON"):
        to_json_value({"thing": object()})


def test_a_reading_is_found_by_its_measure_and_trusted_where_it_says_so():
    assert SOME["kid"].value == 0.5
    assert SOME["kid"].trusted
    assert replace(SOME["kid"], trust="yes, blind to noise by definition").trusted
    assert not replace(SOME["kid"], trust="no: noise no worse than real").trusted
