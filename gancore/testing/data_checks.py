"""Checks of the contents of splits, of the order of labels, and of the fingerprint."""

from __future__ import annotations

import itertools
import math
import time
import types
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import torch
from pydantic.fields import FieldInfo
from torch import Tensor

from gancore.config import DataConfig
from gancore.data.dataset import Data, View
from gancore.data.splits import SPLITS
from gancore.errors import GancoreError
from gancore.evaluation.features import flatten_rows
from gancore.random import Key, RowRange
from gancore.testing.check import CheckFailure, SkipCheck, trees_equal
from gancore.testing.fixtures import DomainFixture
from gancore.text import count_noun
from gancore.trees import Tree, tree_leaves, tree_slice

MOST_ROWS = 4096
"""The number of rows of a view that are compared; a larger view is sampled at random."""
SHARED = 0.05
"""The share of rows of a split that may be equal to rows of another split by chance."""
TOGETHER = 64
LABELLED_ROWS = 1024
SHIFTS = (-3, -2, -1, 1, 2, 3)
SIGMAS = 4.0


def splits_are_disjoint(fixture: DomainFixture) -> None:
    """No split shares more equal rows with another split than that split has duplicates, plus 5 %.

    Rows are compared byte by byte. All rows are drawn with the same random numbers, so that random crops of
    one row are equal. Data with few distinct rows have duplicates within and between splits; the share of
    duplicates within the other split is allowed.
    """
    held = {
        split: [(_contents(view), len(view)) for view in fixture.views(split).values()] for split in SPLITS
    }
    for one, other in itertools.permutations(SPLITS, 2):
        for (rows, _), (others, size) in itertools.product(held[one], held[other]):
            _require_apart(one, rows, other, others, size)


@dataclass(frozen=True)
class SameRowKey(Key):
    """A key that gives every row of a batch the same random numbers."""

    def __truediv__(self, word: int | str) -> SameRowKey:
        return SameRowKey((*self.path, word), self.device)

    def to(self, device: torch.device | str) -> SameRowKey:
        return SameRowKey(self.path, torch.device(device))

    def with_rows(self, rows: RowRange | None) -> SameRowKey:
        return self

    def _rows(
        self, shape: tuple[int, ...], draw: Callable[[tuple[int, ...], torch.Generator], Tensor]
    ) -> Tensor:
        if not shape:
            return draw(shape, self.generator())
        return draw((1, *shape[1:]), self.generator()).expand(shape).clone()


def _contents(view: View) -> Counter[bytes]:
    """The number of times that each digest of a row occurs among the compared rows."""
    indices = Key.of("kit", "contents").permutation(len(view))[:MOST_ROWS]
    found: Counter[bytes] = Counter()
    for part in torch.split(indices, TOGETHER):
        data = view.get_batch(part, SameRowKey.of("kit", "contents")).data
        found.update(_digest(tree_slice(data, row, row + 1)) for row in range(len(part)))
    return found


