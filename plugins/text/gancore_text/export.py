"""Samples as files, and as a picture of a few of them."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gancore import Samples
from gancore_text.representation import texts_of

if TYPE_CHECKING:
    from PIL.Image import Image

LINE_CHARACTERS, FONT_SIZE, LINE_HEIGHT, MARGIN = 80, 14, 18, 10


def write_samples(samples: Samples, folder: Path) -> list[Path]:
    """``samples.txt``, a text a line; ``samples.jsonl``, each text as it is, with its label and with what it
    repeats of train, ``novelty``, if these are known.

    Raises:
        OSError: the folder cannot be written, or is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = texts_of(samples.data)
    lines, rows = folder / "samples.txt", folder / "samples.jsonl"
    lines.write_text("".join(f"{' '.join(text.split())}\n" for text in texts), encoding="utf-8")
    labels, remarks = samples.labels(), samples.remarks or [""] * len(texts)
    objects = (
        {"text": text, **({"label": label} if label else {}), **({"novelty": remark} if remark else {})}
        for text, label, remark in zip(texts, labels, remarks, strict=True)
    )
    rows.write_text(
        "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in objects), encoding="utf-8", newline="\n"
    )
    return [lines, rows]


def draw_texts(lines: Sequence[str]) -> Image:
    """A picture of texts, wrapped, with a rule between them."""
    from matplotlib import get_data_path
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.truetype(str(Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), FONT_SIZE)
    blocks = [textwrap.wrap(text, LINE_CHARACTERS) for text in lines]
    height = sum(len(block) * LINE_HEIGHT + MARGIN for block in blocks) + MARGIN
    width = LINE_CHARACTERS * FONT_SIZE * 5 // 8 + 2 * MARGIN
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    top = MARGIN
    for block in blocks:
        for line in block:
            draw.text((MARGIN, top), line, fill="black", font=font)
            top += LINE_HEIGHT
        draw.line((MARGIN, top + MARGIN // 2, width - MARGIN, top + MARGIN // 2), fill="lightgray")
        top += MARGIN
    return sheet
