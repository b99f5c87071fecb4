"""Samples as files that people open: 16-bit WAV, a spectrogram beside each, one overview."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gancore.domain import Samples
from gancore.errors import DataError
from gancore.naming import sample_stems, shown_in_overview
from gancore.symptoms import finite_rows
from gancore_audio.spectrogram import picture

FULL_SCALE = 32767
OVERVIEW, SIDE_BY_SIDE = 16, 128
"""Samples in ``overview.png``: of those that stand alone, as many as can be read at once; and of those that
belong side by side."""


def write_samples(samples: Samples, folder: Path) -> list[Path]:
    """``0001-<label>.wav`` and ``.png`` for each row (n, 1, time), then ``overview.png``.

    Samples that belong side by side are ``0001-01-<label>``, row and column, and stand so in the overview.
    The same samples always give the same bytes.

    Raises:
        DataError: a sample holds values that are not finite.
        OSError: the folder cannot be written, or is full.
    """
    waveforms = finite_rows(samples.data).numpy()[:, 0]  # (n, time)
    rate_hz, stems, written = int(samples.spec["rate_hz"]), sample_stems(samples), []
    folder.mkdir(parents=True, exist_ok=True)
    for stem, waveform in zip(stems, waveforms, strict=True):
        write_wav(folder / f"{stem}.wav", waveform, rate_hz)
        picture(waveform[None], rate_hz, [stem]).save(folder / f"{stem}.png")
        written += [folder / f"{stem}.wav", folder / f"{stem}.png"]
    titles = samples.titles or stems  # as the files are called
    shown = shown_in_overview(samples, OVERVIEW, SIDE_BY_SIDE)
    overview = picture(waveforms[:shown], rate_hz, titles[:shown], samples.columns or None)
    overview.save(folder / "overview.png")
    return [*written, folder / "overview.png"]


def write_wav(path: Path, waveform: NDArray[np.float32], rate_hz: int) -> None:
    """Mono 16-bit PCM of (time) values in [-1, 1]: x * 32767, halves to even, the rest clamped."""
    levels = np.rint(np.asarray(waveform, dtype=np.float64) * FULL_SCALE)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
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
            rate_hz, frames = file.getframerate(), file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise DataError(
            f"{path} is not a mono 16-bit WAV file ({error})", "open it as data instead"
        ) from error
    return (np.frombuffer(frames, "<i2") / FULL_SCALE).astype(np.float32), rate_hz
