"""The watch sees each fault in a series that has it, once, and none in healthy ones."""

import math
import random
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import torch

from gancore.domain import Diagnostic
from gancore.training.diagnosis import Diagnosis


def watch(series: Iterable[dict[str, Any]]) -> list[tuple[int, Diagnostic]]:
    diagnosis = Diagnosis()
    return [
        (step, found) for step, row in enumerate(series, 1) for found in diagnosis.check_scalars(step, row)
    ]


def healthy(seed: int, reports: int = 400) -> Iterator[dict[str, float]]:
    """A run that learns: losses fall and settle, gradients shrink tenfold, D wavers about .6 and .4."""
    noise = random.Random(seed).gauss
    for t in range(reports):
        decay = math.exp(-t / 60)
        yield {
            "discriminator/loss": 1.2 + 0.3 * decay + noise(0, 0.1),
            "generator/loss": 0.9 + 2 * decay + noise(0, 0.15),
            "D(real)": min(1.0, max(0.0, 0.6 + 0.3 * decay + noise(0, 0.05))),
            "D(fake)": min(1.0, max(0.0, 0.4 - 0.3 * decay + noise(0, 0.05))),
            "generator/gradient_norm": (0.1 + decay) * math.exp(noise(0, 0.5)),
            "discriminator/gradient_norm": (0.1 + decay) * math.exp(noise(0, 0.5)),
            "generator/masked": 0.0,
        }


@pytest.mark.parametrize("seed", range(25))
def test_a_healthy_run_raises_no_alarm(seed: int) -> None:
    assert watch(healthy(seed)) == []


@pytest.mark.parametrize("seed", range(10))
def test_a_healthy_critic_without_bounds_raises_no_alarm(seed: int) -> None:
    """Wasserstein: scores of any size; the loss rises fast, falls slowly, and is as noisy as it is large."""
    noise = random.Random(seed).gauss
    series = []
    for t in range(400):
        gap = 30 * (1 - math.exp(-t / 5)) * math.exp(-t / 150) * (1 + noise(0, 0.15))
        shift = noise(0, 5)
        norm = math.exp(noise(0, 1)) * (1 if t < 200 else 1e-4)
        series.append(
            {
                "discriminator/loss": -gap + 1,
                "generator/loss": -shift,
                "D(real)": gap + shift,
                "D(fake)": shift,
                "generator/gradient_norm": norm,
            }
        )
    assert watch(series) == []


def test_a_nan_is_told_once_until_it_is_gone() -> None:
    def loss(step: int) -> float:
        return math.nan if step in (5, 6, 7, 40) else 1.0

    found = watch({"generator/loss": loss(step)} for step in range(1, 60))
    assert [(step, finding.name) for step, finding in found] == [
        (5, "non-finite values"),
        (40, "non-finite values"),
    ]
    assert "generator/loss is nan" in found[0][1].message and "fp32" in found[0][1].fix


def test_skipped_updates_are_counted() -> None:
    found = watch({"discriminator/masked": 0.125 if step > 3 else 0.0} for step in range(1, 20))
    assert len(found) == 1
    assert "12.5% of discriminator's updates had a non-finite gradient" in found[0][1].message


def answers(real: float, fake: float, norm: float = 1.0) -> dict[str, float]:
    return {"D(real)": real, "D(fake)": fake, "generator/gradient_norm": norm}


def test_a_discriminator_that_wins_is_told_with_figures() -> None:
    series = [answers(0.7, 0.3)] * 20 + [answers(0.998, 0.002)] * 30
    ((step, finding),) = watch(series)
    assert (step, finding.name) == (30, "discriminator wins")
    assert "0.9980" in finding.message and "0.0020" in finding.message and "penalty" in finding.fix


def test_a_discriminator_that_wins_now_and_then_is_none() -> None:
    assert watch(([answers(0.998, 0.002)] * 8 + [answers(0.9, 0.1)] * 2) * 20) == []


def test_it_is_told_again_when_it_came_back() -> None:
    series = ([answers(0.7, 0.3)] * 20 + [answers(0.998, 0.002)] * 20) * 2
    assert [step for step, _ in watch(series)] == [30, 70]


def test_a_generator_whose_gradient_vanishes_at_once_is_seen() -> None:
    series = [answers(0.7, 0.3, 2.0)] * 20 + [answers(0.96, 0.03, 1e-3)] * 10
    ((step, finding),) = watch(series)
    assert (step, finding.name) == (23, "vanishing generator gradient")
    assert "1.0e-03" in finding.message and "2.0e+00" in finding.message and "non-saturating" in finding.fix


