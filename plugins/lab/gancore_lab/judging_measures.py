"""What a measure says of a case of known truth, taken as ``gancore evaluate`` takes it; whether it is so."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from gancore.domain import Batch, Spec
from gancore.evaluation.anchors import Anchors
from gancore.evaluation.catalogue import MEASURES
from gancore.evaluation.coordinates import Coordinates
from gancore.evaluation.evidence import Evidence
from gancore.evaluation.extraction import Maps
from gancore.evaluation.measure import Measure
from gancore.evaluation.reading import Reading
from gancore.evaluation.store import Store, digest_of
from gancore.evaluation.taking import Taker
from gancore.plugins import plugins
from gancore.records import MeasureEntry
from gancore.runtime.randomness import CPU, Key
from gancore.trees import Tree
from gancore_lab.cases import Case, Truth, World
from gancore_lab.laws import MODES, centres

PASSES, SAYS_SO, MISSED, FALSE_ALARM, NOT_ASKED = "PWSF."
"""Right; wrong or mute, and its trust, its interval or its definition says so; a fault that it does not tell,
with trust "yes"; no fault, and it tells one, with trust "yes"; no question to this kind of measure."""
SILENT = MISSED + FALSE_ALARM
ORDER = PASSES + SAYS_SO + MISSED + FALSE_ALARM
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


@dataclass(frozen=True)
class Shown:
    """A taker for some sets, as ``gancore evaluate`` makes one for a model and its data."""

    taker: Taker
    anchors: Anchors

    @classmethod
    def of(cls, sets: Sets, case: Case, store: Store) -> Shown:
        spec = Spec({})
        bayes = Bayes() if case.classes else None
        maps = Maps(spec, CPU, store, Coordinates(), bayes)

        def batch(rows: Tensor, asked: bool = False) -> Batch:
            if not case.classes:
                return Batch(rows)
            return Batch(rows, case.labels(modes_of(rows)) if asked else modes_of(rows))

        fake, real, train = (
            maps.see(batch(x, i == 0), keep=False) for i, x in enumerate((sets.fake, sets.real, sets.train))
        )
        key = Key.of("evaluate", sets.seed)
        evidence = Evidence(fake, real, train, spec, key, classes=bayes.classes if bayes else ())
        anchors = Anchors(batch(sets.held), evidence, maps)
        lacking = {} if case.classes else dict.fromkeys(("log_posteriors", "condition"), "no classes here")
        return cls(Taker(evidence, maps, anchors, lacking, Reading("", None)), anchors)

    def read(self, entry: MeasureEntry, measure: Measure) -> Reading:
        return self.taker.take(entry, measure)

    def around_real(self, entry: MeasureEntry, measure: Measure) -> tuple[float, float] | None:
        """The interval of the measure of held-out rows, which the taker has asked for before."""
        return self.anchors.measured(entry, measure).around


class Span(NamedTuple):
    """A value with its interval, on a scale where more is worse."""

    low: float
    value: float
    high: float


def badness(measure: Measure, value: float, low: float | None, high: float | None) -> Span:
    """Where the measure has an ideal, the distance to it; else the value, or its negative."""
    ends = sorted((value if low is None else low, value if high is None else high))
    if measure.ideal is not None:
        off = [abs(end - measure.ideal) for end in ends]
        least = 0.0 if ends[0] <= measure.ideal <= ends[1] else min(off)
        return Span(least, abs(value - measure.ideal), max(off))
    if measure.better == "higher":
        return Span(-ends[1], -value, -ends[0])
    return Span(ends[0], value, ends[1])


def told_apart(a: Span, b: Span) -> int:
    """1: ``a`` is worse than ``b`` outside the interval of their difference; -1: better; 0: neither."""
    if a.value > b.value:
        return int(a.value - b.value > math.hypot(a.value - a.low, b.high - b.value))
    return -int(b.value - a.value > math.hypot(a.high - a.value, b.value - b.low))


def judge(
    case: Case, sets: Sets, d: int, found: Mapping[str, tuple[MeasureEntry, Measure]], store: Store
) -> Iterator[tuple[str, Verdict]]:
    """A verdict on each measure that is asked."""
    shown = Shown.of(sets, case, store)
    twin = Shown.of(sets.twin(case.twin), case, store) if case.twin else None
    for name, (entry, measure) in found.items():
        truth = case.truth(measure.kind, d)
        judged = measure.better is not None or measure.ideal is not None or twin
        if (
            truth is None
            or not judged
            or not (case.classes or measure.needs <= MET - {"log_posteriors", "condition"})
        ):
            continue
        reading = shown.read(entry, measure)
        if twin:
            yield name, _agreeing(case, reading, twin.read(entry, measure))
        else:
            yield name, _verdict(case, truth, measure, reading, shown.around_real(entry, measure))


def _given(letter: str, why: str, reading: Reading) -> Verdict:
    return Verdict(letter, why, reading.value, reading.low, reading.high, reading.anchors.get("real"))


def _verdict(
    case: Case, truth: Truth, measure: Measure, reading: Reading, around: tuple[float, float] | None
) -> Verdict:
    if reading.value is None:
        return _given(SAYS_SO, f"not taken: {reading.skipped}", reading)
    if "real" not in reading.anchors:
        return _given(SAYS_SO, reading.trust, reading)
    value = badness(measure, reading.value, reading.low, reading.high)
    real = badness(measure, reading.anchors["real"], *(around or (None, None)))
    bad = [
        badness(measure, anchor, None, None).value
        for name, anchor in reading.anchors.items()
        if name != "real" and name not in measure.blind and not math.isnan(anchor)
    ]
    said = told_apart(value, real)
    if truth == "not worse":
        said = max(said, 0)
    if (
        truth != "worse"
        and said
        and bad
        and abs(value.value - real.value) < MATERIAL * abs(max(bad) - real.value)
    ):
        said = 0
    if said == (1 if truth == "worse" else 0):
        return _given(PASSES, "" if reading.trusted else reading.trust, reading)
    if not reading.trusted:
        return _given(SAYS_SO, reading.trust, reading)
    if case.like & measure.blind:
        return _given(SAYS_SO, "blind to it by its definition", reading)
    if reading.low is None or not math.isfinite(value.high - value.low):
        return _given(SAYS_SO, "it has no interval", reading)
    if truth == "worse" and not said and bad and value.high >= min(bad):
        return _given(SAYS_SO, "its interval holds real rows and a bad anchor", reading)
    how = {1: "worse than real rows", 0: "like real rows", -1: "better than real rows"}[said]
    return _given(MISSED if truth == "worse" else FALSE_ALARM, how, reading)


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
    return _given(FALSE_ALARM, f"{other.value:.4g} elsewhere", one)


def letter_of(letters: Sequence[str]) -> str:
    """Of several draws the median in the order of :data:`ORDER`; of an even number the worse of the two."""
    return sorted(letters, key=ORDER.index)[len(letters) // 2]
