"""The lapped transform is orthonormal, goes back, and puts a tone where it belongs."""

import math

import pytest
import torch
from gancore_audio.vae import MDCT, n_mdct_bands


@pytest.mark.parametrize(("length", "bands"), [(64, 4), (96, 8), (64, 32)])
def test_it_is_orthonormal(length, bands):
    lapped = MDCT(length, bands).double()
    every = torch.eye(length, dtype=torch.float64)[:, None]
    matrix = lapped(every).flatten(1)
    torch.testing.assert_close(matrix @ matrix.T, every[:, 0], rtol=0, atol=1e-6)  # made in fp32
    torch.testing.assert_close(lapped.inverse(lapped(every)), every, rtol=0, atol=1e-6)


def test_it_is_the_formula():
    length, bands = 24, 4
    x = torch.randn(length, generator=torch.Generator().manual_seed(0))
    found, last = MDCT(length, bands)(x[None, None]), length // bands - 1
    for k in range(bands):
        for frame in range(last + 1):
            wanted = 0.0
            for n in range(-bands // 2, 3 * bands // 2):
                window = math.sin(math.pi / (2 * bands) * (n + bands / 2 + 0.5))
                if (frame == 0 and n < bands / 2) or (frame == last and n >= bands / 2):
                    window = float(0 <= n < bands)
                wave = math.cos(math.pi / bands * (n + 0.5) * (k + 0.5))
                wanted += (
                    math.sqrt(2 / bands) * window * (x[frame * bands + n].item() if window else 0) * wave
                )
            assert found[0, k, frame].item() == pytest.approx(wanted, abs=1e-5)


def test_a_tone_lies_in_its_band_and_a_click_in_its_frames():
    length, bands = 4096, 128
    lapped, time = MDCT(length, bands), torch.arange(length)
    tone = torch.sin(2 * math.pi * 10.5 / (2 * bands) * time)[None, None]
    energy = lapped(tone)[0, :, 1:-1].square().sum(1)
    assert energy[9:13].sum() > 0.99 * energy.sum()
    click = torch.zeros(1, 1, length)
    click[..., 1000] = 1.0
    frames = lapped(click)[0].square().sum(0)
    assert frames[7:9].sum().item() == pytest.approx(1, abs=1e-5)  # 1000 lies 24 before the border of these


def test_frames_are_16_ms_apart_but_sixteen_at_least():
    assert n_mdct_bands(4096, 8000) == 128 and n_mdct_bands(65536, 16000) == 256
    assert n_mdct_bands(256, 8000) == 16 and 1024 // n_mdct_bands(1024, 48000) == 16
