"""The result of an evaluation and its lossless JSON lines. Imports no torch.

A file has any number of evaluations. Each one starts with a line of metadata, followed by a line for each
metric and a line with the seconds of each metric. If the evaluation is repeated, all lines except the last
are equal byte for byte. A float that is not finite is written as ``{"float": "nan"}``, because JSON has none.
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
from gancore.evaluation.tables import Table
from gancore.files import MAX_JSON_BYTES, atomic_write, read_regular

FORMAT = 3
TRUSTED = "yes"
BETTER_THAN_REAL = "no: better than real rows"
"""``trust`` of a value that no model can have."""
SPREAD = "spread"
"""The key in the details of recall of :func:`gancore.metrics.precision_recall.relative_spread`."""


class Difference(NamedTuple):
    """A difference and its interval."""

    value: float
    low: float
    high: float


def badness(value: float, higher_is_better: bool | None, ideal: float | None = None) -> float:
    """Convert a value so that lower is better: to its distance from ``ideal``, or by its sign."""
    if ideal is not None:
        return abs(value - ideal)
    return -value if higher_is_better else value


@dataclass(frozen=True)
class MetricResult:
    """The value of one metric, and what is needed to interpret it.

    Attributes:
        value: the value; None if the metric was skipped.
        low, high, method: the 95 % interval over samples and how it is computed; None and "" without one.
        kind: what the metric measures (see :class:`gancore.Metric`).
        ideal: the best value, if it is not an end of the scale.
        own_scored: the model itself scores rows, those of its controls too, as by its likelihood. Its score
            of real rows then says nothing of real rows: see :meth:`difference_from`, ``gap_closed``.
        n, n_real, split, source: ``n`` samples are compared with ``n_real`` rows of a split of a source.
        anchors: the values on the controls: ``real`` (held-out rows, the positive control) and the negative
            controls ``noise``, ``collapse``, ``shrunk``, ``widened`` and ``points``.
        real_low, real_high: the interval of ``anchors["real"]``.
        n_anchors: the number of rows of each control.
        matched, matched_low, matched_high: the value for ``n_anchors`` samples and its interval, for
            comparison with the controls; None if it is not available.
        trust: "yes" (with the controls to which the metric is insensitive by definition), or the reason why
            the value is not trusted.
        note: other remarks.
        skipped: why the metric was not computed; empty if it was.
        details: JSON values such as a curve or shares of classes.
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
    own_scored: bool = False
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
        """The difference of badness to a control, for the control's number of rows; None if unknown.

        Of a metric that the model scores itself the difference to real rows is not known: a model that scores
        all real rows alike, however badly, is not as good as these.

        A positive difference is worse than the control. Its interval is at 95 % for all ``comparisons``
        together (Bonferroni), from the two intervals (MOVER: Zou and Donner, 2008). Values of negative
        controls are treated as exact. The interval is too wide, because both values share their reference
        rows. If the ideal is between the value and that of real rows, the difference is their distance.
        """
        other = None if self.own_scored and control == "real" else self.anchors.get(control)
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
        """Whether it is worse than held-out real rows by more than both intervals; None if unknown.

        The statement is at 95 % for all ``comparisons`` together (Bonferroni).
        """
        difference = self.difference_from("real", comparisons)
        return None if difference is None else difference.low > 0

    def no_better_than(self, control: str) -> bool:
        """Whether it is no better than a negative control, within its own interval; False if unknown."""
        difference = self.difference_from(control)
        return difference is not None and difference.high >= 0

    @property
    def nearer_controls(self) -> list[str] | None:
        """The controls ``noise`` and ``collapse`` that it is not farther from than from real rows.

        Those that the metric is insensitive to are left out. A value that is better than that of real rows
        is nearest to these. None if it is unknown: there are no such controls, or no better direction, or
        the model scores its controls itself.
        """
        names = [name for name in ("noise", "collapse") if name in self.visible_controls]
        value = self.value if self.matched is None else self.matched
        directed = self.higher_is_better is not None or self.ideal is not None
        if self.own_scored or value is None or "real" not in self.anchors or not names or not directed:
            return None
        own, real = self.badness(value), self.badness(self.anchors["real"])
        gap = max(0.0, own - real)
        return [name for name in names if not gap < abs(own - self.badness(self.anchors[name]))]

    @property
    def visible_controls(self) -> list[str]:
        """The negative controls that the metric is sensitive to."""
        insensitive_to = self.trust.partition("blind to ")[2].split()
        return [name for name in self.anchors if name != "real" and name not in insensitive_to]

    @property
    def bad_control(self) -> str:
        """The negative control from which the gap to real rows is measured; empty if there is none."""
        return next((name for name in ("noise", "collapse") if name in self.anchors), "")

    @property
    def gap_closed(self) -> float | None:
        """The closed share of the gap from ``bad_control`` to real rows (1: all of it).

        None if it is unknown, or if the model scores its controls itself (:meth:`difference_from`).
        """
        if self.own_scored:
            return None
        ends = [self.anchors.get(name, math.nan) for name in (self.bad_control, "real")]
        bad, real, own = map(self.badness, (*ends, math.nan if self.matched is None else self.matched))
        return (bad - own) / (bad - real) if math.isfinite(own) and real < bad else None

    @property
    def badness_bounds(self) -> tuple[float, float] | None:
        """The smallest and the largest badness within the interval; None without an interval."""
        if self.value is None or self.low is None or self.high is None:
            return None
        return self._bounds((self.value, self.low, self.high))[1:]

    def _distance_from_ideal(self, value: float) -> Callable[[Sequence[float]], tuple[float, float, float]]:
        """A function that maps a value and its interval to signed distances from the ideal.

        Distances are positive on the side of ``value``.
        """
        ideal = self.ideal or 0.0
        side = math.copysign(1.0, value - ideal)

        def to_badness(numbers: Sequence[float]) -> tuple[float, float, float]:
            one, *ends = (side * (number - ideal) for number in numbers)
            return one, min(ends), max(ends)

        return to_badness

    def _bounds(self, numbers: Sequence[float]) -> tuple[float, float, float]:
        """The badness of a value, and the smallest and the largest badness within its interval."""
        value, low, high = numbers
        ends = self.badness(value), self.badness(low), self.badness(high)
        within = self.ideal is not None and low <= self.ideal <= high
        return ends[0], 0.0 if within else min(ends), max(ends)


