"""Spectrum, level and combs of sounds that were made so; real recordings have none of these faults."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from gancore_audio.signal_metrics import checkerboard, clipping, dc, ltas_distance, median_interval, silence
from needs import data_files
from refusals import refused
from scipy import signal, stats
from torch import Tensor

from gancore import ConfigError, MetricInputs, Spec

RATE_HZ, TIME = 8000, 4096
SPEC = Spec({"sample_rate_hz": RATE_HZ})


def noise(n: int, level: float = 0.1, seed: int = 0) -> Tensor:
    return level * torch.randn(n, 1, TIME, generator=torch.Generator().manual_seed(seed))


def value(measure, fake: Tensor, real: Tensor | None = None) -> float:
    return measure.compute(MetricInputs.from_samples(fake, noise(8) if real is None else real, SPEC))


def interval(measure, fake: Tensor, real: Tensor | None = None):
    return measure.interval(MetricInputs.from_samples(fake, noise(8) if real is None else real, SPEC))


# The long-term average spectrum.


def test_a_gain_moves_the_long_term_spectrum_by_itself():
    assert value(ltas_distance, 2 * noise(16), noise(16)) == pytest.approx(6.0206, abs=1e-3)
    assert value(ltas_distance, noise(16), noise(16)) == 0


def test_a_filter_moves_it_by_its_response():
    """By scipy's frequency response, at the frequencies that are the middles of the mel bands."""
    taps = signal.butter(1, 1500, fs=RATE_HZ)
    low = torch.from_numpy(signal.lfilter(*taps, noise(400).numpy(), axis=2)).float()
    mel = np.linspace(0, 2595 * np.log10(1 + RATE_HZ / 2 / 700), 66)[1:-1]
    middles = 700 * (10 ** (mel / 2595) - 1)
    _, response = signal.freqz(*taps, worN=middles, fs=RATE_HZ)
    expected = np.sqrt(np.mean((20 * np.log10(np.abs(response))) ** 2))
    assert value(ltas_distance, low, noise(400, seed=1)) == pytest.approx(expected, rel=0.03)


# Combs.


def comb_of(share: float, period: int, n: int = 16) -> Tensor:
    """Noise with this share of its energy in a tone at the lowest line of the period."""
    tone = math.sqrt(2) * torch.sin(2 * math.pi * torch.arange(TIME) / period + 0.3)
    return 0.1 * (math.sqrt(share) * tone + math.sqrt(1 - share) * noise(n, 1.0))


@pytest.mark.parametrize("period", [4, 16, 64])
@pytest.mark.parametrize("share", [0.02, 0.3])
def test_the_energy_of_a_comb_is_told(period, share):
    result = value(checkerboard, comb_of(share, period, 400))
    assert result == pytest.approx(100 * share, rel=0.03, abs=0.2)


def test_white_noise_and_tones_beside_the_lines_have_no_comb():
    assert value(checkerboard, noise(200)) < 0.1
    beside = torch.sin(2 * math.pi * 1010.0 * torch.arange(TIME) / RATE_HZ).expand(8, 1, -1)
    assert value(checkerboard, beside + 0.1 * noise(8)) < 0.1


def test_a_pitch_that_falls_on_a_line_in_a_few_sounds_is_no_comb():
    assert value(checkerboard, torch.cat([comb_of(0.5, 16, 70), noise(90)])) < 0.5
    assert value(checkerboard, torch.cat([comb_of(0.5, 16, 90), noise(70)])) > 40


def test_sounds_too_short_for_lines_are_refused():
    with refused(ConfigError, 200, fix=256):
        value(checkerboard, noise(4)[..., :200])


# Level.


def test_dc_is_the_share_of_the_mean_level():
    still = noise(4) - noise(4).mean(2, keepdim=True)
    level = still.square().mean(2, keepdim=True).sqrt()
    assert value(dc, still + level) == pytest.approx(50, rel=1e-3)  # as much energy in the level as about it
    assert value(dc, still) == pytest.approx(0, abs=1e-6)
    assert value(dc, torch.zeros(4, 1, TIME)) == 0


def test_shares_of_clipped_and_silent_sounds_are_counted():
    sounds = torch.cat([noise(5), torch.zeros(3, 1, TIME), noise(2, 5.0).clamp(-1, 1)])
    assert value(silence, sounds) == pytest.approx(0.3)
    assert value(clipping, sounds) == pytest.approx(0.2)
    exact = stats.binomtest(3, 10).proportion_ci(method="exact")
    assert interval(silence, sounds)[:2] == pytest.approx(exact, rel=1e-6)


def test_each_tells_what_the_reference_has():
    inputs = MetricInputs.from_samples(noise(4), torch.cat([noise(3), torch.zeros(1, 1, TIME)]), SPEC)
    assert silence.details(inputs) == {"of the reference": 0.25}


# The interval of a median.


def test_order_statistics_are_those_of_the_binomial():
    """With ten rows the second and the ninth bound the median at 97.9 %; the third and eighth at 89.1 %."""
    low, high, _ = median_interval(torch.arange(10.0))
    assert (low, high) == (1, 8)
    with refused(ConfigError, 5):
        median_interval(torch.arange(5.0))


def test_the_median_of_a_skewed_law_is_covered():
    generator = torch.Generator().manual_seed(0)
    draws = torch.empty(2000, 25).exponential_(generator=generator)
    ends = [median_interval(row)[:2] for row in draws]
    assert 0.94 < np.mean([low <= math.log(2) <= high for low, high in ends]) < 0.985


# Real sounds.


def test_recorded_digits_are_sane():
    import soundfile

    files = data_files("fsdd/recordings/*_1?.flac")
    sounds = torch.zeros(len(files), 1, TIME)
    for row, file in zip(sounds, files, strict=True):
        clip = soundfile.read(file, dtype="float32")[0][:TIME]
        row[0, : len(clip)] = torch.from_numpy(clip / np.abs(clip).max())
    assert value(checkerboard, sounds) < 0.2
    assert value(clipping, sounds) < 0.01 and value(silence, sounds) < 0.01 and value(dc, sounds) < 1
