"""One reading: a measure of the evidence, its interval, its anchors, and whether it can be trusted."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from statistics import fmean

from gancore.errors import GancoreError, in_words
from gancore.evaluation.anchors import Anchors
from gancore.evaluation.blind_spots import blind_spots
from gancore.evaluation.evidence import Evidence
from gancore.evaluation.extraction import Maps
from gancore.evaluation.measure import Measure
from gancore.evaluation.reading import Reading, plain
from gancore.evaluation.trust import trust
from gancore.records import MeasureEntry

PARTS = 5
"""Of the samples, each of as many as the anchors have, over which a value beside theirs is averaged."""


@dataclass(frozen=True)
class Taker:
    """``lacking``: for each need that is not met, the reason. ``anchors`` None: there are no rows for them.

    ``template``: what all readings share. ``notes``: by need, what is to be known of what meets it.
    """

    evidence: Evidence
    maps: Maps
    anchors: Anchors | None
    lacking: Mapping[str, str]
    template: Reading
    notes: Mapping[str, str] = field(default_factory=dict)

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
            kind=measure.kind,
            ideal=measure.ideal,
            n=n,
            n_real=n_real,
            features=", ".join(features.name for features in said.values()),
            features_hash=", ".join(features.digest for features in said.values()),
            note="; ".join(self._notes(entry, measure, n)),
        )

    def _notes(self, entry: MeasureEntry, measure: Measure, n: int) -> Iterator[str]:
        yield from (self.notes[need] for need in sorted(measure.needs) if need in self.notes)
        features = self.evidence.fake.features
        if features is None or "features" not in measure.needs:
            return
        if known := blind_spots(entry.name, features.shape[1], n):
            yield f"{entry.name} {known}"

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
        doubt = measure.doubt(evidence) if measure.doubt else ""
        if self.anchors is None or not (count := self.anchors.rows_for(measure)):
            return replace(reading, trust=f"no: {doubt}" if doubt else self._unchecked())
        anchored = self.anchors.measured(entry, measure)
        told = f"no: {doubt}" if doubt else trust(measure, anchored)
        real_low, real_high = anchored.around or (None, None)
        reading = replace(
            reading,
            anchors=anchored.values,
            real_low=real_low,
            real_high=real_high,
            n_anchors=count,
            trust=told,
        )
        return beyond_real(self._matched(reading, measure, evidence))

    def _unchecked(self) -> str:
        rows = "held-out rows" if self.anchors is None else "rows that its classifier has not seen"
        return f"unchecked: no {rows} for anchors"

    def _matched(self, reading: Reading, measure: Measure, evidence: Evidence) -> Reading:
        """With the value at the anchors' numbers of rows: the mean over parts of the samples.

        Its interval is that of the first part, about this mean. A judge is not trained anew for each part.
        """
        n, n_real, count = len(evidence.fake), len(evidence.real), reading.n_anchors
        same = measure.rows_seen(n, n_real) == measure.rows_seen(count, n_real)
        if same or "log_prob" in measure.needs:
            return replace(reading, matched=reading.value, matched_low=reading.low, matched_high=reading.high)
        if count > n or "judge" in measure.needs or reading.low is None or measure.interval is None:
            return reading
        try:
            parts = [evidence.part(count, evidence.key / "matched" / number) for number in range(PARTS)]
            values = [float(measure.compute(part)) for part in parts]
            low, high, _ = measure.interval(parts[0])
        except GancoreError:  # too few rows
            return reading
        moved = fmean(values) - values[0]
        return replace(reading, matched=fmean(values), matched_low=low + moved, matched_high=high + moved)


def beyond_real(reading: Reading) -> Reading:
    """Without trust where the samples come out better than held-out real rows, which no model can be.

    Of a measure of memory that is no wonder: nothing real is farther from train than real rows.
    """
    beside = reading.beside("real")
    if not reading.trusted or beside is None or beside.high >= 0 or reading.kind == "memory":
        return reading
    return replace(reading, trust="no: better than real rows")
