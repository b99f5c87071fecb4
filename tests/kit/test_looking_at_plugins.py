"""What core shows and counts of plugins that do little for it: pictures from preview alone, fitted models."""

from __future__ import annotations

import json

import pytest
import torch
from kit_site import Change
from refusals import names

import gancore
from gancore.config import TrainConfig
from gancore.plugins import plugins
from gancore.testing.fixtures import DomainFixture, RecipeFixture
from gancore.testing.metric_checks import noise
from gancore.testing.sampling_checks import samples_depend_on_key_only
from gancore.training.plan import plan_steps

PREVIEW = """
    def preview(self, samples):
        from PIL import Image

        return Image.new("L", (24, 18), 30 * len(samples))

    def tiny_config(self):"""
FITTED = '''

class Rows(nn.Module):
    """Keeps train, and draws from it; before it is fitted it has nothing but zeros."""

    parallel = True

    def __init__(self, length):
        super().__init__()
        self.register_buffer("rows", torch.zeros(16, length))

    def fit(self, views, key):
        (view,) = views.values()
        self.rows.copy_(view.get_batch(key.permutation(len(view))[:16], key).data)
        return True

    def sample(self, n, key):
        return self.rows[key.integers(16, n)]


class Normal(Recipe):
    def build(self, config, spec):
        from gancore.games import fitted_game

        return fitted_game(Rows(spec["length"]))
'''
OVERRIDES = ["data.length=16", "logging.preview_samples=3", "logging.preview_every=1"]


def train(out, recipe: str, **settings):
    return gancore.train(
        "tides", recipe=recipe, overrides=OVERRIDES, out=out, progress="none", **{"steps": 3, **settings}
    )


@pytest.fixture
def of_rows(site):
    site.install(
        Change("recipes.py", "\n\nclass Normal(Recipe):", f"{FITTED}\n\nclass OldNormal(Recipe):"),
        Change(
            "domain.py", 'capabilities=frozenset({"likelihood"}),', 'capabilities=frozenset({"parallel"}),'
        ),
    )


def test_a_film_is_made_of_pictures_that_preview_alone_gives(site, tmp_path):
    site.install(Change("domain.py", "\n    def tiny_config(self):", PREVIEW))
    run = train(tmp_path / "run", "normal").folder
    assert gancore.animate(run).steps == [1, 2, 3]
    (written,) = (run / "samples" / "step-000000003").glob("*.png")
    assert written.name == "preview.png"


def test_a_domain_without_pictures_has_none(site, tmp_path):
    site.install()
    run = train(tmp_path / "run", "normal").folder
    assert list((run / "samples").rglob("*.png")) == []


def test_a_preview_that_raises_ends_nothing(site, tmp_path, capfd):
    site.install(
        Change("domain.py", "\n    def tiny_config(self):", PREVIEW.replace("from PIL", "1 / 0; from PIL"))
    )
    settings = {"recipe": "normal", "steps": 2, "overrides": OVERRIDES, "out": tmp_path / "run"}
    run = gancore.train("tides", **settings, progress="plain").folder
    assert len(list((run / "samples" / "step-000000002").glob("*.csv"))) == 3
    assert names(capfd.readouterr().err, "ZeroDivisionError")


def test_a_fitted_model_has_seen_all_rows_in_each_step(of_rows, tmp_path):
    run = train(tmp_path / "run", "normal", steps=1)
    domain = plugins().load_domain("tides")
    rows = len(DomainFixture(domain).open().view("train"))
    config = json.loads((run.model / "config.json").read_text())
    assert config["training"]["samples"] == rows
    logged = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["samples"] for line in logged if "samples" in line] == [rows]
    assert names((run.model / "README.md").read_text(), f"{rows:,}")


@pytest.fixture
def bench(of_rows) -> RecipeFixture:
    domain = plugins().load_domain("tides")
    return RecipeFixture(DomainFixture(domain), *plugins().load_recipe(domain, "normal"))


def test_a_budget_in_samples_is_steps_of_all_rows(bench):
    rows = len(bench.domain_fixture.view("train"))
    assert plan_steps(bench.setup(), TrainConfig(samples=2 * rows + 1), 100) == [3]


def test_the_kit_samples_a_fitted_model_that_is_fitted(bench):
    samples_depend_on_key_only(bench)
    assert bench.game.model.rows.abs().sum() > 0


@pytest.mark.parametrize("recipe", ["dense", "normal"])
def test_the_game_that_checks_share_is_built_once(of_rows, monkeypatch, recipe):
    """Sampled is that same game too, one that steps fit among them."""
    built, build = [], RecipeFixture.build
    monkeypatch.setattr(RecipeFixture, "build", lambda self: built.append(build(self)) or built[-1])
    domain = plugins().load_domain("tides")
    bench = RecipeFixture(DomainFixture(domain), *plugins().load_recipe(domain, recipe))
    parts = set(bench.game.modules())
    assert {part for part in bench.sampler().modules() if part is not bench.sampler()} & parts
    assert built == [bench.game]


def test_the_kits_noise_keeps_the_values_of_each_coordinate():
    """Codes of a table stay in their column."""
    codes = torch.stack([torch.arange(40) % 3, 100 + torch.arange(40) % 7], 1)
    shuffled = noise({"codes": codes, "on": codes[:, 0] > 0})
    assert not torch.equal(shuffled["codes"], codes)
    for column in range(2):
        assert torch.equal(shuffled["codes"][:, column].sort().values, codes[:, column].sort().values)
    assert shuffled["on"].sum() == (codes[:, 0] > 0).sum()
