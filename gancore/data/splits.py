"""Which of train, valid and test an item belongs to: by hash, so that new items move no old one."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal, TypeAlias

from gancore.errors import DataError

Split: TypeAlias = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
Shares: TypeAlias = tuple[float, float, float]


_SPLIT_WORDS = re.compile(r"(?<![a-z])(train|test|t10k|valid|validation|val)(?![a-z])")
_SPLIT_NAMES: dict[str, Split] = {"train": "train", "test": "test", "t10k": "test"}


def split_named(name: str) -> Split | None:
    """The split that a file's, a folder's or an array's name says, if it says one."""
    found = _SPLIT_WORDS.findall(re.sub(r"[_\W]+", " ", name.lower()))
    return _SPLIT_NAMES.get(found[0], "valid") if found else None


def below_splits(names: Sequence[str]) -> list[str]:
    """The names (with /) below their first folders where all of these are named for splits; else as given."""
    return list(names) if None in _of_folders(names) else [name.partition("/")[2] for name in names]


def own_splits(names: Sequence[str]) -> list[Split | None]:
    """Of names (with /) the splits that a set has by its first folders; all None where it has none.

    Every first folder is named for a split, and one of them for train: a set that holds only what others
    test on is divided like any other.
    """
    splits = _of_folders(names)
    return splits if "train" in splits and None not in splits else [None] * len(names)


def _of_folders(names: Sequence[str]) -> list[Split | None]:
    tops = [name.partition("/")[0] if "/" in name else "" for name in names]
    named = {top: split_named(top) if top.isalnum() else None for top in set(tops)}
    return [named[top] for top in tops]


def split_of(identity: str, shares: Shares = (0.8, 0.1, 0.1)) -> Split:
    """The split of one item, from its identity (a name, or a hash of its content) alone.

    ``shares`` of train, valid and test need not add up to one.
    """
    position = _position(identity) * sum(shares)
    if position < shares[0]:
        return "train"
    return "valid" if position < shares[0] + shares[1] else "test"


def assign_splits(identities: Sequence[str], shares: Shares = (0.8, 0.1, 0.1)) -> list[Split]:
    """The split of each item; every split with a share gets at least one, however few there are.

    Items with the same identity stay together. Where no split would be empty, this is ``split_of``;
    else the items nearest to the border move.

    Raises:
        DataError: fewer distinct items than splits.
    """
    distinct = sorted(set(identities), key=_position)
    wanted = [split for split, share in zip(SPLITS, shares, strict=True) if share > 0]
    if len(distinct) < len(wanted):
        raise DataError(
            f"{len(distinct)} distinct items cannot be split into {', '.join(wanted)}",
            f"give at least {len(wanted)}",
        )
    counts = Counter(split_of(identity, shares) for identity in distinct)
    for split in wanted:
        if not counts[split]:
            counts[counts.most_common(1)[0][0]] -= 1
            counts[split] = 1
    in_order = [split for split in SPLITS for _ in range(counts[split])]
    placed = dict(zip(distinct, in_order, strict=True))
    return [placed[identity] for identity in identities]


def by_split(names: Sequence[str], splits: Sequence[Split]) -> dict[Split, list[str]]:
    """The names of each split, in order."""
    return {
        split: [name for name, own in zip(names, splits, strict=True) if own == split] for split in SPLITS
    }


def _position(identity: str) -> float:
    """A number in [0, 1) that the identity alone decides."""
    digest = hashlib.blake2b(identity.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53
