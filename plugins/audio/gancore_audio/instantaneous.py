"""GANSynth's representation: log magnitude and instantaneous frequency, on bins or on mel bands."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from gancore import Batch, View
from gancore.games import Representation
from gancore_audio.frames import Frames, agreed, grid
from gancore_audio.log_magnitude import rows_of, unclipped
from gancore_audio.mel_bands import MelBands

SHARE = 0.8
"""GANSynth's scale of instantaneous frequencies, so that a tanh reaches them all."""


class InstantaneousFrequency(Representation):
    """Waveforms (n, 1, time) to images (n, 2, frames, bands) in [-1, 1], and back without a search.

    Engel et al. 2019, section 3.1: 1/2 log(|X|^2 + floor^2), and the phase's difference from frame to
    frame over pi, both averaged in mel bands (``bands`` 0: on the bins themselves, where decode
    undoes encode but for the floor). Back: the sum of the differences is the phase.

    Unlike there: the first channel is laid between the floor and train's loudest; the frequency of a
    band is that of arg(sum_k M_k X_t conj(X_t-1)), weighted by power and free of unwrapping, equal to
    the paper's on bins; powers come back by :meth:`MelBands.powers`; and ``iterations`` of Griffin and Lim's,
    from the phases that were told, bring neighbouring bins into agreement: 0 is GANSynth's decode.
    """

    many_to_one = True

    def __init__(
        self,
        length: int,
        rate_hz: int,
        window: int,
        hop: int,
        bands: int,
        floor_db: float,
        iterations: int,
    ) -> None:
        super().__init__()
        self.bands = MelBands(window // 2, bands, rate_hz)
        self.grid = grid(length, window, hop, bands)
        self.length, self.frames = length, Frames(window, hop, self.grid[0])
        self.floor, self.iterations = 10 ** (floor_db / 20), iterations
        self.loudest: Tensor
        self.register_buffer("loudest", torch.zeros(()))

    def fit(self, train: View) -> None:
        rows = rows_of(train, self.loudest.device)
        self.loudest.copy_(torch.stack([self._log(self._spectra(row)).amax() for row in rows]).amax())

    def encode(self, batch: Batch) -> Batch:
        spectra = self._spectra(batch.data[:, 0])
        log = self._log(spectra)
        turned = torch.cat([spectra[:, :1], spectra[:, 1:] * spectra[:, :-1].conj()], 1)
        frequency = self.bands(turned).angle() / math.pi
        magnitude = 2 * (log - math.log(self.floor)) / self._span - 1
        image = torch.stack([magnitude.clamp(-1, 1), SHARE * frequency], 1)
        return Batch(image, batch.condition)

    def decode(self, outputs: Tensor) -> Tensor:
        with torch.autocast(outputs.device.type, enabled=False):
            magnitude, frequency = outputs.float().unbind(1)
            log = (magnitude + 1) / 2 * self._span + math.log(self.floor)
            powers = self.bands.powers(((2 * log).exp() - self.floor**2).clamp_min(0))
            phase = self.bands.spread((math.pi / SHARE * frequency).cumsum(1))
            magnitudes, phases = (pad(x, (1, 0)) for x in (powers.sqrt(), phase))
            waveforms = agreed(magnitudes, phases, self.frames, self.iterations)
            return unclipped(waveforms[:, : self.length])[:, None]

    @property
    def _span(self) -> Tensor:
        return (self.loudest - math.log(self.floor)).clamp_min(1.0)

    def _spectra(self, waveforms: Tensor) -> Tensor:
        """(n, frames, bins), complex, without the mean level."""
        return self.frames(waveforms)[:, :, 1:]

    def _log(self, spectra: Tensor) -> Tensor:
        power = torch.view_as_real(spectra).square().sum(-1)
        return 0.5 * torch.log(self.bands(power) + self.floor**2)
