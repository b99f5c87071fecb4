"""Spectra averaged in bands of equal width in mel, and back: GANSynth's warp of the frequency axis."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gancore import ConfigError

NARROWEST = 1.5
"""Bins that a band's triangle covers at least (GANSynth's code), so that none is empty."""
UPDATES = 16
"""Multiplicative updates that sharpen powers on their way back to bins."""
TINY = 1e-12


class MelBands(nn.Module):
    """(n, frames, bins) to (n, frames, bands): weighted means; bins are 1 ... window / 2 of a spectrum.

    ``bands`` 0 leaves the bins as they are.
    """

    def __init__(self, bins: int, bands: int, rate_hz: float) -> None:
        super().__init__()
        if bands > bins:
            raise ConfigError(f"model.bands {bands} of {bins} bins", "give fewer, or a longer model.window")
        triangles = mel_triangles(bins, bands, rate_hz) if bands else torch.eye(bins)
        self.plain, self.count = not bands, bands or bins
        self.means: Tensor
        self.spreads: Tensor
        self.register_buffer("means", triangles / triangles.sum(0), persistent=False)
        self.register_buffer("spreads", (triangles / triangles.sum(1, keepdim=True)).T, persistent=False)

    def forward(self, spectra: Tensor) -> Tensor:
        return spectra if self.plain else spectra @ self.means.to(spectra.dtype)

    def spread(self, bands: Tensor) -> Tensor:
        """Bins as weighted means of bands: GANSynth's transposed matrix, its rows brought to a sum of one."""
        return bands if self.plain else bands @ self.spreads

    def powers(self, bands: Tensor) -> Tensor:
        """Powers of bins, none negative, that average to these of bands, nearly.

        From the spread p <- p (y M') / (p M M'), Lee and Seung 2001, eq. 4: |y - p M|^2 never rises.
        """
        powers = self.spread(bands)
        if self.plain:
            return powers
        wanted = bands @ self.means.T
        for _ in range(UPDATES):
            powers = powers * wanted / (powers @ self.means @ self.means.T + TINY)
        return powers


def mel_triangles(bins: int, bands: int, rate_hz: float) -> Tensor:
    """Triangles, (bins, bands), from 0 Hz to a bin above half the rate; mel = 1127 ln(1 + f / 700).

    Where bins are so wide that the lowest bands would hold none, the scale begins at half a bin instead.

    Raises:
        ConfigError: a band without a bin, or a bin without a band.
    """
    width_hz = rate_hz / 2 / bins
    for begin_hz in (0.0, width_hz / 2):
        triangles = _triangles(bins, bands, width_hz, begin_hz)
        if triangles.sum(0).all() and triangles.sum(1).all():
            return triangles
    raise ConfigError(
        f"model.bands {bands} do not fit the {bins} bins of model.window {2 * bins} at {rate_hz:g} Hz",
        "give other model.bands, a longer model.window, or a lower data.rate_hz",
    )


def _triangles(bins: int, bands: int, width_hz: float, begin_hz: float) -> Tensor:
    frequencies = torch.arange(1, bins + 1, dtype=torch.float64)[:, None] * width_hz
    begin, top = (1127 * math.log1p(end / 700) for end in (begin_hz, (bins + 1) * width_hz))
    edges = 700 * torch.expm1(torch.linspace(begin, top, bands + 2, dtype=torch.float64) / 1127)
    centres, half = edges[1:-1], NARROWEST / 2 * width_hz
    lows, highs = torch.minimum(edges[:-2], centres - half), torch.maximum(edges[2:], centres + half)
    rising, falling = (frequencies - lows) / (centres - lows), (highs - frequencies) / (highs - centres)
    return torch.minimum(rising, falling).clamp_min(0).float()
