"""Spectra and their way back: exact where nothing is lost, measured where phases are, on known sounds."""

import math

import numpy as np
import pytest
import scipy.signal
import soundfile
import torch
from gancore_audio.representations import (
    FREQUENCY_SCALE,
    InstantaneousFrequencyRepresentation,
    LogMagnitudeRepresentation,
    MelBands,
    limit_peak,
    mel_filter_bank,
)
from gancore_audio.specgan import coarsest_shape
from gancore_audio.stft import (
    CentredSTFT,
    default_win_and_hop,
    estimate_phase,
    fast_griffin_lim,
    griffin_lim,
    spectrogram_shape,
)
from needs import data_files
from refusals import refused
from torch import Tensor
from torchaudio.functional import melscale_fbanks

from gancore import Batch, ConfigError, View
from gancore.random import Key

RATE_HZ, TIME = 8000, 4096
seconds = torch.arange(TIME) / RATE_HZ


class Rows(View):
    """Waveforms (n, 1, time) as a view."""

    def __init__(self, waveforms: Tensor) -> None:
        self.waveforms = waveforms

    def __len__(self) -> int:
        return len(self.waveforms)

    def get_batch(self, indices: Tensor, key: Key) -> Batch:
        return Batch(self.waveforms[indices])


def tone(hz: float, amplitude: float = 0.8) -> Tensor:
    return amplitude * torch.sin(2 * torch.pi * hz * seconds)


def chirp(low_hz: float = 300, high_hz: float = 1800) -> Tensor:
    """Its frequency rises evenly."""
    slope = (high_hz - low_hz) / seconds[-1]
    return 0.8 * torch.sin(2 * torch.pi * (low_hz * seconds + slope / 2 * seconds**2))