def test_a_gradient_that_takes_the_whole_run_to_vanish_is_seen() -> None:
    """Arjovsky and Bottou 2017, figure 2: the minimax generator loses five decades against a better D."""
    noise = random.Random(1).gauss
    series = [answers(0.96, 0.03, 10 ** (-5 * t / 200 + noise(0, 0.2))) for t in range(200)]
    ((step, finding),) = watch(series)
    assert finding.name == "vanishing generator gradient" and 70 < step < 110


@pytest.mark.parametrize(
    "after",
    [answers(0.96, 0.03, 0.05), answers(0.6, 0.4, 1e-6)],
    ids=["one decade only", "discriminator undecided"],
)
def test_a_small_gradient_alone_is_no_fault(after: dict[str, float]) -> None:
    assert watch([answers(0.7, 0.3, 1.0)] * 20 + [after] * 30) == []


@pytest.mark.parametrize("growth", [1.05, 1.08])
@pytest.mark.parametrize("period", [3.3, 8.0])
def test_swings_that_grow_are_seen(growth: float, period: float) -> None:
    noise = random.Random(2).gauss
    series = [
        {"generator/loss": 1 + 0.05 * growth**t * math.sin(2 * math.pi * t / period) + noise(0, 0.01)}
        for t in range(120)
    ]
    found = watch(series)
    assert [finding.name for _, finding in found] == ["oscillation"]
    assert "generator/loss" in found[0][1].message and "learning rates" in found[0][1].fix


@pytest.mark.parametrize("seed", range(10))
def test_swings_that_do_not_grow_a_new_level_and_growing_noise_about_a_large_loss_are_none(seed: int) -> None:
    noise = random.Random(seed).gauss
    steady = [{"generator/loss": math.sin(t) + noise(0, 0.1)} for t in range(200)]
    raised = [{"generator/loss": (1 if t < 100 else 4) + noise(0, 0.2)} for t in range(200)]
    faint = [{"generator/loss": 700 + 0.1 * 1.05**t * math.sin(t)} for t in range(100)]
    awaking = [{"generator/loss": 0.69 + noise(0, 0.001 if t < 60 else 0.3)} for t in range(200)]
    diverging = [{"generator/loss": 0.01 * 1.1**t} for t in range(100)]
    for series in (steady, raised, faint, awaking, diverging):
        assert watch(series) == []


def test_a_new_phase_starts_afresh() -> None:
    """The pretraining's gradients, a thousand times larger, do not make those that follow vanish."""
    series = [{"phase": "pretraining", **answers(0.95, 0.01, 5000.0)}] * 30
    series += [{"phase": "adversarial", **answers(0.95, 0.01, 1.0)}] * 30
    assert watch(series) == []
    ((_, finding),) = watch({**row, "phase": "one"} for row in series)
    assert finding.name == "vanishing generator gradient"


def waves(rows: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, 2, 50, generator=torch.Generator().manual_seed(seed))


def test_samples_that_are_all_alike_are_told_once() -> None:
    diagnosis = Diagnosis()
    diagnosis.set_reference(waves(40))
    alike = waves(1, seed=1) + 0.02 * waves(16, seed=2)
    found = [diagnosis.check_samples(alike) for _ in range(4)]
    assert [len(findings) for findings in found] == [0, 1, 0, 0]
    (finding,) = found[1]
    assert finding.name == "diversity collapse" and "2.0%" in finding.message


def test_samples_half_as_diverse_as_the_data_and_single_poor_previews_are_no_collapse() -> None:
    diagnosis = Diagnosis()
    diagnosis.set_reference(waves(40))
    alike = waves(1).expand(16, -1, -1)
    for tree in (waves(16, 1) * 0.5, alike, waves(16, 2) * 0.2, alike, waves(16, 3)):
        assert diagnosis.check_samples(tree) == []


def test_repeated_ids_are_a_collapse_and_a_constant_mask_is_none() -> None:
    draw = torch.Generator().manual_seed(0)
    ids, mask = torch.randint(0, 9, (16, 12), generator=draw), torch.ones(16, 12, dtype=torch.bool)
    diagnosis = Diagnosis()
    diagnosis.set_reference({"ids": ids, "mask": mask})
    for _ in range(3):
        assert diagnosis.check_samples({"ids": ids.flip(0), "mask": mask}) == []
    repeated = {"ids": ids[:1].expand(16, -1), "mask": mask}
    assert [len(diagnosis.check_samples(repeated)) for _ in range(3)] == [0, 1, 0]


def test_diversity_is_only_judged_beside_a_reference() -> None:
    diagnosis = Diagnosis()
    assert [diagnosis.check_samples(torch.zeros(8, 4)) for _ in range(3)] == [[], [], []]


def test_samples_with_nan_are_told_as_such() -> None:
    diagnosis = Diagnosis()
    diagnosis.set_reference(waves(16))
    (finding,) = diagnosis.check_samples(torch.full((4, 2, 50), math.nan))
    assert finding.name == "non-finite samples"
