"""What a run measures of itself on valid: the likelihood, and quick measures that need samples alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import nn

from gancore.domain import Batch, Domain, Spec, View
from gancore.errors import ConfigError, nearest
from gancore.evaluation.anchors import noise
from gancore.evaluation.evidence import Evidence
from gancore.evaluation.measure import Measure
from gancore.evaluation.trust import value_of
from gancore.models.sampling import condition_for, draw_samples, generates, to_cpu
from gancore.plugins import plugins
from gancore.runtime.randomness import Key, Rows
from gancore.training.diagnosis.spread import FEWEST, diversity
from gancore.training.verdict import BesideNoise
from gancore.trees import Tree, all_finite

FEWEST_ROWS = 2
"""Rows of valid below which no measure of samples can be taken."""
NLL = "nll"
"""The measure of every likelihood model: -log p(x) on valid, in nats a sample."""


@dataclass
class Evaluator:
    """Measures samples of a run beside rows of valid; the same rows and latents every time."""

    domain: Domain
    spec: Spec
    valid: View
    n: int
    key: Key
    measures: dict[str, Measure] = field(init=False)

    def __post_init__(self) -> None:
        entries = self.domain.measures_of(self.spec)
        found = {name: plugins().resolve(entry) for name, entry in entries.items()}
        self.measures = {
            name: measure for name, measure in found.items() if measure.quick and not measure.needs
        }
        count = min(self.n, len(self.valid))
        if count < FEWEST_ROWS:
            self.measures = {}
        key = (self.key.to("cpu") / "valid").cut(Rows.all(count))
        rows = (self.key.to("cpu") / "rows").permutation(len(self.valid))[:count]
        self.reference: Batch = self.valid.take(rows, key)

    def check(self, select: str | None, sampler: nn.Module) -> None:
        """Raises ConfigError where ``upkeep.select`` names no measure of this run."""
        if select is None:
            return
        known = [*self.measures_of(sampler), *self._nll(sampler)]
        if select not in known:
            raise ConfigError(f"upkeep.select: no measure {select!r} here", nearest(select, known))

    def measures_of(self, sampler: nn.Module) -> Mapping[str, Measure]:
        """The measures that this sampler's samples are shown to; a judge has none to show."""
        return self.measures if generates(sampler) else {}

    def better(self, name: str, value: float, best: float) -> bool:
        if math.isnan(value) or math.isnan(best):
            return not math.isnan(value)
        higher = name != NLL and self.measures[name].better == "higher"
        return value > best if higher else value < best

    def draw(self, sampler: nn.Module) -> Tree:
        """The samples that measures see, on the CPU."""
        condition = condition_for(sampler, self.domain, self.spec, None)
        return draw_samples(sampler, self.n, self.key / "samples", condition)[0]

    def __call__(self, sampler: nn.Module, samples: Tree = None) -> Mapping[str, float]:
        """Every measure by name; of ``samples``, where they have been drawn already.

        Of samples that are not finite every measure is NaN.
        """
        values: dict[str, float] = {}
        measures = self.measures_of(sampler)
        if measures:
            samples = self.draw(sampler) if samples is None else samples
            values = dict.fromkeys(measures, math.nan)
            if all_finite(samples):
                evidence = Evidence.of(samples, to_cpu(self.reference.data), self.spec)
                values = {name: measure.compute(evidence) for name, measure in measures.items()}
        return values | self._nll(sampler)

    def beside_noise(self, values: Mapping[str, float]) -> BesideNoise | None:
        """The domain's measure for selection, of the samples (in ``values``) and of noise.

        None where the domain names none, where it does not order noise, or with fewer than 32 rows.
        """
        name = self.domain.selection
        measure = self.measures.get(name)
        if measure is None or name not in values or measure.better is None or "noise" in measure.blind:
            return None
        if len(self.reference) < FEWEST:
            return None
        return BesideNoise(name, values[name], self._of_noise, measure.better)

    @cached_property
    def _of_noise(self) -> float:
        """The domain's measure for selection of noise; NaN where it fails."""
        real = to_cpu(self.reference.data)
        evidence = Evidence.of(noise(real, Key.of("valid", "noise")), real, self.spec)
        return value_of(self.measures[self.domain.selection], evidence)

    @cached_property
    def diversity(self) -> list[float]:
        """Mean distance of two rows of valid, by leaf."""
        return diversity(self.reference.data)

    def _nll(self, sampler: nn.Module) -> dict[str, float]:
        if not hasattr(sampler, "log_prob"):
            return {}
        with torch.no_grad():
            log_prob = sampler.log_prob(self.reference.to(self.key.device))  # type: ignore[operator]
        return {} if log_prob is None else {NLL: -log_prob.mean().item()}