def spoken(count: int = 40) -> Tensor:
    """Digits of six speakers, (count, 1, time), at peak 0.9."""
    paths = data_files("fsdd/recordings/*.flac")
    rows = torch.zeros(count, 1, TIME)
    for row, path in zip(rows, paths[:: len(paths) // count], strict=False):
        clip = soundfile.read(path, dtype="float32")[0][:TIME]
        row[0, : len(clip)] = torch.from_numpy(0.9 * clip / np.abs(clip).max())
    return rows


def decibels(error: Tensor, truth: Tensor) -> float:
    return 20 * math.log10(float(error.norm() / truth.norm()))


def loudest_hz(waveform: Tensor) -> float:
    """By parabola on the log spectrum under a Hann window."""
    log = torch.fft.rfft(waveform * torch.hann_window(len(waveform))).abs().clamp_min(1e-9).log()
    peak = int(log.argmax())
    a, b, c = (float(log[peak + step]) for step in (-1, 0, 1))
    return (peak + (a - c) / (2 * (a - 2 * b + c))) * RATE_HZ / len(waveform)


# CentredSTFT


@pytest.mark.parametrize(("window", "hop"), [(256, 128), (256, 64), (128, 16)])
def test_a_sound_comes_back_from_its_spectra_to_the_last_sample(window, hop):
    sounds = torch.randn(3, 1024, dtype=torch.float64)
    frames = CentredSTFT(window, hop)
    frames.taper = torch.hann_window(window, dtype=torch.float64)
    spectra = frames(sounds)
    assert spectra.shape == (3, 1024 // hop, window // 2 + 1)
    torch.testing.assert_close(frames.inverse(spectra), sounds, rtol=0, atol=1e-12)


def test_spectra_are_scipys():
    sounds = torch.randn(2, 1024)
    _, _, theirs = scipy.signal.stft(
        np.pad(sounds.numpy(), ((0, 0), (96, 96))),
        window="hann",
        nperseg=256,
        noverlap=192,
        boundary=None,
        padded=False,
    )
    ours = CentredSTFT(256, 64)(sounds).transpose(1, 2)
    # a full-scale sine has magnitude 1 here, one half there
    torch.testing.assert_close(ours, 2 * torch.from_numpy(theirs).to(ours.dtype), rtol=1e-4, atol=1e-6)


def test_a_full_scale_sine_has_magnitude_one():
    magnitudes = CentredSTFT(256, 128)(tone(1000, 1.0)[None])[0, 5].abs()  # 1000 Hz: the middle of bin 32
    assert magnitudes[31:34].tolist() == pytest.approx([0.5, 1.0, 0.5], abs=1e-4)


def test_the_inverse_is_the_nearest_waveform():
    frames = CentredSTFT(16, 4)
    spectra = torch.randn(1, 8, 9, dtype=torch.complex64)
    spectra.imag[..., [0, -1]] = 0  # which no real waveform has
    basis = frames(torch.eye(32))  # (32 waveforms, 8, 9)
    weights = torch.full((9,), 2.0)  # a bin stands for its mirror image too
    weights[[0, -1]] = 1.0
    columns = torch.view_as_real(basis * weights.sqrt()).flatten(1).T
    wanted = torch.view_as_real(spectra * weights.sqrt()).flatten()[:, None]
    nearest = torch.linalg.lstsq(columns, wanted).solution[:, 0]
    torch.testing.assert_close(frames.inverse(spectra)[0], nearest, rtol=1e-3, atol=1e-4)


def test_a_hop_that_does_not_divide_the_window_is_refused():
    with refused(ConfigError, "model.hop_length"):
        spectrogram_shape(4096, 256, 100)


@pytest.mark.parametrize("length", [16, 48, 64, 256, 1008, 1024, 4096, 4112, 12_000, 16_384, 65_536, 100_000])
def test_sounds_of_any_length_fit_a_grid_that_networks_halve(length):
    window, hop = default_win_and_hop(length, None, None)
    frames, bins = spectrogram_shape(length, window, hop)
    filled = -(-length // hop)
    assert bins == window // 2
    assert filled <= frames <= max(8, filled + 31)
    assert min(coarsest_shape((frames, bins))) < 8
    if length in (1024, 4096, 16_384, 65_536):
        assert (frames, window, hop) == (length // 128, 256, 128)


@pytest.mark.parametrize("length", [48, 1008, 1500])
def test_the_silence_after_a_sound_of_odd_length_is_cut_off_again(length):
    window, hop = default_win_and_hop(length, None, None)
    sounds = tone(2000, 0.5)[None, None, :length]  # no mean level, which is lost
    exact = InstantaneousFrequencyRepresentation(length, RATE_HZ, window, hop, 0, -160.0, 0)
    exact.fit(Rows(sounds))
    back = exact.decode(exact.encode(Batch(sounds)).data)
    assert back.shape == sounds.shape
    assert decibels(back - sounds, sounds) < -30
    lossy = LogMagnitudeRepresentation(length, window, hop, -60.0, 8)
    lossy.fit(Rows(sounds))
    assert lossy.decode(lossy.encode(Batch(sounds)).data).shape == sounds.shape


# Phases from magnitudes


@pytest.mark.parametrize("hz", [437.5, 440.0, 1000.0, 1011.0, 2345.6])
@pytest.mark.parametrize("hop", [64, 128])
def test_the_first_phase_turns_at_a_tones_frequency(hz, hop):
    frames = CentredSTFT(256, hop)
    phase = estimate_phase(frames(tone(hz)[None]).abs(), frames)[0, :, round(hz / RATE_HZ * 256)]
    turned_hz = float(phase[-8] - phase[8]) / (len(phase) - 16) / hop * RATE_HZ / (2 * torch.pi)
    assert turned_hz == pytest.approx(hz, abs=1.0)  # a bin is 31 Hz wide


@pytest.mark.parametrize("hop", [64, 128])
def test_known_sounds_come_back_from_magnitudes_alone(hop):
    frames = CentredSTFT(256, hop)
    sounds = torch.stack([tone(440), tone(523.25) + tone(1333, 0.1), chirp()])
    magnitudes = frames(sounds).abs()
    back = griffin_lim(magnitudes, frames, 32)
    convergence = [decibels(a - b, b) for a, b in zip(frames(back).abs(), magnitudes, strict=True)]
    assert convergence[0] < -28 and convergence[1] < -28 and convergence[2] < -20
    assert loudest_hz(back[0]) == pytest.approx(440, abs=0.5)


def test_phases_in_agreement_stay():
    frames, sounds = CentredSTFT(256, 64), torch.randn(2, 1024)
    spectra = frames(sounds)
    back = fast_griffin_lim(spectra.abs(), spectra.angle(), frames, 8)
    assert decibels(back - sounds, sounds) < -80


def test_sounds_are_turned_back_row_by_row():
    frames = CentredSTFT(256, 128)
    magnitudes = frames(torch.randn(6, 2048)).abs()
    together = griffin_lim(magnitudes, frames, 32)
    assert torch.equal(together, griffin_lim(magnitudes, frames, 32))
    torch.testing.assert_close(griffin_lim(magnitudes[2:4], frames, 32), together[2:4], rtol=0, atol=1e-4)


# SpecGAN's log magnitudes


def fitted(representation, sounds: Tensor):
    representation.fit(Rows(sounds))
    return representation


def test_sizes_are_specgans():
    assert LogMagnitudeRepresentation(16384, 256, 128, -60, 1).encode(
        Batch(torch.zeros(2, 1, 16384))
    ).data.shape == (
        2,
        1,
        128,
        128,
    )
    assert LogMagnitudeRepresentation(4096, 256, 128, -60, 1).shape == (32, 128)


def test_each_bin_has_the_mean_and_the_deviation_of_train():
    sounds = torch.randn(300, 1, 1024) * torch.linspace(0, 1, 1024)
    representation = fitted(LogMagnitudeRepresentation(1024, 64, 32, -60, 1), sounds)
    logs = torch.log(CentredSTFT(64, 32)(sounds[:, 0])[..., :-1].abs().double() + 1e-3)
    torch.testing.assert_close(representation.mean.double(), logs.mean((0, 1)), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        representation.scale.double(), 3 * logs.std((0, 1), correction=0), rtol=1e-4, atol=1e-4
    )
    image = representation.encode(Batch(sounds)).data
    assert image.abs().max() <= 1
    assert image.mean((0, 1, 2)).abs().max() < 0.02
    torch.testing.assert_close(image.std((0, 1, 2)), torch.full((32,), 1 / 3), rtol=0.03, atol=0)


@pytest.mark.parametrize(("window", "hop"), [(256, 128), (256, 64)])
def test_spoken_digits_come_back_from_log_magnitudes(window, hop):
    sounds = spoken()
    representation = fitted(LogMagnitudeRepresentation(TIME, window, hop, -60, 32), sounds)
    back = representation.decode(representation.encode(Batch(sounds)).data)
    frames = CentredSTFT(window, hop)
    wanted, found = (frames(x[:, 0]).abs() for x in (sounds, back))
    assert decibels(found - wanted, wanted) < -18  # spectral convergence
    convergences = [decibels(a - b, b) for a, b in zip(found, wanted, strict=True)]
    assert max(convergences) < -10


def test_silence_stays_silence():
    representation = fitted(LogMagnitudeRepresentation(TIME, 256, 128, -60, 8), spoken())
    image = representation.encode(Batch(torch.zeros(1, 1, TIME)))
    assert representation.decode(image.data).abs().max() < 1e-3


def test_what_passes_full_scale_is_brought_down_as_a_whole():
    scaled = limit_peak(torch.tensor([[0.0, 4.0, -1.0], [0.7, 0.1, 0.0], [-1.0, 0.5, 0.0], [0.0, 0.0, 0.0]]))
    assert scaled.tolist() == [[0, 1, -0.25], pytest.approx([0.7, 0.1, 0]), [-1, 0.5, 0], [0, 0, 0]]


def test_likelihoods_on_images_are_not_comparable():
    batch = Batch(torch.randn(2, 1, TIME))
    for representation in (
        LogMagnitudeRepresentation(TIME, 256, 128, -60, 1),
        InstantaneousFrequencyRepresentation(TIME, RATE_HZ, 256, 128, 64, -60, 1),
    ):
        assert representation.log_det(batch) is None
        assert representation.many_to_one


# Mel bands


@pytest.mark.parametrize(("bins", "bands"), [(128, 64), (128, 128), (512, 128), (32, 8)])
def test_no_band_is_empty_and_what_is_even_stays_even(bins, bands):
    mel = MelBands(bins, bands, RATE_HZ)
    even = torch.ones(1, 1, bins)
    torch.testing.assert_close(mel(even), torch.ones(1, 1, bands))
    torch.testing.assert_close(mel.to_bins(mel(even)), even)
    torch.testing.assert_close(mel.to_bin_powers(mel(even)), even, rtol=1e-4, atol=1e-4)


def test_wide_bands_are_torchaudios():
    theirs = melscale_fbanks(513, 0.0, RATE_HZ / 2 * (1 + 1 / 512), 16, RATE_HZ)[1:]
    torch.testing.assert_close(mel_filter_bank(512, 16, RATE_HZ), theirs, rtol=1e-3, atol=1e-4)


def test_powers_average_to_the_bands_they_came_from():
    mel = MelBands(128, 64, RATE_HZ)
    powers = CentredSTFT(256, 128)(spoken(10)[:, 0])[..., 1:].abs().square()
    bands = mel(powers)
    back = mel.to_bin_powers(bands)
    assert back.min() >= 0
    assert decibels(mel(back) - bands, bands) < -25
    assert decibels(mel(mel.to_bins(bands)) - bands, bands) > -14  # what GANSynth's transposed matrix gives


def test_more_bands_than_bins_are_refused():
    with refused(ConfigError, "model.mel_bands", fix="model.win_length"):
        MelBands(32, 64, RATE_HZ)


# GANSynth's instantaneous frequencies


def turns_apart(a: Tensor, b: Tensor) -> Tensor:
    """Of angles in half turns: -1 and 1 are one."""
    return ((a - b + 1) % 2 - 1).abs()


def on_bins(iterations: int = 0, hop: int = 64) -> InstantaneousFrequencyRepresentation:
    return InstantaneousFrequencyRepresentation(TIME, RATE_HZ, 256, hop, 0, -60, iterations)


def test_on_bins_the_frequency_is_the_difference_of_unwrapped_phases():
    sounds = torch.randn(4, 1, TIME)
    phases = np.unwrap(CentredSTFT(256, 64)(sounds[:, 0])[..., 1:].angle().double().numpy(), axis=1)
    wanted = np.diff(phases, axis=1, prepend=0) / np.pi
    result = fitted(on_bins(), sounds).encode(Batch(sounds)).data[:, 1] / FREQUENCY_SCALE
    loud = CentredSTFT(256, 64)(sounds[:, 0])[..., 1:].abs() > 0.01
    assert turns_apart(result[loud].double(), torch.from_numpy(wanted)[loud]).max() < 1e-3


@pytest.mark.parametrize("hz", [437.5, 440.0, 1011.0])
def test_a_tone_keeps_its_frequency_and_its_phase(hz):
    sound = tone(hz)[None, None]
    representation = fitted(on_bins(), sound)
    image = representation.encode(Batch(sound))
    # all bins that estimate_pitch the tone tell its own advance from frame to frame, f hop / rate
    # turns, in half turns
    advance = (2 * hz * 64 / RATE_HZ + 1) % 2 - 1
    heard = image.data[0, 1, 4:-4, round(hz / RATE_HZ * 256) - 1] / FREQUENCY_SCALE
    assert turns_apart(heard, torch.tensor(advance)).max() < 2e-3
    back = representation.decode(image.data)
    assert loudest_hz(back[0, 0]) == pytest.approx(hz, abs=0.1)
    assert decibels(back - sound, sound) < -25


def test_a_chirp_comes_back():
    sound = chirp()[None, None]
    representation = fitted(on_bins(), sound)
    back = representation.decode(representation.encode(Batch(sound)).data)
    assert decibels(back - sound, sound) < -25


def test_spoken_digits_come_back_as_waveforms_on_bins():
    sounds = spoken()
    for hop in (64, 128):
        representation = fitted(on_bins(hop=hop), sounds)
        back = representation.decode(representation.encode(Batch(sounds)).data)
        assert decibels(back - sounds, sounds) < -20


def test_spoken_digits_come_back_as_spectra_on_mel_bands():
    sounds = spoken()
    representation = fitted(
        InstantaneousFrequencyRepresentation(TIME, RATE_HZ, 256, 128, 64, -60, 16), sounds
    )
    image = representation.encode(Batch(sounds)).data
    assert image.shape == (40, 2, 32, 64)
    assert image.abs().max() <= 1
    back = representation.decode(image)
    mel = MelBands(128, 64, RATE_HZ)
    wanted, found = (
        10 * torch.log10(mel(CentredSTFT(256, 128)(x[:, 0])[..., 1:].abs().square()) + 1e-6)
        for x in (sounds, back)
    )
    assert (found - wanted).square().mean().sqrt() < 3.0  # dB, log-spectral distance


@pytest.mark.parametrize("hz", [440.0, 1011.0])
def test_a_tone_keeps_its_frequency_on_mel_bands(hz):
    sound = tone(hz)[None, None]
    representation = fitted(InstantaneousFrequencyRepresentation(TIME, RATE_HZ, 256, 64, 128, -60, 0), sound)
    back = representation.decode(representation.encode(Batch(sound)).data)
    assert loudest_hz(back[0, 0]) == pytest.approx(hz, abs=1.0)


def test_silence_stays_silence_on_mel_bands():
    sounds = spoken()
    representation = fitted(InstantaneousFrequencyRepresentation(TIME, RATE_HZ, 256, 128, 64, -60, 4), sounds)
    image = representation.encode(Batch(torch.zeros(1, 1, TIME))).data
    assert (image[:, 0] == -1).all()
    assert representation.decode(image).abs().max() == 0


@pytest.mark.parametrize("sample_rate_hz", [8000, 16_000, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize(("window", "bands"), [(64, 16), (256, 64), (256, 128), (1024, 128), (2048, 1024)])
def test_no_band_is_empty_at_any_rate(sample_rate_hz, window, bands):
    mel = MelBands(window // 2, bands, sample_rate_hz)
    assert mel.to_bands.isfinite().all() and mel.from_bands.isfinite().all()
    torch.testing.assert_close(mel.to_bands.sum(0), torch.ones(bands))