def _digest(row: Tree) -> bytes:
    made = blake2b(digest_size=16)
    for leaf in tree_leaves(row):
        made.update(repr((tuple(leaf.shape), leaf.dtype)).encode())
        made.update(leaf.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return made.digest()


def _require_apart(one: str, rows: Counter[bytes], other: str, others: Counter[bytes], size: int) -> None:
    """Raise CheckFailure if more rows of ``one`` are in ``other`` than ``other`` has duplicates.

    ``size`` is the number of rows of the whole view from which ``others`` were drawn.
    """
    n, m = rows.total(), others.total()
    shared = sum(count for content, count in rows.items() if content in others)
    twice = sum(count for count in others.values() if count > 1)
    usual = twice / m
    spread = math.sqrt(usual * (1 - usual) * (1 / n + 1 / m))
    covered = m / size  # the share of the other view that is compared
    if shared > 1 and shared / n - usual > max(SHARED * covered, SIGMAS * spread):
        raise CheckFailure(
            f"{shared} of {n} compared rows of {one} are also in {other} "
            f"({twice} of the {m} rows of {other} are duplicates)",
            "split by content (gancore.data.splits) before rows are cut, repeated or augmented: "
            "otherwise valid and test measure memorised training data",
        )


def labels_match_their_rows(fixture: DomainFixture) -> None:
    """Labels shifted by up to 3 rows do not predict rows of train better than the labels themselves.

    The prediction is the label of the nearest other row of train. A shift cannot be detected, and the check
    holds, if train is not in the order of the files (shuffled rows), if equal labels follow one another in
    long runs, or if distances do not predict labels.
    """
    view = fixture.view("train")
    indices = torch.arange(min(len(view), LABELLED_ROWS))
    batch = view.get_batch(indices, Key.of("kit", "labels").with_rows(RowRange.all(len(indices))))
    labels = batch.condition
    if not fixture.data.spec.get("classes") or not isinstance(labels, Tensor) or labels.dim() != 1:
        raise SkipCheck("the tiny data have no class labels (one integer for each row)")
    nearest = _nearest(flatten_rows(batch.data))
    own = _agreement(labels, nearest)
    for shift in SHIFTS:
        gain = _agreement(labels.roll(shift), nearest) - own
        shifted = gain.mean() / (gain.std() / math.sqrt(len(gain))).clamp_min(1e-12)
        if len(gain) > 1 and float(shifted) > SIGMAS and float(gain.mean()) > SHARED:
            share, own_share = float((own + gain).mean()), float(own.mean())
            raise CheckFailure(
                f"labels of train are shifted: with the label {count_noun(abs(shift), 'row')} "
                f"{'earlier' if shift > 0 else 'later'} the nearest row has the same label in {share:.0%} of "
                f"rows, with the row's own label in {own_share:.0%}",
                "check how labels are read: a header line, an index column, or rows missing from one list",
            )


def _nearest(x: Tensor) -> Tensor:
    """The index of the nearest other row for each row, (rows,) int64."""
    x = x.float()
    x = (x - x.mean(0)) / x.std(0).clamp_min(1e-6)
    return torch.cdist(x, x).fill_diagonal_(math.inf).argmin(1)


def _agreement(labels: Tensor, nearest: Tensor) -> Tensor:
    return (labels == labels[nearest]).double()


ROWS = 32
"""The number of rows of each split that are compared."""
FACTORS = (2, 0.5, 4, 0.25)
MOST_SECONDS = 10.0
TRIED = 6
"""The number of values that are tried for a key until one opens and changes rows."""
BOUNDS = ("ge", "gt", "le", "lt", "multiple_of")
"""Bounds of a number, as pydantic and annotated_types name them."""


def fingerprints_its_keys(fixture: DomainFixture) -> None:
    """The fingerprint changes with each key of the data section that changes rows of the tiny data.

    The check tries other valid values of each key until the fingerprint changes. A value that opens and
    changes rows must change the fingerprint. The source, keys that take text, and keys that are reached
    after 10 s are not tried.
    """
    if not fixture.data.fingerprint:
        raise SkipCheck("the data have no fingerprint: resuming on other data is not refused")
    moved, began = 0, time.monotonic()
    for key, values in _others(fixture.section()):
        if time.monotonic() - began > MOST_SECONDS:
            break
        moved += _changes_fingerprint(fixture, key, values)
    if not moved:
        raise SkipCheck("no key of the data section that was tried changes rows of the tiny data")


def _changes_fingerprint(fixture: DomainFixture, key: str, values: Sequence[Any]) -> bool:
    """Whether a value of the key changes the fingerprint.

    Raises CheckFailure if a value changes rows alone.
    """
    for value in values:
        other = _opened(fixture, key, value)
        if other is not None and other.fingerprint != fixture.data.fingerprint:
            return True
        if other is not None and _differs(fixture.data, other):
            raise CheckFailure(
                f"data.{key}={value} changes rows, and the fingerprint stays the same",
                "hash every setting that changes rows, and their content, into Data.fingerprint",
            )
    return False


def _opened(fixture: DomainFixture, key: str, value: Any) -> Data | None:
    """The data with this value of the key; None if the domain refuses the value."""
    try:
        return fixture.open({key: value})
    except (GancoreError, ValueError):
        return None


def _others(section: DataConfig) -> Iterator[tuple[str, list[Any]]]:
    """Each key of the section with other valid values."""
    for name, field in type(section).model_fields.items():
        values = list(_values(field.annotation, getattr(section, name), field.metadata))
        if name != "source" and values:
            yield name, values[:TRIED]


def _values(kind: Any, now: Any, rules: Sequence[Any]) -> Iterator[Any]:
    """Values of a type other than ``now``. ``rules`` are the constraints in the type's annotations."""
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
    """Numbers near ``now``; if it is None, the lowest allowed numbers."""
    stated = {name: getattr(rule, name, None) for rule in rules for name in BOUNDS if hasattr(rule, name)}
    bounds = {name: value for name, value in stated.items() if value is not None}
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
    """Whether a split differs in its number of rows or in its rows."""
    return any(
        not _equal_views(view, other.views(split).get(name))
        for split in SPLITS
        for name, view in one.views(split).items()
    )


def _equal_views(one: View, other: View | None) -> bool:
    if other is None or len(one) != len(other):
        return False
    rows, key = torch.arange(min(len(one), ROWS)), Key.of("kit", "fingerprint")
    first, second = (view.get_batch(rows, key.with_rows(RowRange.all(len(rows)))) for view in (one, other))
    return trees_equal([first.data, first.condition], [second.data, second.condition])
