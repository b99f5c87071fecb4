"""The result of an evaluation, and its lossless JSON lines. Imports no torch.

A file holds evaluations one after another. Each begins with a line of metadata; a line for each metric
follows, and one with the seconds that each took: all lines except the last are equal, byte for byte, if the
evaluation is repeated. A float that is not finite is written as ``{"float": "nan"}``, since JSON has none.
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
from gancore.files import MAX_JSON_BYTES, atomic_write, read_regular

FORMAT = 3
TRUSTED = "yes"
BETTER_THAN_REAL = "no: better than real rows"
"""``trust`` of a value that no model can have."""


class Difference(NamedTuple):
    """A difference and its interval."""

    value: float
    low: float
    high: float


def badness(value: float, higher_is_better: bool | None, ideal: float | None = None) -> float:
    """A value converted so that lower is better: its distance from ``ideal``, or the value with a sign."""
    if ideal is not None:
        return abs(value - ideal)
    return -value if higher_is_better else value


@dataclass(frozen=True)
class MetricResult:
    """The value of one metric with everything that its reader needs to trust it.

    ``low`` to ``high`` is the 95 % interval over samples, computed by ``method``; None and "": there is none.
    ``kind``: what the metric measures. ``ideal``: the best value, if it is not an end of the scale. ``n``
    generated samples are compared with ``n_real`` rows of ``split`` of ``source``. ``anchors``: the metric's
    values on the controls: ``real`` (held-out rows, the positive control; its own interval is ``real_low`` to
    ``real_high``) and the negative controls ``noise``, ``collapse``, ``shrunk``, ``widened`` and ``points``,
    of ``n_anchors`` rows. ``matched``, with its interval: the value at that number of samples, which is the
    only one to compare with them; None: not available. ``trust``: "yes" (and what the metric is insensitive
    to by definition), or in a few words why not. ``note``: other remarks. ``skipped``: why the metric was not
    computed; ``value`` is then None. ``details`` are JSON values: a curve, shares of classes.
    """

    metric: str
    value: float | None
    low: float | None = None
    high: float | None = None
    method: str = ""
    unit: str = ""
    higher_is_better: bool | None = None
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
        """Whether the metric orders every control that it is sensitive to."""
        return self.trust.startswith(TRUSTED)

    def badness(self, value: float) -> float:
        """The distance of a value from the best one: lower is better."""
        return badness(value, self.higher_is_better, self.ideal)

    def difference_from(self, control: str, comparisons: int = 1) -> Difference | None:
        """By how much it is worse than a control, at the control's number of rows; None: unknown.

        The interval covers the difference of :meth:`badness` at 95 % for all ``comparisons`` together
        (Bonferroni), from the two intervals (MOVER: Zou and Donner 2008). The interval of ``real`` is its
        own; values of negative controls are treated as exact. Both values share their reference rows, so the
        interval is too wide. If an ideal is between the value and that of real rows, the difference is their
        distance.
        """
        other = self.anchors.get(control)
        own = self.matched, self.matched_low, self.matched_high
        others = (other, self.real_low, self.real_high) if control == "real" else (other, other, other)
        numbers = [number for number in (*own, *others) if number is not None and not math.isnan(number)]
        if len(numbers) < len(own) + len(others) or self.higher_is_better is None:
            return None
        if not (math.isfinite(numbers[0]) and math.isfinite(numbers[3])):
            return None
        signed = self.ideal is not None and control == "real"
        to_badness = self._distance_from_ideal(numbers[0]) if signed else self._bounds
        (a, a_least, a_most), (b, b_least, b_most) = map(to_badness, (numbers[:3], numbers[3:]))
        scale = NormalDist().inv_cdf(1 - 0.025 / comparisons) / NormalDist().inv_cdf(0.975)
        low = a - b - scale * math.hypot(a - a_least, b_most - b)
        return Difference(a - b, low, a - b + scale * math.hypot(a_most - a, b - b_least))

    def worse_than_real(self, comparisons: int = 1) -> bool | None:
        """Whether it is worse than held-out real rows, beyond both intervals, at 95 % for all ``comparisons``
        together; None: unknown.
        """
        difference = self.difference_from("real", comparisons)
        return None if difference is None else difference.low > 0

    def no_better_than(self, control: str) -> bool:
        """Whether it is no better than a negative control, within its own interval; False if unknown."""
        difference = self.difference_from(control)
        return difference is not None and difference.high >= 0

    @property
    def visible_controls(self) -> list[str]:
        """The negative controls that the metric is sensitive to."""
        insensitive_to = self.trust.partition("blind to ")[2].split()
        return [name for name in self.anchors if name != "real" and name not in insensitive_to]

    @property
    def bad_control(self) -> str:
        """The negative control from which the gap to real rows is measured; empty: there is none."""
        return next((name for name in ("noise", "collapse") if name in self.anchors), "")

    @property
    def gap_closed(self) -> float | None:
        """The closed part of the gap from ``bad_control`` to real rows: 0 none of it, 1 all of it; None:
        unknown.
        """
        ends = [self.anchors.get(name, math.nan) for name in (self.bad_control, "real")]
        bad, real, own = map(self.badness, (*ends, math.nan if self.matched is None else self.matched))
        return (bad - own) / (bad - real) if math.isfinite(own) and real < bad else None

    @property
    def badness_bounds(self) -> tuple[float, float] | None:
        """The smallest and the largest badness within the interval; None: there is none."""
        if self.value is None or self.low is None or self.high is None:
            return None
        return self._bounds((self.value, self.low, self.high))[1:]

    def _distance_from_ideal(self, value: float) -> Callable[[Sequence[float]], tuple[float, float, float]]:
        """A function to the signed distance of a value and its ends from the ideal, positive on the side of
        ``value``.
        """
        ideal = self.ideal or 0.0
        side = math.copysign(1.0, value - ideal)

        def to_badness(numbers: Sequence[float]) -> tuple[float, float, float]:
            one, *ends = (side * (number - ideal) for number in numbers)
            return one, min(ends), max(ends)

        return to_badness

    def _bounds(self, numbers: Sequence[float]) -> tuple[float, float, float]:
        """Badness of a value, and the smallest and the largest within its interval."""
        value, low, high = numbers
        ends = self.badness(value), self.badness(low), self.badness(high)
        within = self.ideal is not None and low <= self.ideal <= high
        return ends[0], 0.0 if within else min(ends), max(ends)


@dataclass(frozen=True)
class EvaluationResult:
    """The results of one model, in the order of the table.

    ``metadata`` (JSON values): hash of the model, n, seed, features, classifier and
    its accuracy, source and its fingerprint, versions, a description of the controls.
    """

    model: str
    results: Sequence[MetricResult]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, metric: str) -> MetricResult:
        return next(result for result in self.results if result.metric == metric)

    def __iter__(self) -> Iterator[MetricResult]:
        return iter(self.results)

    def lines(self) -> list[str]:
        """JSON lines, as they are written."""
        seconds = {result.metric: result.seconds for result in self.results}
        records = [asdict(result) for result in self.results]
        for record in records:
            del record["seconds"]
        head = {"format": FORMAT, "model": self.model, "metadata": self.metadata}
        return [encode_lossless(line) for line in (head, *records, {"seconds": seconds})]

    def write(self, path: Path) -> None:
        """This evaluation alone, as a whole file or not at all. Raises CheckpointError on a full disk."""
        write_evaluations(path, [self])

    @classmethod
    def read(cls, path: Path) -> EvaluationResult:
        """The last one in a file. Raises CheckpointError if it holds none."""
        return read_evaluations(path)[-1]


def write_evaluations(path: Path, evaluations: Sequence[EvaluationResult]) -> None:
    lines = [line for evaluation in evaluations for line in evaluation.lines()]
    atomic_write(path, "".join(f"{line}\n" for line in lines))


def read_evaluations(path: Path) -> list[EvaluationResult]:
    """All evaluations of a file, in order.

    Raises:
        CheckpointError: it cannot be read, or contains something else.
    """
    try:
        text = read_regular(path, MAX_JSON_BYTES).decode()
        found = list(_parse([decode_lossless(line) for line in text.split("\n") if line]))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}", "evaluate again") from error
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path} holds no evaluation of this gancore", "evaluate again") from error
    if not found:
        raise CheckpointError(f"{path} holds no evaluation", "evaluate again")
    return found


def store_evaluation(path: Path, evaluation: EvaluationResult) -> None:
    """Add to a file; replaces an evaluation of the same model with the same ``metadata``.

    A file that cannot be read (another format, damage) is kept beside it, as ``.unreadable``.
    """
    try:
        before = read_evaluations(path)
    except CheckpointError:
        before = []
        if path.is_file():
            path.replace(path.with_name(f"{path.name}.unreadable"))
    identity = (evaluation.model, encode_lossless(evaluation.metadata))
    others = [other for other in before if (other.model, encode_lossless(other.metadata)) != identity]
    write_evaluations(path, [*others, evaluation])


def _parse(lines: Sequence[Any]) -> Iterator[EvaluationResult]:
    heads = [at for at, line in enumerate(lines) if "format" in line]
    if heads[:1] != [0][: len(lines)]:
        raise ValueError("the first line is not about an evaluation")
    for at, stop in zip(heads, [*heads[1:], len(lines)], strict=True):
        head, *records, last = lines[at:stop]
        if head["format"] != FORMAT or last.keys() != {"seconds"}:
            raise ValueError("another format, or cut short")
        results = [
            replace(MetricResult(**record), seconds=last["seconds"][record["metric"]]) for record in records
        ]
        yield EvaluationResult(head["model"], tuple(results), head["metadata"])


def to_json_value(value: Any) -> Any:
    """JSON value of a metric's result: tensors, arrays and tuples as lists, keys as text."""
    if isinstance(value, Mapping):
        return {str(name): to_json_value(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_json_value(inner) for inner in value]
    if hasattr(value, "tolist"):
        return to_json_value(value.tolist())
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise TypeError(f"{type(value).__name__} is no JSON value")


def encode_lossless(value: Any) -> str:
    """One line of strict JSON; equal values give equal text."""
    return json.dumps(
        encode_non_finite(to_json_value(value)), sort_keys=True, ensure_ascii=False, allow_nan=False
    )


def decode_lossless(line: str) -> Any:
    return json.loads(line, object_hook=_decode_non_finite)


def encode_non_finite(value: Any) -> Any:
    """JSON value with non-finite floats as ``{"float": "nan"}``."""
    if isinstance(value, dict):
        return {name: encode_non_finite(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [encode_non_finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    return value


def _decode_non_finite(mapping: dict[str, Any]) -> Any:
    if mapping.keys() == {"float"} and mapping["float"] in ("nan", "inf", "-inf"):
        return float(mapping["float"])
    return mapping
