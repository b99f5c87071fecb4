"""From a source to :class:`gancore.Data`: pictures found, prepared, labelled, split, told about."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gancore.data.splits import SPLITS, Split, assign_splits
from gancore.domain import Data, Source, Spec
from gancore.errors import DataError
from gancore_image.cache import Cache, open_cache
from gancore_image.config import ImageConfig
from gancore_image.contract import Account, data_contract
from gancore_image.digits import digits
from gancore_image.preparing import Picture, Preparation
from gancore_image.views import PictureView

__all__ = ["ImageConfig", "PictureView", "open_pictures"]

Announce = Callable[[str], None]


@dataclass(frozen=True)
class Supply:
    """Pictures to prepare: a name for their content, how to get them, and what is known already."""

    content: str
    make: Callable[[], Iterable[Picture]]
    side: int
    background: int = 255
    fit: str = "crop"


def open_pictures(source: Source, config: ImageConfig, announce: Announce = lambda line: None) -> Data:
    """Reads a source.

    Raises:
        DataError: nothing there that can be used.
    """
    return _open(_digits(), source, config, announce)


def _digits() -> Supply:
    from gancore_image import digits as home

    return Supply(hashlib.sha256(Path(home.__file__).read_bytes()).hexdigest(), digits, 16, 0)


def _open(supply: Supply, source: Source, config: ImageConfig, announce: Announce) -> Data:
    preparation = Preparation(
        config.side or supply.side,
        config.channels,
        supply.fit if config.fit == "auto" else config.fit,
        supply.background if config.background is None else config.background,
        config.min_side,
    )
    cache = open_cache(supply.content, supply.make, preparation, announce)
    table = cache.table
    if not table.names:
        raise DataError(f"none of the pictures of {source.name} can be used", "give others")
    labels = [None] * len(table.names) if config.labels == "none" else table.labels
    splits = _splits(table.identities, table.splits, config)
    return _data(source, preparation, cache, labels, splits)


def _splits(identities: list[str], official: list[Split | None], config: ImageConfig) -> list[Split]:
    """By content; where the set fixes a split, equal pictures follow, so that none is in two."""
    placed = {identity: split for identity, split in zip(identities, official, strict=True) if split}
    rest = sorted({identity for identity in identities if identity not in placed})
    taken = set(placed.values())
    shares = (
        1 - config.valid_share - config.test_share,
        0.0 if "valid" in taken else config.valid_share,
        0.0 if "test" in taken else config.test_share,
    )
    placed |= dict(zip(rest, assign_splits(rest, shares), strict=True))
    return [placed[identity] for identity in identities]


def _data(
    source: Source, preparation: Preparation, cache: Cache, labels: list[str | None], splits: list[Split]
) -> Data:
    classes = sorted({label for label in labels if label is not None})
    number = {name: index for index, name in enumerate(classes)}
    views = {}
    for split in SPLITS:
        rows = [row for row, own in enumerate(splits) if own == split]
        items = torch.tensor([cache.table.items[row] for row in rows])
        own = torch.tensor([number[labels[row]] for row in rows]) if classes else None
        views[split] = PictureView(cache.packed, items, own, cache.table.channels, preparation.side)
    spec: dict[str, Any] = {
        "side": preparation.side,
        "channels": cache.table.channels,
        "source": source.name,
        "licence": source.entry.licence if source.entry else "",
    }
    if classes:
        counts = torch.bincount(views["train"].labels, minlength=len(classes))
        shares = [round(share, 6) for share in (counts / counts.sum()).tolist()]
        spec |= {"classes": classes, "class_shares": shares}
    words = [cache.folder.name, cache.table.names, labels, splits]
    return Data(
        **views,
        spec=Spec(spec),
        contract=data_contract(Account(source, cache, preparation, splits, classes)),
        fingerprint=hashlib.sha256(json.dumps(words).encode()).hexdigest()[:32],
        splits={
            split: [n for n, s in zip(cache.table.names, splits, strict=True) if s == split]
            for split in SPLITS
        },
    )
