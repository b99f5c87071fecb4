"""The synthesised set is what it says: pitched as named, eight kinds of sound, clean, the same each time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gancore_audio.mel import log_mel
from gancore_audio.percussion import CLASSES, PEAK, SAMPLE_RATE_HZ, synthesize
from numpy.typing import NDArray


@pytest.fixture(scope="module")
def clips() -> list[tuple[str, str, NDArray[np.float32]]]:
    return list(synthesize(count_per_class=32, seed=3))


def pitch_by_autocorrelation(clip: NDArray[np.float32], low_hz: float, high_hz: float) -> float:
    n = len(clip)
    power = np.abs(np.fft.rfft(clip.astype(np.float64), 2 * n)) ** 2
    unbiased = np.fft.irfft(power)[:n] / (n - np.arange(n))
    first, last = int(SAMPLE_RATE_HZ / high_hz), int(SAMPLE_RATE_HZ / low_hz)
    lag = first + int(np.argmax(unbiased[first : last + 1]))
    before, at, after = unbiased[lag - 1 : lag + 2]
    return SAMPLE_RATE_HZ / (lag + 0.5 * (before - after) / (before - 2 * at + after))


def test_plucked_strings_sound_at_the_pitch_in_their_name(clips):
    plucked = [(name, clip) for name, kind, clip in clips if kind.startswith("pluck")]
    assert len(plucked) == 64
    for name, clip in plucked:
        named = float(name.rsplit("-", 1)[1].removesuffix("hz"))
        # a window of less than an octave on either side of the class's range
        heard = pitch_by_autocorrelation(clip, *((90, 210) if "low" in name else (300, 700)))
        assert heard == pytest.approx(named, rel=0.01), name


def test_a_tiny_classifier_tells_the_eight_classes_apart(clips):
    padded = np.stack([np.pad(clip[:4096], (0, max(0, 4096 - len(clip)))) for _, _, clip in clips])
    spectra = log_mel(torch.from_numpy(padded), SAMPLE_RATE_HZ).mean(2)
    truth = torch.tensor([CLASSES.index(kind) for _, kind, _ in clips])
    learned = torch.arange(len(clips)) % 2 == 0
    centroids = torch.stack([spectra[learned & (truth == k)].mean(0) for k in range(len(CLASSES))])
    guessed = torch.cdist(spectra[~learned], centroids).argmin(1)
    assert (guessed == truth[~learned]).float().mean() > 0.9


def test_clips_are_clean_and_of_the_stated_lengths(clips):
    lengths = np.array([len(clip) for _, _, clip in clips]) / SAMPLE_RATE_HZ
    assert lengths.min() >= 0.1 and lengths.max() <= 0.5
    assert np.mean(lengths <= 4096 / SAMPLE_RATE_HZ) > 0.75
    for name, _, clip in clips:
        assert clip.dtype == np.float32 and np.isfinite(clip).all()
        assert np.abs(clip).max() == pytest.approx(PEAK, abs=1e-6), name
        assert np.sqrt(np.mean(clip**2)) > 0.03, name
        assert clip[0] == 0 and abs(clip[1]) < 0.02 and abs(clip[-1]) < 0.001, name


def test_no_two_clips_of_a_class_are_alike(clips):
    for kind in CLASSES:
        spectra = torch.stack(
            [log_mel(torch.from_numpy(c[None, :1600]), SAMPLE_RATE_HZ)[0] for _, k, c in clips if k == kind]
        )
        assert torch.pdist(spectra.flatten(1)).min() / spectra[0].numel() ** 0.5 > 1.0, kind  # dB


def test_the_set_is_a_function_of_seed_class_and_number(clips):
    smaller = list(synthesize(count_per_class=2, seed=3))
    longer = {name: clip for name, _, clip in clips}
    assert [kind for _, kind, _ in smaller] == [kind for kind in CLASSES for _ in range(2)]
    assert all(np.array_equal(longer[name], clip) for name, _, clip in smaller)
    other = next(iter(synthesize(count_per_class=1, seed=4)))[2]
    assert not np.array_equal(smaller[0][2][:1600], other[:1600])
