"""Samples as files that people open: a PNG each, and one overview."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from gancore.domain import Samples
from gancore.naming import sample_stems, sample_titles, shown_in_overview
from gancore.symptoms import finite_rows

OVERVIEW, SIDE_BY_SIDE = 64, 1024
"""Samples in ``overview.png``: of those that stand alone, and of those that belong side by side."""
SHOWN_SIDE = 64
"""Pictures smaller than this are shown enlarged in grids, by a whole factor, pixel by pixel."""
GAP, CAPTION, GROUND, CHECKS = 2, 12, 255, (204, 153)


def write_samples(samples: Samples, folder: Path) -> list[Path]:
    """``0001-<label>.png`` for each row (n, channels, side, side), then ``overview.png``.

    Samples that belong side by side are ``0001-01-<label>.png``, row and column, and stand so in the
    overview. The same samples always give the same bytes.

    Raises:
        DataError: a sample holds values that are not finite.
        OSError: the folder cannot be written, or is full.
    """
    pictures = to_bytes(samples.data)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for stem, pixels in zip(sample_stems(samples), pictures, strict=True):
        to_image(pixels).save(folder / f"{stem}.png")
        written.append(folder / f"{stem}.png")
    overview(samples).save(folder / "overview.png")
    return [*written, folder / "overview.png"]


def overview(samples: Samples) -> Image.Image:
    """The first samples in a grid, each over its caption or label; what belongs side by side in rows."""
    shown = shown_in_overview(samples, OVERVIEW, SIDE_BY_SIDE)
    return grid(samples.data[:shown], sample_titles(samples)[:shown], samples.columns or None)


def to_bytes(data: Tensor) -> NDArray[np.uint8]:
    """(n, channels, side, side) in [-1, 1] to the nearest of 256 levels, -1 is 0 and 1 is 255; clamped.

    Raises:
        DataError: a sample holds values that are not finite.
    """
    levels = ((finite_rows(data) + 1) * 127.5).round().clamp(0, 255)
    pixels: NDArray[np.uint8] = levels.to(torch.uint8).numpy()
    return pixels


def to_image(pixels: NDArray[np.uint8]) -> Image.Image:
    """(channels, side, side) as a picture of 1 grey, 2 grey and alpha, 3 RGB or 4 RGBA channels."""
    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def grid(data: Tensor, captions: Sequence[str] = (), columns: int | None = None) -> Image.Image:
    """Pictures (n, channels, side, side) side by side, enlarged where small; captions under them, if any.

    ``columns``: none makes the grid as square as may be. Transparent pixels show a chequered ground.
    """
    pictures = to_bytes(data)
    n, side = len(pictures), pictures.shape[-1]
    columns = columns or math.ceil(math.sqrt(n))
    scale = max(1, SHOWN_SIDE // side)
    shown, below = side * scale, CAPTION if any(captions) else 0
    width, height = shown + GAP, shown + GAP + below
    sheet = Image.new("RGB", (columns * width + GAP, math.ceil(n / columns) * height + GAP), (GROUND,) * 3)
    pen = ImageDraw.Draw(sheet)
    for place, pixels in enumerate(pictures):
        left, top = GAP + place % columns * width, GAP + place // columns * height
        sheet.paste(_opaque(to_image(pixels)).resize((shown, shown), Image.Resampling.NEAREST), (left, top))
        if below and place < len(captions):
            pen.text((left, top + shown), _fitting(captions[place], shown, pen), fill=(0, 0, 0))
    return sheet


def _opaque(image: Image.Image) -> Image.Image:
    if not image.mode.endswith("A"):
        return image.convert("RGB")
    rows, columns = np.indices((image.height, image.width)) // 4
    checks = np.where((rows + columns) % 2, *CHECKS).astype(np.uint8)
    ground = Image.fromarray(checks).convert("RGBA")
    return Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB")


def _fitting(caption: str, width: int, pen: ImageDraw.ImageDraw) -> str:
    """As much of the caption as there is room for; what the built-in font lacks becomes a question mark."""
    text = caption.encode("latin-1", "replace").decode("latin-1")
    while len(text) > 1 and pen.textlength(text) > width:
        text = text[:-1]
    return text
