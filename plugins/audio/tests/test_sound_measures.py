"""Each measure on cases whose answer is known."""

from __future__ import annotations

import pytest
import torch
from gancore_audio.measures import clip_features, frechet, mel_distance, mel_diversity, mel_frechet
from scipy import linalg

from gancore import Evidence, Spec

SPEC = Spec({"rate_hz": 8000})
random = torch.Generator().manual_seed(0)
LOUDNESS = torch.rand(24, 1, 1, generator=random) * 0.2 + 0.2
SOUNDS = LOUDNESS * torch.randn(24, 1, 2048, generator=random)


def evidence(fake, real):
    return Evidence.of(fake, real, SPEC)


def test_a_set_is_at_no_distance_from_itself_and_as_diverse():
    assert mel_distance.compute(evidence(SOUNDS, SOUNDS)) == 0
    assert mel_frechet.compute(evidence(SOUNDS, SOUNDS)) == pytest.approx(0, abs=1e-6)
    assert mel_diversity.compute(evidence(SOUNDS, SOUNDS)) == 1


def test_double_the_amplitude_is_6_02_db_away():
    assert mel_distance.compute(evidence(2 * SOUNDS, SOUNDS)) == pytest.approx(6.0206, abs=1e-3)
    # all 32 means move by that, no deviation does
    assert mel_frechet.compute(evidence(2 * SOUNDS, SOUNDS)) == pytest.approx(32 * 6.0206**2, rel=1e-3)


def test_hiss_under_60_db_is_not_told_from_silence_and_hiss_above_it_is():
    hiss = torch.randn(8, 1, 2048, generator=torch.Generator().manual_seed(2))
    silence = torch.zeros(8, 1, 2048)
    assert mel_distance.compute(evidence(1e-4 * hiss, silence)) == 0
    assert mel_distance.compute(evidence(1e-2 * hiss, silence)) > 1


def test_one_sound_again_and_again_has_no_diversity():
    assert mel_diversity.compute(evidence(SOUNDS[:1].repeat(8, 1, 1), SOUNDS)) == 0


def test_two_groups_of_equal_sounds_have_half_the_diversity_of_their_pair():
    pair = SOUNDS[:2]
    four_and_four = pair.repeat(4, 1, 1)
    # 16 of the 28 pairs are of different sounds
    assert mel_diversity.compute(evidence(four_and_four, pair)) == pytest.approx(16 / 28, rel=1e-3)


def test_more_diverse_than_the_reference_counts_as_one():
    assert (
        mel_diversity.compute(evidence(SOUNDS, SOUNDS[:2] * torch.tensor([1.0, 1.001])[:, None, None], SPEC))
        <= 1
    )


def test_measures_do_not_depend_on_the_order_of_samples():
    order = torch.randperm(len(SOUNDS), generator=torch.Generator().manual_seed(1))
    for measure in (mel_distance, mel_diversity, mel_frechet):
        straight, shuffled = (
            measure.compute(evidence(x, 0.5 * SOUNDS[:12])) for x in (SOUNDS, SOUNDS[order])
        )
        assert shuffled == pytest.approx(straight, rel=1e-6)


def test_frechet_of_gaussians_with_a_known_answer():
    n = 100_000
    generator = torch.Generator().manual_seed(0)
    white, other = (torch.randn(n, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    deviations, shift = torch.tensor([1.0, 2.0, 0.5]), torch.tensor([0.0, 1.0, -2.0])
    # commuting covariances: |shift|^2 + sum (1 - deviation)^2
    truth = float(shift.square().sum() + (1 - deviations).square().sum())
    assert frechet(white, other * deviations + shift) == pytest.approx(truth, rel=0.02)
    # a rotation of both changes nothing, though the covariance is then full
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))[0]
    assert frechet(white @ rotation, (other * deviations + shift) @ rotation) == pytest.approx(
        truth, rel=0.02
    )


def test_frechet_sees_a_correlation_that_the_variances_do_not():
    n, rho = 100_000, 0.8
    generator = torch.Generator().manual_seed(0)
    white, other = (torch.randn(n, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    correlated = torch.stack([other[:, 0], rho * other[:, 0] + (1 - rho**2) ** 0.5 * other[:, 1]], dim=1)
    # eigenvalues 1 +- rho against 1: sum of (1 - sqrt(eigenvalue))^2
    truth = (1 - (1 + rho) ** 0.5) ** 2 + (1 - (1 - rho) ** 0.5) ** 2
    assert frechet(white, correlated) == pytest.approx(truth, rel=0.03)


def test_frechet_agrees_with_the_matrix_root_of_scipy():
    generator = torch.Generator().manual_seed(0)
    a, b = (
        torch.randn(4000, 6, generator=generator, dtype=torch.float64)
        @ torch.randn(6, 6, generator=generator, dtype=torch.float64)
        for _ in range(2)
    )
    weight = 6 / 4006
    covariances = [(1 - weight) * (c := x.T.cov()) + weight * c.diagonal().diag() for x in (a, b)]
    cross = linalg.sqrtm((covariances[0] @ covariances[1]).numpy()).real
    truth = (a.mean(0) - b.mean(0)).square().sum() + sum(c.trace() for c in covariances) - 2 * cross.trace()
    assert frechet(a, b) == pytest.approx(float(truth), rel=1e-9)


def test_frechet_grows_with_noise_and_falls_with_likeness():
    louder = [mel_frechet.compute(evidence(SOUNDS * gain, SOUNDS)) for gain in (1.0, 1.2, 1.5, 3.0)]
    assert louder == sorted(louder)
    assert clip_features(SOUNDS, 8000).shape == (24, 64)
