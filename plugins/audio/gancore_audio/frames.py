"""Spectra of sounds in as many frames as networks need, and back; phases by Griffin and Lim."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from gancore import ConfigError

MOMENTUM = 0.99
"""Perraudin et al. 2013, section 4: the fastest that still converges."""
TINY = 1e-12
SMALLEST = 4
"""Cells along the shorter side of the smallest image in a network."""

SHORTEST, LONGEST = 16, 256
"""Samples of an automatic window."""
FEWEST = 8
"""Frames of the shortest sound: fewer cells than that are not halved."""


def window_and_hop(length: int, window: int | None, hop: int | None) -> tuple[int, int]:
    """As given; else a window of 256, or of a power of two at most a quarter of the sound, and half of it."""
    if window is None:
        window = min(max(SHORTEST, 1 << (length // 4).bit_length() - 1), LONGEST)
    return window, hop if hop is not None else window // 2


class Frames(nn.Module):
    """The short-time Fourier transform, each frame centred in the middle of its hop, under a Hann window.

    (n, time) to (n, time / hop, window / 2 + 1), complex: frame t holds the samples from
    t hop - (window - hop) / 2 on, with silence before and after the sound. A sine of amplitude 1 in the
    middle of a bin has magnitude 1 there. ``count``: how many frames, more than the sound fills; silence
    follows it.
    """

    def __init__(self, window: int, hop: int, count: int | None = None) -> None:
        super().__init__()
        self.window, self.hop, self.side = window, hop, (window - hop) // 2
        self.count = count
        self.taper: Tensor
        self.register_buffer("taper", torch.hann_window(window), persistent=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        silence = self.count * self.hop - waveforms.shape[1] if self.count is not None else 0
        frames = pad(waveforms, (self.side, self.side + silence)).unfold(1, self.window, self.hop)
        return torch.fft.rfft(frames * self.taper) * (2 / self.taper.sum())

    def inverse(self, spectra: Tensor) -> Tensor:
        """The waveform whose spectra are nearest (Griffin and Lim 1984, eq. 6): sum(w y) / sum(w^2)."""
        frames = torch.fft.irfft(spectra * (self.taper.sum() / 2), n=self.window)
        weights = self.taper.square().expand(1, frames.shape[1], -1)
        time = frames.shape[1] * self.hop
        summed, weight = self._overlapped(frames * self.taper), self._overlapped(weights)
        return (summed / weight.clamp_min(TINY))[:, self.side : self.side + time]

    def _overlapped(self, frames: Tensor) -> Tensor:
        """(n, frames, window) added where they stand: (n, time + window - hop)."""
        n, count, _ = frames.shape
        summed = frames.new_zeros(n, (count - 1) * self.hop + self.window)
        for start in range(0, self.window, self.hop):
            part = frames[:, :, start : start + self.hop]
            summed[:, start : start + count * self.hop] += part.reshape(n, -1)
        return summed


def grid(length: int, window: int, hop: int, bands: int = 0) -> tuple[int, int]:
    """Frames, and bands (0: bins, without one of the two outermost), on which a sound is laid.

    There are as many frames as networks need that halve both sides until the shorter has 4 cells: a sound
    that fills fewer is followed by silence.

    Raises:
        ConfigError: the hop does not divide the window in two or more.
    """
    if window % (2 * hop):
        raise ConfigError(
            f"model.hop {hop} with model.window {window}",
            "give a hop that is half of the window, a quarter, an eighth",
        )
    cells, frames = bands or window // 2, max(-(-length // hop), FEWEST)
    together = 1
    while cells % (2 * together) == 0 and min(frames, cells) // together > SMALLEST:
        together *= 2
    return -(-frames // together) * together, cells


def griffin_lim(magnitudes: Tensor, frames: Frames, iterations: int) -> Tensor:
    """Waveforms (n, time) of magnitudes (n, frames, window / 2 + 1), from :func:`first_phase`."""
    return agreed(magnitudes, first_phase(magnitudes, frames), frames, iterations)


def agreed(magnitudes: Tensor, phases: Tensor, frames: Frames, iterations: int) -> Tensor:
    """Waveforms (n, time) of spectra whose phases have been brought into agreement, by fast Griffin-Lim.

    c_k = P(|m| exp(i arg t_(k-1))), t_k = c_k + a (c_k - c_(k-1)), where P is to the nearest spectra that a
    waveform has, a = 0.99 (Perraudin, Balazs and Sondergaard 2013, algorithm 2); ``phases`` are those of t_0.
    No chance in it: a row is a function of its own spectra. 0 iterations: the phases as they are.
    """
    before: Tensor | None = None
    for _ in range(iterations):
        consistent = frames(frames.inverse(torch.polar(magnitudes, phases)))
        sped = consistent if before is None else consistent + MOMENTUM * (consistent - before)
        phases, before = sped.angle(), consistent
    return frames.inverse(torch.polar(magnitudes, phases))


def first_phase(magnitudes: Tensor, frames: Frames) -> Tensor:
    """Phases whose rate of change fits the magnitudes: (n, frames, bins), radians.

    For a Gaussian window exp(-pi t^2 / g) the derivative of the phase in time is w + (2 pi / g) d log|X| / dw
    at w radians a sample (Prusa, Balazs and Sondergaard 2017, eq. 14); g of the Gaussian nearest to a Hann
    window is 0.25645 window^2. It is summed over time from zero.
    """
    gaussian = 0.25645 * frames.window**2
    bin_width = 2 * math.pi / frames.window
    bins = torch.arange(magnitudes.shape[2], device=magnitudes.device, dtype=magnitudes.dtype)
    log = magnitudes.clamp_min(1e-6).log()
    slope = pad(log[:, :, 2:] - log[:, :, :-2], (1, 1)) / (2 * bin_width)
    rate = bins * bin_width + 2 * math.pi / gaussian * slope  # radians a sample
    steps = (rate[:, 1:] + rate[:, :-1]) / 2 * frames.hop
    return pad(steps.cumsum(1), (0, 0, 1, 0))
