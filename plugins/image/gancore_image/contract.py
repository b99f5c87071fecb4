"""The data contract: what was found, what was made of it, and what was left out, in plain lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from gancore.data.inventory import other_kinds_lines
from gancore.data.labels import Labels
from gancore.data.refusal import Refusal, refusal_lines
from gancore.data.splits import SPLITS, Split
from gancore.domain import Source
from gancore.texts import counted
from gancore_image.cache import Cache
from gancore_image.preparing import Preparation
from gancore_image.supply import Supply

LOOKED_AT, WIDE = 1 << 26, 127
"""Levels that are looked at, and the widest range of them that is told."""
CHANNELS = {1: "grey", 2: "grey and alpha", 3: "RGB", 4: "RGB and alpha"}
FITS = {
    "crop": "the largest centred square",
    "pad": "the whole picture, shrunk where it is larger, amid level {background}",
    "stretch": "the whole picture, stretched to a square",
}


@dataclass(frozen=True)
class Kept:
    """The pictures that are used, by column."""

    names: list[str]
    items: list[int]
    labels: list[str | None]
    splits: list[Split]
    classes: list[str]


@dataclass(frozen=True)
class Account:
    """All that the contract tells of."""

    source: Source
    supply: Supply
    cache: Cache
    preparation: Preparation
    kept: Kept
    labels: Labels
    skipped: Sequence[Refusal]


def data_contract(account: Account) -> list[str]:
    """Lines for the user: pictures, pixels, fit, alpha, frames, labels, splits, what was skipped."""
    return [
        _what(account),
        _pixels(account),
        _fit(account),
        *_levels(account),
        *_alpha(account),
        *_frames(account),
        account.labels.line(account.kept.classes),
        _splits(account),
        *other_kinds_lines(account.supply.others),
        *refusal_lines(account.skipped, account.cache.folder),
    ]


def _what(account: Account) -> str:
    kept = account.kept
    distinct = len(set(kept.items))
    copies = f" ({distinct:,} distinct)" if distinct < len(kept.items) else ""
    licence = f", licence {account.source.entry.licence}" if account.source.entry else ""
    return f"data: {account.source.name}, {counted(len(kept.items), 'picture')}{copies}{licence}"


def _pixels(account: Account) -> str:
    table, room = account.cache.table, account.cache.packed.megabytes
    sides = [side for size in table.sizes for side in size]
    return (
        f"pixels: {table.side}x{table.side}, {table.channels} ({CHANNELS[table.channels]}), uint8, "
        f"{room:,.1f} MiB in the cache; from sides of {min(sides):,} to {max(sides):,}"
    )


def _levels(account: Account) -> list[str]:
    """A line where pictures have little contrast: all are dark, light or grey. Alpha is no contrast."""
    table = account.cache.table
    items = torch.tensor(sorted(set(account.kept.items)), dtype=torch.int64)
    colours = table.channels - (table.channels in (2, 4))
    pictures = account.cache.packed.values.view(-1, table.channels, table.side**2)
    looked_at = items[:: max(1, math.ceil(len(items) * colours * table.side**2 / LOOKED_AT))]
    if not len(items):
        return []
    low, high = (int(bound) for bound in torch.aminmax(pictures[looked_at, :colours]))
    if high - low > WIDE:
        return []
    some = len(looked_at) < len(items)
    where = f", in {len(looked_at):,} pictures from all over the set; if others are alike," if some else ";"
    return [f"levels: from {low} to {high} of 255{where} samples will have no more contrast than that"]


def _fit(account: Account) -> str:
    table, fit = account.cache.table, account.preparation.fit
    rule = FITS[fit].format(background=account.preparation.background)
    small = sum(min(size) < table.side for size in table.sizes)
    larger = f"; {small:,} smaller ones enlarged" if small and fit != "pad" else ""
    return f"fit: {rule}, by antialiased bicubic interpolation{larger}"


def _alpha(account: Account) -> list[str]:
    table = account.cache.table
    if not table.transparent:
        return []
    kept = "kept" if table.channels in (2, 4) else f"laid on level {account.preparation.background}"
    return [f"alpha: {table.transparent:,} pictures have it, {kept}"]


def _frames(account: Account) -> list[str]:
    animated = account.supply.animated
    return [f"animated: {animated:,}, of which the first frame is taken"] if animated else []


def _splits(account: Account) -> str:
    counts = ", ".join(f"{account.kept.splits.count(split):,} {split}" for split in SPLITS)
    own = sorted({split for split in account.cache.table.splits if split})
    return f"splits: {counts}" + (f"; the set's own: {', '.join(own)}" if own else "")
