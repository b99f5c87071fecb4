"""Images to squares of bytes (channels, crop, size), stored once in a cache keyed by content and settings."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from gancore.data import (
    Announce,
    PackedArray,
    PackedArrayWriter,
    PreparedData,
    SkipItem,
    SkippedItem,
    Split,
    open_prepared,
    store_unique,
)
from gancore.text import clean_label

Pixels = NDArray[np.uint8]
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
"""PIL's modes by the number of channels."""


@dataclass(frozen=True)
class ImageItem:
    """Something to preprocess_image: ``read`` decodes it (mode L, LA, RGB or RGBA), or raises SkipItem.

    ``content_hash`` is a hash of its content: equal images are stored once and are in one split.
    """

    name: str
    content_hash: str
    read: Callable[[], Image.Image]
    label: str | None = None
    split: Split | None = None


@dataclass(frozen=True)
class PreprocessConfig:
    """How an image is changed before it is stored, and which images are skipped.

    ``side`` None: suggested by the source. ``channels`` None: RGB, or grey if all images are grey.
    """

    side: int | None = None
    channels: int | None = None
    fit: Literal["crop", "pad", "stretch"] = "crop"
    background: int = 255
    min_side: int = 8


def item_from_array(
    name: str, pixels: Pixels, label: str | None = None, split: Split | None = None
) -> ImageItem:
    """An item from (height, width) grey levels or (height, width, channels)."""
    content = hashlib.blake2b(pixels.tobytes(), digest_size=16, key=repr(pixels.shape).encode())
    return ImageItem(name, content.hexdigest(), lambda: Image.fromarray(pixels), label, split)


def preprocess_image(image: Image.Image, preparation: PreprocessConfig) -> Pixels:
    """The image as (channels, side, side).

    Raises:
        SkipItem: the image is too small.
    """
    shorter = min(image.size)
    if shorter < preparation.min_side:
        raise SkipItem(
            f"it is {image.width}x{image.height}, smaller than data.min_image_size {preparation.min_side}"
        )
    squared = _resize_to_square(_convert_channels(image, preparation), preparation)
    pixels = np.asarray(squared, dtype=np.uint8)
    return np.ascontiguousarray(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))


def suggest_image_size(shorter_sides: Sequence[int]) -> int:
    """The 4 * 2^k, from 8 to 64, that is nearest by ratio to the median of the shorter sides."""
    return int(2 ** np.clip(np.rint(np.log2(np.median(shorter_sides))), 3, 6))


def _convert_channels(image: Image.Image, preparation: PreprocessConfig) -> Image.Image:
    """Convert the mode; alpha is laid on the background, unless channels asks for it."""
    mode = MODES[preparation.channels or 3]
    if image.mode.endswith("A") and not mode.endswith("A"):
        ground = Image.new("RGBA", image.size, (*[preparation.background] * 3, 255))
        image = Image.alpha_composite(ground, image.convert("RGBA"))
    return image.convert(mode)


def _resize_to_square(image: Image.Image, preparation: PreprocessConfig) -> Image.Image:
    """Make the image square, by antialiased bicubic interpolation."""
    side = preparation.side
    assert side is not None
    if preparation.fit == "pad":
        return _pad_to_square(image, side, preparation.background)
    if preparation.fit == "crop" and image.width != image.height:
        image = image.crop(_centre_box(image.size))
    return image.resize((side, side), Image.Resampling.BICUBIC)


