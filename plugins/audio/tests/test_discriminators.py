"""The discriminator's second look: a log spectrogram that is right, finite at silence, and differentiable."""

import math

import pytest
import torch
from gancore_audio.discriminators import FLOOR, SpectrogramDiscriminator, WaveformAndSpectrogramDiscriminator
from gancore_audio.mel import default_win_length

from gancore import Spec


def spectrum_of(waveform: torch.Tensor, sample_rate_hz: int = 8000) -> torch.Tensor:
    return SpectrogramDiscriminator(waveform.shape[-1], sample_rate_hz, width=2).log_spectrum(waveform)


def scaled(power: float) -> float:
    """1 at full scale, one less for every 30 dB."""
    return 1 + 10 * math.log10(power) / 30


def test_windows_are_the_power_of_two_next_to_32_ms():
    assert [default_win_length(rate, 65536) for rate in (8000, 16000, 22050, 44100)] == [256, 512, 512, 1024]
    assert default_win_length(16000, 1024) == 256


def test_a_full_scale_sine_stands_in_its_bin_at_half_its_amplitude():
    bin_number, window = 16, 256
    time = torch.arange(4096)
    seen = spectrum_of(torch.sin(2 * math.pi * bin_number / window * time)[None, None])
    assert seen.shape == (1, 1, 128, 64)
    middle = seen[0, 0, :, 20:40]
    assert (middle.argmax(0) == bin_number).all()
    # one side of the spectrum has half the amplitude, a power of 1/4
    expected = scaled(0.25)
    torch.testing.assert_close(middle[bin_number], torch.full((20,), expected), atol=1e-3, rtol=0)


def test_silence_is_the_floor_with_a_finite_derivative():
    x = torch.zeros(1, 1, 1024, requires_grad=True)
    seen = spectrum_of(x)
    assert torch.allclose(seen, torch.full_like(seen, scaled(FLOOR**2)))
    (gradient,) = torch.autograd.grad(seen.sum(), x)
    assert torch.equal(gradient, torch.zeros_like(gradient))


def test_the_spectrum_is_taken_in_full_precision_under_autocast():
    x = torch.randn(2, 1, 1024) * 0.1
    judge = SpectrogramDiscriminator(1024, 8000, width=2)
    plain = judge.log_spectrum(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(judge.log_spectrum(x), plain)


@pytest.mark.parametrize(
    ("length", "sample_rate_hz"), [(256, 4000), (1024, 8000), (4096, 8000), (16384, 16000)]
)
@pytest.mark.parametrize("classes", [0, 3])
def test_two_logits_a_sound_whose_gradient_penalty_can_be_differentiated(length, sample_rate_hz, classes):
    spec = Spec({"length": length, "sample_rate_hz": sample_rate_hz})
    judges = WaveformAndSpectrogramDiscriminator(spec, width=2, shuffle=1, per_example=True, classes=classes)
    x = (torch.randn(3, 1, length) * 0.1).requires_grad_()
    logits = judges(x, torch.tensor([0, 1, 2]) if classes else None)
    assert logits.shape == (3, 2)
    (gradient,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    parts = torch.autograd.grad(gradient.square().sum(), list(judges.parameters()), allow_unused=True)
    assert sum(g is not None and g.abs().sum() > 0 for g in parts) >= 8
    assert all(g is None or g.isfinite().all() for g in parts)


def test_each_sound_is_judged_by_itself():
    spec = Spec({"length": 1024, "sample_rate_hz": 8000})
    judges = WaveformAndSpectrogramDiscriminator(spec, width=2, shuffle=1, per_example=True, classes=0).eval()
    x = torch.randn(4, 1, 1024)
    torch.testing.assert_close(judges(x)[:1], judges(x[:1]), atol=1e-5, rtol=1e-5)