@dataclass(frozen=True)
class EvaluationResult:
    """The results of one model, in the order of the table.

    ``metadata`` (JSON values) has the hash of the model, n, the seed, the feature extractor, the classifier
    and its accuracy, the source and its fingerprint, versions, and a description of the controls. ``tables``
    are the domain's (:meth:`gancore.Domain.tables`).
    """

    model: str
    results: Sequence[MetricResult]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tables: Sequence[Table] = ()

    def __getitem__(self, metric: str) -> MetricResult:
        return next(result for result in self.results if result.metric == metric)

    def __iter__(self) -> Iterator[MetricResult]:
        return iter(self.results)

    def lines(self) -> list[str]:
        """The JSON lines of the file."""
        seconds = {result.metric: result.seconds for result in self.results}
        records = [asdict(result) for result in self.results]
        for record in records:
            del record["seconds"]
        head = {"format": FORMAT, "model": self.model, "metadata": self.metadata}
        if self.tables:
            head["tables"] = [table.to_json() for table in self.tables]
        return [encode_lossless(line) for line in (head, *records, {"seconds": seconds})]

    def write(self, path: Path) -> None:
        """Write a file with this evaluation only, atomically. Raises CheckpointError if the disk is full."""
        write_evaluations(path, [self])

    @classmethod
    def read(cls, path: Path) -> EvaluationResult:
        """Read the last evaluation of a file. Raises CheckpointError if it has none."""
        return read_evaluations(path)[-1]


def write_evaluations(path: Path, evaluations: Sequence[EvaluationResult]) -> None:
    lines = [line for evaluation in evaluations for line in evaluation.lines()]
    atomic_write(path, "".join(f"{line}\n" for line in lines))


def read_evaluations(path: Path) -> list[EvaluationResult]:
    """Read all evaluations of a file, in order.

    Raises:
        CheckpointError: the file cannot be read, or has other content.
    """
    try:
        text = read_regular(path, MAX_JSON_BYTES).decode()
        found = list(_parse([decode_lossless(line) for line in text.split("\n") if line]))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}", "evaluate again") from error
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path} has no evaluation of this version", "evaluate again") from error
    if not found:
        raise CheckpointError(f"{path} has no evaluation", "evaluate again")
    return found


def store_evaluation(path: Path, evaluation: EvaluationResult) -> None:
    """Add the evaluation to a file. It replaces one of the same model with the same ``metadata``.

    A file that cannot be read (another format, damaged) is renamed to ``.unreadable``.
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
        raise ValueError("the first line is not the metadata of an evaluation")
    for at, stop in zip(heads, [*heads[1:], len(lines)], strict=True):
        head, *records, last = lines[at:stop]
        if head["format"] != FORMAT or last.keys() != {"seconds"}:
            raise ValueError("the format is unknown, or the file is truncated")
        results = [
            replace(MetricResult(**record), seconds=last["seconds"][record["metric"]]) for record in records
        ]
        tables = [Table.from_json(table) for table in head.get("tables", [])]
        yield EvaluationResult(head["model"], tuple(results), head["metadata"], tuple(tables))


def to_json_value(value: Any) -> Any:
    """Convert a value of a metric to JSON: tensors, arrays and tuples to lists, keys to strings."""
    if isinstance(value, Mapping):
        return {str(name): to_json_value(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_json_value(inner) for inner in value]
    if hasattr(value, "tolist"):
        return to_json_value(value.tolist())
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise TypeError(f"{type(value).__name__} is not a JSON value")


def encode_lossless(value: Any) -> str:
    """Encode a value as one line of strict JSON; equal values give equal text."""
    return json.dumps(
        encode_non_finite(to_json_value(value)), sort_keys=True, ensure_ascii=False, allow_nan=False
    )


def decode_lossless(line: str) -> Any:
    return json.loads(line, object_hook=_decode_non_finite)


def encode_non_finite(value: Any) -> Any:
    """Replace non-finite floats of a JSON value by ``{"float": "nan"}`` and so on."""
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
