"""Log-mel spectra for measures and diagnosis, and spectrograms as pictures for people."""

from __future__ import annotations

import functools
import itertools
import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

FLOOR_DB = -80.0
"""Nothing quieter is told from silence. 0 dB is the power of a full-scale sine."""

_CHUNK = 128
"""Clips transformed at a time, to bound memory."""

_CELL_WIDTH, _CELL_HEIGHT, _STRIP_HEIGHT, _TITLE_HEIGHT, _AXIS_HEIGHT, _GAP = 176, 112, 30, 14, 14, 6


def log_mel(
    waveform: Tensor, rate_hz: int, bands: int = 64, window: int | None = None, hop: int | None = None
) -> Tensor:
    """Mel spectrogram in dB, at least ``FLOOR_DB``: (n, time) -> (n, bands, frames), float32.

    The Hann window is by default the power of two nearest to 32 ms, the hop a quarter of it. Frames
    are transformed at twice the window's length, so that from 2 kHz on even the narrowest of 64 bands holds
    a frequency.
    """
    window = window or 2 ** round(math.log2(0.032 * rate_hz))
    filters = _mel_filters(rate_hz, bands, 2 * window).to(waveform.device)
    decibels = []
    for rows in waveform.float().split(_CHUNK):
        power = power_spectrogram(rows, window, hop or window // 4)
        decibels.append(10 * torch.log10((filters.T @ power).clamp_min(10 ** (FLOOR_DB / 10))))
    return torch.cat(decibels)


def power_spectrogram(waveform: Tensor, window: int, hop: int) -> Tensor:
    """|STFT|^2: (n, time) -> (n, window + 1, frames); a full-scale sine's powers add up to 1."""
    hann = torch.hann_window(window, device=waveform.device)
    spectrum = torch.stft(
        waveform, 2 * window, hop, window, hann, center=True, pad_mode="constant", return_complex=True
    )
    # Parseval: over positive frequencies a sine of amplitude 1 has n_fft * sum(hann^2) / 4
    return spectrum.abs().square() * (4 / (2 * window * hann.square().sum()))


@functools.lru_cache(maxsize=8)
def _mel_filters(rate_hz: int, bands: int, n_fft: int) -> Tensor:
    """Triangles of height 1 from 0 Hz to half the rate: (n_fft / 2 + 1, bands)."""
    from torchaudio.functional import melscale_fbanks

    with warnings.catch_warnings():  # bands without a frequency are silent in all sounds
        warnings.filterwarnings("ignore", message=".*mel filterbank has all zero.*")
        return melscale_fbanks(n_fft // 2 + 1, 0.0, rate_hz / 2, bands, rate_hz)


def picture(
    samples: NDArray[np.float32],
    rate_hz: int,
    titles: Sequence[str] | None = None,
    columns: int | None = None,
) -> Image:
    """A grid of log-mel spectrograms, each under its waveform: (n, time) -> an RGB picture.

    ``columns``: none makes the grid as square as may be.
    Time runs to the right, along an axis in seconds, pitch upwards; colours run from ``FLOOR_DB`` (black) to
    0 dB.
    """
    from PIL import Image, ImageDraw

    samples = np.asarray(samples, dtype=np.float32)
    columns = columns or max(1, math.ceil(math.sqrt(len(samples))))
    rows = max(1, math.ceil(len(samples) / columns))
    seconds = samples.shape[1] / rate_hz
    cell = (_CELL_WIDTH + _GAP, _TITLE_HEIGHT + _STRIP_HEIGHT + _CELL_HEIGHT + _AXIS_HEIGHT + _GAP)
    sheet = Image.new("RGB", (columns * cell[0] + _GAP, rows * cell[1] + _GAP + _TITLE_HEIGHT), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (waveform, colours) in enumerate(zip(samples, _coloured(samples, rate_hz), strict=True)):
        left, top = _GAP + index % columns * cell[0], _GAP + index // columns * cell[1]
        draw.text((left, top), (titles[index] if titles else str(index + 1))[:28], fill="black")
        _draw_waveform(draw, waveform, left, top + _TITLE_HEIGHT)
        spectrogram = Image.fromarray(colours).resize((_CELL_WIDTH, _CELL_HEIGHT), Image.Resampling.BILINEAR)
        sheet.paste(spectrogram, (left, top + _TITLE_HEIGHT + _STRIP_HEIGHT))
        _draw_time(draw, seconds, left, top + _TITLE_HEIGHT + _STRIP_HEIGHT + _CELL_HEIGHT)
    legend = f"{seconds:.3g} s, 0-{rate_hz // 2} Hz (mel), {FLOOR_DB:.0f} to 0 dB"
    draw.text((_GAP, rows * cell[1] + _GAP - 2), legend, fill="black")
    return sheet


def _coloured(samples: NDArray[np.float32], rate_hz: int) -> NDArray[np.uint8]:
    """(n, bands, frames, 3), the highest band first."""
    from matplotlib import colormaps

    decibels = log_mel(torch.from_numpy(np.nan_to_num(samples)), rate_hz).flip(1).numpy()
    return (colormaps["magma"](decibels / -FLOOR_DB + 1)[..., :3] * 255).astype(np.uint8)


def _draw_time(draw: ImageDraw, seconds: float, left: int, top: int) -> None:
    """Ticks at every quarter, with their times at the first, the middle and the last."""
    for quarter in range(5):
        x = left + round((_CELL_WIDTH - 1) * quarter / 4)
        draw.line((x, top, x, top + 3), fill=(60, 60, 90))
        if quarter % 2 == 0:
            text = f"{seconds * quarter / 4:.2g}" if quarter < 4 else f"{seconds:.3g} s"
            shift = draw.textlength(text) * quarter / 4
            draw.text((x - shift, top + 2), text, fill=(60, 60, 90))


def _draw_waveform(draw: ImageDraw, waveform: NDArray[np.float32], left: int, top: int) -> None:
    """The envelope: from the lowest to the highest value under each column of pixels."""
    middle, half = top + _STRIP_HEIGHT // 2, _STRIP_HEIGHT // 2 - 2
    edges = np.linspace(0, len(waveform), _CELL_WIDTH + 1).astype(int)
    levels = np.clip(np.nan_to_num(waveform), -1, 1)
    for x, (start, stop) in enumerate(itertools.pairwise(edges)):
        part = levels[start : max(stop, start + 1)]
        low, high = (round(middle - half * float(value)) for value in (part.min(), part.max()))
        draw.line((left + x, high, left + x, low), fill=(60, 60, 90))
