"""When sounds begin: known onsets, silence before sounds, and sets that begin alike."""

from __future__ import annotations

import pytest
import torch
from gancore_audio.signal_metrics import onset_distance, onsets_ms
from torch import Tensor
from torch.nn.functional import pad

from gancore import MetricInputs, Spec

RATE_HZ, TIME = 8000, 4096
SPEC = Spec({"sample_rate_hz": RATE_HZ})


def tones(n: int, seed: int = 0, late_ms: float = 0.0) -> Tensor:
    """Decaying tones after 5 to 25 ms of silence."""
    random = torch.Generator().manual_seed(seed)
    begin = 0.005 + 0.02 * torch.rand(n, 1, 1, generator=random) + late_ms / 1000
    pitch = 200 + 400 * torch.rand(n, 1, 1, generator=random)
    time = torch.arange(TIME) / RATE_HZ - begin
    return (time >= 0) * torch.exp(-time.clamp_min(0) / 0.08) * torch.cos(6.2832 * pitch * time)


def measured(fake: Tensor, real: Tensor) -> float:
    return onset_distance.compute(MetricInputs.from_samples(fake, real, SPEC))


def test_an_onset_is_where_the_first_hundredth_of_the_energy_ends():
    clicks = torch.zeros(3, 1, 800)
    clicks[0, 0, 80] = 0.01  # a ten-thousandth of what follows
    clicks[0, 0, 400] = clicks[1, 0, 0] = 1.0
    assert onsets_ms(clicks, RATE_HZ)[:, 0].tolist() == [50.0, 0.0, 100.0]


def test_a_gain_moves_no_onset():
    assert torch.equal(onsets_ms(tones(20), RATE_HZ), onsets_ms(0.25 * tones(20), RATE_HZ))


@pytest.mark.parametrize("milliseconds", [20, 50, 100])
def test_silence_first_is_as_far_as_it_is_long(milliseconds):
    late = pad(tones(200), (milliseconds * RATE_HZ // 1000, 0))[..., :TIME]
    assert measured(late, tones(200)) == pytest.approx(milliseconds, abs=0.5)
    assert measured(tones(200), tones(200)) == 0


def test_fifty_milliseconds_are_seen_beyond_the_interval_of_clean_sounds():
    real, others, late = tones(300), tones(300, seed=1), tones(300, seed=1, late_ms=50)
    reading = onset_distance.interval(MetricInputs.from_samples(late, real, SPEC))
    clean = onset_distance.interval(MetricInputs.from_samples(others, real, SPEC))
    assert reading.low > clean.high and measured(late, real) > 10 * measured(others, real)


def test_its_interval_holds_what_other_sets_give():
    values = [measured(tones(100, seed=2 * k), tones(100, seed=2 * k + 1, late_ms=10)) for k in range(40)]
    truth = sum(values) / len(values)
    bounds = [
        onset_distance.interval(
            MetricInputs.from_samples(tones(100, seed=k), tones(100, seed=90 + k, late_ms=10), SPEC)
        )
        for k in range(20)
    ]
    assert sum(b.low <= truth <= b.high for b in bounds) >= 17
