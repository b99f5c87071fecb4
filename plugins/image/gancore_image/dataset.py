"""Open a source: find, preprocess, label and split its images, and summarise them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from gancore import Batch, Data, Source, Spec, View
from gancore.data import (
    SPLITS,
    Announce,
    Labels,
    PackedArray,
    SkippedItem,
    Split,
    assign_splits,
    class_fields,
    class_indices,
    first_skipped,
    group_by_split,
    other_suffix_lines,
    skipped_lines,
)
from gancore.errors import DataError
from gancore.random import Key
from gancore.text import count_noun
from gancore_image.config import ImageConfig
from gancore_image.preprocess import Cache, PreprocessConfig, open_cache
from gancore_image.sources import ImageSource, resolve_images

MAX_LEVELS_CHECKED, LOW_CONTRAST_RANGE = 1 << 26, 127
"""Number of levels checked, and the largest range of levels that is reported as low contrast."""
CHANNELS = {1: "grey", 2: "grey and alpha", 3: "RGB", 4: "RGB and alpha"}
FIT_TEXTS = {
    "crop": "the largest centred square",
    "pad": "the whole image, shrunk if it is larger, padded with level {background}",
    "stretch": "the whole image, stretched to a square",
}


@dataclass(frozen=True)
class SelectedRows:
    """The images that are used, by column."""

    names: list[str]
    items: list[int]
    labels: list[str | None]
    splits: list[Split]
    classes: list[str]


@dataclass(frozen=True)
class ImageView(View):
    """Images (batch, channels, side, side) in [-1, 1], with labels if there are any.

    They are stored as bytes; level v becomes v / 127.5 - 1 when a batch is made.
    """

    packed: PackedArray
    items: Tensor
    """The item of ``packed`` of each example, int64, on the CPU."""
    labels: Tensor | None
    channels: int
    side: int
    names: Sequence[str] = ()
    """The file of each example."""

    def __len__(self) -> int:
        return len(self.items)

    @property
    def size_mb(self) -> float:
        """Memory that :meth:`to` takes on a device; the splits of one source share it."""
        return self.packed.size_mb

    def to(self, device: torch.device | str) -> ImageView:
        """The view with all images on ``device``; otherwise they are streamed from the mapped cache."""
        return replace(self, packed=self.packed.to(device))

    def get_conditions(self, indices: Tensor) -> Tensor | None:
        return None if self.labels is None else self.labels[indices]

    def get_origins(self, indices: Tensor, key: Key) -> list[str]:
        """The files of the examples; empty if they have none."""
        return [self.names[row] for row in indices.tolist()] if self.names else []

    def get_batch(self, indices: Tensor, key: Key) -> Batch:
        images = self.packed.values.view(-1, self.channels, self.side, self.side)
        rows = images.index_select(0, self.items[indices].to(images.device, non_blocking=True))
        labels = self.get_conditions(indices)
        return Batch(
            rows.to(key.device, non_blocking=True).float().div_(127.5).sub_(1.0),
            None if labels is None else labels.to(key.device, non_blocking=True),
        )


def assign_row_splits(
    identities: Sequence[str], official: Sequence[Split | None], valid_fraction: float, test_fraction: float
) -> list[Split | None]:
    """The split of each row; None: the row is skipped, since an equal image is held out.

    Official test and valid rows stay in their split. The splits of all other rows are drawn by content, so
    that equal images are never in two splits; valid and test are drawn if the set has none.
    """
    if all(split in ("valid", "test") for split in official):  # part of a set: divided like any other
        official = [None] * len(official)
    fixed = {identity for identity, split in zip(identities, official, strict=True) if _is_held_out(split)}
    rest = sorted(set(identities) - fixed)
    valid = 0.0 if "valid" in official else valid_fraction
    test = 0.0 if "test" in official else test_fraction
    drawn = dict(zip(rest, assign_splits(rest, (1 - valid - test, valid, test)), strict=True))
    return [
        split if _is_held_out(split) else drawn.get(identity)
        for identity, split in zip(identities, official, strict=True)
    ]


def _is_held_out(split: Split | None) -> bool:
    return split in ("valid", "test")


def open_images(source: Source, config: ImageConfig, announce: Announce = lambda line: None) -> Data:
    """Open a source: the built-in digits, arrays, a folder tree, an archive or shards of images.

    Raises:
        DataError: no image can be used.
    """
    image_source = resolve_images(source, config, announce)
    preprocess = _preprocess_config(image_source, config)
    cache = open_cache(image_source.content_hash, image_source.images, preprocess, announce)
    skipped = [*image_source.skipped, *((name, reason) for name, reason in cache.metadata.skipped)]
    if not cache.metadata.names:
        raise DataError(
            f"none of the {len(skipped)} images of {source.name} can be used: {first_skipped(skipped)}",
            "give other images, or set data.min_image_size to a smaller size",
        )
    labels = _choose_labels(image_source, cache, config)
    selected = _select_rows(cache, labels, config, skipped)
    lines = [
        _source_line(source, selected),
        *_image_lines(image_source, cache, preprocess, selected),
        labels.summary_line(selected.classes),
        _splits_line(cache, selected),
        *other_suffix_lines(image_source.other_suffixes),
        *skipped_lines(skipped, cache.folder),
    ]
    return _make_data(source, cache, selected, lines)


def _preprocess_config(image_source: ImageSource, config: ImageConfig) -> PreprocessConfig:
    return PreprocessConfig(
        config.image_size,
        config.channels,
        image_source.layout.fit if config.fit == "auto" else config.fit,
        image_source.layout.background if config.background is None else config.background,
        config.min_image_size,
    )


def _choose_labels(image_source: ImageSource, cache: Cache, config: ImageConfig) -> Labels:
    names, labels = cache.metadata.names, cache.metadata.labels
    if config.labels == "none":
        return Labels([None] * len(names))
    if image_source.labels is None:
        return Labels(labels, "the source" if any(label is not None for label in labels) else "")
    return image_source.labels(names, config)


def _select_rows(
    cache: Cache, labels: Labels, config: ImageConfig, skipped: list[SkippedItem]
) -> SelectedRows:
    """The images that are used; adds the others to ``skipped``."""
    table = cache.metadata
    splits = assign_row_splits(table.identities, table.splits, config.valid_fraction, config.test_fraction)
    rows = []
    for row, (name, label, split) in enumerate(zip(table.names, labels.values, splits, strict=True)):
        if labels.source and label is None:
            skipped.append((name, "it has no label"))
        elif split is None:
            skipped.append((name, "an equal image is held out"))
        else:
            rows.append(row)
    row_labels = [labels.values[row] for row in rows]
    present = {label for label in row_labels if label is not None}
    known = [name for name in table.classes if name in present]
    classes = [*known, *sorted(present.difference(known), key=_label_order)]
    return SelectedRows(
        [table.names[row] for row in rows],
        [table.items[row] for row in rows],
        row_labels,
        [split for row in rows if (split := splits[row])],
        classes,
    )


def _label_order(label: str) -> tuple[float, str]:
    """Labels that are whole numbers by value, before all others."""
    return (int(label) if label.isdecimal() else float("inf"), label)


def _make_data(source: Source, cache: Cache, selected: SelectedRows, lines: list[str]) -> Data:
    views = {split: _make_view(split, cache, selected) for split in SPLITS}
    spec: dict[str, Any] = {
        "image_size": cache.metadata.side,
        "channels": cache.metadata.channels,
        "source": source.name,
        "licence": source.entry.licence if source.entry else "",
    }
    spec |= class_fields(selected.classes, views["train"].labels)
    fingerprint_parts = [cache.folder.name, selected.names, selected.labels, selected.splits]
    return Data(
        **views,
        spec=Spec(spec),
        summary=lines,
        fingerprint=hashlib.sha256(json.dumps(fingerprint_parts).encode()).hexdigest()[:32],
        splits=group_by_split(selected.names, selected.splits),
    )


def _make_view(split: Split, cache: Cache, selected: SelectedRows) -> ImageView:
    rows = [row for row, row_split in enumerate(selected.splits) if row_split == split]
    items = torch.tensor([selected.items[row] for row in rows], dtype=torch.int64)
    labels = class_indices([selected.labels[row] for row in rows], selected.classes)
    names = [selected.names[row] for row in rows]
    return ImageView(cache.packed, items, labels, cache.metadata.channels, cache.metadata.side, names)


def _source_line(source: Source, selected: SelectedRows) -> str:
    distinct = len(set(selected.items))
    copies = f" ({distinct:,} distinct)" if distinct < len(selected.items) else ""
    licence = f", licence {source.entry.licence}" if source.entry else ""
    return f"data: {source.name}, {count_noun(len(selected.items), 'image')}{copies}{licence}"


def _image_lines(
    image_source: ImageSource, cache: Cache, preprocess: PreprocessConfig, selected: SelectedRows
) -> list[str]:
    """Pixels, fit, contrast, alpha, animations."""
    table, background = cache.metadata, preprocess.background
    sides = [side for size in table.sizes for side in size]
    lines = [
        f"pixels: {table.side}x{table.side}, {table.channels} ({CHANNELS[table.channels]}), uint8, "
        f"{cache.packed.size_mb:,.1f} MiB in the cache; from sides of {min(sides):,} to {max(sides):,}"
    ]
    rule = FIT_TEXTS[preprocess.fit].format(background=background)
    small = sum(min(size) < table.side for size in table.sizes)
    larger = f"; {small:,} smaller ones enlarged" if small and preprocess.fit != "pad" else ""
    lines += [f"fit: {rule}, by antialiased bicubic interpolation{larger}", *_contrast_lines(cache, selected)]
    if table.transparent:
        kept = "kept" if table.channels in (2, 4) else f"laid on level {background}"
        lines.append(f"alpha: {table.transparent:,} images have it, {kept}")
    if image_source.animated:
        lines.append(f"animated: {image_source.animated:,}, of which the first frame is taken")
    return lines


def _contrast_lines(cache: Cache, selected: SelectedRows) -> list[str]:
    """A line if the images have little contrast: all are dark, light or grey. Alpha is ignored."""
    table = cache.metadata
    items = torch.tensor(sorted(set(selected.items)), dtype=torch.int64)
    colours = table.channels - (table.channels in (2, 4))
    images = cache.packed.values.view(-1, table.channels, table.side**2)
    checked = items[:: max(1, math.ceil(len(items) * colours * table.side**2 / MAX_LEVELS_CHECKED))]
    if not len(items):
        return []
    low, high = (int(bound) for bound in torch.aminmax(images[checked, :colours]))
    if high - low > LOW_CONTRAST_RANGE:
        return []
    where = ";"
    if len(checked) < len(items):
        where = f", in {len(checked):,} images from all over the set; if others are alike,"
    return [f"levels: from {low} to {high} of 255{where} samples will have no more contrast than that"]


def _splits_line(cache: Cache, selected: SelectedRows) -> str:
    counts = ", ".join(f"{selected.splits.count(split):,} {split}" for split in SPLITS)
    own = sorted({split for split in cache.metadata.splits if split})
    return f"splits: {counts}" + (f"; the set's own: {', '.join(own)}" if own else "")