def _centre_box(size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The largest centred square; an odd pixel is cut at the right or the bottom."""
    shorter = min(size)
    left, top = ((length - shorter) // 2 for length in size)
    return left, top, left + shorter, top + shorter


def _pad_to_square(image: Image.Image, side: int, background: int) -> Image.Image:
    """The whole image with background around it: shrunk if larger than the square, never enlarged."""
    scale = min(1.0, side / max(image.size))
    width, height = (max(1, round(length * scale)) for length in image.size)
    if scale < 1:
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    opaque = (background,) * (len(image.getbands()) - 1) + (0 if image.mode.endswith("A") else background,)
    square = Image.new(image.mode, (side, side), opaque if len(opaque) > 1 else background)
    square.paste(image, ((side - width) // 2, (side - height) // 2))
    return square


def array_to_levels(values: NDArray[np.generic]) -> Pixels:
    """(n, height, width) or (n, height, width, channels) bytes, of integers or of floats.

    Integers to 255 are levels, to 65,535 are divided by 257; floats are in [0, 1], or else in [-1, 1].
    Channels before the height are moved to the end.

    Raises:
        SkipItem: another shape or type, no images, values out of range.
    """
    if values.ndim not in (3, 4) or not values.size:
        raise SkipItem(f"its shape {values.shape} is not (n, height, width) or (n, height, width, channels)")
    if values.ndim == 4 and values.shape[3] not in range(1, 5):
        if values.shape[1] not in range(1, 5):
            raise SkipItem(f"its shape {values.shape} has no axis of 1 to 4 channels")
        values = values.transpose(0, 2, 3, 1)
    levels = _levels(values)
    return levels[..., 0] if levels.ndim == 4 and levels.shape[3] == 1 else levels


def _levels(values: NDArray[Any]) -> Pixels:
    if values.dtype == np.uint8:
        return np.asarray(values)
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype.kind not in "iuf":
        raise SkipItem(f"its values are {values.dtype}, not numbers")
    low, high = values.min(), values.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise SkipItem("it holds values that are not finite")
    if values.dtype.kind == "f":
        if low < -1 or high > 1:
            raise SkipItem(f"its floats reach from {low:g} to {high:g}, outside [-1, 1]")
        scaled = values * 255 if low >= 0 else (values + 1) * 127.5
    elif low < 0 or high > 65_535:
        raise SkipItem(f"its integers reach from {low} to {high}, outside 0 to 65,535")
    else:
        scaled = values if high <= 255 else values / 257
    levels: Pixels = np.rint(scaled).astype(np.uint8)
    return levels


_FORMAT = 2
_UNSETTLED = "wide"
PART_BYTES = 1 << 26


@dataclass
class ImageIndex:
    """The images by column; equal images share an item of the packed array."""

    names: list[str] = field(default_factory=list)
    identities: list[str] = field(default_factory=list)
    labels: list[str | None] = field(default_factory=list)
    splits: list[Split | None] = field(default_factory=list)
    items: list[int] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    """Width and height before preprocessing."""
    skipped: list[SkippedItem] = field(default_factory=list)
    transparent: int = 0
    """Number of images with alpha."""
    side: int = 0
    channels: int = 0
    classes: list[str] = field(default_factory=list)
    """In the order of the set; empty: it has no classes."""

    def add(self, image: ImageItem, item: int, size: tuple[int, int], alpha: bool) -> None:
        self.names.append(image.name)
        self.identities.append(image.content_hash)
        self.labels.append(image.label)
        self.splits.append(image.split)
        self.items.append(item)
        self.sizes.append(size)
        self.transparent += alpha


@dataclass(frozen=True)
class ImageSet:
    """The images of a source, a suggested side, the order of its classes, what it skips."""

    images: Iterable[ImageItem]
    side: int
    classes: Sequence[str] = ()
    skipped: Sequence[SkippedItem] = ()


Cache = PreparedData[ImageIndex]


def open_cache(
    content_hash: str, images: Callable[[], ImageSet], preparation: PreprocessConfig, announce: Announce
) -> Cache:
    """The preprocessed images; ``images()`` is called only if no cache for ``content_hash`` exists.

    Raises:
        DataError: the cache cannot be written.
    """

    def build(folder: Path) -> ImageIndex:
        return _build(folder, images(), preparation, announce)

    return open_prepared("image", [_FORMAT, content_hash, asdict(preparation)], ImageIndex, build, announce)


def _build(folder: Path, source: ImageSet, preparation: PreprocessConfig, announce: Announce) -> ImageIndex:
    side = preparation.side or source.side
    table = ImageIndex(
        side=side, classes=[clean_label(name) for name in source.classes], skipped=list(source.skipped)
    )
    with PackedArray.create(folder / _UNSETTLED, "uint8") as writer:
        image_writer = ImageWriter(writer, replace(preparation, side=side))
        for image, stored in store_unique(source.images, image_writer, table.skipped, announce, "images"):
            table.add(image, *stored)
    table.channels = preparation.channels or (1 if image_writer.grey else 3)
    _finish_cache(folder, grey=preparation.channels is None and image_writer.grey, side=side)
    return table


@dataclass
class ImageWriter:
    """Preprocesses and appends images, and checks whether all are grey."""

    writer: PackedArrayWriter
    preparation: PreprocessConfig
    grey: bool = True
    """Whether all images so far are grey."""

    def __call__(self, item: ImageItem) -> tuple[int, tuple[int, int], bool]:
        """The item's index, its width and height before preprocessing, and whether it has alpha."""
        image = item.read()
        pixels = preprocess_image(image, self.preparation)
        self.grey = self.grey and _is_grey(pixels)
        return self.writer.append(pixels), image.size, image.mode.endswith("A")


def _finish_cache(folder: Path, grey: bool, side: int) -> None:
    """Move the packed array into its place; ``grey``: keep the first of three equal channels."""
    if not grey:
        for file in (folder / _UNSETTLED).iterdir():
            file.rename(folder / file.name)
    else:
        with PackedArray.create(folder, "uint8") as writer:
            for pixels in _stored_images(folder / _UNSETTLED, side):
                writer.append(pixels[0].numpy())
    shutil.rmtree(folder / _UNSETTLED)


def _stored_images(folder: Path, side: int) -> Iterator[Tensor]:
    """Images (3, side, side) of a packed array. Parts are mapped in turn, so that no memory is held."""
    count = len(PackedArray.open(folder))
    part = max(1, PART_BYTES // (3 * side**2))
    for start in range(0, count, part):
        yield from PackedArray.open(folder).values.view(-1, 3, side, side)[start : start + part]


def _is_grey(pixels: Pixels) -> bool:
    return len(pixels) < 3 or (np.array_equal(pixels[0], pixels[1]) and np.array_equal(pixels[0], pixels[2]))
