"""Short-time Fourier transforms with as many frames as networks need, their inverse, and Griffin-Lim."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from gancore import ConfigError
from gancore_audio.real_stft import MOMENTUM, TINY, RealSTFT, real_griffin_lim

MIN_CELLS = 4
"""Cells along the shorter side of the smallest feature map of a network."""

MIN_WINDOW, MAX_WINDOW = 16, 256
"""Limits of an automatic window, in samples."""
MIN_FRAMES = 8
"""Minimal number of frames: fewer cells cannot be halved."""


def default_win_and_hop(length: int, window: int | None, hop: int | None) -> tuple[int, int]:
    """As given; by default a power of two up to a quarter of the sound, at most 256, and half of it."""
    if window is None:
        window = min(max(MIN_WINDOW, 1 << (length // 4).bit_length() - 1), MAX_WINDOW)
    return window, hop if hop is not None else window // 2


class CentredSTFT(nn.Module):
    """The short-time Fourier transform, each frame centred in the middle of its hop, under a Hann window.

    (n, time) to (n, time / hop, window / 2 + 1), complex: frame t holds the samples from
    t hop - (window - hop) / 2 on, with zeros before and after the sound. A sine of amplitude 1 in the
    middle of a bin has magnitude 1 there. ``n_frames``: number of frames, if more than the sound fills; zeros
    follow it.
    """

    def __init__(self, window: int, hop: int, n_frames: int | None = None) -> None:
        super().__init__()
        self.window, self.hop, self.pad = window, hop, (window - hop) // 2
        self.n_frames = n_frames
        self.taper: Tensor
        self.register_buffer("taper", torch.hann_window(window), persistent=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        silence = self.n_frames * self.hop - waveforms.shape[1] if self.n_frames is not None else 0
        frames = pad(waveforms, (self.pad, self.pad + silence)).unfold(1, self.window, self.hop)
        result: Tensor = torch.fft.rfft(frames * self.taper) * (2 / self.taper.sum())
        return result

    def inverse(self, spectra: Tensor) -> Tensor:
        """The waveform whose spectra are nearest (Griffin and Lim 1984, eq. 6): sum(w y) / sum(w^2)."""
        frames = torch.fft.irfft(spectra * (self.taper.sum() / 2), n=self.window)
        weights = self.taper.square().expand(1, frames.shape[1], -1)
        time = frames.shape[1] * self.hop
        summed, weight = self._overlap_add(frames * self.taper), self._overlap_add(weights)
        return (summed / weight.clamp_min(TINY))[:, self.pad : self.pad + time]

    def _overlap_add(self, frames: Tensor) -> Tensor:
        """Overlap-add (n, frames, window) to (n, time + window - hop)."""
        n, count, _ = frames.shape
        summed = frames.new_zeros(n, (count - 1) * self.hop + self.window)
        for start in range(0, self.window, self.hop):
            part = frames[:, :, start : start + self.hop]
            summed[:, start : start + count * self.hop] += part.reshape(n, -1)
        return summed


def spectrogram_shape(length: int, window: int, hop: int, bands: int = 0) -> tuple[int, int]:
    """The shape of a spectrogram: frames, and bands (0: bins without one of the two outermost).

    There are as many frames as networks need that halve both sides until the shorter has 4 cells; a shorter
    sound is followed by zeros.

    Raises:
        ConfigError: the hop does not divide the window in two or more.
    """
    if window % (2 * hop):
        raise ConfigError(
            f"model.hop_length {hop} does not divide model.win_length {window} into an even number of hops",
            "set model.hop_length to a half, a quarter or an eighth of model.win_length",
        )
    cells, frames = bands or window // 2, max(-(-length // hop), MIN_FRAMES)
    multiple = 1
    while cells % (2 * multiple) == 0 and min(frames, cells) // multiple > MIN_CELLS:
        multiple *= 2
    return -(-frames // multiple) * multiple, cells


def griffin_lim(magnitudes: Tensor, frames: CentredSTFT, iterations: int) -> Tensor:
    """Waveforms (n, time) of magnitudes (n, frames, window / 2 + 1), from :func:`estimate_phase`."""
    return fast_griffin_lim(magnitudes, estimate_phase(magnitudes, frames), frames, iterations)


def fast_griffin_lim(magnitudes: Tensor, phases: Tensor, frames: CentredSTFT, iterations: int) -> Tensor:
    """Waveforms (n, time) of magnitudes with phases made consistent by fast Griffin-Lim.

    c_k = P(|m| exp(i arg t_(k-1))), t_k = c_k + a (c_k - c_(k-1)), where P projects onto the spectra of
    waveforms, a = 0.99 (Perraudin, Balazs and Sondergaard 2013, algorithm 2); ``phases`` are those of t_0.
    Nothing is random: a row is a function of its own spectra. 0 iterations: the given phases.
    """
    if torch.compiler.is_exporting():  # graphs for other runtimes have no complex numbers
        return real_griffin_lim(magnitudes, phases, RealSTFT(frames), iterations)
    before: Tensor | None = None
    for _ in range(iterations):
        consistent = frames(frames.inverse(torch.polar(magnitudes, phases)))
        accelerated = consistent if before is None else consistent + MOMENTUM * (consistent - before)
        phases, before = accelerated.angle(), consistent
    return frames.inverse(torch.polar(magnitudes, phases))


def estimate_phase(magnitudes: Tensor, frames: CentredSTFT) -> Tensor:
    """Phases whose derivative in time fits the magnitudes: (n, frames, bins), radians.

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
