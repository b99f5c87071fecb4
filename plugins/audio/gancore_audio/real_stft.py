"""The short-time Fourier transform and Griffin-Lim in real numbers, for runtimes without complex ones."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import conv1d, conv_transpose1d, pad

MOMENTUM = 0.99
"""Perraudin et al. 2013, section 4: the largest that still converges."""
TINY = 1e-12


class Frames(Protocol):
    """The window of a :class:`gancore_audio.stft.CentredSTFT`, and how it is moved."""

    window: int
    hop: int
    pad: int
    taper: Tensor


class RealSTFT:
    """A CentredSTFT and its inverse as convolutions: with the rows of the matrix of the discrete Fourier
    transform, cos and -sin of 2 pi k t / window under the window, as kernels.

    Spectra are (n, 2, bins, frames): real and imaginary parts.
    """

    def __init__(self, frames: Frames) -> None:
        window, taper = frames.window, frames.taper
        self.bins, self.hop, self.pad = window // 2 + 1, frames.hop, frames.pad
        bins = torch.arange(self.bins, device=taper.device)
        turns = torch.outer(bins, torch.arange(window, device=taper.device)) % window
        angles = turns.double() * (2 * math.pi / window)
        waves = torch.cat([angles.cos(), -angles.sin()]) * taper.double()  # (2 bins, window)
        twice = torch.where((bins == 0) | (2 * bins == window), 1.0, 2.0).double().repeat(2)[:, None]
        self.analysis = (waves * (2 / taper.double().sum())).float()[:, None]
        self.synthesis = (waves * twice * (taper.double().sum() / (2 * window))).float()[:, None]
        self.squares = taper.square()[None, None]

    def forward(self, waveforms: Tensor) -> Tensor:
        """(n, time) to spectra, with a frame for each hop."""
        padded = pad(waveforms, (self.pad, self.pad))[:, None]
        spectra = conv1d(padded, self.analysis, stride=self.hop)
        return spectra.reshape(-1, 2, self.bins, spectra.shape[2])

    def inverse(self, spectra: Tensor) -> Tensor:
        """The waveforms (n, time) whose spectra are nearest: :meth:`CentredSTFT.inverse`."""
        count = spectra.shape[3]
        flat = spectra.reshape(-1, 2 * self.bins, count)
        summed = conv_transpose1d(flat, self.synthesis, stride=self.hop)[:, 0]
        ones = torch.ones(1, 1, count, device=flat.device)
        weight = conv_transpose1d(ones, self.squares, stride=self.hop)[:, 0]
        waveforms: Tensor = (summed / weight.clamp_min(TINY))[:, self.pad : self.pad + count * self.hop]
        return waveforms


def real_griffin_lim(magnitudes: Tensor, phases: Tensor, frames: RealSTFT, iterations: int) -> Tensor:
    """:func:`gancore_audio.stft.fast_griffin_lim` in real numbers: equal up to rounding, which it amplifies.

    Magnitudes and phases are (n, frames, bins).
    """
    sizes, angles = magnitudes.transpose(1, 2)[:, None], phases.transpose(1, 2)
    directions = torch.stack([angles.cos(), angles.sin()], 1)
    before: Tensor | None = None
    for _ in range(iterations):
        consistent = frames.forward(frames.inverse(sizes * directions))
        accelerated = consistent if before is None else consistent + MOMENTUM * (consistent - before)
        directions, before = _directions(accelerated), consistent
    return frames.inverse(sizes * directions)


def _directions(spectra: Tensor) -> Tensor:
    """exp(i arg s) of each cell; 1 where s is 0, as arg(0) is 0."""
    norm = spectra.square().sum(1, keepdim=True).sqrt()
    one = torch.tensor([1.0, 0.0], device=spectra.device).reshape(1, 2, 1, 1)
    return torch.where(norm > 0, spectra / norm.clamp_min(1e-30), one)
