"""The built-in data set: eight classes of percussion, synthesised from a seed at 16 kHz.

Struck membranes (the modes of a circular drum head), bursts of shaped noise, and plucked strings
whose pitch is known. Three quarters of the clips and more are shorter than 4096 samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

VERSION = "percussion 1"
"""Identifies these sounds in caches and fingerprints: change it whenever a sample changes."""

SAMPLE_RATE_HZ = 16_000
MAX_SECONDS, MIN_SECONDS = 0.5, 0.1
PEAK = 0.9
N_SHAPE_DRAWS = 12
"""Uniform random numbers that shape a clip: pitch, decay, brightness, length, ..."""

MEMBRANE_MODES = np.array([1.0, 1.593, 2.136, 2.296, 2.653, 2.918, 3.156, 3.501])
"""Frequencies of an ideal circular membrane over its lowest: ratios of zeros of Bessel functions."""

PITCHES_HZ = {"pluck_low": (98.0, 196.0), "pluck_high": (330.0, 660.0)}
"""Lowest and highest pitch of the classes whose sounds have one."""

_TIME = np.arange(int(MAX_SECONDS * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ  # (time) in seconds


def synthesize(count_per_class: int = 128, seed: int = 0) -> Iterator[tuple[str, str, NDArray[np.float32]]]:
    """Yields (name, class, waveform (time) in [-1, 1]), class by class.

    A pure function of (seed, class, number): the first clips of a larger set are those of a smaller
    one. A plucked string's name ends in its true pitch: ``pluck_low-0007-147.3hz``.
    """
    for index, (name, instrument) in enumerate(_INSTRUMENTS.items()):
        shape, noise = (np.random.default_rng([seed, index, stream]) for stream in (0, 1))
        draws = shape.uniform(size=(count_per_class, N_SHAPE_DRAWS))
        sound, seconds, pitch_hz = instrument(draws, noise)
        clips = _trim_and_fade(sound, seconds)
        for number, clip in enumerate(clips):
            known = "" if pitch_hz is None else f"-{pitch_hz[number]:.1f}hz"
            yield f"{name}-{number:04d}{known}", name, clip


def _trim_and_fade(sound: Array, seconds: Array) -> list[NDArray[np.float32]]:
    """Trim to length, with 1 ms of rise and 8 ms of fall against clicks, and scale to one peak."""
    left = seconds[:, None] - _TIME
    rise = 0.5 - 0.5 * np.cos(np.pi * np.clip(_TIME / 0.001, 0, 1))
    fall = 0.5 - 0.5 * np.cos(np.pi * np.clip(left / 0.008, 0, 1))
    sound = sound * rise * fall
    sound *= PEAK / np.abs(sound).max(axis=1, keepdims=True)
    lengths = np.rint(seconds * SAMPLE_RATE_HZ).astype(int)
    return [row[:length].astype(np.float32) for row, length in zip(sound, lengths, strict=True)]


def _log_uniform(draw: Array, low: float, high: float) -> Array:
    """A log-uniform number from ``low`` to ``high``, from a uniform one (n), as a column (n, 1)."""
    return (low * (high / low) ** draw)[:, None]


def _noise(generator: np.random.Generator, n: int) -> Array:
    return generator.standard_normal((n, len(_TIME)))


def _band_noise(noise: Array, low_hz: Array | float, high_hz: Array | float, slope: float = 2.0) -> Array:
    """Noise (n, time) between two corner frequencies, at unit RMS."""
    frequency = np.fft.rfftfreq(noise.shape[1], 1 / SAMPLE_RATE_HZ) + 1e-3
    gain = 1 / np.sqrt((1 + (low_hz / frequency) ** (2 * slope)) * (1 + (frequency / high_hz) ** (2 * slope)))
    shaped = np.fft.irfft(np.fft.rfft(noise, axis=1) * gain, n=noise.shape[1], axis=1)
    result: Array = shaped / np.sqrt(np.mean(shaped**2, axis=1, keepdims=True))
    return result


Sound = tuple[Array, Array, Array | None]
"""Waveforms (n, time), lengths in seconds (n), pitches in Hz (n) or None."""


def _membrane(low_hz: float, high_hz: float, decay: tuple[float, float]) -> Callable[..., Sound]:
    """A drum head: Bessel modes over a falling pitch, the higher ones shorter, and the stick's noise."""

    def strike(draws: Array, generator: np.random.Generator) -> Sound:
        pitch, fall = _log_uniform(draws[:, 0], low_hz, high_hz), _log_uniform(draws[:, 1], 0.2, 1.2)
        tau, settle = _log_uniform(draws[:, 2], *decay), _log_uniform(draws[:, 3], 0.008, 0.03)
        damping, spread = _log_uniform(draws[:, 4], 0.5, 2.0), _log_uniform(draws[:, 5], 0.3, 1.2)
        # the integral of pitch * (1 + fall * exp(-t / settle))
        cycles = pitch * (_TIME + fall * settle * (1 - np.exp(-_TIME / settle)))
        sound = np.zeros_like(cycles)
        for mode, ratio in enumerate(MEMBRANE_MODES):
            strength = spread**mode / (1 + mode) * np.cos(mode * 2.4 * draws[:, 6:7])
            sound += strength * np.sin(2 * np.pi * ratio * cycles) * np.exp(-_TIME * ratio**damping / tau)
        stick = _band_noise(_noise(generator, len(draws)), 4 * pitch, 20 * pitch) * np.exp(-_TIME / 0.004)
        sound += _log_uniform(draws[:, 7], 0.02, 0.25) * stick
        return sound, np.clip(4.5 * tau[:, 0], 0.12, 0.25), None

    return strike


