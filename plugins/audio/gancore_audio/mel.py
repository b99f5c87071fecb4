"""Log-mel spectrograms, and the resampling and window length that they share with other features."""

from __future__ import annotations

import functools
import math
import warnings
from typing import TYPE_CHECKING

import soxr
import torch
from torch import Tensor

if TYPE_CHECKING:
    pass

FLOOR_DB = -80.0
"""Lowest level of a spectrogram. 0 dB is the power of a full-scale sine."""

_CHUNK = 128
"""Clips transformed at a time, to bound memory."""


def log_mel(
    waveform: Tensor, sample_rate_hz: int, bands: int = 64, window: int | None = None, hop: int | None = None
) -> Tensor:
    """Mel spectrogram in dB, at least ``FLOOR_DB``: (n, time) -> (n, bands, frames), float32.

    The Hann window is by default the power of two nearest to 32 ms, the hop a quarter of it. Frames
    are transformed at twice the window's length, so that from 2 kHz on even the narrowest of 64 bands has
    a bin.
    """
    window = window or 2 ** round(math.log2(0.032 * sample_rate_hz))
    filters = _mel_filters(sample_rate_hz, bands, 2 * window).to(waveform.device)
    decibels = []
    for rows in torch.split(waveform.float(), _CHUNK):
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
def _mel_filters(sample_rate_hz: int, bands: int, n_fft: int) -> Tensor:
    """Triangles of height 1 from 0 Hz to half the rate: (n_fft / 2 + 1, bands)."""
    from torchaudio.functional import melscale_fbanks

    with warnings.catch_warnings():  # bands without a bin are silent in all sounds
        warnings.filterwarnings("ignore", message=".*mel filterbank has all zero.*")
        result: Tensor = melscale_fbanks(n_fft // 2 + 1, 0.0, sample_rate_hz / 2, bands, sample_rate_hz)
        return result


WINDOW_SECONDS = 0.032


def default_win_length(sample_rate_hz: int, length: int) -> int:
    """Window length: the power of two nearest to 32 ms, at most a quarter of the sound."""
    window = 2 ** round(math.log2(sample_rate_hz * WINDOW_SECONDS))
    result: int = max(16, min(window, length // 4))
    return result


def resample(sounds: Tensor, from_hz: int, to_hz: int) -> Tensor:
    """Resample (n, time) to another rate."""
    if from_hz == to_hz:
        return sounds
    made = soxr.resample(sounds.T.contiguous().cpu().numpy(), from_hz, to_hz)  # (time, n)
    return torch.from_numpy(made).T.to(sounds.device)
