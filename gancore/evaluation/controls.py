"""Control sets of known quality: held-out real rows (positive control) and degraded sets (negative controls).

A metric that does not order the controls correctly on some data is not trusted on these data. The values of
controls do not depend on the model and are cached.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from gancore.data.dataset import Batch, Spec
from gancore.digests import digest_code, digest_json, digest_tensors
from gancore.entries import MetricEntry
from gancore.errors import PluginError
from gancore.evaluation.features import FeaturePipeline, digest_spec, flatten_rows
from gancore.evaluation.result import TRUSTED, badness
from gancore.metrics.distances import nearest
from gancore.metrics.metric import Metric, MetricInputs, SampleSet
from gancore.metrics.two_sample import MIN_ROWS, c2st_neighbour_details
from gancore.random import Key, evaluation_key, shuffle_coordinates
from gancore.trees import Tree

VERSION = 4
COLLAPSE_SHARE = 0.05
"""The share of the held-out rows that the control ``collapse`` repeats."""
MAX_COORDINATES = 64
LIKELIHOOD_ROWS = 256
"""The number of rows of a control for a likelihood, which depends on the model and is not cached."""


def noise_is_distinguishable(rows: Tree) -> bool:
    """Whether a nearest-neighbour test distinguishes noise from the rows, at the 1 % level.

    Noise is the rows with every coordinate permuted, which changes nothing if there is one coordinate or all
    are independent. The test compares the halves of the rows in their coordinates. With many coordinates or
    few rows there is no test, and the function returns True.
    """
    x, half = flatten_rows(rows), len(flatten_rows(rows)) // 2
    if x.shape[1] == 1:
        return False
    if x.shape[1] > MAX_COORDINATES or half < MIN_ROWS:
        return True
    x = (x - x.mean(0)) / x.std(0).clamp_min(1e-12)
    shuffled = shuffle_coordinates(x[:half], evaluation_key("evaluate", "noise"))
    fake, real = (SampleSet(part, features=part) for part in (shuffled, x[half:]))
    return bool(c2st_neighbour_details(MetricInputs(fake, real, real, Spec({})))["p value"] < 0.01)


def collapse_indices(n: int) -> Tensor:
    """Row numbers of the control ``collapse``, (n,): the first twentieth (at least one row), repeated."""
    return torch.arange(n) % max(1, math.ceil(COLLAPSE_SHARE * n))


def scale_about_mean(features: Tensor, scale: float) -> Tensor:
    """Scale features (n, d) about their mean.

    At half the scale the tails are missing, and in many dimensions every row is nearer to real rows than
    real rows are to each other. At twice the scale rows are far from all real rows, and their k-NN balls
    contain all real rows.
    """
    mean = features.double().mean(0)
    return (mean + scale * (features.double() - mean)).float()


def cluster_to_points(features: Tensor) -> Tensor:
    """Move features (n, d) nine tenths of the way to the nearest row of those in the collapse, (n, d)."""
    points = features[: int(collapse_indices(len(features)).max()) + 1].double()
    centre = points[nearest(features, points, 1)[1].flatten()]
    return (centre + (features.double() - centre) / 10).float()


@dataclass(frozen=True)
class ControlValues:
    """The values of a metric on the controls, by name, and its interval on ``real``.

    A value is NaN if the metric fails on the control. ``real_interval`` is None if the metric has no interval
    or there are too few rows.
    """

    values: Mapping[str, float]
    real_interval: tuple[float, float] | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the metric failed on no control."""
        return not any(map(math.isnan, self.values.values()))

    def to_json(self) -> Any:
        return [dict(self.values), self.real_interval]

    @classmethod
    def from_json(cls, content: Any) -> ControlValues:
        values, interval = content
        return cls(values, interval and (interval[0], interval[1]))


