"""Spectrograms as images: SpecGAN's log magnitudes, and GANSynth's with instantaneous frequencies."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from gancore import Batch, ConfigError, View
from gancore.games import Representation
from gancore.random import Key
from gancore_audio.stft import CentredSTFT, fast_griffin_lim, griffin_lim, spectrogram_shape

MIN_BAND_BINS = 1.5
"""Minimal number of bins that a triangle covers (GANSynth's code), so that no band is empty."""
NMF_UPDATES = 16
"""Multiplicative updates that sharpen powers from bands to bins."""
TINY = 1e-12


class MelBands(nn.Module):
    """(n, frames, bins) to (n, frames, bands): weighted means; bins are 1 ... window / 2 of a spectrum.

    ``bands`` 0: the identity.
    """

    def __init__(self, bins: int, bands: int, sample_rate_hz: float) -> None:
        super().__init__()
        if bands > bins:
            raise ConfigError(
                f"model.mel_bands {bands} is more than the {bins} bins of model.win_length",
                "set fewer model.mel_bands, or a longer model.win_length",
            )
        triangles = mel_filter_bank(bins, bands, sample_rate_hz) if bands else torch.eye(bins)
        self.bypass, self.count = not bands, bands or bins
        self.to_bands: Tensor
        self.from_bands: Tensor
        self.register_buffer("to_bands", triangles / triangles.sum(0), persistent=False)
        self.register_buffer("from_bands", (triangles / triangles.sum(1, keepdim=True)).T, persistent=False)

    def forward(self, spectra: Tensor) -> Tensor:
        return spectra if self.bypass else spectra @ self.to_bands.to(spectra.dtype)

    def to_bins(self, bands: Tensor) -> Tensor:
        """Bins as weighted means of bands: GANSynth's transposed matrix with rows normalised to sum 1."""
        return bands if self.bypass else bands @ self.from_bands

    def to_bin_powers(self, bands: Tensor) -> Tensor:
        """Non-negative powers of bins whose band means approximate ``bands``.

        Starting with :meth:`to_bins`, p <- p (y M') / (p M M'), Lee and Seung 2001, eq. 4: |y - p M|^2 never
        increases.
        """
        powers = self.to_bins(bands)
        if self.bypass:
            return powers
        target = bands @ self.to_bands.T
        for _ in range(NMF_UPDATES):
            powers = powers * target / (powers @ self.to_bands @ self.to_bands.T + TINY)
        return powers


def mel_filter_bank(bins: int, bands: int, sample_rate_hz: float) -> Tensor:
    """Triangles, (bins, bands), from 0 Hz to a bin above half the rate; mel = 1127 ln(1 + f / 700).

    If bins are so wide that the lowest bands would be empty, the scale begins at half a bin instead.

    Raises:
        ConfigError: a band without a bin, or a bin without a band.
    """
    width_hz = sample_rate_hz / 2 / bins
    for begin_hz in (0.0, width_hz / 2):
        triangles = _triangles(bins, bands, width_hz, begin_hz)
        if triangles.sum(0).all() and triangles.sum(1).all():
            return triangles
    raise ConfigError(
        f"model.mel_bands {bands} do not fit the {bins} bins of model.win_length {2 * bins} at"
        f" {sample_rate_hz:g} Hz",
        "set other model.mel_bands, a longer model.win_length, or a lower data.sample_rate_hz",
    )


def _triangles(bins: int, bands: int, width_hz: float, begin_hz: float) -> Tensor:
    frequencies = torch.arange(1, bins + 1, dtype=torch.float64)[:, None] * width_hz
    begin, top = (1127 * math.log1p(end / 700) for end in (begin_hz, (bins + 1) * width_hz))
    edges = 700 * torch.expm1(torch.linspace(begin, top, bands + 2, dtype=torch.float64) / 1127)
    centres, half = edges[1:-1], MIN_BAND_BINS / 2 * width_hz
    lows, highs = torch.minimum(edges[:-2], centres - half), torch.maximum(edges[2:], centres + half)
    rising, falling = (frequencies - lows) / (centres - lows), (highs - frequencies) / (highs - centres)
    return torch.minimum(rising, falling).clamp_min(0).float()


FIT_EXAMPLES, CHUNK = 4096, 128
"""Training examples to which a representation is fitted, and how many are processed at a time."""
DEVIATIONS = 3
"""Standard deviations that are scaled to 1; values beyond are clamped."""


class LogMagnitudeRepresentation(Representation):
    """Waveforms (n, 1, time) to images (n, 1, frames, window / 2) in [-1, 1], and back by Griffin-Lim.

    (log(|X| + floor) - m) / 3 s of each bin but the highest, m and s over train (Donahue et al. 2019, section
    3.2). The floor, in dB of a full-scale sine, is the magnitude of silence, and is subtracted again. Phases
    are lost, so decode does not invert encode: see :func:`gancore_audio.stft.griffin_lim`.
    """

    many_to_one = True
    amplifies_rounding = True

    def __init__(self, length: int, window: int, hop: int, floor_db: float, iterations: int) -> None:
        super().__init__()
        self.shape = spectrogram_shape(length, window, hop)
        self.length, self.frames = length, CentredSTFT(window, hop, self.shape[0])
        self.floor, self.iterations = 10 ** (floor_db / 20), iterations
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.zeros(self.shape[1]))
        self.register_buffer("scale", torch.ones(self.shape[1]))

    def fit(self, train: View) -> None:
        count, total, squares = 0, torch.zeros_like(self.mean), torch.zeros_like(self.mean)
        for waveforms in iterate_waveforms(train, self.mean.device):
            logs = self._log_magnitude(waveforms).double()
            count += logs.shape[0] * logs.shape[1]
            total = total + logs.sum((0, 1))
            squares = squares + logs.square().sum((0, 1))
        mean = total / count
        self.mean.copy_(mean)
        self.scale.copy_(DEVIATIONS * (squares / count - mean.square()).clamp_min(1e-6).sqrt())

    def encode(self, batch: Batch) -> Batch:
        image = ((self._log_magnitude(batch.data[:, 0]) - self.mean) / self.scale).clamp(-1, 1)
        return Batch(image[:, None], batch.condition)

    def decode(self, outputs: Tensor) -> Tensor:
        with torch.autocast(outputs.device.type, enabled=False):
            log = outputs[:, 0].float() * self.scale + self.mean
            magnitudes = pad((log.exp() - self.floor).clamp_min(0), (0, 1))
            waveforms = griffin_lim(magnitudes, self.frames, self.iterations)
            return limit_peak(waveforms[:, : self.length])[:, None]

    def _log_magnitude(self, waveforms: Tensor) -> Tensor:
        return torch.log(self.frames(waveforms)[:, :, :-1].abs() + self.floor)


