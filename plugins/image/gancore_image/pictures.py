"""From a source to :class:`gancore.Data`: pictures found, prepared, labelled, split, told about."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import torch

from gancore.data.classes import class_facts, numbered
from gancore.data.labels import Labels
from gancore.data.refusal import Refusal, some
from gancore.data.splits import SPLITS, Split, by_split
from gancore.data.telling import Announce
from gancore.domain import Data, Source, Spec
from gancore.errors import DataError
from gancore_image.cache import Cache, open_cache
from gancore_image.config import ImageConfig
from gancore_image.contract import Account, Kept, data_contract
from gancore_image.preparing import Preparation
from gancore_image.splitting import split_rows
from gancore_image.supply import Supply, find_supply
from gancore_image.views import PictureView


def open_pictures(source: Source, config: ImageConfig, announce: Announce = lambda line: None) -> Data:
    """Reads a source: the built-in digits, arrays, a folder tree or an archive of pictures.

    Raises:
        DataError: nothing there that can be used.
    """
    supply = find_supply(source, announce)
    preparation = _preparation(supply, config)
    cache = open_cache(supply.content, supply.make, preparation, announce)
    skipped = [*supply.skipped, *((name, reason) for name, reason in cache.table.skipped)]
    if not cache.table.names:
        raise DataError(
            f"none of the {len(skipped)} pictures of {source.name} can be used: {some(skipped)}",
            "give others, or let smaller ones in with data.min_side",
        )
    labels = _labels(supply, cache, config)
    kept = _kept(cache, labels, config, skipped)
    account = Account(source, supply, cache, preparation, kept, labels, skipped)
    return _data(account, kept)


def _preparation(supply: Supply, config: ImageConfig) -> Preparation:
    return Preparation(
        config.side,
        config.channels,
        supply.layout.fit if config.fit == "auto" else config.fit,
        supply.layout.background if config.background is None else config.background,
        config.min_side,
    )


def _labels(supply: Supply, cache: Cache, config: ImageConfig) -> Labels:
    names, own = cache.table.names, cache.table.labels
    if config.labels == "none":
        return Labels([None] * len(names))
    if supply.labels is None:
        return Labels(own, "the source" if any(label is not None for label in own) else "")
    return supply.labels(names, config)


def _kept(cache: Cache, labels: Labels, config: ImageConfig, skipped: list[Refusal]) -> Kept:
    """Adds to ``skipped`` what it leaves out."""
    table = cache.table
    splits = split_rows(table.identities, table.splits, config.valid_share, config.test_share)
    rows = []
    for row, (name, label, split) in enumerate(zip(table.names, labels.values, splits, strict=True)):
        if labels.origin and label is None:
            skipped.append((name, "it has no label"))
        elif split is None:
            skipped.append((name, "an equal picture is held out"))
        else:
            rows.append(row)
    own = [labels.values[row] for row in rows]
    present = {label for label in own if label is not None}
    known = [name for name in table.classes if name in present]
    classes = [*known, *sorted(present.difference(known), key=_by_number)]
    return Kept(
        [table.names[row] for row in rows],
        [table.items[row] for row in rows],
        own,
        [split for row in rows if (split := splits[row])],
        classes,
    )


def _by_number(label: str) -> tuple[float, str]:
    """Labels that are whole numbers in their order, before all others."""
    return (int(label) if label.isdecimal() else float("inf"), label)


def _data(account: Account, kept: Kept) -> Data:
    cache, source = account.cache, account.source
    views = {split: _view(split, cache, kept) for split in SPLITS}
    spec: dict[str, Any] = {
        "side": cache.table.side,
        "channels": cache.table.channels,
        "source": source.name,
        "licence": source.entry.licence if source.entry else "",
    }
    spec |= class_facts(kept.classes, views["train"].labels)
    words = [cache.folder.name, kept.names, kept.labels, kept.splits]
    return Data(
        **views,
        spec=Spec(spec),
        contract=data_contract(account),
        fingerprint=hashlib.sha256(json.dumps(words).encode()).hexdigest()[:32],
        splits=by_split(kept.names, kept.splits),
    )


def _view(split: Split, cache: Cache, kept: Kept) -> PictureView:
    rows = [row for row, own in enumerate(kept.splits) if own == split]
    items = torch.tensor([kept.items[row] for row in rows], dtype=torch.int64)
    labels = numbered([kept.labels[row] for row in rows], kept.classes)
    names = [kept.names[row] for row in rows]
    return PictureView(cache.packed, items, labels, cache.table.channels, cache.table.side, names)
