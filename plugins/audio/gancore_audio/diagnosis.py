"""Common faults of generated sound: silence, DC, clipping, one tone, a checkerboard comb."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from gancore import Diagnostic
from gancore.training import LOWER_LR, TRAIN_STEADIER, DiagnosticRule, apply_rules
from gancore_audio.mel import power_spectrogram

FFT_BLOCK = 256
"""Lengths of spectra are multiples of this, so that multiples of rate / 4^k are bins."""
MIN_LINE_SPACING = 16
"""Minimal number of bins between two lines."""


class Comb(NamedTuple):
    """Energy of each sound on the lines of one period, and that expected from their neighbours: (n) each."""

    period: int
    line: Tensor
    floor: Tensor


def comb_energies(waveforms: Tensor) -> list[Comb]:
    """Shares of the energy of (n, 1, time), without the mean; by period 4^k in samples, k = 1, 2, 3, 4.

    Each period has the lines that shorter ones lack. Empty for sounds shorter than 256 samples.
    """
    signal = waveforms.detach().float().flatten(1)
    signal = signal - signal.mean(1, keepdim=True)
    n_fft = FFT_BLOCK * (signal.shape[1] // FFT_BLOCK)
    if n_fft == 0:
        return []
    hann = torch.hann_window(n_fft, device=signal.device)
    power = torch.fft.fft(signal[:, :n_fft] * hann).abs().square()  # (n, frequencies)
    spectrum = power / power.sum(1, keepdim=True).clamp_min(1e-20)
    periods = [4**k for k in range(1, 5) if n_fft // 4**k >= MIN_LINE_SPACING]
    return [Comb(period, *_lines(spectrum, n_fft // period, period)) for period in periods]


def _lines(spectrum: Tensor, spacing: int, period: int) -> tuple[Tensor, Tensor]:
    multiple = torch.arange(1, period, device=spectrum.device)  # beyond period / 2: negative frequencies
    centre = multiple[multiple % 4 != 0] * spacing  # (lines)
    near = torch.arange(-7, 8, device=spectrum.device)
    around = spectrum[:, (centre[:, None] + near) % spectrum.shape[1]]  # (n, lines, 15)
    line = around[..., near.abs() <= 1].sum(2).sum(1)  # a Hann window's main lobe: 3 bins
    floor = 3 * around[..., near.abs() > 2].mean(2).sum(1)
    return line, floor


SILENCE = 10 ** (-60 / 20)
"""-60 dBFS, as an amplitude."""
CLIPPED_LEVEL, CLIPPED_SHARE = 0.999, 0.01
TONE_SHARE, TONE_STEADY_DB = 0.9, 2.0
COMB_RATIO, COMB_SHARE = 2.5, 0.003


RULES = {
    "silent": DiagnosticRule(
        0.05, "silent (under -60 dBFS)", f"look for silent clips in the data; {TRAIN_STEADIER}"
    ),
    "constant": DiagnosticRule(
        0.05,
        "a constant level, no sound",
        f"{LOWER_LR}; start again from another seed",
    ),
    "clipped": DiagnosticRule(0.05, "clipped (over 1 % of values at full scale)", TRAIN_STEADIER),
    # of real drums of a quarter of a second up to one in ten is such a sound
    "tone": DiagnosticRule(0.25, "one steady tone", f"train on more varied data; {TRAIN_STEADIER}"),
}


def diagnose(waveforms: Tensor, sample_rate_hz: int) -> list[Diagnostic]:
    """Faults of a set of samples (n, 1, time), each with its share and advice."""
    findings = apply_rules(RULES, find_faults(waveforms, sample_rate_hz))
    lines = find_comb(waveforms)
    if lines is not None:
        period, ratio, share = lines
        seen = (
            f"multiples of {sample_rate_hz / period:g} Hz (rate / {period}) hold {100 * share:.1f} % of the"
            f" energy, {10 * math.log10(ratio):.0f} dB more than the frequencies beside them"
        )
        remedy = (
            "train longer (upsampling leaves this pattern), use a post filter [model.post_filter], "
            "or more phase shuffle [model.phase_shuffle]"
        )
        findings.append(Diagnostic("comb", seen, remedy))
    return findings


def find_faults(waveforms: Tensor, sample_rate_hz: int) -> dict[str, Tensor]:
    """Faults of level, and a ``tone``: see :func:`steady_tone`. Bool (n) each."""
    found = find_level_faults(waveforms)
    signal = waveforms.detach().float().flatten(1)
    tone = steady_tone(signal - signal.mean(1, keepdim=True), sample_rate_hz)
    return {**found, "tone": tone & ~found["silent"] & ~found["constant"]}


def find_level_faults(waveforms: Tensor) -> dict[str, Tensor]:
    """Which samples of (n, 1, time) are ``silent``, ``constant``, ``clipped``: bool (n) each.

    Silent: RMS under -60 dBFS. Constant: no sound about a level that is not zero. Clipped: over 1 % of the
    values at full scale.
    """
    signal = waveforms.detach().float().flatten(1)  # (n, time)
    mean = signal.mean(1, keepdim=True)
    still = (signal - mean).square().mean(1).sqrt() < SILENCE
    level = mean[:, 0].abs() >= SILENCE
    clipped = (signal.abs() > CLIPPED_LEVEL).float().mean(1) > CLIPPED_SHARE
    return {"silent": still & ~level, "constant": still & level, "clipped": clipped & ~still}


def steady_tone(signal: Tensor, sample_rate_hz: int) -> Tensor:
    """True where one frequency holds over 90 % of the energy of every frame, at a steady level.

    (n, time) -> bool (n). Steady: no frame is over 2 dB from the median; a struck drum may be one
    tone, but it decays.
    """
    window = min(2 ** round(math.log2(0.064 * sample_rate_hz)), 2 ** int(math.log2(signal.shape[1] / 4)))
    power = power_spectrogram(signal, window, window // 2)[:, :, 2:-2]  # whole frames only
    energy = power.sum(1).clamp_min(1e-20)  # (n, frames)
    peak = power.mean(2).argmax(1)  # (n), the same for all frames of a sample
    reach = torch.arange(-4, 5, device=signal.device)  # the main lobe of a Hann window at twice its length
    lobe = (peak[:, None] + reach).clamp(0, power.shape[1] - 1)
    inside = torch.zeros_like(power[:, :, 0]).scatter_(1, lobe, 1.0)  # (n, frequencies)
    share = (power * inside[:, :, None]).sum(1) / energy
    decibels = 10 * energy.log10()
    steady = (decibels - decibels.median(1, keepdim=True).values).abs() < TONE_STEADY_DB
    return ((share > TONE_SHARE) & steady).all(1)


def find_comb(waveforms: Tensor) -> tuple[int, float, float] | None:
    """The comb that upsampling layers of stride 4 leave behind in the samples (n, 1, time).

    Medians over the samples: in a few a pitch is on a line by chance, a comb is in most. Returns
    (period 4^k in samples, ratio, share of the energy) of the strongest comb that is over 2.5 times its
    surroundings and 0.3 % of the energy; None if there is none.
    """
    found = []
    for period, line, floor in comb_energies(waveforms):
        ratio, share = float((line / floor.clamp_min(1e-12)).median()), float((line - floor).median())
        if ratio > COMB_RATIO and share > COMB_SHARE:
            found.append((period, ratio, share))
    return max(found, key=lambda comb: comb[2], default=None)
