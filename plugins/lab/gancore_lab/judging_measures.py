"""What a measure says of a case of known truth, taken as ``gancore evaluate`` takes it; whether it is so."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from gancore.domain import Batch, Spec
from gancore.evaluation.anchors import Anchors
from gancore.evaluation.blind_spots import DEPENDS, FALSE_ALARM, MISSED
from gancore.evaluation.catalogue import MEASURES
from gancore.evaluation.coordinates import Coordinates
from gancore.evaluation.evidence import Evidence
from gancore.evaluation.extraction import Maps
from gancore.evaluation.measure import Measure
from gancore.evaluation.reading import Difference, Reading
from gancore.evaluation.store import Store, digest_of
from gancore.evaluation.taking import Taker
from gancore.plugins import plugins
from gancore.records import MeasureEntry
from gancore.runtime.randomness import CPU, Key
from gancore.trees import Tree
from gancore_lab.cases import Case, Kind, Truth, World
from gancore_lab.laws import MODES, centres

PASSES, SAYS_SO, NOT_ASKED = "PW."
"""Right; wrong or mute, and its trust, interval or definition says so; no question to this measure."""
ORDER = PASSES + SAYS_SO + MISSED + FALSE_ALARM + DEPENDS
"""From the best to the worst."""
MET = frozenset({"features", "train", "log_posteriors", "condition"})
"""Needs of a measure that cases meet."""
MATERIAL = 0.1
"""A difference that equal laws must not show: this share of the way from real rows to the worst anchor."""


class Verdict(NamedTuple):
    """One cell of one draw: its letter, why, and the numbers that it rests on."""

    letter: str
    why: str
    value: float | None
    low: float | None
    high: float | None
    real: float | None


def measures() -> dict[str, tuple[MeasureEntry, Measure]]:
    """The core's measures whose needs are met by rows, exact posteriors and labels."""
    found = {entry.name: (entry, plugins().measure(entry)) for entry in MEASURES}
    return {name: pair for name, pair in found.items() if pair[1].needs <= MET}


def asked_of(name: str, measure: Measure) -> Kind:
    """What may be asked of a measure: more narrowly than its kind says."""
    if "log_posteriors" in measure.needs:
        return "labels" if "condition" in measure.needs else "classes"
    if measure.kind == "distance" and measure.ideal is not None:
        return "two-sample"
    return "support" if name == "birthday" else measure.kind


class Bayes(Coordinates):
    """Exact posteriors of the ten equal modes."""

    name = "bayes"

    @property
    def digest(self) -> str:
        return digest_of("bayes", 1)

    @property
    def classes(self) -> Sequence[str]:
        return [str(mode) for mode in range(MODES)]

    def log_posteriors(self, samples: Tree, spec: Spec) -> Tensor:
        rows = self.embed(samples, spec)
        return (-0.5 * torch.cdist(rows, centres(rows.shape[1]).to(rows)).square()).log_softmax(1)


def modes_of(rows: Tensor) -> Tensor:
    return torch.cdist(rows, centres(rows.shape[1])).argmin(1)


