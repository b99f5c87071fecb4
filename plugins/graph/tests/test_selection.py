"""The step that a run gives can be selected by link prediction on valid, though valid has one row."""

from __future__ import annotations

import json

import pytest

import gancore
from gancore.errors import ConfigError


def train(tmp_path, recipe, *overrides):
    return gancore.train(
        "graph",
        data="les_miserables",
        recipe=recipe,
        steps=12,
        out=tmp_path / "run",
        overrides=["validation.select=link_roc_auc", "validation.every=3", *overrides],
    )


def test_cell_gives_the_step_of_the_best_roc_on_valid(tmp_path):
    run = train(tmp_path, "cell", "model.overlap=1", "model.lr=0.5")
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    found = {one["step"]: one["valid/link_roc_auc"] for one in lines if "valid/link_roc_auc" in one}
    assert list(found) == [3, 6, 9, 12] and all(0 < value <= 1 for value in found.values())
    assert "valid/triangles" not in lines[-1]
    chosen = json.loads((run.model / "config.json").read_text())["training"]
    assert (
        chosen["step"] == max(found, key=lambda step: (found[step], -step)) and chosen["precision"] == "fp32"
    )


def test_a_model_without_a_likelihood_is_refused_and_unknown_names_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"likelihood.*validation\.select=null"):
        train(tmp_path, "configuration")
    with pytest.raises(ConfigError, match="link_roc_auc"):
        train(tmp_path, "cell", "validation.select=link_roc")
