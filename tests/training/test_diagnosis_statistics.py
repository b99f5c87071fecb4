"""The statistics behind the verdicts agree with their closed forms, and with independent implementations."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import signal, stats
from torch import Tensor

from gancore.domain import Diagnostic
from gancore.training.diagnosis import Diagnosis, scalars
from gancore.training.diagnosis.diversity import NEIGHBOUR, expected_uncovered_share, uncovered_share
from gancore.training.diagnosis.oscillation import (
    WINDOW,
    detrended,
    fisher_p,
    periodogram,
    red_noise,
    widest_swing,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


@pytest.mark.parametrize("level", [0.5, 0.1, 0.01])
def test_fishers_test_has_its_level_on_white_noise(level: float) -> None:
    """Of 4,000 white series the share with p below the level is the level, within 4 standard errors."""
    series = normal(4000, WINDOW)
    ordinates = torch.stack([periodogram(row) for row in series])
    p = [fisher_p(float(g), ordinates.shape[1]) for g in ordinates.max(1).values / ordinates.sum(1)]
    share = sum(x < level for x in p) / len(p)
    assert abs(share - level) < 4 * math.sqrt(level * (1 - level) / len(p))


@pytest.mark.parametrize("n", [10, 31])
def test_fishers_tail_is_the_tabulated_one(n: int) -> None:
    """The 5 % point of g for 10 ordinates is 0.445 (Fisher 1929); further out the first term rules."""
    if n == 10:
        assert fisher_p(0.44495, 10) == pytest.approx(0.05, abs=2e-4)
    assert fisher_p(0.6, n) == pytest.approx(n * 0.4 ** (n - 1), rel=1e-3)


@pytest.mark.parametrize("n", [63, 64])
def test_trend_and_periodogram_are_those_of_scipy(n: int) -> None:
    series = normal(3, n).cumsum(1)
    assert torch.allclose(detrended(series), torch.from_numpy(signal.detrend(series.numpy())))
    _, theirs = signal.periodogram(series[0].numpy(), detrend=False, scaling="spectrum")
    ours = periodogram(series[0])
    ratio = ours / torch.from_numpy(theirs[1 : len(ours) + 1].copy())
    assert torch.allclose(ratio, ratio[0].expand_as(ratio))


def wandering(seed: int, looks: int, correlation: float, axes: int = 3) -> Tensor:
    """AR(1), (looks, axes)."""
    shocks, path = normal(looks, axes, seed=seed), [torch.zeros(axes, dtype=torch.float64)]
    for shock in shocks:
        path.append(correlation * path[-1] + shock)
    return torch.stack(path[1:])


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9, 0.98])
def test_red_noise_shows_no_period(correlation: float) -> None:
    """200 wanderings of every memory: none is taken for a period at the level of 1e-4."""
    marked = [widest_swing(wandering(seed, WINDOW, correlation)).p_value < 1e-4 for seed in range(200)]
    assert sum(marked) == 0


@pytest.mark.parametrize("period", [3.1, 7.0, 20.0])
def test_a_tone_stands_out_from_red_noise_at_its_own_period(period: float) -> None:
    time = torch.arange(WINDOW, dtype=torch.float64)
    circle = torch.stack([(2 * math.pi * time / period).cos(), (2 * math.pi * time / period).sin()], 1)
    seen = widest_swing(circle + 0.2 * wandering(1, WINDOW, 0.5, 2))
    assert seen.p_value < 1e-4 and seen.period == pytest.approx(period, rel=0.15)
    assert seen.amplitude == pytest.approx(1.0, rel=0.25) and seen.recurs
    tone = (
        2 * math.pi * time / 8
    ).cos()  # its lag-1 correlation is cos(2 pi / 8): the background there is the mean
    background = red_noise(tone) / red_noise(tone).mean()
    assert float(background[WINDOW // 8 - 1]) == pytest.approx(1.0, rel=0.2)


def test_what_dies_out_or_only_drifts_does_not_return() -> None:
    time = torch.arange(WINDOW, dtype=torch.float64).unsqueeze(1)
    assert not widest_swing((0.96**time) * (2 * math.pi * time / 8).cos()).recurs
    assert not widest_swing((time / 20).exp() + 0.01 * normal(WINDOW, 1)).recurs


def test_coverage_of_equal_distributions_is_the_closed_form() -> None:
    """Naeem et al. 2020, section 3.3, and the hypergeometric law: the k nearest of the others are real."""
    n, m, lost = 128, 256, []
    for seed in range(200):
        real, fake = normal(n, 2, seed=seed), normal(m, 2, seed=10_000 + seed)
        radius = torch.cdist(real, real).kthvalue(NEIGHBOUR + 1, dim=1).values
        lost.append(float((torch.cdist(real, fake).min(1).values > radius).double().mean()))
    expected = expected_uncovered_share(n, m, NEIGHBOUR)
    error = torch.tensor(lost).std() / math.sqrt(len(lost))
    assert abs(sum(lost) / len(lost) - expected) < 4 * error
    assert expected_uncovered_share(256, 256, 5) == pytest.approx(stats.hypergeom(511, 255, 5).pmf(5))


def ring(rows: int, modes: list[int], std: float, seed: int) -> Tensor:
    """A ring of eight of which only ``modes`` are drawn."""
    which = torch.tensor(modes)[torch.randint(len(modes), (rows,), generator=generator(seed))]
    angle = which * (2 * math.pi / 8)
    return 2 * torch.stack([angle.cos(), angle.sin()], 1) + std * torch.randn(
        rows, 2, generator=generator(seed + 1)
    )


@pytest.mark.parametrize("missing", [2, 4, 6])
@pytest.mark.parametrize("std", [0.05, 0.2])
def test_the_lost_share_is_the_mass_of_the_missing_modes_however_blurred_the_others(
    missing: int, std: float
) -> None:
    real = ring(256, list(range(8)), 0.05, seed=1)
    fake = ring(256, list(range(8 - missing)), std, seed=3)
    assert uncovered_share(real, fake) == pytest.approx(missing / 8, abs=0.06)


def test_blurred_or_distant_samples_lose_nothing() -> None:
    real = ring(256, list(range(8)), 0.05, seed=1)
    for fake in (ring(256, list(range(8)), 0.4, 3), torch.randn(256, 2, generator=generator(4)), real + 30):
        assert uncovered_share(real, fake) < 0.05


def test_ids_are_compared_by_the_share_that_differs() -> None:
    """Two of four sentences are never written."""
    sentences = torch.randint(0, 50, (4, 20), generator=generator(1))

    def written(which: int, seed: int) -> Tensor:
        rows = sentences[torch.randint(which, (128,), generator=generator(seed))].clone()
        slips = torch.rand(rows.shape, generator=generator(seed + 1)) < 0.05
        return torch.where(slips, torch.randint(0, 50, rows.shape, generator=generator(seed + 2)), rows)

    assert uncovered_share(written(4, 10), written(2, 20)) == pytest.approx(0.5, abs=0.12)
    assert uncovered_share(written(4, 10), written(4, 30)) < 0.05


def said(train: Tensor, valid: Tensor, fake: Tensor) -> list[Diagnostic]:
    diagnosis = Diagnosis()
    return [finding for _ in range(3) for finding in diagnosis.check_discriminator(train, valid, fake)]


def test_r_v_is_karras_heuristic_and_must_be_sure() -> None:
    """Equation 1 with means 2, 1 and -1 is 1/3. Of few rows the same means say nothing."""
    train, valid, fake = (normal(200, seed=seed) for seed in range(3))
    train, valid, fake = (x - x.mean() + mean for x, mean in ((train, 2.0), (valid, 1.0), (fake, -1.0)))
    (finding,) = said(train, valid, fake)
    assert finding.name == "memorising discriminator" and "r_v = 0.33" in finding.message
    assert "mean logits 2.00 and 1.00, of generated rows -1.00" in finding.message
    assert said(train[:20], valid[:20], fake[:20]) == []
    assert said(train, train + 0.01 * valid, fake) == []
    assert said(valid, train, fake) == []  # it likes the held-out rows better


def test_welchs_error_is_that_of_scipy() -> None:
    """The difference of means, in the errors by which it is judged, flips the verdict at 3.5."""
    train, valid = normal(100, seed=1), 3 * normal(60, seed=2)
    for wanted, failed in ((3.4, False), (3.6, True)):
        error = (train.mean() - valid.mean()) / stats.ttest_ind(train, valid, equal_var=False).statistic
        shifted = train - train.mean() + valid.mean() + wanted * error
        (check,) = scalars.discriminator_checks(shifted, valid, valid.mean() - 1 + 0.01 * normal(100))
        assert check.failed is failed


def test_equal_rows_raise_no_alarm() -> None:
    """A thousand looks at a discriminator that knows nothing: 3.5 standard errors are 2e-4 each."""
    held = 0
    for seed in range(1000):
        train, valid, fake = normal(3, 256, seed=seed)
        (check,) = scalars.discriminator_checks(train, valid, fake - 1)
        held += check.failed
    assert held <= 2


def test_a_part_that_is_lost_in_most_of_three_evaluations_is_told_once_and_a_passing_loss_never() -> None:
    whole, half = ring(256, list(range(8)), 0.05, seed=3), ring(256, list(range(4)), 0.05, seed=5)

    def result(*evaluations: Tensor) -> list[int]:
        diagnosis = Diagnosis()
        diagnosis.set_reference(ring(256, list(range(8)), 0.05, seed=1))
        return [len(diagnosis.check_coverage(samples)) for samples in evaluations]

    assert result(half, half, half, half, half) == [0, 0, 0, 1, 0]
    assert result(half, whole, half, half, whole, half) == [0, 0, 0, 1, 0, 0]
    assert result(half, half, whole, whole, whole, whole) == [0] * 6
    assert result(*[half[:16]] * 6) == [0] * 6  # too few to tell


def seen_in(path: Tensor, reference: Tensor) -> list[tuple[int, Diagnostic]]:
    """What motion says of samples that lie about this path, a look every ten steps."""
    diagnosis = Diagnosis()
    diagnosis.set_reference(reference)
    cloud = normal(16, path.shape[1], seed=9)
    found = [
        (step, diagnosis.check_motion(10 * step, cloud - cloud.mean(0) + place))
        for step, place in enumerate(path)
    ]
    return [(step, finding) for step, findings in found for finding in findings]


def circling(period: float, radius: float, looks: int = 200) -> Tensor:
    angle = torch.arange(looks, dtype=torch.float64) * (2 * math.pi / period)
    return radius * torch.stack([angle.cos(), angle.sin()], 1)


@pytest.mark.parametrize(("period", "from_look"), [(5.0, WINDOW), (16.0, WINDOW), (60.0, 3 * WINDOW - 2)])
def test_a_steady_circle_is_told_as_soon_as_it_has_been_seen_long_enough(
    period: float, from_look: int
) -> None:
    """Fast ones in the last 64 looks, slow ones in the whole of a run; after five looks that say so."""
    ((step, finding),) = seen_in(circling(period, 2.0), normal(256, 2))
    assert step == from_look + 3 and finding.name == "oscillation"
    assert float(finding.message.split("about ")[1].split()[0]) == pytest.approx(10 * period, rel=0.15)
    assert finding.message.endswith("by 1.4 standard deviations of the data")


def test_a_narrow_circle_a_damped_one_and_one_of_ids_are_left_alone() -> None:
    time = torch.arange(200, dtype=torch.float64).unsqueeze(1)
    assert seen_in(circling(8.0, 0.3), normal(256, 2)) == []
    assert seen_in(circling(8.0, 5.0) * 0.98**time, normal(256, 2)) == []
    assert seen_in(circling(8.0, 2.0) * 1e-3 + 5 * (-time / 5).exp(), torch.zeros(64, 2)) == []
    ids = (circling(8.0, 20.0) + 30).long()
    diagnosis = Diagnosis()
    diagnosis.set_reference(ids)
    assert [diagnosis.check_motion(step, row.expand(16, -1)) for step, row in enumerate(ids)] == [[]] * len(
        ids
    )


def test_long_samples_are_projected_without_losing_their_swing() -> None:
    """A circle in 3,000 dimensions."""
    plane = torch.linalg.qr(normal(3000, 2, seed=3))[0]
    rows = normal(256, 2) @ plane.T
    ((_, finding),) = seen_in(circling(12.0, 2.0) @ plane.T, rows)
    assert "standard deviations" in finding.message


def test_samples_that_were_thrown_far_off_at_first_are_seen_to_turn_later() -> None:
    path = circling(8.0, 2.0)
    path[:10] += 100.0
    assert [finding.name for _, finding in seen_in(path, normal(256, 2))] == ["oscillation"]
