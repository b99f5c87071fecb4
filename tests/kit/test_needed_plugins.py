"""A model folder names the plugins that it needs; those that only its training used it can do without."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from types import SimpleNamespace

import pytest
from kit_site import Change, forget
from refusals import refused

import gancore
from gancore.errors import CheckpointError, PluginError
from gancore.games.game import Game
from gancore.games.penalties import R1
from gancore.models import requirements
from gancore.plugins.faults import PluginId

TIDES, EXTRA = {"gancore-tides": "0.1.0"}, {"gancore-extra": "2.0"}
LIGHT = """
from gancore import DynamicsEntry, LossEntry, RecipeEntry, hookimpl

@hookimpl
def gancore_losses():
    return [LossEntry("extra-loss", "extra.parts:LOSS", "")]

@hookimpl
def gancore_dynamics():
    return [DynamicsEntry("extra-dynamics", "extra.parts:Turns", "")]

@hookimpl
def gancore_recipes():
    return [RecipeEntry("theirs", "extra.parts:Theirs", "", domain="tides")]
"""
PARTS = """
from gancore.games import AdversarialLoss, Alternating
from gancore_tides.recipes import Normal

LOSS = AdversarialLoss(lambda real, fake: fake.square(), lambda real, fake: real.square() - fake)

class Turns(Alternating):
    pass

class Theirs(Normal):
    pass
"""


@pytest.fixture
def extra(site, monkeypatch):
    """Another plugin, with a loss, a dynamics, and a recipe for the domain of the first."""
    monkeypatch.setenv("GANCORE_PLUGINS", "tides,extra")
    info = site.folder / "gancore_extra-2.0.dist-info"
    for path, text in {
        info / "METADATA": "Metadata-Version: 2.1\nName: gancore-extra\nVersion: 2.0\n",
        info / "entry_points.txt": "[gancore]\nextra = extra\n",
        site.folder / "extra" / "__init__.py": LIGHT,
        site.folder / "extra" / "parts.py": PARTS,
    }.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    site.install()
    yield lambda: remove(site, "extra", "gancore_extra-2.0.dist-info", "extra")
    forget_package("extra")


def remove(site, package: str, *folders: str) -> None:
    for folder in folders:
        shutil.rmtree(site.folder / folder)
    forget_package(package)
    forget()


def forget_package(package: str) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]
    importlib.invalidate_caches()


@pytest.fixture
def train(tmp_path):
    def call(recipe: str, *settings: str):
        overrides = ["data.length=16", *settings]
        return gancore.train(
            "tides", recipe=recipe, steps=2, overrides=overrides, out=tmp_path / "run", progress="none"
        ).model

    return call


def test_a_loss_and_a_dynamics_are_named_and_not_needed(extra, train):
    model = train("dense", "model.loss=extra-loss", "train.dynamics.name=extra-dynamics")
    config = json.loads((model / "config.json").read_text())
    assert (config["plugins"], config["training"]["plugins"]) == (TIDES, EXTRA)
    card = (model / "README.md").read_text()
    assert "needs: gancore-tides 0.1.0" in card and "only trained with: gancore-extra 2.0" in card
    extra()
    assert len(gancore.load(model).sample(2)) == 2


@pytest.mark.parametrize("hold", [lambda x: [x], lambda x: (R1(1.0), x), lambda x: {"r1": x}])
def test_a_game_may_hold_its_parts_under_any_name_in_any_container(hold, monkeypatch):
    origin = PluginId("extra", "extra", "gancore-extra", "2.0")
    monkeypatch.setattr(requirements, "plugins", lambda: SimpleNamespace(packages=lambda: {"extra": origin}))
    game = Game()
    game.players, game.phases = {}, []
    game.penalties = [R1(1.0)]
    assert requirements.training_requirements(game) == {}
    game.penalties = hold(type("Theirs", (), {"__module__": "extra.parts"})())
    assert requirements.training_requirements(game) == EXTRA


def test_the_plugin_of_a_changed_game_is_needed_to_sample(monkeypatch):
    origin = PluginId("extra", "extra", "gancore-extra", "2.0")
    found = SimpleNamespace(packages=lambda: {"extra": origin}, plugin_of=lambda entry: None)
    monkeypatch.setattr(requirements, "plugins", lambda: found)
    theirs = type("Theirs", (Game,), {"__module__": "extra.parts", "sampler": lambda self: self})
    assert requirements.sampling_requirements(SimpleNamespace(), SimpleNamespace(), theirs()) == EXTRA


@pytest.mark.parametrize(
    "name, version",
    [
        ("--index-url=http://evil/ pkg", "1.0"),
        ("pkg", "1.0 --index-url=http://evil/"),
        ("a;rm", "1"),
        ("-r", "1"),
    ],
)
def test_no_option_of_a_foreign_config_gets_into_a_command(name, version):
    config = {"plugins": {name: version}}
    required = requirements.explain_missing(PluginError("no such plugin"), config, "model folder m")
    assert "pip" not in required.fix and required.fix
    required = requirements.explain_missing(
        PluginError("no such plugin"), {"plugins": {name: version, "none-such": "1.0rc1+a.1"}}, "m"
    )
    assert required.fix == "pip install none-such==1.0rc1+a.1"


def test_a_recipe_needs_its_plugin_and_that_of_its_domain(extra, train):
    model = train("theirs")
    assert json.loads((model / "config.json").read_text())["plugins"] == TIDES | EXTRA
    extra()
    with refused(PluginError, model.parent / "model", "gancore-extra", "2.0", fix="gancore-extra==2.0"):
        gancore.load(model)


def test_a_domain_that_is_missing_is_named_with_its_version(site, train):
    site.install()
    model = train("normal")
    remove(site, "gancore_tides", "gancore_tides", "gancore_tides-0.1.0.dist-info")
    with refused(PluginError, "gancore-tides", "0.1.0", fix="gancore-tides==0.1.0"):
        gancore.load(model)


def test_a_model_of_another_version_says_which(site, train):
    site.install()
    model = train("normal")
    metadata = site.folder / "gancore_tides-0.1.0.dist-info" / "METADATA"
    site.install(Change("recipes.py", "self.log_scale = nn.Parameter(torch.zeros(length))", "self.other = 1"))
    metadata.write_text(metadata.read_text().replace("0.1.0", "0.2.0"))
    with refused(CheckpointError, "gancore-tides", "0.1.0", "0.2.0", fix="gancore-tides==0.1.0"):
        gancore.load(model)
