"""A training as a film: the previews of the same latents, one after the other, as one GIF."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gancore.errors import ConfigError
from gancore.files import atomic_write, read_regular
from gancore.training.run import RunFolder

if TYPE_CHECKING:
    from PIL.Image import Image

    from gancore.domain import Domain, Samples

STEP = re.compile(r"step-(\d+)")
NUMBERED = re.compile(r"\d")
STILLS, FORMATS = (".png", ".jpg", ".jpeg", ".webp"), ("PNG", "JPEG", "WEBP")
FRAMES, SIDE, DOTS = 120, 800, 20_000_000
"""At most so many frames, evenly chosen, the first and the last among them; so wide or high; so many dots in
all frames together: a byte each before GIF packs them."""
WHOLE_SECONDS, SHORTEST, LONGEST, LAST = 12.0, 0.08, 0.5, 2.0
"""The whole film, within limits for a frame; and how long the last one stays."""
LARGEST_STILL_BYTES, LARGEST_STILL_DOTS = 1 << 26, 1 << 26
"""Of a preview that is read."""
BAR, NARROWEST = 16, 140
"""Height of the line that tells the step, and the width that it needs."""


@dataclass(frozen=True)
class Film:
    """``steps`` of the frames; ``skipped`` previews hold no picture that could be read."""

    file: Path
    steps: Sequence[int]
    skipped: Sequence[int] = ()


def make_film(run: RunFolder, file: Path, announce: Callable[[str], None]) -> Film:
    """Write the GIF. A run that was stopped, killed or resumed has previews like any other.

    Raises:
        ConfigError: no run, not a GIF, or no previews.
        CheckpointError: the file cannot be written.
    """
    status = run.read_status()
    if status is None:
        raise ConfigError(f"{run.path} is no run folder", "`gancore runs` lists them")
    if file.suffix.lower() != ".gif":
        raise ConfigError(f"a film is a GIF, and {file.name} ends otherwise", "give --out NAME.gif")
    found = evenly(previews(run), FRAMES)
    frames: list[tuple[int, Image]] = []
    for step, picture in found:
        try:
            frames.append((step, read(picture)))
        except Exception as error:  # of torn and swollen files Pillow raises anything
            announce(f"{picture} cannot be read and is left out: {' '.join(str(error).split())}")
    if not frames:
        raise ConfigError(f"no pictures of previews in {run.samples}", "train it until its first preview")
    steps = [step for step, _ in frames]
    told = [f"step {step:,}" + (f" of {status.total:,}" if status.total else "") for step in steps]
    atomic_write(file, encode([picture for _, picture in frames], told))
    return Film(file, steps, sorted({step for step, _ in found} - set(steps)))


def shows_all(file: Path) -> bool:
    """Whether a file of a preview is a picture of more than one numbered sample."""
    return file.suffix.lower() in STILLS and not NUMBERED.match(file.name)


def keep_picture(domain: Domain, samples: Samples, folder: Path) -> list[Path]:
    """Write what ``Domain.preview`` shows of samples beside their files; empty where it shows nothing."""
    picture = domain.preview(samples)
    if picture is None:
        return []
    content = io.BytesIO()
    picture.convert("RGB").save(content, "PNG")
    atomic_write(folder / "preview.png", content.getvalue())
    return [folder / "preview.png"]


def previews(run: RunFolder) -> list[tuple[int, Path]]:
    """Steps, ascending, and the picture of each: the first that shows more than one numbered sample."""
    found = []
    for folder in run.samples.glob("step-*"):
        step = STEP.fullmatch(folder.name)
        whole = [path for path in sorted(folder.glob("*")) if shows_all(path)]
        if step and whole:
            found.append((int(step[1]), whole[0]))
    return sorted(found)


def evenly(found: Sequence[tuple[int, Path]], most: int) -> list[tuple[int, Path]]:
    """At most ``most`` of them at equal distances, both ends included."""
    if len(found) <= most:
        return list(found)
    return [found[round(place * (len(found) - 1) / (most - 1))] for place in range(most)]


def read(path: Path) -> Image:
    """Raises OSError, ValueError or what else Pillow raises on a torn file, or one that is too large."""
    from PIL import Image

    content = io.BytesIO(read_regular(path, LARGEST_STILL_BYTES))
    with warnings.catch_warnings(action="ignore"), Image.open(content, formats=FORMATS) as picture:
        if picture.width * picture.height > LARGEST_STILL_DOTS:  # a few bytes can claim any size
            raise ValueError(f"it is {picture.width} x {picture.height}, more than a preview has")
        return picture.convert("RGB")


def encode(pictures: Sequence[Image], told: Sequence[str]) -> bytes:
    """A GIF that repeats; each picture at the top left of a common sheet, over what is told of it."""
    size = (max(NARROWEST, *(p.width for p in pictures)), max(p.height for p in pictures))
    scale = fitting(size, len(pictures))
    size = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    frames = [_frame(picture, text, size, scale) for picture, text in zip(pictures, told, strict=True)]
    each = min(LONGEST, max(SHORTEST, WHOLE_SECONDS / len(frames)))
    milliseconds = [round(100 * each) * 10] * (len(frames) - 1) + [round(1000 * LAST)]
    content = io.BytesIO()
    frames[0].save(
        content, "GIF", save_all=True, append_images=frames[1:], duration=milliseconds, loop=0, optimize=False
    )
    return content.getvalue()


def fitting(size: tuple[int, int], count: int) -> float:
    """By how much ``count`` sheets of this size are shrunk to stay within the limits."""
    width, height = size
    return min(1.0, SIDE / width, SIDE / height, math.sqrt(DOTS / (count * width * (height + BAR))))


def _frame(picture: Image, text: str, size: tuple[int, int], scale: float) -> Image:
    """Greys stay as they are; of colours the 256 that suit the frame."""
    from PIL import Image, ImageDraw

    sheet = Image.new("RGB", (size[0], size[1] + BAR), "white")
    if scale < 1:
        shrunk = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        picture = picture.resize(shrunk, Image.Resampling.BOX)
    sheet.paste(picture, (0, 0))
    ImageDraw.Draw(sheet).text((4, size[1] + 2), text, fill="black")
    red, green, blue = sheet.split()
    if red.tobytes() == green.tobytes() == blue.tobytes():
        return red
    return sheet.quantize(256, dither=Image.Dither.NONE)
