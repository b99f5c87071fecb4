"""The transform in real numbers, which exported graphs use, is the one in complex numbers."""

from __future__ import annotations

import pytest
import torch
from gancore_audio.real_stft import RealSTFT, real_griffin_lim
from gancore_audio.stft import CentredSTFT, estimate_phase, fast_griffin_lim


@pytest.mark.parametrize(("window", "hop"), [(32, 16), (64, 16), (256, 64)])
def test_it_equals_the_complex_transform_and_its_inverse(window, hop):
    torch.manual_seed(0)
    frames, waveforms = CentredSTFT(window, hop), torch.randn(3, 8 * window)
    spectra = frames(waveforms)
    pairs = torch.view_as_real(spectra).permute(0, 3, 2, 1)  # (n, 2, bins, frames)
    real = RealSTFT(frames)
    assert torch.allclose(real.forward(waveforms), pairs, atol=1e-5)
    assert torch.allclose(real.inverse(pairs), frames.inverse(spectra), atol=1e-4)
    assert torch.allclose(real.inverse(pairs), waveforms, atol=1e-4)


@pytest.mark.parametrize("iterations", [0, 1, 4])
def test_griffin_lim_equals_the_complex_one(iterations):
    torch.manual_seed(0)
    time = torch.arange(1024) / 1024
    sounds = torch.stack([torch.sin(2 * torch.pi * f * time) for f in (40.0, 200.0)]) + 0.1 * torch.randn(
        2, 1024
    )
    frames = CentredSTFT(64, 16)
    magnitudes = frames(sounds).abs()
    phases = estimate_phase(magnitudes, frames)
    expected = fast_griffin_lim(magnitudes, phases, frames, iterations)
    found = real_griffin_lim(magnitudes, phases, RealSTFT(frames), iterations)
    assert (found - expected).abs().max() <= 2e-3 * expected.abs().max()


def test_silence_stays_silence():
    frames = CentredSTFT(32, 16)
    zeros = torch.zeros(1, 8, 17)
    assert real_griffin_lim(zeros, zeros, RealSTFT(frames), 2).abs().max() == 0