def _snare(draws: Array, generator: np.random.Generator) -> Sound:
    """A short head under the rattle of wires."""
    pitch, tau = _log_uniform(draws[:, 0], 160, 260), _log_uniform(draws[:, 1], 0.03, 0.07)
    wires = _band_noise(
        _noise(generator, len(draws)),
        _log_uniform(draws[:, 2], 900, 1800),
        _log_uniform(draws[:, 3], 4500, 7500),
    )
    cycles = pitch * (_TIME + 0.5 * 0.01 * (1 - np.exp(-_TIME / 0.01)))
    head = sum(np.sin(2 * np.pi * ratio * cycles) / ratio for ratio in MEMBRANE_MODES[:3])
    sound = head * np.exp(-_TIME / (0.6 * tau)) + _log_uniform(draws[:, 4], 0.5, 1.2) * wires * np.exp(
        -_TIME / tau
    )
    return sound, np.clip(3.6 * tau[:, 0], 0.12, 0.25), None


def _hihat(decay: tuple[float, float], shortest: float, longest: float) -> Callable[..., Sound]:
    """Two cymbals: high noise, and partials that share no common pitch."""

    def strike(draws: Array, generator: np.random.Generator) -> Sound:
        tau, tone = _log_uniform(draws[:, 0], *decay), _log_uniform(draws[:, 1], 380, 560)
        hiss = _band_noise(
            _noise(generator, len(draws)), _log_uniform(draws[:, 2], 4500, 6500), 9000.0, slope=5.0
        )
        ratios = (8.0, 9.91, 11.3, 12.83, 13.6)  # of tone: 3 to 7.6 kHz
        metal = sum(
            np.sin(2 * np.pi * (r * tone * _TIME + draws[:, 4 + i, None])) for i, r in enumerate(ratios)
        )
        sound = (hiss + _log_uniform(draws[:, 3], 0.05, 0.5) * metal) * np.exp(-_TIME / tau)
        return sound, np.clip(4 * tau[:, 0], shortest, longest), None

    return strike


def _clap(draws: Array, generator: np.random.Generator) -> Sound:
    """Hands that do not meet at the same time: three or four bursts, then the room."""
    centre, gap = _log_uniform(draws[:, 0], 900, 1700), _log_uniform(draws[:, 1], 0.007, 0.013)
    tau = _log_uniform(draws[:, 2], 0.025, 0.06)
    noise = _band_noise(_noise(generator, len(draws)), 0.7 * centre, 1.5 * centre)
    last = np.where(draws[:, 3:4] < 0.5, 2, 3) * gap
    since_burst = np.where(last > _TIME, np.mod(_TIME, gap), _TIME - last)
    envelope = np.exp(-since_burst / np.where(last > _TIME, 0.35 * gap, tau))
    return noise * envelope, np.clip(last[:, 0] + 4 * tau[:, 0], MIN_SECONDS, 0.25), None


def _pluck(low_hz: float, high_hz: float, shortest: float, longest: float) -> Callable[..., Sound]:
    """Karplus and Strong's string in closed form.

    Their loop averages two neighbours once a period, so harmonic k of pitch f loses the factor
    cos(pi k f / rate) a period; written as a sum of harmonics the pitch is exact, which a delay
    line of whole samples cannot be.
    """

    def pluck(draws: Array, _: np.random.Generator) -> Sound:
        pitch = _log_uniform(draws[:, 0], low_hz, high_hz)
        seconds, loss = _log_uniform(draws[:, 1], shortest, longest), _log_uniform(draws[:, 2], 3.0, 6.0)
        place, dullness = 0.08 + 0.4 * draws[:, 3:4], _log_uniform(draws[:, 4], 0.6, 1.6)
        angle = 2 * np.pi * pitch * _TIME
        before, now, turn = np.zeros_like(angle), np.sin(angle), 2 * np.cos(angle)
        sound = np.zeros_like(angle)
        for k in range(1, 33):
            # a plucked string's amplitudes, nothing above 7 kHz
            strength = np.sin(np.pi * k * place) / k**dullness * (k * pitch < 7000)
            rate = loss / seconds - pitch * np.log(
                np.cos(np.pi * np.minimum(k * pitch, 7000) / SAMPLE_RATE_HZ)
            )
            sound += strength * np.exp(-rate * _TIME) * now
            before, now = now, turn * now - before  # sin((k + 1) a) = 2 cos(a) sin(k a) - sin((k - 1) a)
        return sound, seconds[:, 0], pitch[:, 0]

    return pluck


_INSTRUMENTS: dict[str, Callable[..., Sound]] = {
    "drum_low": _membrane(55, 110, (0.035, 0.09)),
    "drum_high": _membrane(150, 320, (0.025, 0.06)),
    "snare": _snare,
    "hihat_closed": _hihat((0.012, 0.03), MIN_SECONDS, 0.12),
    "hihat_open": _hihat((0.07, 0.14), 0.22, MAX_SECONDS),
    "clap": _clap,
    "pluck_low": _pluck(*PITCHES_HZ["pluck_low"], 0.2, MAX_SECONDS),
    "pluck_high": _pluck(*PITCHES_HZ["pluck_high"], 0.12, 0.25),
}

CLASSES = tuple(_INSTRUMENTS)
