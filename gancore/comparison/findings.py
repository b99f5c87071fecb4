"""What every measure found of every recipe, side by side; imports no torch.

A figure of a recipe is the mean over its seeds. Two uncertainties stand apart: the interval over samples, of
each trained model, and the spread over seeds, of trainings.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev

from gancore.evaluation.reading import TRUSTED, Evaluation, Reading

UNORDERED = "unordered"
"""How the trust in a measure without a better end begins."""


@dataclass(frozen=True)
class Standing:
    """One recipe on one measure: a reading for each seed that has one."""

    name: str
    readings: Mapping[int, Reading]

    @property
    def values(self) -> list[float]:
        return [float(r.value) for r in self.readings.values() if r.value is not None]

    @property
    def value(self) -> float:
        """Mean over seeds."""
        return mean(self.values) if self.values else math.nan

    @property
    def bounds(self) -> list[tuple[float, float]]:
        """The least and the most badness within the interval of each seed."""
        return [bounds for reading in self.readings.values() if (bounds := reading.bounds) is not None]

    @property
    def lows(self) -> list[float]:
        return [r.low for r in self.readings.values() if r.low is not None]

    @property
    def highs(self) -> list[float]:
        return [r.high for r in self.readings.values() if r.high is not None]

    def anchors(self, name: str) -> float:
        """What the measure says of this anchor, the mean over seeds; a likelihood has one of its own."""
        return mean(reading.anchors.get(name, math.nan) for reading in self.readings.values())

    @property
    def matched(self) -> float | None:
        """At as many samples as the anchors have rows, the mean over seeds; None: not known."""
        found = [r.matched for r in self.readings.values() if r.matched is not None]
        return mean(found) if len(found) == len(self.readings) > 0 else None

    @property
    def spread(self) -> float | None:
        """Standard deviation over seeds; None: fewer than two."""
        return stdev(self.values) if len(self.values) > 1 else None

    @property
    def is_firm(self) -> bool:
        """Read in every seed, finite, trusted, and bounded."""
        numbers = [*self.values, *self.lows, *self.highs]
        bounded = len(self.lows) == len(self.highs) == len(self.values) == len(self.readings) > 0
        trusted = all(reading.trust.startswith(TRUSTED) for reading in self.readings.values())
        return bounded and trusted and all(math.isfinite(number) for number in numbers)


@dataclass(frozen=True)
class Finding:
    """One measure of all recipes that were evaluated, in the order in which they were asked for."""

    measure: str
    standings: Mapping[str, Standing]

    @property
    def readings(self) -> list[Reading]:
        return [reading for standing in self.standings.values() for reading in standing.readings.values()]

    @property
    def first(self) -> Reading:
        """One that was taken, if any was: unit, direction and anchors are those of all."""
        taken = [reading for reading in self.readings if not reading.skipped]
        return (taken or self.readings)[0]

    @property
    def anchors(self) -> Mapping[str, float]:
        """Those of all; empty where a model has its own, as of a likelihood."""
        first = self.first.anchors
        alike = all(reading.anchors == first for reading in self.readings if not reading.skipped)
        return first if alike else {}

    @property
    def higher(self) -> bool:
        return self.first.better == "higher"

    @property
    def distrust(self) -> str:
        """Why it is not to be trusted here; empty: it is, or it has no better end to be trusted about."""
        told = [r.trust for r in self.readings if not (r.skipped or r.trust.startswith(TRUSTED))]
        doubts = [text for text in told if not text.startswith(UNORDERED)]
        return doubts[0].removeprefix("no:").strip() if doubts else ""

    @property
    def decides(self) -> bool:
        """Whether it may say which recipe is better: it has a better end, and every standing is firm."""
        return self.first.better is not None and all(s.is_firm for s in self.standings.values())

    @property
    def heads(self) -> bool:
        """Whether the verdict may be about it: it decides, and is blind to no way of being bad."""
        return self.decides and all(reading.trust == TRUSTED for reading in self.readings)

    def badness(self, name: str) -> float:
        """Of the mean over seeds: lower is better."""
        return self.first.badness(self.standings[name].value)

    def apart(self, one: str, other: str) -> bool:
        """Whether ``one`` is better than ``other`` beyond both intervals, in every pair of their seeds, and
        this is worth something: ``one`` is better than every bad anchor, ``other`` is worse than real rows.
        """
        mine, theirs = (self.standings[name].bounds for name in (one, other))
        if not (mine and theirs and max(high for _, high in mine) < min(low for low, _ in theirs)):
            return False
        return not (self.is_bad(one) or self.reaches_real(other))

    def ranked(self) -> list[str]:
        """Names from the best value to the worst."""
        return sorted(self.standings, key=self.badness)

    def lead(self) -> list[str]:
        """The best, and all that it is not apart from."""
        best, *others = self.ranked()
        return [best, *(name for name in others if not self.apart(best, name))]

    def leads(self, name: str) -> bool:
        """Whether it is among the best, and another is not."""
        lead = self.lead()
        return name in lead and len(lead) < len(self.standings)

    def reaches_real(self, name: str, comparisons: int = 1) -> bool:
        """Whether no training of this recipe is worse than held-out real rows; no where nobody knows."""
        told = [reading.worse_than_real(comparisons) for reading in self._readings_of(name)]
        return bool(told) and not any(worse or worse is None for worse in told)

    def is_told(self, name: str, comparisons: int) -> bool:
        """Whether some training of this recipe is worse than held-out real rows."""
        return any(reading.worse_than_real(comparisons) for reading in self._readings_of(name))

    def no_better_than(self, name: str, anchor: str) -> bool:
        """Whether no training of this recipe is better than a bad anchor."""
        readings = self._readings_of(name)
        return bool(readings) and all(reading.no_better_than(anchor) for reading in readings)

    def is_bad(self, name: str) -> bool:
        """Whether it is no better than one of the bad anchors that the measure sees."""
        return any(self.no_better_than(name, anchor) for anchor in self.first.seen)

    def closed(self, name: str) -> float | None:
        """How much of the way from a bad anchor to real rows a recipe has gone, the mean over seeds."""
        parts = [reading.closed for reading in self._readings_of(name)]
        known = [part for part in parts if part is not None]
        return mean(known) if known and len(known) == len(parts) else None

    def _readings_of(self, name: str) -> list[Reading]:
        return list(self.standings[name].readings.values())


@dataclass(frozen=True)
class Findings:
    """All of them. ``preferred``: the measure that the verdict is about, if it can be."""

    all: Sequence[Finding] = ()
    names: Sequence[str] = field(default_factory=tuple)
    preferred: str = ""

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.all)

    def readings_of(self, name: str) -> list[list[Reading]]:
        """All that were taken of each training of a recipe."""
        seeds: dict[int, list[Reading]] = {}
        for finding in self.all:
            if name in finding.standings:
                for seed, reading in finding.standings[name].readings.items():
                    seeds.setdefault(seed, []).append(reading)
        return [[reading for reading in read if not reading.skipped] for read in seeds.values()]

    @property
    def headline(self) -> Finding | None:
        """The preferred one, or else the first in the table that may head a verdict."""
        able = [finding for finding in self.all if finding.heads]
        return next((f for f in able if f.measure == self.preferred), able[0] if able else None)


def find(evaluations: Mapping[str, Mapping[int, Evaluation]], preferred: str = "") -> Findings:
    """From evaluations by name and seed; measures in the order of the first evaluation."""
    known: dict[str, None] = {}
    for seeds in evaluations.values():
        for evaluation in seeds.values():
            known |= dict.fromkeys(reading.measure for reading in evaluation)
    return Findings([_finding(measure, evaluations) for measure in known], tuple(evaluations), preferred)


def _finding(measure: str, evaluations: Mapping[str, Mapping[int, Evaluation]]) -> Finding:
    standings = {}
    for name, seeds in evaluations.items():
        found = {
            seed: reading for seed, one in seeds.items() for reading in one if reading.measure == measure
        }
        standings[name] = Standing(name, found)
    return Finding(measure, {name: standing for name, standing in standings.items() if standing.readings})


def difference_over_seeds(one: Standing, other: Standing, pairs: int) -> tuple[float, float] | None:
    """An interval of the difference of two recipes' means over seeds; None where one has a single seed.

    Welch's t with the variance over seeds, which is never taken for less than that over samples; 95 % for
    ``pairs`` comparisons together (Bonferroni).
    """
    from scipy.stats import t

    if min(len(one.values), len(other.values)) < 2:
        return None
    parts = [_squared_error(standing) for standing in (one, other)]
    total = sum(part for part, _ in parts)
    if total == 0:
        return one.value - other.value, one.value - other.value
    degrees = total**2 / sum(part**2 / (count - 1) for part, count in parts)
    reach = float(t.ppf(1 - 0.025 / pairs, degrees)) * math.sqrt(total)
    apart = one.value - other.value
    return apart - reach, apart + reach


def _squared_error(standing: Standing) -> tuple[float, int]:
    """Of the mean over seeds, and the number of seeds."""
    widths = [high - low for low, high in zip(standing.lows, standing.highs, strict=True)]
    over_samples = mean((width / 2 / 1.96) ** 2 for width in widths)
    return max(stdev(standing.values) ** 2, over_samples) / len(standing.values), len(standing.values)
