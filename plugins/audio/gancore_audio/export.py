"""Samples as files: 16-bit WAV, a spectrogram of each, and one overview."""

from __future__ import annotations

import itertools
import math
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from gancore import Samples
from gancore.errors import DataError
from gancore.training import require_finite
from gancore_audio.mel import FLOOR_DB, log_mel

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

_CELL_WIDTH, _CELL_HEIGHT, _STRIP_HEIGHT, _TITLE_HEIGHT, _AXIS_HEIGHT, _GAP = 176, 112, 30, 14, 14, 6


def spectrogram_grid(
    samples: NDArray[np.float32],
    sample_rate_hz: int,
    titles: Sequence[str] | None = None,
    columns: int | None = None,
) -> Image:
    """A grid of log-mel spectrograms, each under its waveform: (n, time) -> an RGB image.

    ``columns``: none makes the grid as square as possible.
    Time is to the right, with an axis in seconds, frequency upwards; colours are from ``FLOOR_DB`` (black) to
    0 dB.
    """
    from PIL import Image, ImageDraw

    samples = np.asarray(samples, dtype=np.float32)
    columns = columns or max(1, math.ceil(math.sqrt(len(samples))))
    rows = max(1, math.ceil(len(samples) / columns))
    seconds = samples.shape[1] / sample_rate_hz
    cell = (_CELL_WIDTH + _GAP, _TITLE_HEIGHT + _STRIP_HEIGHT + _CELL_HEIGHT + _AXIS_HEIGHT + _GAP)
    sheet = Image.new("RGB", (columns * cell[0] + _GAP, rows * cell[1] + _GAP + _TITLE_HEIGHT), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (waveform, colours) in enumerate(
        zip(samples, _colour_map(samples, sample_rate_hz), strict=True)
    ):
        left, top = _GAP + index % columns * cell[0], _GAP + index // columns * cell[1]
        draw.text((left, top), (titles[index] if titles else str(index + 1))[:28], fill="black")
        _draw_waveform(draw, waveform, left, top + _TITLE_HEIGHT)
        spectrogram = Image.fromarray(colours).resize((_CELL_WIDTH, _CELL_HEIGHT), Image.Resampling.BILINEAR)
        sheet.paste(spectrogram, (left, top + _TITLE_HEIGHT + _STRIP_HEIGHT))
        _draw_time_axis(draw, seconds, left, top + _TITLE_HEIGHT + _STRIP_HEIGHT + _CELL_HEIGHT)
    legend = f"{seconds:.3g} s, 0-{sample_rate_hz // 2} Hz (mel), {FLOOR_DB:.0f} to 0 dB"
    draw.text((_GAP, rows * cell[1] + _GAP - 2), legend, fill="black")
    return sheet


def _colour_map(samples: NDArray[np.float32], sample_rate_hz: int) -> NDArray[np.uint8]:
    """(n, bands, frames, 3), the highest band first."""
    from matplotlib import colormaps

    decibels = log_mel(torch.from_numpy(np.nan_to_num(samples)), sample_rate_hz).flip(1).numpy()
    return (colormaps["magma"](decibels / -FLOOR_DB + 1)[..., :3] * 255).astype(np.uint8)


def _draw_time_axis(draw: ImageDraw, seconds: float, left: int, top: int) -> None:
    """Draw ticks at every quarter, with times at the first, the middle and the last."""
    for quarter in range(5):
        x = left + round((_CELL_WIDTH - 1) * quarter / 4)
        draw.line((x, top, x, top + 3), fill=(60, 60, 90))
        if quarter % 2 == 0:
            text = f"{seconds * quarter / 4:.2g}" if quarter < 4 else f"{seconds:.3g} s"
            shift = draw.textlength(text) * quarter / 4
            draw.text((x - shift, top + 2), text, fill=(60, 60, 90))


def _draw_waveform(draw: ImageDraw, waveform: NDArray[np.float32], left: int, top: int) -> None:
    """Draw the envelope: the lowest to the highest value of each column of pixels."""
    middle, half = top + _STRIP_HEIGHT // 2, _STRIP_HEIGHT // 2 - 2
    edges = np.linspace(0, len(waveform), _CELL_WIDTH + 1).astype(int)
    levels = np.clip(np.nan_to_num(waveform), -1, 1)
    for x, (start, stop) in enumerate(itertools.pairwise(edges)):
        part = levels[start : max(stop, start + 1)]
        low, high = (round(middle - half * float(value)) for value in (part.min(), part.max()))
        draw.line((left + x, high, left + x, low), fill=(60, 60, 90))


FULL_SCALE = 32767
MAX_OVERVIEW, MAX_OVERVIEW_IN_COLUMNS = 16, 128
"""Maximal number of samples in ``overview.png``, without and with columns."""


def write_samples(samples: Samples, folder: Path) -> list[Path]:
    """``0001-<label>.wav`` and ``.png`` for each row (n, 1, time), then ``overview.png``.

    With columns, samples are ``0001-01-<label>``, row and column, and have these places in the overview.
    The same samples always give the same bytes.

    Raises:
        DataError: a sample holds values that are not finite.
        OSError: the folder cannot be written, or is full.
    """
    waveforms = require_finite(samples.data).numpy()[:, 0]  # (n, time)
    sample_rate_hz, stems, written = int(samples.spec["sample_rate_hz"]), samples.file_stems(), []
    folder.mkdir(parents=True, exist_ok=True)
    for stem, waveform in zip(stems, waveforms, strict=True):
        write_wav(folder / f"{stem}.wav", waveform, sample_rate_hz)
        spectrogram_grid(waveform[None], sample_rate_hz, [stem]).save(folder / f"{stem}.png")
        written += [folder / f"{stem}.wav", folder / f"{stem}.png"]
    titles = samples.headings or stems  # the names of the files
    count = samples.overview_count(MAX_OVERVIEW, MAX_OVERVIEW_IN_COLUMNS)
    overview = spectrogram_grid(waveforms[:count], sample_rate_hz, titles[:count], samples.columns or None)
    overview.save(folder / "overview.png")
    return [*written, folder / "overview.png"]


def write_wav(path: Path, waveform: NDArray[np.float32], sample_rate_hz: int) -> None:
    """Mono 16-bit PCM of (time) values in [-1, 1]: x * 32767, halves to even, clamped."""
    levels = np.rint(np.asarray(waveform, dtype=np.float64) * FULL_SCALE)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate_hz)
        file.writeframes(np.clip(levels, -FULL_SCALE, FULL_SCALE).astype("<i2").tobytes())


def read_wav(path: Path) -> tuple[NDArray[np.float32], int]:
    """What :func:`write_wav` wrote: (time) in [-1, 1], and its rate in Hz.

    Raises:
        DataError: not a mono 16-bit WAV file.
    """
    try:
        with wave.open(str(path), "rb") as file:
            if (file.getnchannels(), file.getsampwidth()) != (1, 2):
                raise wave.Error(f"{file.getnchannels()} channels of {8 * file.getsampwidth()} bits")
            sample_rate_hz, frames = file.getframerate(), file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise DataError(
            f"{path} is not a mono 16-bit WAV file ({error})", "open it as data instead"
        ) from error
    return (np.frombuffer(frames, "<i2") / FULL_SCALE).astype(np.float32), sample_rate_hz
