"""A check of the fingerprint of data: it moves with whatever changes rows, as resumed runs need it to."""

from __future__ import annotations

import math
import time
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import torch
from pydantic.fields import FieldInfo

from gancore.config import DataSection
from gancore.domain import Data, View
from gancore.errors import GancoreError
from gancore.runtime.randomness import Key, Rows
from gancore.testing.bench import SPLITS, DomainBench
from gancore.testing.check import Breach, NotApplicable
from gancore.testing.compare import equal

ROWS = 32
"""Rows of each split that are compared."""
FACTORS = (2, 0.5, 4, 0.25)
MOST_SECONDS = 10.0
TRIED = 6
"""Values of a key that are tried until one opens and changes rows."""
BOUNDS = ("ge", "gt", "le", "lt", "multiple_of")
"""Of a number, as pydantic and annotated_types name them."""


def fingerprints_its_keys(bench: DomainBench) -> None:
    """The fingerprint moves with each key of the data section by which rows of the tiny data change.

    Of each key other valid values are tried until the fingerprint moves; what opens and gives other rows must
    move it. Not tried are the source, keys that take text, and keys whose turn comes when 10 s are spent.
    """
    if not bench.data.fingerprint:
        raise NotApplicable("the data give no fingerprint: a run resumed on other data is not refused")
    moved, began = 0, time.monotonic()
    for key, values in _others(bench.section()):
        if time.monotonic() - began > MOST_SECONDS:
            break
        moved += _moves(bench, key, values)
    if not moved:
        raise NotApplicable("no key of the data section that was tried changes rows of the tiny data")


def _moves(bench: DomainBench, key: str, values: Sequence[Any]) -> bool:
    """Whether a value of the key moves the fingerprint. Raises Breach where rows change and it does not."""
    for value in values:
        other = _opened(bench, key, value)
        if other is not None and other.fingerprint != bench.data.fingerprint:
            return True
        if other is not None and _differs(bench.data, other):
            raise Breach(
                f"data.{key}={value} gives other rows under the same fingerprint",
                "hash every setting that changes rows, and their content, into Data.fingerprint",
            )
    return False


def _opened(bench: DomainBench, key: str, value: Any) -> Data | None:
    """None where the domain refuses the value."""
    try:
        return bench.open({key: value})
    except (GancoreError, ValueError):
        return None


def _others(section: DataSection) -> Iterator[tuple[str, list[Any]]]:
    """Each key with values that it might have instead of its own."""
    for name, field in type(section).model_fields.items():
        values = list(_values(field.annotation, getattr(section, name), field.metadata))
        if name != "source" and values:
            yield name, values[:TRIED]


def _values(kind: Any, now: Any, rules: Sequence[Any]) -> Iterator[Any]:
    """``rules``: what the annotations around the type say of its values."""
    if get_origin(kind) is Annotated:
        kind, *more = get_args(kind)
        inner = [rule for m in more for rule in (m.metadata if isinstance(m, FieldInfo) else [m])]
        yield from _values(kind, now, [*rules, *inner])
    elif kind is bool:
        yield not now
    elif get_origin(kind) is Literal:
        yield from (value for value in get_args(kind) if value != now)
    elif get_origin(kind) in (Union, types.UnionType):
        for part in get_args(kind):
            if part is not type(None):
                yield from _values(part, now, rules)
    elif kind in (int, float):
        yield from _numbers(kind, now, rules)


def _numbers(kind: type, now: Any, rules: Sequence[Any]) -> Iterator[Any]:
    """About the value; where there is none, upwards from the lowest that is allowed."""
    told = {name: getattr(rule, name, None) for rule in rules for name in BOUNDS if hasattr(rule, name)}
    bounds = {name: value for name, value in told.items() if value is not None}
    low = bounds.get("ge", bounds.get("gt", 0)) or bounds.get("multiple_of", 1)
    high = bounds.get("le", bounds.get("lt", math.inf))
    if low >= high:  # a share: between 0 and 1
        low = high / 2
    if isinstance(now, int | float):
        numbers = [*(now * factor for factor in FACTORS), now + 1]
    else:  # none, or a word
        numbers = [low, low * 2, low * 4, low * 16]
    for number in numbers:
        made = kind(number) if kind is float else math.floor(number)
        if made != now:
            yield made


def _differs(one: Data, other: Data) -> bool:
    """Whether a split has more or fewer rows, or other ones."""
    return any(
        not _alike(a, b) for split in SPLITS for a, b in _pairs(getattr(one, split), getattr(other, split))
    )


def _pairs(one: Any, other: Any) -> list[tuple[View, View | None]]:
    if not isinstance(one, Mapping):
        return [(one, other)]
    return [(view, other.get(name) if isinstance(other, Mapping) else None) for name, view in one.items()]


def _alike(one: View, other: View | None) -> bool:
    if other is None or len(one) != len(other):
        return False
    rows, key = torch.arange(min(len(one), ROWS)), Key.of("kit", "fingerprint")
    first, second = (view.take(rows, key.cut(Rows.all(len(rows)))) for view in (one, other))
    return equal([first.data, first.condition], [second.data, second.condition])
