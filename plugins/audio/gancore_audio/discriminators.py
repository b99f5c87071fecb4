"""Discriminators of waveforms: WaveGAN's, one of log spectrograms, and both together."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from gancore import Spec
from gancore.games import Discriminator
from gancore.nn import label_projection, project_label
from gancore_audio.layers import (
    KERNEL,
    START_STEPS,
    StridedConv1d,
    channel_widths,
    phase_shuffle,
    upsampling_strides,
)
from gancore_audio.mel import default_win_length


class WaveGANDiscriminator(Discriminator):
    """Waveforms (batch, 1, length) to logits (batch,), with phase shuffle after all but the last layer.

    With ``classes`` the label enters by projection (Miyato & Koyama 2018, eq. 3). ``bias``: of the logit;
    a loss of differences of logits never changes it.
    """

    def __init__(
        self,
        length: int,
        width: int,
        shuffle: int = 2,
        per_example: bool = True,
        classes: int = 0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        factors = upsampling_strides(length)[::-1]
        channels = channel_widths(width, len(factors))
        self.layers = nn.ModuleList(
            StridedConv1d(before, after, KERNEL, stride)
            for before, after, stride in zip([1, *channels], channels, factors, strict=False)
        )
        self.dense = nn.Linear(START_STEPS * channels[-1], 1, bias=bias)
        self.label = label_projection(classes, START_STEPS * channels[-1])
        self.shuffle, self.per_example = shuffle, per_example

    def logits(self, embedded: Tensor, condition: Tensor | None = None) -> Tensor:
        x = embedded
        for depth, layer in enumerate(self.layers):
            x = leaky_relu(layer(x), 0.2)
            if self.shuffle and self.training and depth < len(self.layers) - 1:
                x = phase_shuffle(x, self.shuffle, self.per_example)
        features = x.flatten(1)
        logits: Tensor = self.dense(features).squeeze(1)
        return project_label(logits, features, self.label, condition)


FLOOR = 1e-3
"""Floor of the spectrogram as an amplitude; 1 is full scale."""
LAYERS = 4


class SpectrogramDiscriminator(Discriminator):
    """Waveforms (batch, 1, length) to logits (batch,) by 2-d convolutions on the log spectrogram.

    The spectrogram is part of the network, so that penalties act on waveforms. ``classes``: number of labels,
    by projection (Miyato & Koyama 2018, eq. 3); 0: no labels.
    """

    def __init__(self, length: int, sample_rate_hz: int, width: int, classes: int = 0) -> None:
        super().__init__()
        self.window = default_win_length(sample_rate_hz, length)
        self.taper: Tensor
        self.register_buffer("taper", torch.hann_window(self.window), persistent=False)
        channels = [1, *(width * 2**layer for layer in range(LAYERS))]
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, padding=1) for before, after in itertools.pairwise(channels)
        )
        cells = _halve(self.window // 2, LAYERS) * _halve(4 * length // self.window, LAYERS)
        self.dense = nn.Linear(channels[-1] * cells, 1)
        self.label = label_projection(classes, channels[-1] * cells)

    def logits(self, embedded: Tensor, condition: Tensor | None = None) -> Tensor:
        x = self.log_spectrum(embedded)
        for layer in self.layers:
            x = leaky_relu(layer(x), 0.2)
        features = x.flatten(1)
        logits: Tensor = self.dense(features).squeeze(1)
        return project_label(logits, features, self.label, condition)

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
            # of power, not of amplitude, so that the derivative at silence is zero, not infinite
            return (1 - torch.log10(power + FLOOR**2) / math.log10(FLOOR)).unsqueeze(1)


class WaveformAndSpectrogramDiscriminator(Discriminator):
    """Two logits per sound, (batch, 2): by its waveform and by its log spectrogram."""

    def __init__(self, spec: Spec, width: int, shuffle: int, per_example: bool, classes: int) -> None:
        super().__init__()
        self.wave = WaveGANDiscriminator(spec["length"], width, shuffle, per_example, classes)
        self.spectrum = SpectrogramDiscriminator(spec["length"], spec["sample_rate_hz"], width, classes)

    def logits(self, embedded: Tensor, condition: Tensor | None = None) -> Tensor:
        logits = self.wave.logits(embedded, condition), self.spectrum.logits(embedded, condition)
        return torch.stack([x.to(self.spectrum.taper.dtype) for x in logits], dim=1)


def _halve(size: int, times: int) -> int:
    for _ in range(times):
        size = (size + 1) // 2
    return size
