"""The data contract: what was found, what was made of it, and what was left out, in plain lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gancore.data.splits import SPLITS, Split
from gancore.domain import Source
from gancore_image.cache import Cache
from gancore_image.preparing import Preparation


@dataclass(frozen=True)
class Account:
    """All that the contract tells of."""

    source: Source
    cache: Cache
    preparation: Preparation
    splits: Sequence[Split]
    classes: Sequence[str]


def data_contract(account: Account) -> list[str]:
    return [_what(account), _splits(account)]


def _what(account: Account) -> str:
    return f"data: {account.source.name}, {len(account.cache.table.names):,} pictures"


def _splits(account: Account) -> str:
    return "splits: " + ", ".join(f"{account.splits.count(split):,} {split}" for split in SPLITS)
