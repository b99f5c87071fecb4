"""A training as an animation: the previews of the same latents, in their order, as one GIF."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gancore.errors import ConfigError
from gancore.files import atomic_write, read_regular
from gancore.progress import Announce
from gancore.run_folder import RunFolder

if TYPE_CHECKING:
    from PIL.Image import Image

    from gancore.domain import Domain
    from gancore.samples import Samples

STEP = re.compile(r"step-(\d+)")
STARTS_WITH_NUMBER = re.compile(r"\d")
IMAGE_SUFFIXES, FORMATS = (".png", ".jpg", ".jpeg", ".webp"), ("PNG", "JPEG", "WEBP")
MAX_FRAMES, MAX_SIDE, MAX_AREA = 120, 800, 20_000_000
"""Maximum number of frames (evenly spaced, first and last included), side, and area of all frames together: a
byte for each dot before GIF compresses them."""
WHOLE_SECONDS, SHORTEST, LONGEST, LAST = 12.0, 0.08, 0.5, 2.0
"""Seconds of the whole animation, minimum and maximum of a frame, and those of the last frame."""
MAX_IMAGE_BYTES, MAX_IMAGE_AREA = 1 << 26, 1 << 26
"""Maximum size of a preview that is read."""
TITLE_HEIGHT, MIN_WIDTH = 16, 140
"""Height of the line that shows the step, and the width that it needs."""


@dataclass(frozen=True)
class Animation:
    """``steps`` of the frames; ``skipped``: steps whose preview could not be read."""

    file: Path
    steps: Sequence[int]
    skipped: Sequence[int] = ()


def make_animation(run: RunFolder, file: Path, announce: Announce) -> Animation:
    """Write the GIF. A run that was stopped, killed or resumed has previews like any other.

    Raises:
        ConfigError: no run, not a GIF, or no previews.
        CheckpointError: the file cannot be written.
    """
    status = run.read_status()
    if status is None:
        raise ConfigError(f"{run.path} is not a run folder", "`gancore runs` lists them")
    if file.suffix.lower() != ".gif":
        raise ConfigError(f"an animation is a GIF, but {file.name} has another suffix", "give --out NAME.gif")
    previews = evenly_spaced(find_previews(run), MAX_FRAMES)
    frames: list[tuple[int, Image]] = []
    for step, picture in previews:
        try:
            frames.append((step, read_image(picture)))
        except Exception as error:  # on truncated or oversized files Pillow raises any error
            announce(f"{picture} cannot be read and is skipped: {' '.join(str(error).split())}")
    if not frames:
        raise ConfigError(f"no pictures of previews in {run.samples}", "train it until its first preview")
    steps = [step for step, _ in frames]
    titles = [f"step {step:,}" + (f" of {status.total:,}" if status.total else "") for step in steps]
    atomic_write(file, encode_gif([picture for _, picture in frames], titles))
    return Animation(file, steps, sorted({step for step, _ in previews} - set(steps)))


def is_overview(file: Path) -> bool:
    """Whether a file of a preview is a picture of more than one numbered sample."""
    return file.suffix.lower() in IMAGE_SUFFIXES and not STARTS_WITH_NUMBER.match(file.name)


def write_preview(domain: Domain, samples: Samples, folder: Path) -> list[Path]:
    """Write the picture of ``Domain.preview`` into ``folder``; empty if it returns None."""
    picture = domain.preview(samples)
    if picture is None:
        return []
    content = io.BytesIO()
    picture.convert("RGB").save(content, "PNG")
    atomic_write(folder / "preview.png", content.getvalue())
    return [folder / "preview.png"]


def find_previews(run: RunFolder) -> list[tuple[int, Path]]:
    """Steps, ascending, and the picture of each: the first that shows more than one numbered sample."""
    found = []
    for folder in run.samples.glob("step-*"):
        step = STEP.fullmatch(folder.name)
        whole = [path for path in sorted(folder.glob("*")) if is_overview(path)]
        if step and whole:
            found.append((int(step[1]), whole[0]))
    return sorted(found)


def evenly_spaced(found: Sequence[tuple[int, Path]], most: int) -> list[tuple[int, Path]]:
    """At most ``most`` of them at equal distances, including the first and the last."""
    if len(found) <= most:
        return list(found)
    return [found[round(place * (len(found) - 1) / (most - 1))] for place in range(most)]


def read_image(path: Path) -> Image:
    """Raises OSError, ValueError or another error of Pillow if a file is truncated or too large."""
    from PIL import Image

    content = io.BytesIO(read_regular(path, MAX_IMAGE_BYTES))
    with warnings.catch_warnings(action="ignore"), Image.open(content, formats=FORMATS) as picture:
        if picture.width * picture.height > MAX_IMAGE_AREA:  # a few bytes can declare any size
            raise ValueError(f"it is {picture.width} x {picture.height}, more than a preview has")
        return picture.convert("RGB")


def encode_gif(pictures: Sequence[Image], titles: Sequence[str]) -> bytes:
    """A GIF that repeats; each picture at the top left of a sheet of common size, above its title."""
    size = (max(MIN_WIDTH, *(p.width for p in pictures)), max(p.height for p in pictures))
    scale = fit_scale(size, len(pictures))
    size = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    frames = [_draw_frame(picture, text, size, scale) for picture, text in zip(pictures, titles, strict=True)]
    each = min(LONGEST, max(SHORTEST, WHOLE_SECONDS / len(frames)))
    milliseconds = [round(100 * each) * 10] * (len(frames) - 1) + [round(1000 * LAST)]
    content = io.BytesIO()
    frames[0].save(
        content, "GIF", save_all=True, append_images=frames[1:], duration=milliseconds, loop=0, optimize=False
    )
    return content.getvalue()


def fit_scale(size: tuple[int, int], count: int) -> float:
    """The scale at which ``count`` sheets of this size stay within the limits."""
    width, height = size
    return min(
        1.0,
        MAX_SIDE / width,
        MAX_SIDE / height,
        math.sqrt(MAX_AREA / (count * width * (height + TITLE_HEIGHT))),
    )


def _draw_frame(picture: Image, text: str, size: tuple[int, int], scale: float) -> Image:
    """Greys stay; colours are reduced to the 256 that fit the frame best."""
    from PIL import Image, ImageDraw

    sheet = Image.new("RGB", (size[0], size[1] + TITLE_HEIGHT), "white")
    if scale < 1:
        shrunk = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        picture = picture.resize(shrunk, Image.Resampling.BOX)
    sheet.paste(picture, (0, 0))
    ImageDraw.Draw(sheet).text((4, size[1] + 2), text, fill="black")
    red, green, blue = sheet.split()
    if red.tobytes() == green.tobytes() == blue.tobytes():
        return red
    return sheet.quantize(256, dither=Image.Dither.NONE)
