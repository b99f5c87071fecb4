"""Each measure on cases whose answer is known."""

from __future__ import annotations

import pytest
import torch
from gancore_audio.mel_metrics import (
    _CACHE_SIZE,
    describe_rows,
    log_mel_moments,
    log_mel_spectra,
    mean_pairwise_distances,
    mel_distance,
    mel_diversity,
    mel_frechet,
    pairwise_distance,
)
from refusals import refused

from gancore import MetricInputs, Spec
from gancore.metrics.frechet import frechet_distance

SPEC = Spec({"sample_rate_hz": 8000})
random = torch.Generator().manual_seed(0)
LOUDNESS = torch.rand(24, 1, 1, generator=random) * 0.2 + 0.2
SOUNDS = LOUDNESS * torch.randn(24, 1, 2048, generator=random)


def inputs(fake, real):
    return MetricInputs.from_samples(fake, real, SPEC)


def test_a_set_is_at_no_distance_from_itself_and_as_diverse():
    assert mel_distance.compute(inputs(SOUNDS, SOUNDS)) == 0
    assert mel_frechet.compute(inputs(SOUNDS, SOUNDS)) == pytest.approx(0, abs=1e-6)
    assert mel_diversity.compute(inputs(SOUNDS, SOUNDS)) == 1


def test_double_the_amplitude_is_6_02_db_away():
    assert mel_distance.compute(inputs(2 * SOUNDS, SOUNDS)) == pytest.approx(6.0206, abs=1e-3)
    # all 32 means move by that, no deviation does
    assert mel_frechet.compute(inputs(2 * SOUNDS, SOUNDS)) == pytest.approx(32 * 6.0206**2, rel=1e-3)


def test_the_mean_distance_is_that_of_all_pairs():
    x = log_mel_spectra(SOUNDS, 8000)
    pairs = [(a - b).square().mean().sqrt() for i, a in enumerate(x) for b in x[:i]]
    assert pairwise_distance(x) == pytest.approx(float(torch.stack(pairs).mean()), rel=1e-9)
    alone = [float((x[:1] - x[1:]).square().mean((1, 2)).sqrt().mean())]
    assert mean_pairwise_distances(x)[0] == pytest.approx(alone[0], rel=1e-9)
    with refused(ValueError, 2, 1):
        pairwise_distance(x[:1])


def test_hiss_under_60_db_is_not_told_from_silence_and_hiss_above_it_is():
    hiss = torch.randn(8, 1, 2048, generator=torch.Generator().manual_seed(2))
    silence = torch.zeros(8, 1, 2048)
    assert mel_distance.compute(inputs(1e-4 * hiss, silence)) == 0
    assert mel_distance.compute(inputs(1e-2 * hiss, silence)) > 1


def test_one_sound_again_and_again_has_no_diversity():
    assert mel_diversity.compute(inputs(SOUNDS[:1].repeat(8, 1, 1), SOUNDS)) == 0


def test_two_groups_of_equal_sounds_have_half_the_diversity_of_their_pair():
    pair = SOUNDS[:2]
    four_and_four = pair.repeat(4, 1, 1)
    # 16 of the 28 pairs are of different sounds
    assert mel_diversity.compute(inputs(four_and_four, pair)) == pytest.approx(16 / 28, rel=1e-3)


def test_more_diverse_than_the_reference_counts_as_one():
    assert mel_diversity.compute(inputs(SOUNDS, SOUNDS[:2] * torch.tensor([1.0, 1.001])[:, None, None])) <= 1


def test_measures_do_not_depend_on_the_order_of_samples():
    order = torch.randperm(len(SOUNDS), generator=torch.Generator().manual_seed(1))
    for measure in (mel_distance, mel_diversity, mel_frechet):
        straight, shuffled = (measure.compute(inputs(x, 0.5 * SOUNDS[:12])) for x in (SOUNDS, SOUNDS[order]))
        assert shuffled == pytest.approx(straight, rel=1e-6)


def test_the_frechet_distance_is_the_core_s_on_log_mel_moments():
    louder = 0.5 * SOUNDS[:12]
    expected = frechet_distance(log_mel_moments(SOUNDS, 8000), log_mel_moments(louder, 8000))
    assert mel_frechet.compute(inputs(louder, SOUNDS)) == pytest.approx(expected, rel=1e-9)


def test_frechet_grows_with_noise_and_falls_with_likeness():
    louder = [mel_frechet.compute(inputs(SOUNDS * gain, SOUNDS)) for gain in (1.0, 1.2, 1.5, 3.0)]
    assert louder == sorted(louder)
    assert log_mel_moments(SOUNDS, 8000).shape == (24, 64)


def test_a_set_is_described_once_and_others_anew():
    described = []

    def describe(waveforms, sample_rate_hz):
        described.append(len(waveforms))
        return waveforms.flatten(1).mean(1, keepdim=True)

    first = describe_rows(describe, SOUNDS, 8000)
    assert torch.equal(describe_rows(describe, SOUNDS.clone(), 8000), first) and described == [24]
    assert torch.equal(describe_rows(describe, SOUNDS[5:9], 8000), first[5:9]) and described == [24]
    assert not torch.equal(describe_rows(describe, -SOUNDS, 8000), first)
    describe_rows(describe, SOUNDS, 16000)
    assert described == [24, 24, 24]
    for number in range(_CACHE_SIZE):
        describe_rows(describe, SOUNDS[: 2 + number] + number + 1, 8000)
    assert describe_rows(describe, SOUNDS, 8000) is not first and described[-1] == 24
