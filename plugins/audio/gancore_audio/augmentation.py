"""Differentiable augmentation of sounds: gain, shift, filter; each sound by draws of its own.

Changes of waveforms (batch, 1, length), as :class:`gancore.games.Augmentation` applies them.
"""

from __future__ import annotations

from torch import Tensor
from torch.fft import irfft, rfft
from torch.nn.functional import interpolate

from gancore.runtime.randomness import Noise
from gancore_audio.phase import shift

GAIN_DB = 6.0
SHIFT = 1 / 8
"""The furthest shift, as a share of the length."""
FILTER_DB, BANDS = 6.0, 8


def gained(x: Tensor, noise: Noise) -> Tensor:
    """10^(g / 20) x, g ~ U(-6, 6) dB."""
    return x * _amplitude(noise.uniform(len(x), 1, 1), GAIN_DB)


def shifted(x: Tensor, noise: Noise) -> Tensor:
    """Moved by whole samples, up to an eighth of the length each way; the gap is filled by reflection."""
    most = int(x.shape[-1] * SHIFT)
    return shift(x, noise.integers(-most, most + 1, len(x)), most)


def filtered(x: Tensor, noise: Noise) -> Tensor:
    """Frequency H with 20 log10 |H| in a line between 8 draws of U(-6, 6) dB, from 0 to half the rate.

    Without delay, and periodic: the end runs on into the beginning, by about 16 samples.
    """
    length = x.shape[-1]
    points = noise.uniform(len(x), 1, BANDS)
    curve = interpolate(points, size=length // 2 + 1, mode="linear", align_corners=True)
    return irfft(rfft(x) * _amplitude(curve, FILTER_DB), n=length)


CHANGES = (gained, shifted, filtered)


def _amplitude(unit: Tensor, most_db: float) -> Tensor:
    """U(0, 1) to amplitudes of -most ... most dB."""
    return 10.0 ** ((2 * unit - 1) * most_db / 20)