def limit_peak(waveforms: Tensor) -> Tensor:
    """(n, time), each sound that exceeds full scale scaled to it.

    Without phases levels are only approximate; clipping would distort loud sounds.
    """
    return waveforms / waveforms.abs().amax(1, keepdim=True).clamp_min(1)


def iterate_waveforms(train: View, device: torch.device) -> Iterator[Tensor]:
    """Waveforms (n, time) of examples spread evenly over train, in chunks."""
    rows = (
        torch.linspace(0, len(train) - 1, min(len(train), FIT_EXAMPLES), dtype=torch.float64).round().long()
    )
    for number, part in enumerate(torch.split(rows, CHUNK)):
        yield train.get_batch(part, Key.of("fit", number, device=device)).data[:, 0]


FREQUENCY_SCALE = 0.8
"""GANSynth's scale of instantaneous frequencies, so that tanh reaches all of them."""


class InstantaneousFrequencyRepresentation(Representation):
    """Waveforms (n, 1, time) to images (n, 2, frames, bands) in [-1, 1], and back directly.

    Engel et al. 2019, section 3.1: 1/2 log(|X|^2 + floor^2), and the phase's difference from frame to
    frame over pi, both averaged in mel bands (``bands`` 0: on bins, where decode inverts
    encode up to the floor). Back: the phase is the sum of the differences.

    Unlike there, the first channel is scaled between the floor and train's maximum; the frequency of a band
    is that of arg(sum_k M_k X_t conj(X_t-1)), weighted by power and without unwrapping, equal to the paper's
    on bins; powers of bins come from :meth:`MelBands.to_bin_powers`; and ``iterations`` of Griffin-Lim, from
    the generated phases, make neighbouring bins consistent: 0 is GANSynth's decode.
    """

    many_to_one = True
    amplifies_rounding = True

    def __init__(
        self,
        length: int,
        sample_rate_hz: int,
        window: int,
        hop: int,
        bands: int,
        floor_db: float,
        iterations: int,
    ) -> None:
        super().__init__()
        self.bands = MelBands(window // 2, bands, sample_rate_hz)
        self.shape = spectrogram_shape(length, window, hop, bands)
        self.length, self.frames = length, CentredSTFT(window, hop, self.shape[0])
        self.floor, self.iterations = 10 ** (floor_db / 20), iterations
        self.loudest: Tensor
        self.register_buffer("loudest", torch.zeros(()))

    def fit(self, train: View) -> None:
        rows = iterate_waveforms(train, self.loudest.device)
        self.loudest.copy_(torch.stack([self._log_magnitude(self._stft(row)).amax() for row in rows]).amax())

    def encode(self, batch: Batch) -> Batch:
        spectra = self._stft(batch.data[:, 0])
        log = self._log_magnitude(spectra)
        phase_steps = torch.cat([spectra[:, :1], spectra[:, 1:] * spectra[:, :-1].conj()], 1)
        frequency = self.bands(phase_steps).angle() / math.pi
        magnitude = 2 * (log - math.log(self.floor)) / self._log_range - 1
        image = torch.stack([magnitude.clamp(-1, 1), FREQUENCY_SCALE * frequency], 1)
        return Batch(image, batch.condition)

    def decode(self, outputs: Tensor) -> Tensor:
        with torch.autocast(outputs.device.type, enabled=False):
            magnitude, frequency = outputs.float().unbind(1)
            log = (magnitude + 1) / 2 * self._log_range + math.log(self.floor)
            powers = self.bands.to_bin_powers(((2 * log).exp() - self.floor**2).clamp_min(0))
            phase = self.bands.to_bins((math.pi / FREQUENCY_SCALE * frequency).cumsum(1))
            magnitudes, phases = (pad(x, (1, 0)) for x in (powers.sqrt(), phase))
            waveforms = fast_griffin_lim(magnitudes, phases, self.frames, self.iterations)
            return limit_peak(waveforms[:, : self.length])[:, None]

    @property
    def _log_range(self) -> Tensor:
        return (self.loudest - math.log(self.floor)).clamp_min(1.0)

    def _stft(self, waveforms: Tensor) -> Tensor:
        """(n, frames, bins), complex, without the mean."""
        result: Tensor = self.frames(waveforms)[:, :, 1:]
        return result

    def _log_magnitude(self, spectra: Tensor) -> Tensor:
        power = torch.view_as_real(spectra).square().sum(-1)
        return 0.5 * torch.log(self.bands(power) + self.floor**2)
