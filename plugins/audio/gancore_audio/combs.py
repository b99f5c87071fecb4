"""Lines at the multiples of rate / 4^k: the comb that upsampling layers of stride 4 leave behind."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

BLOCK = 256
"""Spectra are over a multiple of so many samples: multiples of rate / 4^k then fall on their frequencies."""
FEWEST = 16
"""Frequencies between two lines, at least."""


class Comb(NamedTuple):
    """Energy of each sound on the lines of one period, and what their neighbours lead to expect: (n) each."""

    period: int
    line: Tensor
    floor: Tensor


def combs(waveforms: Tensor) -> list[Comb]:
    """Shares of the energy of (n, 1, time), mean level left out; by period 4^k in samples, k = 1, 2, 3, 4.

    Each period has the lines that no shorter one has. Empty for sounds shorter than 256 samples.
    """
    signal = waveforms.detach().float().flatten(1)
    signal = signal - signal.mean(1, keepdim=True)
    n_fft = BLOCK * (signal.shape[1] // BLOCK)
    if n_fft == 0:
        return []
    hann = torch.hann_window(n_fft, device=signal.device)
    power = torch.fft.fft(signal[:, :n_fft] * hann).abs().square()  # (n, frequencies)
    spectrum = power / power.sum(1, keepdim=True).clamp_min(1e-20)
    periods = [4**k for k in range(1, 5) if n_fft // 4**k >= FEWEST]
    return [Comb(period, *_lines(spectrum, n_fft // period, period)) for period in periods]


def _lines(spectrum: Tensor, spacing: int, period: int) -> tuple[Tensor, Tensor]:
    multiple = torch.arange(1, period, device=spectrum.device)  # beyond period / 2: negative frequencies
    centre = multiple[multiple % 4 != 0] * spacing  # (lines)
    near = torch.arange(-7, 8, device=spectrum.device)
    around = spectrum[:, (centre[:, None] + near) % spectrum.shape[1]]  # (n, lines, 15)
    line = around[..., near.abs() <= 1].sum(2).sum(1)  # a Hann window's main lobe: 3 bins
    floor = 3 * around[..., near.abs() > 2].mean(2).sum(1)
    return line, floor
