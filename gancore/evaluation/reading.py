"""What an evaluation found, and the JSON lines that hold it without loss. Imports no torch.

A file holds evaluations one after another. Each begins with a line about it; a line for each reading
follows, and one with the seconds that each took: all but this last line is equal, byte for byte, when the
same is evaluated again. A float that is not finite stands as ``{"float": "nan"}``, since JSON has none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple

from gancore.errors import CheckpointError
from gancore.files import LARGEST_JSON_BYTES, atomic_write, read_regular

FORMAT, READ = 2, (1, 2)
"""What is written, and what is read: readings of format 1 have no values at the anchors' numbers of rows."""
TRUSTED = "yes"


class Difference(NamedTuple):
    """A difference, and where it may lie."""

    value: float
    low: float
    high: float


def badness(value: float, better: str | None, ideal: float | None = None) -> float:
    """A value turned so that lower is better: its distance from ``ideal``, or itself with a sign."""
    if ideal is not None:
        return abs(value - ideal)
    return -value if better == "higher" else value


@dataclass(frozen=True)
class Reading:
    """One measure's value with all that it needs to be believed.

    ``low`` to ``high`` is the 95 % interval over samples, made by ``method``; None and "": there is none.
    ``kind``: what the measure asks. ``ideal``: the best value, where that is no end of the scale. ``n``
    generated samples stand beside ``n_real`` rows of ``split`` of ``source``. ``anchors``: the measure of
    known sets, ``real`` (held-out rows: as good as can be; its own interval is ``real_low`` to ``real_high``)
    and the bad ones ``noise``, ``collapse``, ``shrunk``, ``widened`` and ``points``, of ``n_anchors`` rows.
    ``matched``, with its interval: the measure of as many samples as these, which alone may be compared with
    them; None: not to be had.
    ``trust``: "yes" (and what it is blind to by definition), or in a few words why not. ``note``: what else
    is to be known of it. ``skipped``: why it was left out; ``value`` is then None. ``details`` are JSON
    values: a curve, shares of classes.
    """

    measure: str
    value: float | None
    low: float | None = None
    high: float | None = None
    method: str = ""
    unit: str = ""
    better: str | None = None
    kind: str = "distance"
    ideal: float | None = None
    n: int = 0
    n_real: int = 0
    anchors: Mapping[str, float] = field(default_factory=dict)
    real_low: float | None = None
    real_high: float | None = None
    n_anchors: int = 0
    matched: float | None = None
    matched_low: float | None = None
    matched_high: float | None = None
    trust: str = TRUSTED
    features: str = ""
    features_hash: str = ""
    source: str = ""
    split: str = ""
    seed: int = 0
    seconds: float = 0.0
    details: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    skipped: str = ""

    @property
    def trusted(self) -> bool:
        """Whether it orders every anchor that it can see by its definition."""
        return self.trust.startswith(TRUSTED)

    def badness(self, value: float) -> float:
        """How far from the best a value is, whichever end that is: lower is better."""
        return badness(value, self.better, self.ideal)

    def beside(self, anchor: str, comparisons: int = 1) -> Difference | None:
        """By how much worse it is than an anchor, at the anchor's number of rows; None: that is not known.

        The interval holds the difference of :meth:`badness` at 95 % for so many ``comparisons`` together
        (Bonferroni), from the two intervals (MOVER: Zou and Donner 2008). That of ``real`` is its own, those
        of bad anchors are taken as exact. Both values share their reference rows, so that it is too wide.
        Of a value beside real rows with an ideal between, it is how far they are apart.
        """
        other = self.anchors.get(anchor)
        mine = self.matched, self.matched_low, self.matched_high
        theirs = (other, self.real_low, self.real_high) if anchor == "real" else (other, other, other)
        numbers = [number for number in (*mine, *theirs) if number is not None and not math.isnan(number)]
        if len(numbers) < len(mine) + len(theirs) or self.better is None:
            return None
        if not (math.isfinite(numbers[0]) and math.isfinite(numbers[3])):
            return None
        signed = self.ideal is not None and anchor == "real"
        turn = self._from_ideal(numbers[0]) if signed else self._bounds
        (a, a_least, a_most), (b, b_least, b_most) = map(turn, (numbers[:3], numbers[3:]))
        wider = NormalDist().inv_cdf(1 - 0.025 / comparisons) / NormalDist().inv_cdf(0.975)
        low = a - b - wider * math.hypot(a - a_least, b_most - b)
        return Difference(a - b, low, a - b + wider * math.hypot(a_most - a, b - b_least))

    def worse_than_real(self, comparisons: int = 1) -> bool | None:
        """Than held-out real rows, beyond both intervals, at 95 % for so many ``comparisons`` together; None:
        that is not known.
        """
        beside = self.beside("real", comparisons)
        return None if beside is None else beside.low > 0

    def no_better_than(self, anchor: str) -> bool:
        """Than a bad anchor, beyond its own interval; no where that is not known."""
        beside = self.beside(anchor)
        return beside is not None and beside.high >= 0

    @property
    def seen(self) -> list[str]:
        """The bad anchors that the measure can see by its definition."""
        blind = self.trust.partition("blind to ")[2].split()
        return [name for name in self.anchors if name != "real" and name not in blind]

    @property
    def bad(self) -> str:
        """The known-bad set from which the way to real rows is counted; empty: there is none."""
        return next((name for name in ("noise", "collapse") if name in self.anchors), "")

    @property
    def closed(self) -> float | None:
        """How much of the way from ``bad`` to real rows it has gone: 0 none, 1 all of it; None: not known."""
        ends = [self.anchors.get(name, math.nan) for name in (self.bad, "real")]
        bad, real, mine = map(self.badness, (*ends, math.nan if self.matched is None else self.matched))
        return (bad - mine) / (bad - real) if math.isfinite(mine) and real < bad else None

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The least and the most badness within the interval; None: there is none."""
        if self.value is None or self.low is None or self.high is None:
            return None
        return self._bounds((self.value, self.low, self.high))[1:]

    def _from_ideal(self, value: float) -> Callable[[Sequence[float]], tuple[float, float, float]]:
        """How far beyond the ideal a value and its ends are, on the side of ``value``."""
        ideal = self.ideal or 0.0
        side = math.copysign(1.0, value - ideal)

        def turn(numbers: Sequence[float]) -> tuple[float, float, float]:
            one, *ends = (side * (number - ideal) for number in numbers)
            return one, min(ends), max(ends)

        return turn

    def _bounds(self, numbers: Sequence[float]) -> tuple[float, float, float]:
        """Badness of a value, and the least and the most within its interval."""
        value, low, high = numbers
        ends = self.badness(value), self.badness(low), self.badness(high)
        within = self.ideal is not None and low <= self.ideal <= high
        return ends[0], 0.0 if within else min(ends), max(ends)


@dataclass(frozen=True)
class Evaluation:
    """The readings of one model, in the order of the table.

    ``about`` (JSON values): hash of the model, n, seed, features, classifier and its accuracy, source and its
    fingerprint, versions, what the anchors are.
    """

    model: str
    readings: Sequence[Reading]
    about: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, measure: str) -> Reading:
        return next(reading for reading in self.readings if reading.measure == measure)

    def __iter__(self) -> Iterator[Reading]:
        return iter(self.readings)

    def lines(self) -> list[str]:
        """JSON lines, as they are written."""
        seconds = {reading.measure: reading.seconds for reading in self.readings}
        rows = [asdict(reading) for reading in self.readings]
        for row in rows:
            del row["seconds"]
        head = {"format": FORMAT, "model": self.model, "about": self.about}
        return [encode(line) for line in (head, *rows, {"seconds": seconds})]

    def write(self, path: Path) -> None:
        """This evaluation alone, as a whole file or not at all. Raises CheckpointError on a full disk."""
        write_evaluations(path, [self])

    @classmethod
    def read(cls, path: Path) -> Evaluation:
        """The last one in a file. Raises CheckpointError where it holds none."""
        return read_evaluations(path)[-1]


def write_evaluations(path: Path, evaluations: Sequence[Evaluation]) -> None:
    lines = [line for evaluation in evaluations for line in evaluation.lines()]
    atomic_write(path, "".join(f"{line}\n" for line in lines))


def read_evaluations(path: Path) -> list[Evaluation]:
    """All that a file holds, in order.

    Raises:
        CheckpointError: it cannot be read, or holds something else.
    """
    try:
        lines = [decode(line) for line in read_regular(path, LARGEST_JSON_BYTES).decode().split("\n") if line]
        found = list(_parted(lines))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}", "evaluate again") from error
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path} holds no evaluation of this gancore", "evaluate again") from error
    if not found:
        raise CheckpointError(f"{path} holds no evaluation", "evaluate again")
    return found


def keep_evaluation(path: Path, evaluation: Evaluation) -> None:
    """Add to a file, in place of one that was asked alike (same model, same ``about``)."""
    try:
        before = read_evaluations(path)
    except CheckpointError:  # none yet, or torn by something else than gancore: it is written whole again
        before = []
    asked = (evaluation.model, encode(evaluation.about))
    others = [other for other in before if (other.model, encode(other.about)) != asked]
    write_evaluations(path, [*others, evaluation])


def _parted(lines: Sequence[Any]) -> Iterator[Evaluation]:
    heads = [at for at, line in enumerate(lines) if "format" in line]
    if heads[:1] != [0][: len(lines)]:
        raise ValueError("the first line is not about an evaluation")
    for at, stop in zip(heads, [*heads[1:], len(lines)], strict=True):
        head, *rows, last = lines[at:stop]
        if head["format"] not in READ or last.keys() != {"seconds"}:
            raise ValueError("another format, or cut short")
        readings = [replace(Reading(**row), seconds=last["seconds"][row["measure"]]) for row in rows]
        yield Evaluation(head["model"], tuple(readings), head["about"])


def plain(value: Any) -> Any:
    """JSON values of what a measure gives: tensors and arrays as lists, tuples as lists, keys as text."""
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(inner) for inner in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise TypeError(f"{type(value).__name__} is no JSON value")


def encode(value: Any) -> str:
    """One line of strict JSON; equal values give equal text."""
    return json.dumps(finite(plain(value)), sort_keys=True, ensure_ascii=False, allow_nan=False)


def decode(line: str) -> Any:
    return json.loads(line, object_hook=_restore)


def finite(value: Any) -> Any:
    """JSON values with what JSON has no number for as ``{"float": "nan"}``."""
    if isinstance(value, dict):
        return {name: finite(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    return value


def _restore(mapping: dict[str, Any]) -> Any:
    if mapping.keys() == {"float"} and mapping["float"] in ("nan", "inf", "-inf"):
        return float(mapping["float"])
    return mapping
