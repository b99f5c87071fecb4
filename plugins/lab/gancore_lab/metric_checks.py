"""Checks a metric on a case with a known answer; it is evaluated as in ``gancore evaluate``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from gancore import Batch, Metric, MetricEntry, MetricInputs, MetricResult, Spec
from gancore.data import Tree, digest_json
from gancore.metrics import (
    CORE_METRICS,
    DEPENDS,
    FALSE_ALARM,
    MISSED,
    Controls,
    Coordinates,
    Difference,
    DiskCache,
    Evaluator,
    FeaturePipeline,
)
from gancore.plugins import plugins
from gancore.random import CPU, evaluation_key
from gancore_lab.cases import Case, CaseData, Question, Truth
from gancore_lab.distributions import MODES, centres

RIGHT, ADMITS_IT = "PW"
"""Right; wrong or undecided with a trust, interval or definition that reports it."""
ORDER = RIGHT + ADMITS_IT + MISSED + FALSE_ALARM + DEPENDS
"""Letters from the best to the worst."""
AVAILABLE_NEEDS = frozenset({"features", "train", "log_posteriors", "condition"})
"""Inputs of metrics that the cases have."""
MATERIAL = 0.1
"""Equal distributions must differ by less than this share of the gap of real rows to the worst control."""


class CellResult(NamedTuple):
    """The result of one cell in one draw: its letter, the reason, and its numbers."""

    letter: str
    why: str
    value: float | None
    low: float | None
    high: float | None
    real: float | None


def checkable_metrics() -> dict[str, tuple[MetricEntry, Metric]]:
    """The metrics of the core that need rows, exact posteriors and labels only."""
    metrics = {entry.name: (entry, plugins().load_metric(entry)) for entry in CORE_METRICS}
    return {name: pair for name, pair in metrics.items() if pair[1].requires <= AVAILABLE_NEEDS}


def question_for(name: str, metric: Metric) -> Question:
    """The question that a metric answers, which is narrower than its kind."""
    if "log_posteriors" in metric.requires:
        return "labels" if "condition" in metric.requires else "classes"
    if metric.kind == "distance" and metric.ideal is not None:
        return "two-sample"
    return "support" if name == "birthday" else metric.kind


class ExactPosteriors(Coordinates):
    """Exact posteriors of the ten equal modes."""

    name = "bayes"

    @property
    def digest(self) -> str:
        return digest_json("bayes", 1)

    @property
    def classes(self) -> Sequence[str]:
        return [str(mode) for mode in range(MODES)]

    def log_posteriors(self, samples: Tree, spec: Spec) -> Tensor:
        rows = self.embed(samples, spec)
        return (-0.5 * torch.cdist(rows, centres(rows.shape[1]).to(rows)).square()).log_softmax(1)


def nearest_mode(rows: Tensor) -> Tensor:
    return torch.cdist(rows, centres(rows.shape[1])).argmin(1)


@dataclass(frozen=True)
class CaseSets:
    """The rows of one evaluation."""

    fake: Tensor
    real: Tensor
    train: Tensor
    held_out: Tensor
    seed: int = 0

    @classmethod
    def of(cls, case: Case, case_data: CaseData) -> CaseSets:
        reference, held_out = (
            round(share * case_data.n) for share in (case.reference_share, case.held_out_share)
        )
        real = case.reference(case_data.real[:reference])
        return cls(case.fake(case_data), real, case_data.train, case_data.held_out[:held_out])

    def twin(self, kind: str) -> CaseSets:
        """The sets with an equal result (see :data:`gancore_lab.cases.Twin`)."""
        if kind == "seed":
            return replace(self, seed=self.seed + 1)
        if kind == "order":
            return replace(self, fake=_sorted(self.fake), real=_sorted(self.real))
        fake, real, train, held_out = (
            x[: len(x) // 4] for x in (self.fake, self.real, self.train, self.held_out)
        )
        return CaseSets(fake, real, train, held_out, self.seed)


def _sorted(rows: Tensor) -> Tensor:
    return rows[rows[:, 0].argsort()]


def evaluator_for(sets: CaseSets, case: Case, store: DiskCache) -> Evaluator:
    """An evaluator as in ``gancore evaluate``; the features are the coordinates."""
    bayes = ExactPosteriors() if case.classes else None
    pipeline = FeaturePipeline(Spec({}), CPU, store, Coordinates(), bayes)

    def batch(rows: Tensor, labels: Callable[[Tensor], Tensor] = lambda modes: modes) -> Batch:
        return Batch(rows, labels(nearest_mode(rows)) if case.classes else None)

    fake = pipeline.extract(batch(sets.fake, case.labels), cache=False)
    real, train = (pipeline.extract(batch(rows), cache=False) for rows in (sets.real, sets.train))
    classes = bayes.classes if bayes else ()
    inputs = MetricInputs(
        fake, real, train, pipeline.spec, evaluation_key("evaluate", sets.seed), classes=classes
    )
    lacking = (
        {} if case.classes else dict.fromkeys(("log_posteriors", "condition"), "the case has no classes")
    )
    return Evaluator(
        inputs, pipeline, Controls(batch(sets.held_out), inputs, pipeline), lacking, MetricResult("", None)
    )


def check_metrics(
    case: Case, sets: CaseSets, d: int, metrics: Mapping[str, tuple[MetricEntry, Metric]], store: DiskCache
) -> Iterator[tuple[str, CellResult]]:
    """The result of each metric for which the case has an answer."""
    evaluator = evaluator_for(sets, case, store)
    twin = evaluator_for(sets.twin(case.twin), case, store) if case.twin else None
    for name, (entry, metric) in metrics.items():
        truth = case.truth(question_for(name, metric), d)
        if (
            truth is None
            or not (metric.higher_is_better is not None or twin)
            or metric.requires & evaluator.unavailable.keys()
        ):
            continue
        reading = evaluator.evaluate(entry, metric)
        if twin:
            yield name, _check_twins(case, reading, twin.evaluate(entry, metric))
        else:
            yield name, _check_result(case, truth, metric, reading)


def _result(letter: str, why: str, reading: MetricResult) -> CellResult:
    return CellResult(letter, why, reading.value, reading.low, reading.high, reading.anchors.get("real"))


def _check_result(case: Case, truth: Truth, metric: Metric, reading: MetricResult) -> CellResult:
    if reading.value is None:
        return _result(ADMITS_IT, f"not computed: {reading.skipped}", reading)
    if (beside := reading.difference_from("real")) is None:
        return _result(ADMITS_IT, f"not comparable with real rows; {reading.trust}", reading)
    said = int(beside.low > 0) - int(beside.high < 0)
    bad = [name for name in reading.anchors if name != "real" and name not in metric.insensitive_to]
    if (truth == "not worse" and said < 0) or (truth != "worse" and not _is_material(beside, reading, bad)):
        said = 0
    if said == (1 if truth == "worse" else 0):
        return _result(RIGHT, "" if reading.trusted else reading.trust, reading)
    if not reading.trusted:
        return _result(ADMITS_IT, reading.trust, reading)
    if case.same_as_controls & metric.insensitive_to:
        return _result(ADMITS_IT, "blind to it by its definition", reading)
    if truth == "worse" and not said and _is_undecided(reading, bad):
        return _result(ADMITS_IT, "its interval contains real rows and a bad control", reading)
    how = {1: "worse than real rows", 0: "like real rows", -1: "better than real rows"}[said]
    return _result(MISSED if truth == "worse" else FALSE_ALARM, how, reading)


def _is_material(beside: Difference, reading: MetricResult, bad: Sequence[str]) -> bool:
    """Whether a difference is a substantial share of the gap between real rows and the worst control."""
    real = reading.badness(reading.anchors["real"])
    ways = [reading.badness(reading.anchors[name]) - real for name in bad]
    return abs(beside.value) >= MATERIAL * max([way for way in ways if not math.isnan(way)], default=0.0)


def _is_undecided(reading: MetricResult, bad: Sequence[str]) -> bool:
    """Whether the interval, which contains real rows, also contains a bad control.

    If the metric is sensitive to no control: whether it is as wide as half the value of real rows.
    """
    if bad:
        besides = [reading.difference_from(name) for name in bad]
        return any(beside is not None and beside.high >= 0 for beside in besides)
    bounds = reading.badness_bounds
    return bounds is not None and bounds[1] - bounds[0] >= 0.5 * abs(reading.badness(reading.anchors["real"]))


def _check_twins(case: Case, one: MetricResult, other: MetricResult) -> CellResult:
    """Check that two results agree: exactly for another order of rows, otherwise within intervals."""
    if one.value is None or other.value is None:
        return _result(ADMITS_IT, f"not computed: {one.skipped or other.skipped}", one)
    apart = abs(one.value - other.value)
    reach = [0.0 if r.low is None or r.high is None else (r.high - r.low) / 2 for r in (one, other)]
    allowed = {"order": 1e-5 * abs(one.value) + 1e-3 * reach[0], "seed": reach[0]}
    if apart <= allowed.get(case.twin or "", math.hypot(*reach)) or apart < 1e-9:
        return _result(RIGHT, "" if one.trusted else one.trust, one)
    if not one.trusted or one.low is None:
        return _result(ADMITS_IT, one.trust, one)
    if case.twin == "size" and "at this n" in one.method:
        return _result(ADMITS_IT, "its method states that its interval is of the value at this n", one)
    return _result(DEPENDS, f"{other.value:.4g} elsewhere", one)


def median_letter(letters: Sequence[str]) -> str:
    """The median letter of several draws in the order of :data:`ORDER`; for an even number, the worse one."""
    return sorted(letters, key=ORDER.index)[len(letters) // 2]
