"""``gancore info --check-precision``: a row for each recipe at its tiny and its default size."""

from __future__ import annotations

import json

import pytest
import torch
import toy_plugin

from gancore.cli import main
from gancore.entries import DomainEntry, RecipeEntry
from gancore.games.game import Game
from gancore.hookspecs import hookimpl
from gancore.plugins import plugins
from gancore.testing.precision_survey import survey_precision


@pytest.fixture
def two_recipes(monkeypatch, tmp_path):
    """One that trains in bf16 and one that does not; nothing is known of this machine yet."""
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path))
    records = plugins().entries
    known = [entry for entry in records("gancore_domains") if entry.name in ("image", "synthetic")]
    monkeypatch.setattr(
        plugins(), "entries", lambda hook: known if hook == "gancore_domains" else records(hook)
    )
    for domain, recipe in (("image", "dcgan-lite"), ("synthetic", "mlpgan")):
        of = plugins().load_domain(domain)
        monkeypatch.setattr(type(of), "recipes", {recipe: of.recipes[recipe]})


def test_every_recipe_has_a_row_for_each_size(two_recipes, capsys):
    assert main(["info", "--check-precision", "--json"]) == 0
    rows = {(row["recipe"], row["size"]): row for row in json.loads(capsys.readouterr().out)}
    assert rows.keys() == {(name, size) for name in ("dcgan-lite", "mlpgan") for size in ("tiny", "default")}
    assert all(bool(row["operations"]) != bool(row["skipped"]) for row in rows.values())
    assert rows["dcgan-lite", "default"]["operations"] > 4
    assert "fp32" in rows["mlpgan", "tiny"]["skipped"]


def test_a_layer_that_is_wrong_stands_in_the_row(two_recipes, monkeypatch):
    class KernelFault(torch.nn.Conv2d):
        def forward(self, x):
            return super().forward(x) * (3.0 if torch.is_autocast_enabled("cpu") else 1.0)

    monkeypatch.setattr(torch.nn, "Conv2d", KernelFault)
    [row] = [row for row in survey_precision() if (row.recipe, row.size) == ("dcgan-lite", "tiny")]
    assert row.wrong


def test_every_layout_is_prepared_once(two_recipes, monkeypatch):
    prepared, fit = [], Game.fit
    monkeypatch.setattr(Game, "fit", lambda self, views: prepared.append(self) or fit(self, views))
    assert [row.size for row in survey_precision() if row.recipe == "dcgan-lite"] == ["tiny", "default"]
    assert len({id(game) for game in prepared}) == len(prepared)


class Boxes:
    @hookimpl
    def gancore_domains(self):
        broken = DomainEntry("gone", "no_such_module:Domain", "cannot be imported")
        return [*toy_plugin.gancore_domains(), broken]


class Shore:
    @hookimpl
    def gancore_recipes(self):
        return [RecipeEntry("lent", "toy_plugin:Plain", "theirs", domain="toy")]


def test_no_domain_and_no_recipe_is_left_out_and_what_one_raises_ends_nothing(monkeypatch):
    """A plugin of two domains under other names than its own, and one that lends a recipe; all raise."""
    registry = toy_plugin.registry()
    registry._found.clear()
    for plugin in (Boxes, Shore):
        registry.register(plugin(), plugin.__name__)
    monkeypatch.setattr(plugins, "_made", registry)
    rows = list(survey_precision())
    found = {(row.domain, row.recipe) for row in rows}
    assert found == {("toy", "lite"), ("toy", "plain"), ("toy", "lent"), ("gone", "")}
    assert all(row.skipped for row in rows)
