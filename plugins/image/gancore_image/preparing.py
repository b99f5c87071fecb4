"""From a decoded picture to a square of bytes: channels, crop, size. The rules are stated here, once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gancore.data.refusal import Refused
from gancore.data.splits import Split

Pixels = NDArray[np.uint8]
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
"""PIL's modes by the number of channels."""


@dataclass(frozen=True)
class Picture:
    """Something to prepare: ``read`` decodes it (mode L, LA, RGB or RGBA), or raises Refused.

    ``identity`` is a hash of its content: equal pictures are stored once, and are in one split.
    """

    name: str
    identity: str
    read: Callable[[], Image.Image]
    label: str | None = None
    split: Split | None = None


@dataclass(frozen=True)
class Preparation:
    """What is done to a picture before it is stored, and which are left out.

    ``side`` None: what suits them. ``channels`` None: RGB, and grey in the end if all of them are grey.
    """

    side: int | None = None
    channels: int | None = None
    fit: Literal["crop", "pad", "stretch"] = "crop"
    background: int = 255
    min_side: int = 8


def array_picture(name: str, pixels: Pixels, label: str | None = None, split: Split | None = None) -> Picture:
    """Of (height, width) grey levels or (height, width, channels)."""
    content = hashlib.blake2b(pixels.tobytes(), digest_size=16, key=repr(pixels.shape).encode())
    return Picture(name, content.hexdigest(), lambda: Image.fromarray(pixels), label, split)


def prepare(image: Image.Image, preparation: Preparation) -> Pixels:
    """(channels, side, side).

    Raises:
        Refused: the picture is too small.
    """
    shorter = min(image.size)
    if shorter < preparation.min_side:
        raise Refused(
            f"it is {image.width}x{image.height}, its side under data.min_side {preparation.min_side}"
        )
    squared = _fit(_with_channels(image, preparation), preparation)
    pixels = np.asarray(squared, dtype=np.uint8)
    return np.ascontiguousarray(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))


def suiting(shorter_sides: Sequence[int]) -> int:
    """The 4 * 2^k, from 8 to 64, that is nearest by ratio to the median of the shorter sides."""
    return int(2 ** np.clip(np.rint(np.log2(np.median(shorter_sides))), 3, 6))


def _with_channels(image: Image.Image, preparation: Preparation) -> Image.Image:
    """Alpha goes onto the background, unless it is asked for."""
    mode = MODES[preparation.channels or 3]
    if image.mode.endswith("A") and not mode.endswith("A"):
        ground = Image.new("RGBA", image.size, (*[preparation.background] * 3, 255))
        image = Image.alpha_composite(ground, image.convert("RGBA"))
    return image.convert(mode)


def _fit(image: Image.Image, preparation: Preparation) -> Image.Image:
    """A square, by bicubic interpolation whose kernel widens as the picture shrinks (antialiased)."""
    side = preparation.side
    assert side is not None
    if preparation.fit == "pad":
        return _pad(image, side, preparation.background)
    if preparation.fit == "crop" and image.width != image.height:
        image = image.crop(_centre(image.size))
    return image.resize((side, side), Image.Resampling.BICUBIC)


def _centre(size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The largest square about the centre; where half a pixel is over, the one to the left and the top."""
    shorter = min(size)
    left, top = ((length - shorter) // 2 for length in size)
    return left, top, left + shorter, top + shorter


def _pad(image: Image.Image, side: int, background: int) -> Image.Image:
    """The whole picture amid background: shrunk where it is larger than the square, never enlarged."""
    scale = min(1.0, side / max(image.size))
    width, height = (max(1, round(length * scale)) for length in image.size)
    if scale < 1:
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    opaque = (background,) * (len(image.getbands()) - 1) + (0 if image.mode.endswith("A") else background,)
    square = Image.new(image.mode, (side, side), opaque if len(opaque) > 1 else background)
    square.paste(image, ((side - width) // 2, (side - height) // 2))
    return square
