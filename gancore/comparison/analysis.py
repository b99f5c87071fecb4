"""Compares recipes by every metric; imports no torch.

The value of a recipe is the mean over its seeds. There are two separate uncertainties: the interval over
samples of each trained model, and the standard deviation over seeds, that is over trainings.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import mean, stdev

from gancore.evaluation.result import TRUSTED, EvaluationResult, MetricResult

UNORDERED_TRUST = "unordered"
"""Start of the trust text of a metric that has no better direction."""


@dataclass(frozen=True)
class RecipeResult:
    """The results of one recipe by one metric, one for each seed that was evaluated."""

    name: str
    readings: Mapping[int, MetricResult]

    @property
    def values(self) -> list[float]:
        return [float(r.value) for r in self.readings.values() if r.value is not None]

    @property
    def value(self) -> float:
        """The mean over seeds."""
        return mean(self.values) if self.values else math.nan

    @property
    def bounds(self) -> list[tuple[float, float]]:
        """The ends of the interval of each seed as badness, for which lower is better."""
        return [
            bounds for reading in self.readings.values() if (bounds := reading.badness_bounds) is not None
        ]

    @property
    def lows(self) -> list[float]:
        return [r.low for r in self.readings.values() if r.low is not None]

    @property
    def highs(self) -> list[float]:
        return [r.high for r in self.readings.values() if r.high is not None]

    def anchors(self, name: str) -> float:
        """The value of this control: the mean over seeds, because likelihoods have controls of their own."""
        return mean(reading.anchors.get(name, math.nan) for reading in self.readings.values())

    @property
    def matched(self) -> float | None:
        """The mean over seeds, computed from as many samples as the controls have rows; None if unknown."""
        values = [r.matched for r in self.readings.values() if r.matched is not None]
        return mean(values) if len(values) == len(self.readings) > 0 else None

    @property
    def std_over_seeds(self) -> float | None:
        """Standard deviation over seeds; None for fewer than two seeds."""
        return stdev(self.values) if len(self.values) > 1 else None

    @property
    def distrust_reason(self) -> str:
        """Why the metric is not trusted for a seed; empty if it is trusted or has no better direction."""
        trusts = [r.trust for r in self.readings.values() if not (r.skipped or r.trusted)]
        reasons = [trust for trust in trusts if not trust.startswith(UNORDERED_TRUST)]
        return reasons[0].removeprefix("no:").strip() if reasons else ""

    @property
    def skip_reason(self) -> str:
        """Why the metric was not computed for a seed; empty if it was."""
        return next((reading.skipped for reading in self.readings.values() if reading.skipped), "")

    @property
    def is_reliable(self) -> bool:
        """Whether every seed has a finite, trusted value with an interval."""
        numbers = [*self.values, *self.lows, *self.highs]
        bounded = len(self.lows) == len(self.highs) == len(self.values) == len(self.readings) > 0
        trusted = all(reading.trust.startswith(TRUSTED) for reading in self.readings.values())
        return bounded and trusted and all(math.isfinite(number) for number in numbers)


@dataclass(frozen=True)
class MetricComparison:
    """The results of all evaluated recipes by one metric, in the order of the configuration.

    ``left_out``: recipes for which the metric is not trusted, with the reason, if it compares the others
    without them (:meth:`among_trusted`).
    """

    metric: str
    results: Mapping[str, RecipeResult]
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def readings(self) -> list[MetricResult]:
        return [reading for result in self.results.values() for reading in result.readings.values()]

    @property
    def first(self) -> MetricResult:
        """The first result that is not skipped, or the first one; all results have its unit and direction."""
        computed = [reading for reading in self.readings if not reading.skipped]
        return (computed or self.readings)[0]

    @property
    def anchors(self) -> Mapping[str, float]:
        """The controls that all results share; empty if each model has its own, as likelihoods do."""
        return self.first.anchors if self.shares_controls else {}

    @property
    def shares_controls(self) -> bool:
        """Whether the controls have the same values for all models; not if each scores them itself."""
        return not any(reading.own_scored for reading in self.readings)

    def among_trusted(self, measured_only: bool = False) -> MetricComparison:
        """The comparison of the recipes for which the metric is trusted, if each model has its own controls.

        A model whose scores do not order its controls, such as an untrained one, says nothing of the scores
        of another. The comparison itself if the controls are shared, or if fewer than two recipes are left.
        ``measured_only``: recipes for which the metric was not computed are left out, too.
        """
        reasons = {
            name: result.distrust_reason or (result.skip_reason if measured_only else "")
            for name, result in self.results.items()
        }
        left_out = {name: reason for name, reason in reasons.items() if reason}
        trusted = {name: result for name, result in self.results.items() if name not in left_out}
        if self.shares_controls or not left_out or len(trusted) < 2:
            return self
        return replace(self, results=trusted, left_out=left_out)

    @property
    def higher(self) -> bool:
        return self.first.higher_is_better is True

    @property
    def distrust_reason(self) -> str:
        """Why the metric is not trusted on these data; empty if it is trusted or has no better direction."""
        return next(filter(None, (result.distrust_reason for result in self.results.values())), "")

    @property
    def is_decisive(self) -> bool:
        """Whether the metric can order recipes: it has a better direction and only reliable results."""
        return self.first.higher_is_better is not None and all(s.is_reliable for s in self.results.values())

    @property
    def can_be_headline(self) -> bool:
        """Whether the verdict may be about this metric: decisive, trusted and sensitive to every control."""
        return self.is_decisive and all(reading.trust == TRUSTED for reading in self.readings)

    def badness(self, name: str) -> float:
        """Badness of the mean over seeds: lower is better."""
        return self.first.badness(self.results[name].value)

    def is_better(self, one: str, than: str) -> bool:
        """Whether recipe ``one`` is better than recipe ``than``.

        It is if the intervals do not overlap in any pair of seeds, ``one`` is better than every bad control,
        and ``than`` is worse than real rows.
        """
        bounds, others = (self.results[name].bounds for name in (one, than))
        if not (bounds and others and max(high for _, high in bounds) < min(low for low, _ in others)):
            return False
        return not (self.is_bad(one) or self.matches_real(than))

    def ranked(self) -> list[str]:
        """Names from the best value to the worst."""
        return sorted(self.results, key=self.badness)

    def leaders(self) -> list[str]:
        """The best recipe, and all recipes that it is not better than (see :meth:`is_better`)."""
        best, *others = self.ranked()
        return [best, *(name for name in others if not self.is_better(best, name))]

    def is_leader(self, name: str) -> bool:
        """Whether the recipe is one of the leaders and at least one recipe is not."""
        leaders = self.leaders()
        return name in leaders and len(leaders) < len(self.results)

    def matches_real(self, name: str, comparisons: int = 1) -> bool:
        """Whether no trial of this recipe is worse than held-out real rows; False if it is unknown."""
        worse = [reading.worse_than_real(comparisons) for reading in self._readings_of(name)]
        return bool(worse) and not any(each or each is None for each in worse)

    def worse_than_real(self, name: str, comparisons: int) -> bool:
        """Whether a trial of this recipe is worse than held-out real rows."""
        return any(reading.worse_than_real(comparisons) for reading in self._readings_of(name))

    def no_better_than(self, name: str, anchor: str) -> bool:
        """Whether no trial of this recipe is better than a bad control."""
        readings = self._readings_of(name)
        return bool(readings) and all(reading.no_better_than(anchor) for reading in readings)

    def is_bad(self, name: str) -> bool:
        """Whether the recipe is no better than one of the bad controls that the metric is sensitive to."""
        return any(self.no_better_than(name, anchor) for anchor in self.first.visible_controls)

    def gap_closed(self, name: str) -> float | None:
        """The closed share of the gap between a bad control and real rows: the mean over seeds.

        None if it is unknown.
        """
        shares = [reading.gap_closed for reading in self._readings_of(name)]
        known = [share for share in shares if share is not None]
        return mean(known) if known and len(known) == len(shares) else None

    def _readings_of(self, name: str) -> list[MetricResult]:
        return list(self.results[name].readings.values())


@dataclass(frozen=True)
class Analysis:
    """The comparison by each metric. ``preferred_metric`` is that of the verdict if it is suitable."""

    comparisons: Sequence[MetricComparison] = ()
    names: Sequence[str] = field(default_factory=tuple)
    preferred_metric: str = ""

    def __iter__(self) -> Iterator[MetricComparison]:
        return iter(self.comparisons)

    def readings_of(self, name: str) -> list[list[MetricResult]]:
        """The results of each trial of a recipe, without skipped ones."""
        seeds: dict[int, list[MetricResult]] = {}
        for comparison in self.comparisons:
            if name in comparison.results:
                for seed, reading in comparison.results[name].readings.items():
                    seeds.setdefault(seed, []).append(reading)
        return [[reading for reading in read if not reading.skipped] for read in seeds.values()]

    @property
    def among_trusted(self) -> list[MetricComparison]:
        """Each comparison, of the recipes for which its metric is trusted; that of the headline as it is."""
        headline = self.headline
        return [
            headline if headline and headline.metric == comparison.metric else comparison.among_trusted()
            for comparison in self.comparisons
        ]

    @property
    def headline(self) -> MetricComparison | None:
        """The metric of the verdict: the preferred one if it is suitable, otherwise the first that is.

        Before metrics that leave recipes out, the first that compares all; last come those that were not
        computed for all recipes.
        """
        trusted = (comparison.among_trusted() for comparison in self.comparisons)
        able = [comparison for comparison in trusted if comparison.can_be_headline]
        if not able:
            measured = (comparison.among_trusted(measured_only=True) for comparison in self.comparisons)
            able = [comparison for comparison in measured if comparison.can_be_headline]
        able.sort(
            key=lambda comparison: (comparison.metric != self.preferred_metric, len(comparison.left_out))
        )
        return able[0] if able else None


def analyse(evaluations: Mapping[str, Mapping[int, EvaluationResult]], preferred: str = "") -> Analysis:
    """Compare evaluations, given by recipe and seed; metrics are in the order of the first evaluation."""
    metrics: dict[str, None] = {}
    for seeds in evaluations.values():
        for evaluation in seeds.values():
            metrics |= dict.fromkeys(reading.metric for reading in evaluation)
    return Analysis(
        [_compare_metric(metric, evaluations) for metric in metrics], tuple(evaluations), preferred
    )


def _compare_metric(
    metric: str, evaluations: Mapping[str, Mapping[int, EvaluationResult]]
) -> MetricComparison:
    found = {
        name: {seed: reading for seed, one in seeds.items() for reading in one if reading.metric == metric}
        for name, seeds in evaluations.items()
    }
    marked = {name: seeds for name, seeds in _mark_own_scores(found).items() if seeds}
    return MetricComparison(metric, {name: RecipeResult(name, seeds) for name, seeds in marked.items()})


def _mark_own_scores(
    found: Mapping[str, Mapping[int, MetricResult]],
) -> Mapping[str, Mapping[int, MetricResult]]:
    """Results whose controls differ between models are of each model's own scores.

    Results that were written before they said so are known by this.
    """
    computed = [reading for seeds in found.values() for reading in seeds.values() if not reading.skipped]
    if all(reading.anchors == computed[0].anchors for reading in computed):
        return found
    return {
        name: {seed: replace(reading, own_scored=True) for seed, reading in seeds.items()}
        for name, seeds in found.items()
    }


def seed_difference_interval(
    one: RecipeResult, other: RecipeResult, pairs: int
) -> tuple[float, float] | None:
    """Interval of the difference of the means over seeds of two recipes; None if one has a single seed.

    Welch's t with the variance over seeds, or that over samples if it is larger; 95 % for ``pairs``
    comparisons together (Bonferroni).
    """
    from scipy.stats import t

    if min(len(one.values), len(other.values)) < 2:
        return None
    parts = [_squared_error(result) for result in (one, other)]
    total = sum(part for part, _ in parts)
    if total == 0:
        return one.value - other.value, one.value - other.value
    degrees = total**2 / sum(part**2 / (count - 1) for part, count in parts)
    half_width = float(t.ppf(1 - 0.025 / pairs, degrees)) * math.sqrt(total)
    difference = one.value - other.value
    return difference - half_width, difference + half_width


def _squared_error(result: RecipeResult) -> tuple[float, int]:
    """Squared standard error of the mean over seeds, and the number of seeds."""
    widths = [high - low for low, high in zip(result.lows, result.highs, strict=True)]
    over_samples = mean((width / 2 / 1.96) ** 2 for width in widths)
    return max(stdev(result.values) ** 2, over_samples) / len(result.values), len(result.values)
