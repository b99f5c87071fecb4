"""Validation of a run: the likelihood on valid, and quick metrics that need samples alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import torch
from torch import Tensor

from gancore.data.dataset import Batch, Spec, View
from gancore.domain import Domain
from gancore.errors import ConfigError
from gancore.evaluation.controls import value_or_nan
from gancore.evaluation.result import badness
from gancore.games.sampler import Sampler
from gancore.metrics.metric import Metric, MetricInputs, SampleSet
from gancore.models.sampling import condition_sampler, draw_samples, to_cpu
from gancore.plugins import plugins
from gancore.random import Key, RowRange, evaluation_key
from gancore.text import suggestion
from gancore.training.diagnosis.diversity import MIN_ROWS as MIN_CHECKED_ROWS
from gancore.training.diagnosis.diversity import diversity
from gancore.training.quality import NoiseComparison
from gancore.trees import Tree, tree_all_finite

MIN_ROWS = 2
"""Rows of valid below which metrics of samples are not computed."""
ON_DEMAND = frozenset({"train", "likelihood"})
"""What metrics may need that are computed only to select by them."""
LIKELIHOOD_ROWS = 256
NLL = "nll"
"""The metric of every likelihood model: -log p(x) on valid, in nats per sample."""


@dataclass
class Validator:
    """Computes metrics of a run's samples against rows of valid; the same rows and latents every time.

    Metrics that need rows of ``train`` or the model's likelihood are computed if ``select`` names one, alone:
    they take time, and one row of valid is enough for them.
    """

    domain: Domain
    spec: Spec
    valid: View
    n_samples: int
    key: Key
    select: str | None = None
    train: View | None = None
    metrics: dict[str, Metric] = field(init=False)
    on_demand: Mapping[str, Metric] = field(init=False)

    def __post_init__(self) -> None:
        entries = self.domain.metrics_for(self.spec)
        metrics_by_name = {name: plugins().load_object(entry) for name, entry in entries.items()}
        self.metrics = {
            name: metric for name, metric in metrics_by_name.items() if metric.quick and not metric.requires
        }
        count = min(self.n_samples, len(self.valid))
        if len(self.valid) < MIN_ROWS:
            self.metrics = {}
        wanted = metrics_by_name.get(self.select or "")
        self.on_demand = {n: m for n, m in metrics_by_name.items() if m.requires and m.requires <= ON_DEMAND}
        if wanted is not None and self.select in self.on_demand:
            self.metrics[str(self.select)] = wanted
        key = (self.key.to("cpu") / "valid").with_rows(RowRange.all(count))
        rows = (self.key.to("cpu") / "rows").permutation(len(self.valid))[:count]
        self.reference: Batch = self.valid.get_batch(rows, key)

    def require_metric(self, select: str | None, sampler: Sampler) -> None:
        """Raises ConfigError: ``validation.select`` names no metric of this run."""
        if select is None:
            return
        names = [*self.metrics_for(sampler), *self._nll(sampler)]
        if select in self.metrics and "likelihood" in self.metrics[select].requires and NLL not in names:
            raise ConfigError(
                f"validation.select: {select} needs a likelihood, which this model has not",
                "set validation.select=null for the last model",
            )
        if select not in names:
            raise ConfigError(
                f"validation.select: no measure {select!r} here",
                suggestion(select, [*names, *self.on_demand]),
            )
        if (
            select != NLL
            and self.metrics[select].higher_is_better is None
            and self.metrics[select].ideal is None
        ):
            ordered = [
                name for name in names if name == NLL or self.metrics[name].higher_is_better is not None
            ]
            raise ConfigError(
                f"validation.select: neither end of {select} is better, and it has no ideal value",
                f"select one of {', '.join(ordered) or 'the last model (null)'}",
            )

    def metrics_for(self, sampler: Sampler) -> Mapping[str, Metric]:
        """The metrics of this sampler's samples; a classifier has no samples."""
        return self.metrics if sampler.can("sample") else {}

    def is_better(self, name: str, value: float, best: float) -> bool:
        """Whether a value is nearer to the metric's better end, or to its ideal value."""
        if math.isnan(value) or math.isnan(best):
            return not math.isnan(value)
        if name == NLL:
            return value < best
        metric = self.metrics[name]
        return badness(value, metric.higher_is_better, metric.ideal) < badness(
            best, metric.higher_is_better, metric.ideal
        )

    def draw_samples(self, sampler: Sampler) -> Tree:
        """The samples that metrics are computed of, on the CPU."""
        condition = condition_sampler(sampler, self.domain, self.spec, None)
        return draw_samples(sampler, self.n_samples, self.key / "samples", condition)[0]

    def validate(self, sampler: Sampler, samples: Tree = None) -> Mapping[str, float]:
        """Every metric by name; of ``samples``, if they have been drawn already.

        For non-finite samples every metric is NaN.
        """
        values: dict[str, float] = {}
        metrics = self.metrics_for(sampler)
        if metrics:
            samples = self.draw_samples(sampler) if samples is None else samples
            values = dict.fromkeys(metrics, math.nan)
            if tree_all_finite(samples):
                inputs = self._inputs(sampler, samples)
                values = {name: metric.compute(inputs) for name, metric in metrics.items()}
        return values | self._nll(sampler)

    def _inputs(self, sampler: Sampler, samples: Tree) -> MetricInputs:
        inputs = MetricInputs.from_samples(samples, to_cpu(self.reference.data), self.spec)
        if self.train is not None and any(metric.requires for metric in self.metrics.values()):
            rows = torch.arange(min(len(self.train), max(self.n_samples, MIN_ROWS)))
            key = (self.key.to("cpu") / "train").with_rows(RowRange.all(len(rows)))
            train = self.train.get_batch(rows, key)
            inputs = replace(inputs, train=SampleSet(train.data, train.condition))
        if sampler.can("likelihood"):
            inputs = replace(inputs, likelihood=partial(self._log_prob, sampler))
        return inputs

    def _log_prob(self, sampler: Sampler, rows: Batch) -> Tensor | None:
        """Nats of rows on the CPU, (n,), in parts."""
        parts: list[Tensor] = []
        with torch.no_grad():
            for start in range(0, len(rows), LIKELIHOOD_ROWS):
                part = sampler.log_prob(rows.slice(start, start + LIKELIHOOD_ROWS).to(self.key.device))
                if part is None:
                    return None
                parts.append(part.cpu())
        return torch.cat(parts)

    def noise_baseline(self, values: Mapping[str, float]) -> NoiseComparison | None:
        """The domain's selection metric, of the samples (in ``values``) and of noise.

        None if the domain names none, if it does not order noise, or with fewer than 32 rows.
        """
        name = self.domain.selection_metric
        metric = self.metrics.get(name)
        if (
            metric is None
            or name not in values
            or metric.higher_is_better is None
            or "noise" in metric.insensitive_to
        ):
            return None
        if len(self.reference) < MIN_CHECKED_ROWS:
            return None
        return NoiseComparison(name, values[name], self._noise_value, metric.higher_is_better)

    @cached_property
    def _noise_value(self) -> float:
        """The domain's selection metric of noise; NaN if it fails."""
        real = to_cpu(self.reference.data)
        noise = self.domain.noise(real, evaluation_key("valid", "noise"))
        inputs = MetricInputs.from_samples(noise, real, self.spec)
        return value_or_nan(self.metrics[self.domain.selection_metric], inputs)

    @cached_property
    def diversity(self) -> list[float]:
        """Mean distance of two rows of valid, by leaf."""
        return diversity(self.reference.data)

    def _nll(self, sampler: Sampler) -> dict[str, float]:
        if not sampler.can("likelihood"):
            return {}
        with torch.no_grad():
            log_prob = sampler.log_prob(self.reference.to(self.key.device))
        return {} if log_prob is None else {NLL: -log_prob.mean().item()}


def _has_order(metric: Metric) -> bool:
    """Whether of two values one is better: there is a better end, or an ideal value."""
    return metric.higher_is_better is not None or metric.ideal is not None
