"""What models learn of the truth, from the command's own run folder."""

import json
import math

import pytest

import gancore


def last_measures(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {name: value for line in lines for name, value in line.items() if name.startswith("valid/")}


@pytest.mark.slow
def test_a_kernel_density_comes_near_to_the_entropy_of_the_ring(tmp_path):
    """H = log 8 + 1 + log(2 pi std^2), in nats: no model has a lower nll but by chance, 1/sqrt(n)."""
    overrides = ["data.train_examples=20000", "model.centres=4000", "validation.samples=2000"]
    run = gancore.train("synthetic", recipe="kde", data="ring", out=tmp_path / "kde", overrides=overrides)
    found = last_measures(run.folder)
    entropy = math.log(8) + 1 + math.log(2 * math.pi * 0.01**2)
    assert -0.1 < found["valid/nll"] - entropy < 0.2
    assert found["valid/modes"] == 8 and found["valid/high_quality"] > 95
    assert found["valid/reverse_kl"] < 0.02 and found["valid/density_error"] < 0.12


@pytest.mark.slow
def test_a_flow_comes_near_to_the_entropy_of_a_gaussian(tmp_path):
    """H = 1 + log(2 pi std^2) in the plane; a few steps do, as the flow begins at a Gaussian."""
    overrides = ["data.components=1", "data.train_examples=5000", "model.width=8", "validation.samples=2000"]
    run = gancore.train(
        "synthetic", recipe="realnvp", data="mixture", steps=200, out=tmp_path / "flow", overrides=overrides
    )
    entropy = 1 + math.log(2 * math.pi * 0.1**2)
    found = last_measures(run.folder)
    assert -0.1 < found["valid/nll"] - entropy < 0.1
    assert found["valid/density_error"] < 0.1 and "valid/modes" not in found


@pytest.mark.long
def test_the_default_recipe_finds_all_of_the_ring(tmp_path):
    run = gancore.train("synthetic", steps=2500, out=tmp_path / "ring", overrides=["validation.samples=2500"])
    found = last_measures(run.folder)
    assert found["valid/modes"] == 8 and found["valid/reverse_kl"] < 0.05
    assert found["valid/high_quality"] > 50
