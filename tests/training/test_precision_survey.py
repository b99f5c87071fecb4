"""``gancore info --check``: a row for each recipe at its tiny and its default size, and what is wrong."""

from __future__ import annotations

import json

import pytest
import torch

from gancore.cli import main
from gancore.plugins import plugins
from gancore.testing.precision_survey import survey_precision


@pytest.fixture
def two_recipes(monkeypatch, tmp_path):
    """One that trains in bf16 and one that does not; nothing is known of this machine yet."""
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path))
    listing = [info for info in plugins().listing() if info.name in ("image", "synthetic")]
    monkeypatch.setattr(type(plugins()), "listing", lambda self: listing)
    for domain, recipe in (("image", "dcgan-lite"), ("synthetic", "mlpgan")):
        of = plugins().domain(domain)
        monkeypatch.setattr(type(of), "recipes", {recipe: of.recipes[recipe]})


def test_every_recipe_has_a_row_for_each_size(two_recipes, capsys):
    assert main(["info", "--check", "--json"]) == 0
    rows = {(row["recipe"], row["size"]): row for row in json.loads(capsys.readouterr().out)}
    assert rows.keys() == {(name, size) for name in ("dcgan-lite", "mlpgan") for size in ("tiny", "default")}
    assert all(bool(row["operations"]) != bool(row["skipped"]) for row in rows.values())
    assert rows["dcgan-lite", "default"]["operations"] > 4
    assert "fp32" in rows["mlpgan", "tiny"]["skipped"]


def test_a_layer_that_is_wrong_stands_in_the_row(two_recipes, monkeypatch):
    class Wrong(torch.nn.Conv2d):
        def forward(self, x):
            return super().forward(x) * (3.0 if torch.is_autocast_enabled("cpu") else 1.0)

    monkeypatch.setattr(torch.nn, "Conv2d", Wrong)
    [row] = [row for row in survey_precision() if (row.recipe, row.size) == ("dcgan-lite", "tiny")]
    assert row.wrong
