"""Examples divided into train, valid and test, and what the splits share."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from gancore.data import SPLITS, Shares, Split, assign_splits
from gancore.errors import DataError
from gancore_text.cleaning import Example, Tally
from gancore_text.config import TextConfig


def divide(examples: Sequence[Example], config: TextConfig, windows: bool) -> list[Split]:
    """The split of each example: the official one, else by position (windows) or by content.

    Official examples of valid and test replace the shares that would be cut for them.

    Raises:
        DataError: too few examples.
    """
    official = {example.split for example in examples}
    shares = (
        1 - config.valid_fraction - config.test_fraction,
        0.0 if "valid" in official else config.valid_fraction,
        0.0 if "test" in official else config.test_fraction,
    )
    free = [example for example in examples if example.split in (None, "train")]
    placed = _by_position(len(free), shares) if windows else _by_content(free, shares)
    rest = iter(placed)
    return [e.split if e.split in ("valid", "test") else next(rest) for e in examples]


def _by_content(examples: Sequence[Example], shares: Shares) -> list[Split]:
    """By the hash of the text, so that equal texts are in one split and new texts move no others."""
    return assign_splits([hashlib.sha256(e.text.encode()).hexdigest()[:32] for e in examples], shares)


def _by_position(count: int, shares: Shares) -> list[Split]:
    """The beginning is train, then come valid and test, so that no window continues one of another split."""
    held_out = [max(1, round(share * count)) if share else 0 for share in shares[1:]]
    sizes = [count - sum(held_out), *held_out]
    if sizes[0] < 1:
        raise DataError(
            f"{count} windows cannot be split into train, valid and test",
            "give more text, or set data.window",
        )
    return [split for split, size in zip(SPLITS, sizes, strict=True) for _ in range(size)]


def leave_out_shared(
    examples: Sequence[Example], splits: Sequence[Split], dropped: Tally
) -> list[tuple[Example, Split]]:
    """Without texts of train that are also in valid or test, and of valid that are also in test."""
    texts = {
        split: {e.text for e, own in zip(examples, splits, strict=True) if own == split} for split in SPLITS
    }
    held_out: dict[Split, tuple[Split, ...]] = {"train": ("valid", "test"), "valid": ("test",), "test": ()}
    kept = []
    for example, split in zip(examples, splits, strict=True):
        shared = next((other for other in held_out[split] if example.text in texts[other]), None)
        if shared is None:
            kept.append((example, split))
        else:
            dropped.add(f"of {split} that are also in {shared}", example)
    left = Counter(split for _, split in kept)
    if empty := [split for split in SPLITS if not left[split]]:
        raise DataError(
            f"no text of {empty[0]} is left: {', '.join(dropped.lines()) or 'there is none'}",
            "give other texts, or splits that share none",
        )
    return kept


def count_shared(pairs: Sequence[tuple[Example, Split]]) -> dict[str, int]:
    """How many texts of valid and of test are also in train."""
    train = {example.text for example, split in pairs if split == "train"}
    return {
        split: sum(own == split and example.text in train for example, own in pairs)
        for split in ("valid", "test")
    }
