"""The modified discrete cosine transform: a waveform's spectrum over time, as many numbers as samples."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

SECONDS = 0.016
"""From frame to frame: long enough for pitch, short enough for onsets."""
FEWEST = 16
"""Frames in a waveform."""


class Lapped(nn.Module):
    """The MDCT (Princen, Johnson and Bradley 1987) of (batch, 1, length), whose ends lap into nothing.

    X_kl = sqrt(2 / N) sum_n w_n x_(lN + n) cos(pi / N (n + 1/2) (k + 1/2)), -N/2 <= n < 3N/2,
    w_n = sin(pi / 2N (n + N/2 + 1/2)); at the ends of the waveform w is 1 inside and 0 outside.

    (batch, ``bands``, ``frames``) with N = ``bands``, each rate / 2N wide, and length / N ``frames``. It is
    orthonormal, so densities and energies stay as they are: rotations of what lies N/2 before and behind each
    border of two frames, and then in each frame the cosine transform IV, which undoes itself.
    """

    def __init__(self, length: int, bands: int) -> None:
        super().__init__()
        self.bands, self.frames, self.half = bands, length // bands, bands // 2
        place = (torch.arange(bands, dtype=torch.float64) + 0.5) / bands
        cosines = math.sqrt(2 / bands) * (torch.pi * bands * place[:, None] * place).cos()
        angle = torch.pi / 4 * (1 + 2 * place[: self.half])  # of w, outwards from a border
        self.cosines: Tensor
        self.near: Tensor
        self.far: Tensor
        self.register_buffer("cosines", cosines.float(), persistent=False)
        self.register_buffer("near", angle.sin().float(), persistent=False)
        self.register_buffer("far", angle.cos().float(), persistent=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        pieces = self._rotated(waveforms.view(len(waveforms), self.frames, self.bands), self.far)
        return (pieces @ self.cosines).transpose(1, 2)

    def inverse(self, spectrum: Tensor) -> Tensor:
        pieces = self._rotated(spectrum.transpose(1, 2) @ self.cosines, -self.far)
        return pieces.reshape(len(spectrum), 1, -1)

    def _rotated(self, pieces: Tensor, far: Tensor) -> Tensor:
        """(batch, frames, bands): at each border what is behind it and, mirrored, what is before it."""
        behind, before = pieces[:, 1:, : self.half], pieces[:, :-1, self.half :].flip(2)
        left = torch.cat([pieces[:, :1, : self.half], self.near * behind + far * before], 1)
        right = torch.cat([(self.near * before - far * behind).flip(2), pieces[:, -1:, self.half :]], 1)
        return torch.cat([left, right], 2)


def bands_of(length: int, rate_hz: int) -> int:
    """The power of two nearest to :data:`SECONDS`, but so that there are :data:`FEWEST` frames at least."""
    return min(2 ** round(math.log2(SECONDS * rate_hz)), length // FEWEST)
