"""One reading: a measure of the evidence, its interval, its anchors, and whether it can be trusted."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from gancore.errors import GancoreError, in_words
from gancore.evaluation.anchors import Anchors
from gancore.evaluation.evidence import Evidence
from gancore.evaluation.extraction import Maps
from gancore.evaluation.measure import Measure
from gancore.evaluation.reading import Reading, plain
from gancore.evaluation.trust import trust
from gancore.records import MeasureEntry


@dataclass(frozen=True)
class Taker:
    """``lacking``: for each need that is not met, the reason. ``anchors`` None: there are no rows for them.

    ``template``: what all readings share.
    """

    evidence: Evidence
    maps: Maps
    anchors: Anchors | None
    lacking: Mapping[str, str]
    template: Reading

    def take(self, entry: MeasureEntry, measure: Measure) -> Reading:
        """The reading; of a measure that cannot be taken, the reason. A broken one loses only itself."""
        began = time.perf_counter()
        reading = self._named(entry, measure)
        missing = [self.lacking[need] for need in sorted(measure.needs) if need in self.lacking]
        missing += [why for need in sorted(measure.wants) if (why := self.evidence.broken(need))]
        if missing:
            return replace(reading, skipped=missing[0], trust="not taken")
        try:
            reading = self._taken(reading, entry, measure)
        except GancoreError as error:
            reading = replace(reading, skipped=str(error), trust="not taken")
        except Exception as error:
            told = f"{entry.factory} raises {in_words(error)}"
            reading = replace(reading, skipped=told, trust="not taken")
        return replace(reading, seconds=round(time.perf_counter() - began, 3))

    def _named(self, entry: MeasureEntry, measure: Measure) -> Reading:
        said = {need: f for need, f in self.maps.by_need.items() if need in measure.wants}
        n, n_real = measure.rows_seen(len(self.evidence.fake), len(self.evidence.real))
        return replace(
            self.template,
            measure=entry.name,
            unit=measure.unit,
            better=measure.better,
            n=n,
            n_real=n_real,
            features=", ".join(features.name for features in said.values()),
            features_hash=", ".join(features.digest for features in said.values()),
        )

    def _taken(self, reading: Reading, entry: MeasureEntry, measure: Measure) -> Reading:
        evidence = replace(self.evidence, key=self.evidence.key / entry.name)
        reading = replace(reading, value=float(measure.compute(evidence)))
        if measure.interval is not None:
            try:
                low, high, method = measure.interval(evidence)
                reading = replace(reading, low=float(low), high=float(high), method=method)
            except GancoreError as error:  # too few samples to bound the value
                reading = replace(reading, method=f"none: {error}")
        if measure.details is not None:
            reading = replace(reading, details=plain(measure.details(evidence)))
        if self.anchors is None:
            return replace(reading, trust="unchecked: no held-out rows for anchors")
        anchored = self.anchors.measured(entry, measure)
        doubt = measure.doubt(evidence) if measure.doubt else ""
        told = f"no: {doubt}" if doubt else trust(measure, anchored)
        return replace(reading, anchors=anchored.values, trust=told)
