"""A model that collapsed, or is worse than noise, is said to be so after its last evaluation."""

from __future__ import annotations

import math
import re

import pytest
import torch

from gancore import listing
from gancore.symptoms import applicable
from gancore.training.diagnosis import Diagnosis
from gancore.training.diagnosis.spread import diversity
from gancore.training.diagnosis.verdicts import FAULTS
from gancore.training.state import State
from gancore.training.verdict import BesideNoise, verdict
from gancore.training.watching import is_early

REAL = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
DIVERSITY = diversity(REAL)


def test_samples_that_are_nearly_alike_are_a_collapse() -> None:
    assert verdict(REAL[:1] + 0.01 * REAL, DIVERSITY).startswith("collapsed: ")
    assert verdict(REAL, DIVERSITY) == ""


def test_a_sample_that_is_not_a_number_comes_first() -> None:
    broken = REAL.clone()
    broken[3, 2] = math.nan
    assert verdict(broken, DIVERSITY).startswith("not finite: ")


@pytest.mark.parametrize(
    ("value", "noise", "better", "worse"),
    [
        (300.0, 200.0, "lower", True),
        (100.0, 200.0, "lower", False),
        (0.1, 0.2, "higher", True),
        (math.nan, 0.2, "higher", False),
        (0.1, math.nan, "lower", False),
    ],
)
def test_worse_than_noise_heeds_which_end_is_better(
    value: float, noise: float, better: str, worse: bool
) -> None:
    said = verdict(REAL, DIVERSITY, BesideNoise("frechet", value, noise, better))
    assert said.startswith("worse than noise: frechet") is worse


def test_alarms_wait_until_there_is_something_to_judge() -> None:
    watch = Diagnosis()
    watch.reference(REAL)
    alike = REAL[:1].expand(16, -1)
    watch.early = True
    assert [watch.samples(alike) for _ in range(5)] == [[]] * 5
    assert [finding.name for finding in watch.samples(alike * math.nan)] == ["non-finite samples"]
    watch.early = False
    assert any(watch.samples(alike) for _ in range(5))


def test_a_short_run_is_not_judged_at_its_first_rounds_nor_a_long_one_at_its_first_twentieth() -> None:
    assert is_early(State([43], step=17)) and is_early(State([43], step=43))
    assert is_early(State([10_000], step=400)) and not is_early(State([10_000], step=500))


def test_a_remedy_names_only_keys_that_the_recipe_has() -> None:
    remedy = "raise the penalty [model.gamma|model.weight], pack samples [model.pack], or train longer"
    assert applicable(remedy, {"weight", "lr"}) == "raise the penalty (model.weight), or train longer"
    assert applicable(remedy, {"pack"}) == "pack samples (model.pack), or train longer"
    assert applicable("use packing [model.pack]", {"lr"}) == ""


@pytest.mark.parametrize("name", FAULTS)
def test_every_remedy_leaves_something_to_do_in_any_recipe(name: str) -> None:
    shown = applicable(FAULTS[name][1], set())
    assert shown and "[" not in shown and "model." not in shown


@pytest.mark.parametrize("recipe", ["specgan", "wavegan", "dcgan", "pixelcnn"])
def test_remedies_of_a_recipe_name_keys_that_it_has(recipe: str) -> None:
    (found,) = [each for each in listing.recipes() if each.name == recipe]
    keys = {key.key.removeprefix("model.") for key in found.keys}
    for _, remedy in FAULTS.values():
        shown = applicable(remedy, keys)
        assert set(re.findall(r"model\.(\w+)", shown)) <= keys
        assert ("moves" in shown) <= ("discriminator_moves" in keys)
        assert ("discriminator's learning rate" in shown) <= ("discriminator_lr" in keys)
