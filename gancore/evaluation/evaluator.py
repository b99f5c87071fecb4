"""Evaluates metrics: value, interval, values on the controls, and trust."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from statistics import fmean

from gancore.entries import MetricEntry
from gancore.errors import GancoreError, describe_error
from gancore.evaluation.catalogue import known_failures
from gancore.evaluation.controls import Controls, assess_trust
from gancore.evaluation.features import FeaturePipeline
from gancore.evaluation.result import BETTER_THAN_REAL, MetricResult, to_json_value
from gancore.metrics.metric import Metric, MetricInputs

MATCHED_SUBSETS = 5
"""The number of subsets of the samples, of the controls' size, over which the matched value is averaged."""
NOT_COMPUTED = "not taken"


@dataclass(frozen=True)
class Evaluator:
    """Evaluates metrics and compares each value with those of the controls.

    ``unavailable`` has the reason for each requirement of metrics that is not met. ``controls`` is None if
    there are no rows for them. ``template`` has the fields that all results share. ``notes`` has, for each
    requirement, a note on the extractor or classifier that meets it.
    """

    inputs: MetricInputs
    pipeline: FeaturePipeline
    controls: Controls | None
    unavailable: Mapping[str, str]
    template: MetricResult
    notes: Mapping[str, str] = field(default_factory=dict)

    def evaluate(self, entry: MetricEntry, metric: Metric) -> MetricResult:
        """Evaluate one metric. An error of the metric is the reason in its result, which is then skipped."""
        began = time.perf_counter()
        result = self._describe(entry, metric)
        reasons = [self.unavailable[name] for name in sorted(metric.requires) if name in self.unavailable]
        reasons += [
            reason for name in sorted(metric.all_requirements) if (reason := self.inputs.invalid_reason(name))
        ]
        if reasons:
            return replace(result, skipped=reasons[0], trust=NOT_COMPUTED)
        try:
            result = self._compute(result, entry, metric)
        except GancoreError as error:
            result = replace(result, skipped=str(error), trust=NOT_COMPUTED)
        except Exception as error:
            reason = f"{entry.target} raises {describe_error(error)}"
            result = replace(result, skipped=reason, trust=NOT_COMPUTED)
        return replace(result, seconds=round(time.perf_counter() - began, 3))

    def _describe(self, entry: MetricEntry, metric: Metric) -> MetricResult:
        by_requirement = self.pipeline.by_requirement
        extractors = [by_requirement[name] for name in by_requirement if name in metric.all_requirements]
        n, n_real = metric.rows_used(len(self.inputs.fake), len(self.inputs.real))
        return replace(
            self.template,
            metric=entry.name,
            unit=metric.unit,
            higher_is_better=metric.higher_is_better,
            kind=metric.kind,
            ideal=metric.ideal,
            own_scored=metric.is_scored_by_model,
            n=n,
            n_real=n_real,
            features=", ".join(extractor.name for extractor in extractors),
            features_hash=", ".join(extractor.digest for extractor in extractors),
            note="; ".join(self._notes(entry, metric, n)),
        )

    def _notes(self, entry: MetricEntry, metric: Metric, n: int) -> Iterator[str]:
        yield from (self.notes[name] for name in sorted(metric.requires) if name in self.notes)
        features = self.inputs.fake.features
        if features is None or "features" not in metric.requires:
            return
        if failures := known_failures(entry.name, features.shape[1], n):
            yield f"{entry.name} {failures}"

    def _compute(self, result: MetricResult, entry: MetricEntry, metric: Metric) -> MetricResult:
        inputs = replace(self.inputs, key=self.inputs.key / entry.name)
        result = replace(result, value=float(metric.compute(inputs)))
        if metric.interval is not None:
            try:
                low, high, method = metric.interval(inputs)
                result = replace(result, low=float(low), high=float(high), method=method)
            except GancoreError as error:  # too few samples for an interval
                result = replace(result, method=f"none: {error}")
        if metric.details is not None:
            result = replace(result, details=to_json_value(metric.details(inputs)))
        caveat = metric.caveat(inputs) if metric.caveat else ""
        if self.controls is None or not (count := self.controls.n_rows_for(metric)):
            return replace(result, trust=f"no: {caveat}" if caveat else self._no_controls_reason())
        on_controls = self.controls.evaluate(entry, metric)
        real_low, real_high = on_controls.real_interval or (None, None)
        result = replace(
            result,
            anchors=on_controls.values,
            real_low=real_low,
            real_high=real_high,
            n_anchors=count,
            trust=f"no: {caveat}" if caveat else assess_trust(metric, on_controls),
        )
        return distrust_better_than_real(self._add_matched_value(result, metric, inputs))

    def _no_controls_reason(self) -> str:
        rows = "held-out rows" if self.controls is None else "rows on which its classifier was not trained"
        return f"unchecked: no {rows} for controls"

    def _add_matched_value(self, result: MetricResult, metric: Metric, inputs: MetricInputs) -> MetricResult:
        """Add the value for as many samples as the controls have rows: the mean over subsets of the samples.

        Its interval is that of the first subset, shifted to this mean. Metrics that train a classifier are
        left out.
        """
        n, n_real, count = len(inputs.fake), len(inputs.real), result.n_anchors
        same = metric.rows_used(n, n_real) == metric.rows_used(count, n_real)
        if same or metric.mean_over_samples or metric.is_scored_by_model:
            return replace(result, matched=result.value, matched_low=result.low, matched_high=result.high)
        if count > n or "classifier" in metric.requires or result.low is None or metric.interval is None:
            return result
        try:
            subsets = (
                inputs.subsample_fake(count, inputs.key / "matched" / number)
                for number in range(MATCHED_SUBSETS)
            )
            first = next(subsets)
            values = [float(metric.compute(first))]
            low, high, _ = metric.interval(first)  # next to its value: metrics share work by :func:`once`
            values += [float(metric.compute(subset)) for subset in subsets]
        except GancoreError:  # too few rows
            return result
        shift = fmean(values) - values[0]
        return replace(result, matched=fmean(values), matched_low=low + shift, matched_high=high + shift)


def distrust_better_than_real(result: MetricResult) -> MetricResult:
    """Remove the trust of a result whose value is better than that of held-out real rows.

    No model can be better than real rows. Metrics of memorization are exempt: samples may be farther from
    train than held-out rows.
    """
    difference = result.difference_from("real")
    if not result.trusted or difference is None or difference.high >= 0 or result.kind == "memory":
        return result
    return replace(result, trust=BETTER_THAN_REAL)
