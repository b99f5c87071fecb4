"""The real rows of an evaluation: which ones they are is a function of the seed and of the data alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from gancore.domain import Batch, Data, Spec, View
from gancore.errors import ConfigError, nearest
from gancore.evaluation.store import content_of, digest_of
from gancore.models.sampling import to_cpu
from gancore.runtime.randomness import Key, Rows
from gancore.trees import Tree, join_rows, leaves, map_tree

SPLITS = ("train", "valid", "test")
IDENTIFYING = 1000
ENOUGH = 300
SELECTING = 0.1
MOST_OF_TRAIN, MOST_COORDINATES = 10_000, 100_000_000


@dataclass(frozen=True)
class RealRows:
    """``real``: of the reference split. ``train``: measures of memory must see as much of it as can be.

    ``held_out``: for the anchors, not of the reference; None where there are no more. ``origin``: how many of
    them each split gave, in this order; those of train are the last. The first ``apart`` rows of train are
    not among them.
    """

    real: Batch
    train: Batch
    held_out: Batch | None
    origin: Mapping[str, int]
    apart: int

    @property
    def unseen(self) -> int:
        """How many of the held-out rows, from the first, no model was trained on."""
        return sum(count for split, count in self.origin.items() if split != "train")


def real_rows(data: Data, split: str, n: int, key: Key) -> RealRows:
    """Up to ``n`` rows of the split, as many of train as fit, and up to ``n`` held-out ones.

    The held-out ones are what is left of the reference split, then rows of valid; and where these are fewer
    than 300, rows from the end of train, at most half of it.

    Raises:
        ConfigError: no such split, or it has no rows.
    """
    if not len(view_of(data, split)):
        raise ConfigError(f"the data have no rows in {split}", "give another --split, or more data")
    real = _rows(data, split, key, 0, n)
    size, most = len(view_of(data, "train")), rows_that_fit(real.data, n)
    held_out: list[Batch] = []
    origin: dict[str, int] = {}
    for home in [home for home in dict.fromkeys((split, "valid")) if home != "train"] + ["train"]:
        rows, used = len(view_of(data, home)), n if home == split else 0
        free, wanted = rows - used, n - sum(origin.values())
        if home == "train":
            free, wanted = min(free, rows // 2), min(wanted, ENOUGH - sum(origin.values()))
        if (count := min(free, wanted)) > 0:
            batch = _rows(data, home, key, rows - count if home == "train" else used, count)
            if real.condition is not None and batch.condition is None:
                continue  # rows of another kind: no measure of labels could be taken of them
            held_out.append(batch if real.condition is not None else Batch(batch.data))
            origin[home] = count
    apart = min(most, size - origin.get("train", 0))
    return RealRows(real, _rows(data, "train", key, 0, most), _joined(held_out), origin, apart)


def rows_that_fit(rows: Tree, n: int) -> int:
    """At least ``n``; up to 10,000 where their coordinates are not too many to be held."""
    coordinates = sum(leaf[0].numel() for leaf in leaves(rows))
    return max(n, min(MOST_OF_TRAIN, MOST_COORDINATES // max(1, coordinates)))


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


@dataclass(frozen=True)
class Held:
    """Rows in memory as a view of data."""

    rows: Batch

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, indices: Tensor, key: Key) -> Batch:
        return cut(self.rows, indices).to(key.device)


def cut(rows: Batch, indices: Tensor) -> Batch:
    return Batch(*(map_tree(lambda leaf: leaf[indices], tree) for tree in (rows.data, rows.condition)))


def data_of(rows: Batch, spec: Spec, key: Key) -> Data:
    """To train a judge on rows: a tenth, drawn by ``key``, selects, and the others are trained on."""
    order = key.permutation(len(rows))
    count = len(rows) - max(1, round(SELECTING * len(rows)))
    train, valid = Held(cut(rows, order[:count])), Held(cut(rows, order[count:]))
    content = content_of([train.rows.data, train.rows.condition, valid.rows.data, valid.rows.condition])
    return Data(train, valid, valid, spec, fingerprint=digest_of(content, count, dict(spec.facts)))


def outline(tree: Tree) -> str:
    """Shape without rows, and type, of every leaf, as ``1 x 64 float32``: two sets of samples share it."""
    told = [
        f"{' x '.join(map(str, leaf.shape[1:])) or 1} {str(leaf.dtype).removeprefix('torch.')}"
        for leaf in leaves(tree)
    ]
    return ", ".join(told)


def identity_of(data: Data) -> str:
    """A digest of the fingerprint, and of some rows of train and of valid, with their conditions.

    A fingerprint alone tells of the files; which rows a plugin makes of them may change with its code.
    """
    told: list[object] = [data.fingerprint]
    for split, found in (("train", data.train), ("valid", data.valid)):
        for view in found.values() if isinstance(found, Mapping) else (found,):
            key = Key.of("identity", split, len(view))
            rows = key.permutation(len(view))[:IDENTIFYING]
            batch = take(view, rows, key) if len(rows) else None
            told += [len(view), batch and content_of([batch.data, batch.condition])]
    return digest_of(*told)
