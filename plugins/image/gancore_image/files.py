"""Image files: which there are, what their headers say, and their pixels.

A file that cannot be used is :class:`SkipItem` with a reason; the other files are read all the same.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from gancore.data import Announce, InspectedFile, ItemFiles, SkipItem, SkippedItem, first_skipped
from gancore.errors import DataError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "PPM")
SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".ppm", ".pgm"}
)
MAX_PIXELS = 1 << 26
"""67 million: 8,192 by 8,192."""

_SIXTEEN_BITS = frozenset({"I", "I;16", "I;16L", "I;16B"})
_GREY, _ALPHA = frozenset({"1", "L", "LA", "La"}), frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The transposition that undoes each EXIF orientation."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    width: int
    height: int
    animated: bool


def read_header(content: bytes) -> ImageHeader:
    """The header of a file with this content.

    Raises:
        SkipItem: empty, not an image of a known format, or too many pixels.
    """
    with _open(content) as image:
        animated = image.format != "MPO" and bool(getattr(image, "is_animated", False))
        return ImageHeader(image.width, image.height, animated)


def decode(content: bytes) -> Image.Image:
    """The image, upright, of mode L, LA, RGB or RGBA; the first frame of an animation.

    16 bits become 8 by rounding v / 257; CMYK and palettes become RGB; colour profiles are not applied.

    Raises:
        SkipItem: as :func:`read_header`, or its pixels are cut short or damaged.
    """
    with _open(content) as image:
        with _decode_errors("it is damaged or truncated"):
            image.load()
            standard = _to_standard_mode(image)
        orientation = _orientation(image)  # loads too: called earlier it would hide an error
        return standard.transpose(_TURNS[orientation]) if orientation in _TURNS else standard


@contextmanager
def _open(content: bytes) -> Iterator[ImageFile.ImageFile]:
    if not content:
        raise SkipItem("it is empty (0 bytes)")
    with warnings.catch_warnings():  # PIL warns at its own limit, below ours
        warnings.simplefilter("ignore")
        with _decode_errors("it is not a readable image"):
            image = Image.open(io.BytesIO(content), formats=FORMATS)
        with image:
            if image.width * image.height > MAX_PIXELS:
                raise SkipItem(
                    f"it has {image.width:,} x {image.height:,} pixels, over {MAX_PIXELS:,} in all"
                )
            yield image


@contextmanager
def _decode_errors(reason: str) -> Iterator[None]:
    """Turn whatever PIL's decoders raise into SkipItem."""
    try:
        yield
    except SkipItem:
        raise
    except UnidentifiedImageError:
        raise SkipItem(f"it is not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file") from None
    except Image.DecompressionBombError:
        raise SkipItem(f"it has more than {MAX_PIXELS:,} pixels") from None
    except Exception as error:
        message = str(error).strip().rstrip(".")
        raise SkipItem(f"{reason} ({message or type(error).__name__})") from None


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation; 1, upright, if it is missing or invalid."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF does not spoil the image
        return 1


def _to_standard_mode(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise SkipItem(
            "its levels are fractions, and their black and white are unknown; save it with 8 or 16 bits"
        )
    if image.mode in _SIXTEEN_BITS:
        return _to_8_bit(image)
    alpha = "A" if image.mode in _ALPHA or "transparency" in image.info else ""
    return image.convert(("L" if image.mode in _GREY else "RGB") + alpha)


def _to_8_bit(image: Image.Image) -> Image.Image:
    """16-bit grey to 8 bits; one level may be transparent."""
    levels = np.asarray(image).astype(np.int64).clip(0, 65_535)
    grey = Image.fromarray(np.rint(levels / 257).astype(np.uint8))
    transparent = image.info.get("transparency")
    if not isinstance(transparent, int):
        return grey
    grey.putalpha(Image.fromarray(np.where(levels == transparent, 0, 255).astype(np.uint8)))
    return grey


@dataclass(frozen=True)
class ImageInventory:
    """The images of ``files``."""

    files: ItemFiles
    found: Sequence[InspectedFile[ImageHeader]]
    skipped: Sequence[SkippedItem]


def find_images(files: ItemFiles, announce: Announce) -> ImageInventory:
    """Every image of ``files``.

    Raises:
        DataError: there is none, or none can be used.
    """

    def read(name: str) -> tuple[ImageHeader, str]:
        content = files.read(name)
        return read_header(content), hashlib.sha256(content).hexdigest()[:32]

    inspected = files.inspect("image", ImageHeader, read, announce)
    skipped = [*files.refused, *inspected.skipped]
    if not inspected.found and not skipped:
        raise _no_images_error(files)
    if not inspected.found:
        raise DataError(
            f"none of the {len(skipped)} images in {files.location} can be used: {first_skipped(skipped)}",
            "give images that other programs can open",
        )
    return ImageInventory(files, inspected.found, skipped)


def _no_images_error(files: ItemFiles) -> DataError:
    if arrays := [name for name in files.others if name.lower().endswith(".npy")]:
        return DataError(
            f"no images in {files.location}, but {arrays[0]}",
            "if that is an array of images, name it directly (unpack an archive): "
            f"--data {files.location}/{arrays[0]}",
        )
    where = f"{files.location}/{files.others[0]}" if len(files.others) == 1 else files.location
    return DataError(
        f"no images in {where}",
        f"give files that end in {', '.join(sorted(SUFFIXES))}, arrays (.npy, .npz, IDX), an archive, "
        "or shards (.tar, .parquet)",
    )
