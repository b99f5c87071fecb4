"""Log-mel spectra are in dB re. a full-scale sine; pictures show time to the right and pitch upwards."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gancore_audio.export import spectrogram_grid
from gancore_audio.mel import FLOOR_DB, _mel_filters, log_mel


def sine(frequency_hz: float, sample_rate_hz: int, amplitude: float = 1.0, time: int = 4096) -> torch.Tensor:
    return amplitude * torch.sin(2 * torch.pi * frequency_hz * torch.arange(time) / sample_rate_hz)[None]


@pytest.mark.parametrize("sample_rate_hz", [8000, 16000, 22050])
def test_the_powers_of_a_full_scale_sine_add_up_to_0_db(sample_rate_hz):
    middle = log_mel(sine(1000, sample_rate_hz), sample_rate_hz)[0, :, 20]
    assert 10 * torch.log10((10 ** (middle / 10)).sum()) == pytest.approx(0, abs=0.05)


def test_a_sine_peaks_in_the_band_of_its_frequency():
    bands, sample_rate_hz, frequency_hz = 64, 16000, 2000
    peak = int(log_mel(sine(frequency_hz, sample_rate_hz), sample_rate_hz, bands)[0, :, 20].argmax())
    mel = lambda hz: 2595 * np.log10(1 + hz / 700)  # noqa: E731
    assert peak == pytest.approx(mel(frequency_hz) / mel(sample_rate_hz / 2) * (bands + 1) - 1, abs=1)


def test_halving_the_amplitude_takes_6_02_db_and_silence_is_at_the_floor():
    loud, soft = (log_mel(sine(500, 8000, amplitude), 8000) for amplitude in (1.0, 0.5))
    heard = soft > FLOOR_DB
    assert torch.allclose((loud - soft)[heard], torch.tensor(6.0206), atol=1e-3)
    assert torch.all(log_mel(torch.zeros(2, 4096), 8000) == FLOOR_DB)


@pytest.mark.parametrize("sample_rate_hz", [4000, 8000, 11025, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("bands", [32, 64])
def test_no_band_is_empty_at_any_rate(sample_rate_hz, bands):
    window = 2 ** round(np.log2(0.032 * sample_rate_hz))
    assert torch.all(_mel_filters(sample_rate_hz, bands, 2 * window).sum(0) > 0)


def test_many_clips_give_what_each_gives_alone():
    clips = torch.randn(300, 1024, generator=torch.Generator().manual_seed(0))
    together = log_mel(clips, 8000)
    assert torch.allclose(together[200:201], log_mel(clips[200:201], 8000), atol=1e-3)


def test_a_rising_tone_rises_in_the_picture():
    time = np.arange(8000) / 8000
    rising = np.sin(2 * np.pi * (200 * time + 1500 * time**2)).astype(np.float32)
    pixels = np.asarray(spectrogram_grid(rising[None], 8000)).astype(int).sum(2)  # (height, width)
    spectrogram = pixels[14 + 30 + 6 + 4 : 14 + 30 + 112, 10:180]
    early, late = (spectrogram[:, columns].argmax(0).mean() for columns in (slice(10, 30), slice(130, 150)))
    assert late < early - 20  # rows count downwards


def test_sixteen_samples_make_a_grid_of_four_by_four():
    grid = spectrogram_grid(np.zeros((16, 1000), np.float32), 8000, [f"sound {n}" for n in range(16)])
    alone = spectrogram_grid(np.zeros((1, 1000), np.float32), 8000)
    assert grid.mode == "RGB"
    assert grid.width > 3.8 * alone.width and grid.height > 3.5 * alone.height
    assert grid.width < 1000 and grid.height < 1000
