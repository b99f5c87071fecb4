"""Samples as files: a PNG each, and one overview."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from gancore import Samples
from gancore.training import require_finite

MAX_OVERVIEW, MAX_OVERVIEW_IN_COLUMNS = 64, 1024
"""Maximal number of samples in ``overview.png``, without and with columns."""
MIN_DISPLAY_SIZE = 64
"""Smaller images are enlarged in grids by a whole factor, pixel by pixel."""
GAP, CAPTION, BACKGROUND, CHEQUERS = 2, 12, 255, (204, 153)


def write_samples(samples: Samples, folder: Path) -> list[Path]:
    """``0001-<label>.png`` for each row (n, channels, side, side), then ``overview.png``.

    With columns, samples are ``0001-01-<label>.png``, row and column, and have these places in the
    overview. The same samples always give the same bytes.

    Raises:
        DataError: a sample holds values that are not finite.
        OSError: the folder cannot be written, or is full.
    """
    images = to_bytes(samples.data)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for stem, pixels in zip(samples.file_stems(), images, strict=True):
        to_image(pixels).save(folder / f"{stem}.png")
        written.append(folder / f"{stem}.png")
    overview(samples).save(folder / "overview.png")
    return [*written, folder / "overview.png"]


def overview(samples: Samples) -> Image.Image:
    """The first samples in a grid, each above its caption or label; samples with columns in rows."""
    count = samples.overview_count(MAX_OVERVIEW, MAX_OVERVIEW_IN_COLUMNS)
    return image_grid(samples.data[:count], samples.titles()[:count], samples.columns or None)


def to_bytes(data: Tensor) -> NDArray[np.uint8]:
    """(n, channels, side, side) in [-1, 1] to the nearest of 256 levels, -1 is 0 and 1 is 255; clamped.

    Raises:
        DataError: a sample holds values that are not finite.
    """
    levels = ((require_finite(data) + 1) * 127.5).round().clamp(0, 255)
    pixels: NDArray[np.uint8] = levels.to(torch.uint8).numpy()
    return pixels


def to_image(pixels: NDArray[np.uint8]) -> Image.Image:
    """(channels, side, side) as an image of 1 grey, 2 grey and alpha, 3 RGB or 4 RGBA channels."""
    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def image_grid(data: Tensor, captions: Sequence[str] = (), columns: int | None = None) -> Image.Image:
    """Images (n, channels, side, side) side by side, enlarged where small; captions under them, if any.

    ``columns`` None: as square as possible. Transparent pixels show a chequered background.
    """
    images = to_bytes(data)
    n, side = len(images), images.shape[-1]
    columns = columns or math.ceil(math.sqrt(n))
    scale = max(1, MIN_DISPLAY_SIZE // side)
    size, below = side * scale, CAPTION if any(captions) else 0
    width, height = size + GAP, size + GAP + below
    sheet = Image.new(
        "RGB", (columns * width + GAP, math.ceil(n / columns) * height + GAP), (BACKGROUND,) * 3
    )
    draw = ImageDraw.Draw(sheet)
    for index, pixels in enumerate(images):
        left, top = GAP + index % columns * width, GAP + index // columns * height
        sheet.paste(_opaque(to_image(pixels)).resize((size, size), Image.Resampling.NEAREST), (left, top))
        if below and index < len(captions):
            draw.text((left, top + size), _fit_caption(captions[index], size, draw), fill=(0, 0, 0))
    return sheet


def _opaque(image: Image.Image) -> Image.Image:
    if not image.mode.endswith("A"):
        return image.convert("RGB")
    rows, columns = np.indices((image.height, image.width)) // 4
    checks = np.where((rows + columns) % 2, *CHEQUERS).astype(np.uint8)
    background = Image.fromarray(checks).convert("RGBA")
    return Image.alpha_composite(background, image.convert("RGBA")).convert("RGB")


def _fit_caption(caption: str, width: int, draw: ImageDraw.ImageDraw) -> str:
    """As much of the caption as fits; characters that the built-in font lacks become question marks."""
    text = caption.encode("latin-1", "replace").decode("latin-1")
    while len(text) > 1 and draw.textlength(text) > width:
        text = text[:-1]
    return text
