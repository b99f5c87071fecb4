"""Of samples, features and real rows that are constant or not finite every core measure says something."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gancore.data.dataset import Spec
from gancore.evaluation.cache import DiskCache
from gancore.evaluation.catalogue import CORE_METRICS
from gancore.evaluation.evaluator import Evaluator
from gancore.evaluation.features import FeaturePipeline
from gancore.evaluation.result import MetricResult
from gancore.metrics.metric import MetricInputs, SampleSet
from gancore.plugins import plugins
from gancore.random import CPU, Key

N, D, CLASSES = 100, 5, ["a", "b", "c"]
ENTRIES = {entry.name: entry for entry in CORE_METRICS}
JUDGED = {"classification_accuracy"}
"""What trains a judge looks at no features."""


def with_rows(x: Tensor, rows: int, value: float) -> Tensor:
    x = x.clone()
    x[:rows, 1] = value
    return x


WRONG: dict[str, Callable[[Tensor], Tensor]] = {
    "constant": lambda x: torch.full_like(x, 0.3),
    "one column constant": lambda x: with_rows(x, N, 1.5),
    "nan": lambda x: with_rows(x, 3, math.nan),
    "inf": lambda x: with_rows(x, 3, math.inf),
    "all inf": lambda x: torch.full_like(x, -math.inf),
}


def taker(tmp_path: Path, **made: Callable[[Tensor], Tensor]) -> Evaluator:
    """Sets by name, each of Gaussian rows that a function has changed."""
    sets = []
    for name in ("fake", "real", "train"):
        key = Key.of("outcomes", name)
        x, labels = (key / "x").normal(N, D), torch.arange(N) % 3
        x = made.get(name, torch.clone)(x)
        sets.append(SampleSet(x, labels, x, (key / "p").normal(N, 3).log_softmax(1)))
    log_prob = Key.of("outcomes", "log_prob").normal(N)
    inputs = MetricInputs(*sets, Spec({"classes": CLASSES}), log_prob=log_prob, classes=CLASSES)
    pipeline = FeaturePipeline(Spec({}), CPU, DiskCache(tmp_path))
    return Evaluator(inputs, pipeline, None, {"classifier": "none is given"}, MetricResult("", None))


def read(taker: Evaluator) -> dict[str, MetricResult]:
    return {name: taker.evaluate(entry, plugins().load_metric(entry)) for name, entry in ENTRIES.items()}


@pytest.mark.parametrize("sets", [("fake",), ("real", "train"), ("fake", "real", "train")], ids="+".join)
@pytest.mark.parametrize("wrong", ["constant", "one column constant"])
def test_of_what_is_constant_each_measure_has_a_value_or_a_reason(tmp_path, wrong, sets):
    for name, reading in read(taker(tmp_path, **dict.fromkeys(sets, WRONG[wrong]))).items():
        assert " raises " not in reading.skipped, name
        if name not in JUDGED and not reading.skipped:
            assert math.isfinite(reading.value), name
            assert not any(end is not None and math.isnan(end) for end in (reading.low, reading.high)), name


@pytest.mark.parametrize("part", ["fake", "real", "train"])
@pytest.mark.parametrize(("wrong", "rows"), [("nan", 3), ("inf", 3), ("all inf", N)])
def test_features_that_are_not_finite_are_named_and_cost_only_what_needs_them(tmp_path, wrong, rows, part):
    named = {"fake": "samples", "real": "reference rows", "train": "train rows"}
    reason = f"{rows} of {N} {named[part]}"
    for name, reading in read(taker(tmp_path, **{part: WRONG[wrong]})).items():
        requires = "features" in plugins().load_metric(ENTRIES[name]).all_requirements
        assert (reason in reading.skipped and "features" in reading.skipped) == requires, name
        assert " raises " not in reading.skipped, name


def test_constant_samples_are_the_worst_there_are(tmp_path):
    found = read(taker(tmp_path, fake=WRONG["constant"]))
    assert found["birthday"].value == 1 and found["birthday"].high < 1.1
    assert found["recall"].value == 0 and found["coverage"].value < 0.2
    assert found["c2st_trained"].value > 0.9


def test_real_rows_without_any_spread_are_named(tmp_path):
    found = read(taker(tmp_path, real=WRONG["constant"], train=WRONG["constant"]))
    assert "equal" in found["birthday"].skipped and "train" in found["copies"].skipped


def test_posteriors_may_be_certain_but_not_nothing():
    """log 0 is no fault; a value that is no number is one."""
    certain = torch.tensor([1.0, 0.0, 0.0]).log().repeat(N, 1)
    shown = SampleSet(certain, log_posteriors=certain)
    assert not MetricInputs(shown, shown, shown, Spec({})).invalid_reason("log_posteriors")
    certain[5, 1] = math.nan
    assert f"1 of {N} samples" in MetricInputs(shown, shown, shown, Spec({})).invalid_reason("log_posteriors")
