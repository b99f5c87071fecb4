"""A second look for the discriminator: the log spectrogram, where pitch and formants stand plainly."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from gancore import Spec
from gancore.games import Discriminator
from gancore_audio.networks import WaveGANDiscriminator, label_projection

WINDOW_SECONDS = 0.032
FLOOR = 1e-3
"""Amplitude, full scale being 1, below which a spectrogram tells nothing apart."""
LAYERS = 4


class SpectrumDiscriminator(Discriminator):
    """Waveforms (batch, 1, length) to logits (batch,) by 2-d convolutions on the log spectrogram.

    The spectrogram is part of the network, so that penalties act on waveforms. ``classes``: labels by
    projection (Miyato & Koyama 2018, eq. 3); 0 for none.
    """

    def __init__(self, length: int, rate_hz: int, width: int, classes: int = 0) -> None:
        super().__init__()
        self.window = window_samples(rate_hz, length)
        self.taper: Tensor
        self.register_buffer("taper", torch.hann_window(self.window), persistent=False)
        channels = [1, *(width * 2**layer for layer in range(LAYERS))]
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, padding=1) for before, after in itertools.pairwise(channels)
        )
        cells = _halved(self.window // 2, LAYERS) * _halved(4 * length // self.window, LAYERS)
        self.dense = nn.Linear(channels[-1] * cells, 1)
        self.label = label_projection(classes, channels[-1] * cells)

    def judge(self, embedded: Tensor, condition: Tensor | None = None) -> Tensor:
        x = self.log_spectrum(embedded)
        for layer in self.layers:
            x = leaky_relu(layer(x), 0.2)
        features = x.flatten(1)
        logits = self.dense(features).squeeze(1)
        if self.label is not None:
            logits = logits + (features * self.label(condition)).sum(1) / features.shape[1] ** 0.5
        return logits

    def log_spectrum(self, waveforms: Tensor) -> Tensor:
        """(batch, 1, length) to (batch, 1, window / 2, 4 length / window): -1 at the floor, 1 full scale."""
        with torch.autocast(waveforms.device.type, enabled=False):
            spectrum = torch.stft(
                waveforms[:, 0].to(self.taper.dtype),
                self.window,
                self.window // 4,
                window=self.taper,
                return_complex=True,
            )
            power = torch.view_as_real(spectrum[:, :-1, :-1]).square().sum(-1) / self.taper.sum() ** 2
            # of power, not of amplitude: so that at silence the derivative is zero, not infinite
            return (1 - torch.log10(power + FLOOR**2) / math.log10(FLOOR)).unsqueeze(1)


class WaveAndSpectrumDiscriminator(Discriminator):
    """Two judges of one sound, (batch, 2): its waveform and its log spectrogram."""

    def __init__(self, spec: Spec, width: int, shuffle: int, per_example: bool, classes: int) -> None:
        super().__init__()
        self.wave = WaveGANDiscriminator(spec["length"], width, shuffle, per_example, classes)
        self.spectrum = SpectrumDiscriminator(spec["length"], spec["rate_hz"], width, classes)

    def judge(self, embedded: Tensor, condition: Tensor | None = None) -> Tensor:
        judged = self.wave.judge(embedded, condition), self.spectrum.judge(embedded, condition)
        return torch.stack([logits.to(self.spectrum.taper.dtype) for logits in judged], dim=1)


def window_samples(rate_hz: int, length: int) -> int:
    """The power of two next to 32 ms, at most a quarter of the sound."""
    window = 2 ** round(math.log2(rate_hz * WINDOW_SECONDS))
    return max(16, min(window, length // 4))


def _halved(size: int, times: int) -> int:
    for _ in range(times):
        size = (size + 1) // 2
    return size
