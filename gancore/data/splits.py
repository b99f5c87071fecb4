"""Assigns items to train, valid and test by hash: new items never move existing ones to another split."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal, TypeAlias

from gancore.errors import DataError

Split: TypeAlias = Literal["train", "valid", "test"]
"""The name of a split."""
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
"""The splits, the largest first."""
Shares: TypeAlias = tuple[float, float, float]
"""The shares of train, valid and test; their sum is 1."""


_SPLIT_WORDS = re.compile(r"(?<![a-z])(train|test|t10k|valid|validation|val)(?![a-z])")
_SPLIT_NAMES: dict[str, Split] = {"train": "train", "test": "test", "t10k": "test"}


def split_from_name(name: str) -> Split | None:
    """The split in the name of a file, a folder or an array; None if there is none."""
    found = _SPLIT_WORDS.findall(re.sub(r"[_\W]+", " ", name.lower()))
    return _SPLIT_NAMES.get(found[0], "valid") if found else None


def strip_split_folders(names: Sequence[str]) -> list[str]:
    """The names (with /) without their first folders if all of these are splits; otherwise unchanged."""
    return list(names) if None in _folder_splits(names) else [name.partition("/")[2] for name in names]


def splits_from_folders(names: Sequence[str]) -> list[Split | None]:
    """The split of each name (with /) by its first folder; None for all names if folders are not splits.

    Every first folder must have the name of a split, and one must be train: a data set with only a test
    folder is divided like any other data set.
    """
    splits = _folder_splits(names)
    return splits if "train" in splits and None not in splits else [None] * len(names)


def _folder_splits(names: Sequence[str]) -> list[Split | None]:
    tops = [name.partition("/")[0] if "/" in name else "" for name in names]
    named = {top: split_from_name(top) if top.isalnum() else None for top in set(tops)}
    return [named[top] for top in tops]


def hash_split(item_id: str, shares: Shares = (0.8, 0.1, 0.1)) -> Split:
    """The split of an item, a function of its id (a name, or a hash of its content).

    ``shares`` are those of train, valid and test; they need not add up to one.
    """
    position = _hash_position(item_id) * sum(shares)
    if position < shares[0]:
        return "train"
    return "valid" if position < shares[0] + shares[1] else "test"


def assign_splits(item_ids: Sequence[str], shares: Shares = (0.8, 0.1, 0.1)) -> list[Split]:
    """The split of each item. Every split with a share gets at least one item.

    Items with the same id are in one split. The split is that of ``hash_split``; if a split would be empty,
    the items nearest to its boundary move to it.

    Raises:
        DataError: there are fewer distinct items than splits.
    """
    distinct = sorted(set(item_ids), key=_hash_position)
    wanted = [split for split, share in zip(SPLITS, shares, strict=True) if share > 0]
    if len(distinct) < len(wanted):
        raise DataError(
            f"{len(distinct)} distinct items cannot be split into {', '.join(wanted)}",
            f"give at least {len(wanted)}",
        )
    counts = Counter(hash_split(item_id, shares) for item_id in distinct)
    for split in wanted:
        if not counts[split]:
            counts[counts.most_common(1)[0][0]] -= 1
            counts[split] = 1
    in_order = [split for split in SPLITS for _ in range(counts[split])]
    placed = dict(zip(distinct, in_order, strict=True))
    return [placed[item_id] for item_id in item_ids]


def group_by_split(names: Sequence[str], splits: Sequence[Split]) -> dict[str, list[str]]:
    """The names of each split, in order."""
    return {
        split: [name for name, own in zip(names, splits, strict=True) if own == split] for split in SPLITS
    }


def _hash_position(item_id: str) -> float:
    """A number in [0, 1), a function of the id."""
    digest = hashlib.blake2b(item_id.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53