@dataclass(frozen=True)
class Sets:
    """The rows that one reading is of."""

    fake: Tensor
    real: Tensor
    train: Tensor
    held: Tensor
    seed: int = 0

    @classmethod
    def of(cls, case: Case, world: World) -> Sets:
        beside, held = (round(share * world.n) for share in (case.beside, case.held))
        real = case.reference(world.real[:beside])
        return cls(case.fake(world), real, world.train, world.held[:held])

    def twin(self, kind: str) -> Sets:
        """The sets that must be read alike; see :data:`gancore_lab.cases.Twin`."""
        if kind == "seed":
            return replace(self, seed=self.seed + 1)
        if kind == "order":
            return replace(self, fake=_sorted(self.fake), real=_sorted(self.real))
        fake, real, train, held = (x[: len(x) // 4] for x in (self.fake, self.real, self.train, self.held))
        return Sets(fake, real, train, held, self.seed)


def _sorted(rows: Tensor) -> Tensor:
    return rows[rows[:, 0].argsort()]


def taker_of(sets: Sets, case: Case, store: Store) -> Taker:
    """As ``gancore evaluate`` makes one for a model and its data; features are the values themselves."""
    bayes = Bayes() if case.classes else None
    maps = Maps(Spec({}), CPU, store, Coordinates(), bayes)

    def batch(rows: Tensor, labels: Callable[[Tensor], Tensor] = lambda modes: modes) -> Batch:
        return Batch(rows, labels(modes_of(rows)) if case.classes else None)

    fake = maps.see(batch(sets.fake, case.labels), keep=False)
    real, train = (maps.see(batch(rows), keep=False) for rows in (sets.real, sets.train))
    classes = bayes.classes if bayes else ()
    evidence = Evidence(fake, real, train, maps.spec, Key.of("evaluate", sets.seed), classes=classes)
    lacking = {} if case.classes else dict.fromkeys(("log_posteriors", "condition"), "no classes here")
    return Taker(evidence, maps, Anchors(batch(sets.held), evidence, maps), lacking, Reading("", None))


def judge(
    case: Case, sets: Sets, d: int, found: Mapping[str, tuple[MeasureEntry, Measure]], store: Store
) -> Iterator[tuple[str, Verdict]]:
    """A verdict on each measure that is asked."""
    taker = taker_of(sets, case, store)
    twin = taker_of(sets.twin(case.twin), case, store) if case.twin else None
    for name, (entry, measure) in found.items():
        truth = case.truth(asked_of(name, measure), d)
        if truth is None or not (measure.better or twin) or measure.needs & taker.lacking.keys():
            continue
        reading = taker.take(entry, measure)
        if twin:
            yield name, _agreeing(case, reading, twin.take(entry, measure))
        else:
            yield name, _verdict(case, truth, measure, reading)


def _given(letter: str, why: str, reading: Reading) -> Verdict:
    return Verdict(letter, why, reading.value, reading.low, reading.high, reading.anchors.get("real"))


def _verdict(case: Case, truth: Truth, measure: Measure, reading: Reading) -> Verdict:
    if reading.value is None:
        return _given(SAYS_SO, f"not taken: {reading.skipped}", reading)
    if (beside := reading.beside("real")) is None:
        return _given(SAYS_SO, f"not to be compared with real rows; {reading.trust}", reading)
    said = int(beside.low > 0) - int(beside.high < 0)
    bad = [name for name in reading.anchors if name != "real" and name not in measure.blind]
    if (truth == "not worse" and said < 0) or (truth != "worse" and not _is_material(beside, reading, bad)):
        said = 0
    if said == (1 if truth == "worse" else 0):
        return _given(PASSES, "" if reading.trusted else reading.trust, reading)
    if not reading.trusted:
        return _given(SAYS_SO, reading.trust, reading)
    if case.like & measure.blind:
        return _given(SAYS_SO, "blind to it by its definition", reading)
    if truth == "worse" and not said and _is_mute(reading, bad):
        return _given(SAYS_SO, "its interval holds what is good and what is bad", reading)
    how = {1: "worse than real rows", 0: "like real rows", -1: "better than real rows"}[said]
    return _given(MISSED if truth == "worse" else FALSE_ALARM, how, reading)


def _is_material(beside: Difference, reading: Reading, bad: Sequence[str]) -> bool:
    """Whether a difference is a good part of the way from real rows to the worst anchor."""
    real = reading.badness(reading.anchors["real"])
    ways = [reading.badness(reading.anchors[name]) - real for name in bad]
    return abs(beside.value) >= MATERIAL * max([way for way in ways if not math.isnan(way)], default=0.0)


def _is_mute(reading: Reading, bad: Sequence[str]) -> bool:
    """Whether the interval, which holds real rows, also holds a bad anchor; where the measure sees none, half
    of what real rows have.
    """
    if bad:
        besides = [reading.beside(name) for name in bad]
        return any(beside is not None and beside.high >= 0 for beside in besides)
    bounds = reading.bounds
    return bounds is not None and bounds[1] - bounds[0] >= 0.5 * abs(reading.badness(reading.anchors["real"]))


def _agreeing(case: Case, one: Reading, other: Reading) -> Verdict:
    """Whether two readings that must agree do: exactly in any order of rows, else within their intervals."""
    if one.value is None or other.value is None:
        return _given(SAYS_SO, f"not taken: {one.skipped or other.skipped}", one)
    apart = abs(one.value - other.value)
    reach = [0.0 if r.low is None or r.high is None else (r.high - r.low) / 2 for r in (one, other)]
    allowed = {"order": 1e-5 * abs(one.value) + 1e-3 * reach[0], "seed": reach[0]}
    if apart <= allowed.get(case.twin or "", math.hypot(*reach)) or apart < 1e-9:
        return _given(PASSES, "" if one.trusted else one.trust, one)
    if not one.trusted or one.low is None:
        return _given(SAYS_SO, one.trust, one)
    if case.twin == "size" and "at this n" in one.method:
        return _given(SAYS_SO, "its interval is of the value at this n, and says so", one)
    return _given(DEPENDS, f"{other.value:.4g} elsewhere", one)


def letter_of(letters: Sequence[str]) -> str:
    """Of several draws the median in the order of :data:`ORDER`; of an even number the worse of the two."""
    return sorted(letters, key=ORDER.index)[len(letters) // 2]
