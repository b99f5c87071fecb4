"""Picture files: what their headers say, and their pixels as grey or RGB, with alpha or without.

A file that cannot be used is :class:`Refused` with a reason; its neighbours are read all the same.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from gancore.data.refusal import Refused

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "PPM")
SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".ppm", ".pgm"}
)
MOST_PIXELS = 1 << 26
"""67 million: 8,192 by 8,192."""
MOST_BYTES = 1 << 29

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
"""What undoes each orientation that a camera notes."""


@dataclass(frozen=True, slots=True)
class Header:
    width: int
    height: int
    animated: bool


def inspect(content: bytes) -> Header:
    """What the header of a file with this content says.

    Raises:
        Refused: empty, not a picture of a known format, or too many pixels.
    """
    with _opened(content) as image:
        animated = image.format != "MPO" and bool(getattr(image, "is_animated", False))
        return Header(image.width, image.height, animated)


def decode(content: bytes) -> Image.Image:
    """The picture (of an animation the first frame), upright, of mode L, LA, RGB or RGBA.

    16 bits become 8 by rounding v / 257; CMYK and palettes become RGB; colour profiles are not applied.

    Raises:
        Refused: as :func:`inspect`, or its pixels are cut short or damaged.
    """
    with _opened(content) as image:
        with _refusing("it is damaged or truncated"):
            image.load()
            plain = _plain(image)
        orientation = _orientation(image)  # loads too: before the above it would hide an error
        return plain.transpose(_TURNS[orientation]) if orientation in _TURNS else plain


@contextmanager
def _opened(content: bytes) -> Iterator[ImageFile.ImageFile]:
    if not content:
        raise Refused("it is empty (0 bytes)")
    with warnings.catch_warnings():  # PIL's own limit warns on the way to ours
        warnings.simplefilter("ignore")
        with _refusing("it is no picture that can be read"):
            image = Image.open(io.BytesIO(content), formats=FORMATS)
        with image:
            if image.width * image.height > MOST_PIXELS:
                raise Refused(
                    f"it has {image.width:,} x {image.height:,} pixels, over {MOST_PIXELS:,} in all"
                )
            yield image


@contextmanager
def _refusing(reason: str) -> Iterator[None]:
    """PIL's decoders raise whatever they stumble over."""
    try:
        yield
    except Refused:
        raise
    except UnidentifiedImageError:
        raise Refused(f"it is no {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file") from None
    except Image.DecompressionBombError:
        raise Refused(f"it has more than {MOST_PIXELS:,} pixels") from None
    except Exception as error:
        told = str(error).strip().rstrip(".")
        raise Refused(f"{reason} ({told or type(error).__name__})") from None


def _orientation(image: Image.Image) -> int:
    """1, upright, where a note is missing or makes no sense."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a damaged note spoils no picture
        return 1


def _plain(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise Refused(
            "its levels are fractions, whose black and white are not known; save it with 8 or 16 bits"
        )
    if image.mode in _SIXTEEN_BITS:
        return _eight_bits(image)
    alpha = "A" if image.mode in _ALPHA or "transparency" in image.info else ""
    return image.convert(("L" if image.mode in _GREY else "RGB") + alpha)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits, of which one level may be transparent."""
    levels = np.asarray(image).astype(np.int64).clip(0, 65_535)
    grey = Image.fromarray(np.rint(levels / 257).astype(np.uint8))
    transparent = image.info.get("transparency")
    if not isinstance(transparent, int):
        return grey
    grey.putalpha(Image.fromarray(np.where(levels == transparent, 0, 255).astype(np.uint8)))
    return grey