@dataclass
class Controls:
    """The controls of an evaluation.

    Attributes:
        inputs: the inputs of the model's evaluation, of which only the real sets are used; train is without
            the held-out rows.
        n_not_trained_on: the number of leading held-out rows on which no model was trained; None for all.
            Metrics of a trained classifier use these rows only.
        log_prob: log p of each row under the model, in nats; None if the model has no likelihood.
        noise: ``noise(samples, key)``, as :meth:`gancore.Domain.noise`.
    """

    held_out: Batch
    inputs: MetricInputs
    pipeline: FeaturePipeline
    log_prob: Callable[[Batch], Tensor | None] | None = None
    n_not_trained_on: int | None = None
    noise: Callable[[Tree, Key], Tree] = shuffle_coordinates

    def n_rows_for(self, metric: Metric) -> int:
        """The number of rows of the controls of a metric; 0 if no rows may be used for it."""
        extractors = self.pipeline.by_requirement
        trained = any(
            name in extractors and extractors[name].trained_on_train for name in metric.all_requirements
        )
        if self.n_not_trained_on is not None and (trained or "classifier" in metric.requires):
            return self.n_not_trained_on
        return len(self.held_out)

    def sets_for(self, metric: Metric) -> Mapping[str, SampleSet]:
        """The control sets of a metric by name; for a metric of features only, also sets of features."""
        sets = self._sets_of_size(self.n_rows_for(metric))
        features = sets["real"].features
        if features is None or "features" not in metric.requires or metric.requires - {"features", "train"}:
            return sets
        degraded = {
            "shrunk": scale_about_mean(features, 0.5),
            "widened": scale_about_mean(features, 2.0),
            "points": cluster_to_points(features),
        }
        return {**sets, **{name: replace(sets["real"], features=x) for name, x in degraded.items()}}

    def _sets_of_size(self, count: int) -> Mapping[str, SampleSet]:
        if count not in self._sets:
            rows = self.held_out.slice(0, count)
            real = self.pipeline.extract(rows, cache=True)
            self._sets[count] = {"real": real}
            if self.has_noise:
                noise = Batch(self.noise(rows.data, evaluation_key("evaluate", "noise")), rows.condition)
                with contextlib.suppress(PluginError):  # features of noise may be infinite
                    self._sets[count]["noise"] = self.pipeline.extract(noise, cache=True)
            if count > 1:  # a single row equals its repetition
                self._sets[count]["collapse"] = real.select(collapse_indices(count))
        return self._sets[count]

    @cached_property
    def _sets(self) -> dict[int, dict[str, SampleSet]]:
        """Control sets by number of rows."""
        return {}

    @property
    def has_own_noise(self) -> bool:
        """Whether the domain defines its noise."""
        return self.noise is not shuffle_coordinates

    @cached_property
    def has_noise(self) -> bool:
        """Whether noise is a negative control on these data; the noise of a domain always is."""
        if self.has_own_noise:
            return True
        key = digest_json("noise", VERSION, digest_tensors(self.held_out.data))
        cached = self.pipeline.cache.read_json(key)
        if cached is None:
            cached = noise_is_distinguishable(self.held_out.data)
            self.pipeline.cache.write_json(key, cached)
        return bool(cached)

    def evaluate(self, entry: MetricEntry, metric: Metric) -> ControlValues:
        """The metric's values on its controls."""
        inputs = replace(self.inputs, key=self.inputs.key / entry.name)
        if metric.is_scored_by_model:
            return self._evaluate_likelihood(inputs, metric)
        if not self.n_rows_for(metric):
            return ControlValues({})
        cache, key = self.pipeline.cache, self._cache_key(entry, metric)
        cached = cache.read_json(key)
        if cached is not None:
            return ControlValues.from_json(cached)
        by_control = {name: replace(inputs, fake=rows) for name, rows in self.sets_for(metric).items()}
        result = _values_of(metric, by_control)
        if result.is_complete:
            cache.write_json(key, result.to_json())
        return result

    def _evaluate_likelihood(self, inputs: MetricInputs, metric: Metric) -> ControlValues:
        """Values of a likelihood, for which the controls replace the reference."""
        by_control = {}
        for name, rows in self._sets_of_size(len(self.held_out)).items():
            if self.log_prob is not None and name not in metric.insensitive_to:
                few = rows.select(torch.arange(min(len(rows), LIKELIHOOD_ROWS)))
                log_prob = self.log_prob(Batch(few.samples, few.condition))
                by_control[name] = replace(inputs, real=few, log_prob=log_prob)
        return _values_of(metric, by_control)

    def _cache_key(self, entry: MetricEntry, metric: Metric) -> str:
        """A digest of everything on which the values depend."""
        extractors = {name: self.pipeline.cache_key(name) for name in self.pipeline.by_requirement}
        train = [self._digests["train"], self.inputs.train_size]
        return digest_json(
            "anchors",
            VERSION,
            [entry.name, entry.target, digest_code(entry.target), list(self.inputs.key.path)],
            [self._digests["held_out"], self.n_rows_for(metric)],
            [self._digests["real"], *(train if "train" in metric.all_requirements else [])],
            {name: extractors[name] for name in sorted(metric.all_requirements & extractors.keys())},
            digest_spec(self.inputs.spec),
            *([] if self.noise is shuffle_coordinates else _describe_noise(self.noise)),
        )

    @cached_property
    def _digests(self) -> dict[str, str]:
        """Digests of the held-out, reference and train rows with their conditions."""
        real, train = self.inputs.real, self.inputs.train
        return {
            "held_out": digest_tensors([self.held_out.data, self.held_out.condition]),
            "real": digest_tensors([real.samples, real.condition]),
            "train": digest_tensors([train.samples, train.condition]),
        }


