"""Constructed faults are found; real recordings raise no alarm."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch
from gancore_audio.diagnosis import diagnose, find_comb, find_faults
from gancore_audio.percussion import SAMPLE_RATE_HZ, synthesize
from needs import data_files
from torch import Tensor

RATE_HZ, TIME = 8000, 4096
time = torch.arange(TIME) / RATE_HZ


def noise(n: int, level: float = 0.1) -> Tensor:
    return level * torch.randn(n, 1, TIME, generator=torch.Generator().manual_seed(0))


def peaked(clip: np.ndarray, length: int = TIME) -> Tensor:
    """Cut or padded to ``length``, at peak 1."""
    cut = torch.from_numpy(np.pad(clip[:length], (0, max(0, length - len(clip)))))
    return (cut / cut.abs().max())[None]


def test_each_fault_is_found_in_the_sample_that_has_it_and_nowhere_else():
    samples = {
        "silent": torch.zeros(TIME),
        "silent ": 0.0005 * torch.sin(2 * torch.pi * 440 * time),
        "constant": torch.full((TIME,), 0.3),
        "clipped": (3 * torch.sin(2 * torch.pi * 220 * time) * torch.linspace(1, 0, TIME)).clamp(-1, 1),
        "tone": 0.5 * torch.sin(2 * torch.pi * 1003 * time),
        "tone ": 0.2 * torch.sin(2 * torch.pi * 60 * time) + 0.3 + noise(1, 0.005)[0, 0],
        "none": noise(1)[0, 0],
        "none ": torch.sin(2 * torch.pi * 440 * time) * torch.exp(-12 * time),  # struck, then dying away
        "none  ": 0.5 * torch.sin(2 * torch.pi * (200 * time + 1500 * time**2)),  # gliding
        "none   ": 0.4 * torch.sin(2 * torch.pi * 300 * time) + 0.3 * torch.sin(2 * torch.pi * 900 * time),
    }
    found = find_faults(torch.stack(list(samples.values()))[:, None], RATE_HZ)
    for row, truth in enumerate(samples):
        assert [name for name, rows in found.items() if rows[row]] == [truth.strip()] * (
            truth.strip() != "none"
        ), truth


def test_minus_60_dbfs_parts_silence_from_sound():
    wave = torch.sin(2 * torch.pi * 440 * time) * 2**0.5  # RMS 1
    rows = torch.stack([wave * 10 ** (level / 20) for level in (-61, -59)])[:, None]
    assert find_faults(rows, RATE_HZ)["silent"].tolist() == [True, False]


@pytest.mark.parametrize("period", [4, 16, 64])
def test_the_comb_of_an_upsampling_layer_is_found_with_its_period(period):
    pulses = (torch.arange(TIME) % period == 0).float()
    pulses = (pulses - pulses.mean()) / pulses.std()
    speechlike = torch.nn.functional.avg_pool1d(noise(16, 1.0), 9, 1, 4)
    level = speechlike.std() * 10 ** (-10 / 20)
    found = find_comb(speechlike + level * pulses)
    assert found is not None and found[0] == period
    # the comb has a tenth of the sound's power; some of its lines belong to shorter periods
    assert 0.04 < found[2] < 0.1
    assert find_comb(speechlike) is None


def test_findings_say_how_many_and_what_to_do():
    samples = noise(16)
    samples[:6] = 0
    silent, *others = diagnose(samples, RATE_HZ)
    assert silent.name == "silent" and silent.message.startswith("6 of 16 samples") and silent.fix
    assert others == []


def test_a_comb_is_reported_at_its_frequency():
    pulses = (torch.arange(TIME) % 16 == 0).float()
    (finding,) = diagnose(noise(16) + 0.5 * pulses, RATE_HZ)
    assert finding.name == "comb" and "500 Hz (rate / 16)" in finding.message


@pytest.mark.parametrize("length", [16, 100, 255, 256, 1000])
def test_short_sounds_can_be_diagnosed(length):
    assert diagnose(noise(4)[:, :, :length], RATE_HZ) == []


def test_recorded_digits_raise_no_alarm():
    paths = data_files("fsdd/recordings/*_0.flac") + data_files("fsdd/recordings/*_1.flac")
    digits = torch.stack([peaked(soundfile.read(path, dtype="float32")[0]) for path in paths])
    assert not torch.stack(list(find_faults(digits, 8000).values())).any()
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))
    assert [diagnose(digits[rows], 8000) for rows in order.split(16)] == [[]] * len(order.split(16))


def test_recorded_drums_raise_no_alarm():
    clips = [
        soundfile.read(path, dtype="float32", always_2d=True) for path in data_files("drums/*/*.flac")[::4]
    ]
    drums = torch.stack(
        [peaked(clip.mean(1), 16384) for clip, sample_rate_hz in clips if sample_rate_hz == 44100]
    )
    assert len(drums) > 50
    assert diagnose(drums, 44100) == []


def test_synthesised_percussion_raises_no_alarm():
    clips = torch.stack([peaked(clip) for _, _, clip in synthesize(16)])
    order = torch.randperm(len(clips), generator=torch.Generator().manual_seed(0))
    assert [diagnose(clips[rows], SAMPLE_RATE_HZ) for rows in order.split(16)] == [[]] * 8
