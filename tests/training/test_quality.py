"""A model that collapsed, or is worse than noise, is said to be so after its last evaluation."""

from __future__ import annotations

import math
import re

import pytest
import torch

from gancore import summaries
from gancore.diagnostics import applicable_fixes
from gancore.training.diagnosis import Diagnosis
from gancore.training.diagnosis.checks import FINDINGS
from gancore.training.diagnosis.diversity import diversity
from gancore.training.monitor import is_early
from gancore.training.quality import NoiseComparison, quality_warning
from gancore.training.state import TrainState

REAL = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
DIVERSITY = diversity(REAL)


def test_samples_that_are_nearly_alike_are_a_collapse() -> None:
    assert quality_warning(REAL[:1] + 0.01 * REAL, DIVERSITY).startswith("collapsed: ")
    assert quality_warning(REAL, DIVERSITY) == ""


def test_a_sample_that_is_not_a_number_comes_first() -> None:
    broken = REAL.clone()
    broken[3, 2] = math.nan
    assert quality_warning(broken, DIVERSITY).startswith("not finite: ")


@pytest.mark.parametrize(
    ("value", "noise", "higher_is_better", "worse"),
    [
        (300.0, 200.0, False, True),
        (100.0, 200.0, False, False),
        (0.1, 0.2, True, True),
        (math.nan, 0.2, True, False),
        (0.1, math.nan, False, False),
    ],
)
def test_worse_than_noise_heeds_which_end_is_better(
    value: float, noise: float, higher_is_better: bool, worse: bool
) -> None:
    said = quality_warning(REAL, DIVERSITY, NoiseComparison("frechet", value, noise, higher_is_better))
    assert said.startswith("worse than noise: frechet") is worse


def test_alarms_wait_until_there_is_something_to_judge() -> None:
    watch = Diagnosis()
    watch.set_reference(REAL)
    alike = REAL[:1].expand(16, -1)
    watch.early_phase = True
    assert [watch.check_samples(alike) for _ in range(5)] == [[]] * 5
    assert [finding.name for finding in watch.check_samples(alike * math.nan)] == ["non-finite samples"]
    watch.early_phase = False
    assert any(watch.check_samples(alike) for _ in range(5))


def test_a_short_run_is_not_judged_at_its_first_steps_nor_a_long_one_at_its_first_twentieth() -> None:
    assert is_early(TrainState([43], step=17)) and is_early(TrainState([43], step=43))
    assert is_early(TrainState([10_000], step=400)) and not is_early(TrainState([10_000], step=500))


def test_a_remedy_names_only_keys_that_the_recipe_has() -> None:
    remedy = "raise the penalty [model.gamma|model.weight], pack samples [model.pack], or train longer"
    assert applicable_fixes(remedy, {"weight", "lr"}) == "raise the penalty (model.weight), or train longer"
    assert applicable_fixes(remedy, {"pack"}) == "pack samples (model.pack), or train longer"
    assert applicable_fixes("use packing [model.pack]", {"lr"}) == ""


@pytest.mark.parametrize("name", FINDINGS)
def test_every_remedy_leaves_something_to_do_in_any_recipe(name: str) -> None:
    shown = applicable_fixes(FINDINGS[name][1], set())
    assert shown and "[" not in shown and "model." not in shown


@pytest.mark.parametrize("recipe", ["specgan", "wavegan", "dcgan", "pixelcnn"])
def test_remedies_of_a_recipe_name_keys_that_it_has(recipe: str) -> None:
    (found,) = [each for each in summaries.list_recipes() if each.name == recipe]
    keys = {key.key.removeprefix("model.") for key in found.keys}
    for _, remedy in FINDINGS.values():
        shown = applicable_fixes(remedy, keys)
        assert set(re.findall(r"model\.(\w+)", shown)) <= keys
        assert ("moves" in shown) <= ("discriminator_steps" in keys)
        assert ("discriminator's learning rate" in shown) <= ("discriminator_lr" in keys)


def test_leaves_of_one_number_a_row_and_without_rows_have_a_diversity():
    tree = {"edges": torch.tensor([[1, 2], [1, 3]]), "nodes": torch.tensor([4, 4])}
    assert diversity(tree) == [0.5, 0.0]
    assert diversity({"edges": torch.zeros(0, 5, 2), "nodes": torch.zeros(0)}) == [0.0, 0.0]