def _describe_noise(noise: Callable[[Tree, Key], Tree]) -> list[str]:
    """The name of a domain's noise, a bound method, and a digest of its code."""
    function: Any = getattr(noise, "__func__", noise)
    name = f"{function.__module__}:{function.__qualname__}"
    return [name, digest_code(name)]


def value_or_nan(metric: Metric, inputs: MetricInputs) -> float:
    """The value of the metric; NaN if it raises an error, for example because of too few rows."""
    try:
        return float(metric.compute(inputs))
    except Exception:
        return math.nan


def interval_or_none(metric: Metric, inputs: MetricInputs) -> tuple[float, float] | None:
    if metric.interval is None:
        return None
    try:
        low, high, _ = metric.interval(inputs)
        return float(low), float(high)
    except Exception:
        return None


def _values_of(metric: Metric, by_control: Mapping[str, MetricInputs]) -> ControlValues:
    """The interval comes directly after the value of the same rows: metrics share work by :func:`once`."""
    values, interval = {}, None
    for name, inputs in by_control.items():
        values[name] = value_or_nan(metric, inputs)
        if name == "real":
            interval = interval_or_none(metric, inputs)
    return ControlValues(values, interval)


def assess_trust(metric: Metric, on_controls: ControlValues) -> str:
    """The trust of a metric: "yes", or the reason for distrust.

    A negative control inside the interval of the positive one is not distinguished from it.
    """
    badness_of = partial(badness, higher_is_better=metric.higher_is_better, ideal=metric.ideal)
    values, insensitive_to = on_controls.values, sorted(metric.insensitive_to)
    if metric.higher_is_better is None:
        return "unordered: no direction is better"
    negative = [name for name in values if name != "real" and name not in insensitive_to]
    if not negative and not insensitive_to:
        return "unchecked: there are no controls"
    real = [badness_of(value) for value in (values["real"], *(on_controls.real_interval or ()))]
    failed = math.isnan(values["real"])
    missed = [name for name in negative if failed or not max(real) < badness_of(values[name])]
    better = [name for name in missed if badness_of(values[name]) < min(real)]
    reasons = [
        f"{' and '.join(names)} {reason}"
        for names, reason in (
            ([name for name in missed if name not in better], "not distinguished from real"),
            (better, "better than real"),
        )
        if names
    ]
    if reasons:
        return f"no: {', '.join(reasons)}"
    return f"{TRUSTED}, blind to {' and '.join(insensitive_to)} by definition" if insensitive_to else TRUSTED
