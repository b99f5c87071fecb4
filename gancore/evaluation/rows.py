"""The real rows of an evaluation: which ones they are is a function of the seed and of the data alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from gancore.domain import Batch, Data, View
from gancore.errors import ConfigError, nearest
from gancore.evaluation.store import content_of
from gancore.models.sampling import to_cpu
from gancore.runtime.randomness import Key, Rows
from gancore.trees import Tree, join_rows, leaves

SPLITS = ("train", "valid", "test")
IDENTIFYING = 1000


@dataclass(frozen=True)
class RealRows:
    """``real``: of the reference split. ``train``: for measures of memory. ``held_out``: neither of them,
    for the anchors; None where there are no more. ``origin``: how many of these each split gave.
    """

    real: Batch
    train: Batch
    held_out: Batch | None
    origin: Mapping[str, int]


def real_rows(data: Data, split: str, n: int, key: Key) -> RealRows:
    """Up to ``n`` rows of each. The held-out ones are of valid, unless that is the reference; then what is
    left of the reference split; then what is left of train.

    Raises:
        ConfigError: no such split, or it has no rows.
    """
    view = view_of(data, split)
    if not len(view):
        raise ConfigError(f"the data have no rows in {split}", "give another --split, or more data")
    real, train = _rows(data, split, key, 0, n), _rows(data, "train", key, 0, n)
    held_out: list[Batch] = []
    origin: dict[str, int] = {}
    for home in dict.fromkeys(("valid", split, "train")):
        first = n if home in (split, "train") else 0
        count = min(n - sum(origin.values()), len(view_of(data, home)) - first)
        if count > 0:
            held_out.append(_rows(data, home, key, first, count))
            origin[home] = count
    return RealRows(real, train, _joined(held_out), origin)


def _rows(data: Data, split: str, key: Key, first: int, count: int) -> Batch:
    view = view_of(data, split)
    return take(view, (key / split).permutation(len(view))[first : first + count], key / split / first)


def _joined(batches: Sequence[Batch]) -> Batch | None:
    if not batches:
        return None
    conditions = [batch.condition for batch in batches]
    return Batch(
        join_rows([batch.data for batch in batches]), None if conditions[0] is None else join_rows(conditions)
    )


def view_of(data: Data, split: str) -> View:
    """The view of a split; of several (unpaired sets) the first. Raises ConfigError: no such split."""
    if split not in SPLITS:
        raise ConfigError(f"no split {split!r}", nearest(split, SPLITS))
    found: View | Mapping[str, View] = getattr(data, split)
    return next(iter(found.values())) if isinstance(found, Mapping) else found


def take(view: View, indices: Tensor, key: Key) -> Batch:
    """Canonical rows on the CPU, with their condition."""
    batch = view.take(indices, key.cut(Rows.all(len(indices))))
    return Batch(to_cpu(batch.data), to_cpu(batch.condition))


def outline(tree: Tree) -> str:
    """Shape without rows, and type, of every leaf, as ``1 x 64 float32``: two sets of samples share it."""
    told = [
        f"{' x '.join(map(str, leaf.shape[1:])) or 1} {str(leaf.dtype).removeprefix('torch.')}"
        for leaf in leaves(tree)
    ]
    return ", ".join(told)


def identity_of(data: Data) -> str:
    """The fingerprint; of data without one the content of some rows of train."""
    if data.fingerprint:
        return data.fingerprint
    train, key = view_of(data, "train"), Key.of("identity")
    return content_of(take(train, key.permutation(len(train))[:IDENTIFYING], key).data)
