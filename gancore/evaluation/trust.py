"""Whether a measure can be trusted on some data: it must put bad sets behind a good one, and clearly so."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from gancore.evaluation.evidence import Evidence
from gancore.evaluation.measure import Measure
from gancore.evaluation.reading import TRUSTED, badness


@dataclass(frozen=True)
class Anchored:
    """A measure of each anchor, by name (NaN: it fails there), and the interval about that of ``real``.

    ``around`` None: the measure has no interval, or not with so few rows.
    """

    values: Mapping[str, float]
    around: tuple[float, float] | None = None

    @property
    def is_whole(self) -> bool:
        """Nothing failed."""
        return not any(map(math.isnan, self.values.values()))

    def to_json(self) -> Any:
        return [dict(self.values), self.around]

    @classmethod
    def from_json(cls, told: Any) -> Anchored:
        return cls(told[0], told[1] and (told[1][0], told[1][1]))


def value_of(measure: Measure, evidence: Evidence) -> float:
    """NaN where the measure fails: too few rows, or a set that nobody has thought of; it orders nothing."""
    try:
        return float(measure.compute(evidence))
    except Exception:
        return math.nan


def bounds_of(measure: Measure, evidence: Evidence) -> tuple[float, float] | None:
    if measure.interval is None:
        return None
    try:
        low, high, _ = measure.interval(evidence)
        return float(low), float(high)
    except Exception:
        return None


def trust(measure: Measure, anchored: Anchored) -> str:
    """Yes, or what is to be known. A bad anchor within the interval of the good one is not told from it."""
    bad_of = partial(badness, better=measure.better, ideal=measure.ideal)
    values, blind = anchored.values, sorted(measure.blind)
    if measure.better is None:
        return "unordered: neither end is better"
    bad = [name for name in values if name != "real" and name not in blind]
    if not bad and not blind:
        return "unchecked: no anchor to order"
    good = [bad_of(end) for end in (values["real"], *(anchored.around or ()))]
    broken = math.isnan(values["real"])
    lost = [name for name in bad if broken or not max(good) < bad_of(values[name])]
    better = [name for name in lost if bad_of(values[name]) < min(good)]
    told = [
        f"{' and '.join(names)} {verdict}"
        for names, verdict in (
            ([name for name in lost if name not in better], "not told from real"),
            (better, "better than real"),
        )
        if names
    ]
    if told:
        return f"no: {', '.join(told)}"
    return f"{TRUSTED}, blind to {' and '.join(blind)} by definition" if blind else TRUSTED
