"""Penalties and games of plugins or of the program, by the same keys in every recipe with a discriminator."""

import signal
from itertools import count
from types import SimpleNamespace

import pytest
import torch
from refusals import refused
from torch import nn

import gancore
import gancore.plugins
from gancore import ConfigError, GameEntry, OptimizerEntry, PenaltyEntry, PluginError, hookimpl
from gancore.games import (
    AdversarialConfig,
    AdversarialGame,
    Discriminator,
    FlowGANGame,
    PenaltyTerm,
    find_game,
    find_penalty,
    flow_gan,
)
from gancore.games.penalties import r1, resolve_penalties
from gancore.nn.flows import ActNorm, Flow
from gancore.plugins import PluginRegistry, plugins
from gancore.testing.fixtures import DomainFixture, RecipeFixture
from gancore.training.loop import play
from gancore.training.setup import set_up

GANS = [("audio", "audioflowgan"), ("image", "sngan"), ("image", "imageflowgan")]
GANS += [("synthetic", name) for name in ("mlpgan", "pacgan", "flowgan")]


class Brighter(AdversarialGame):
    """One more term of the generator's cost."""

    def generator_cost(self, draw):
        fake = self.make_fake(draw, None)
        return super().generator_cost(draw).add("bright", -fake.reshape(draw.num_rows, -1).mean(1), scale=0.1)


class Lion(torch.optim.Optimizer):
    """Chen et al. 2023, as a third party would write it."""

    def __init__(self, params, lr, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                mean, (b1, b2) = self.state[p].setdefault("exp_avg", torch.zeros_like(p)), group["betas"]
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.sub_(group["lr"] * (b1 * mean + (1 - b1) * p.grad).sign())
                mean.mul_(b2).add_(p.grad, alpha=1 - b2)


class Critic(Discriminator):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def logits(self, embedded, condition=None):
        return self.layer(embedded).squeeze(-1)


class NotAGame:
    pass


def doubled(weight, every):
    return PenaltyTerm("doubled", lambda *args: 2 * r1(*args), weight, every)


@pytest.fixture
def mine(monkeypatch):
    found = PluginRegistry()
    found.register(
        SimpleNamespace(
            gancore_games=hookimpl(lambda: [GameEntry("brighter", f"{__name__}:Brighter", "one more term")]),
            gancore_penalties=hookimpl(lambda: [PenaltyEntry("doubled", f"{__name__}:doubled", "twice R1")]),
            gancore_optimizers=hookimpl(lambda: [OptimizerEntry("lion", f"{__name__}:Lion", "signs")]),
        ),
        "mine",
    )
    monkeypatch.setattr(gancore.plugins, "plugins", lambda: found)


def test_a_game_is_found_by_its_name_or_in_the_program(mine):
    assert find_game("brighter") is Brighter and find_game(f"{__name__}:Brighter") is Brighter
    assert find_game(None) is None
    with refused(ConfigError, "brigter", fix="brighter"):
        find_game("brigter")
    with refused(ConfigError, "NotAGame", "AdversarialGame"):
        find_game(f"{__name__}:NotAGame")
    with refused(PluginError, "absent", fix="PYTHONPATH"):
        find_game("absent:Game")
    with refused(PluginError, "__main__:OfANotebook", fix="file"):
        find_game("__main__:OfANotebook")


@pytest.mark.parametrize(("domain", "recipe"), GANS)
def test_one_changed_term_reaches_every_recipe(mine, domain, recipe):
    home = DomainFixture(plugins().load_domain(domain))
    fixture = RecipeFixture(home, *plugins().load_recipe(home.domain, recipe), {"game": "brighter"})
    setup = fixture.setup()
    assert isinstance(setup.game, Brighter) and type(setup.game).__module__ == __name__
    assert isinstance(setup.game, FlowGANGame) == ("flow" in recipe)
    play(setup, 1)
    assert "generator/bright" in setup.scalars.read()


def test_a_flow_gan_has_the_changed_term_beside_its_likelihood():
    game = flow_gan(flow=lambda: Flow([2], [ActNorm(2)]), discriminator=Critic, game=Brighter)
    setup = set_up(game, torch.randn(20, 2), batch_size=4)
    play(setup, 2)
    assert {"generator/loss", "generator/bright", "generator/nll"} <= setup.scalars.read().keys()


def test_penalties_of_plugins_are_joined_with_those_of_the_core(mine):
    options = AdversarialConfig(
        penalty="r1+doubled+wgan-gp", penalty_weight=3, penalty_every=2
    ).game_options()
    assert [(p.weight, p.every) for p in options["penalties"]] == [(3, 2)] * 3
    assert [p.name for p in options["penalties"]][:2] == ["r1", "doubled"]
    assert resolve_penalties("none", 1.0, 1) == []
    with refused(ConfigError, "duobled", fix="doubled"):
        find_penalty("duobled", 1.0)


def test_unknown_names_stand_in_until_a_training_needs_them():
    config = AdversarialConfig(penalty="of-an-absent-plugin", optimizer="adm")
    options = config.game_options()
    (penalty,) = options["penalties"]
    with refused(ConfigError, "of-an-absent-plugin"):
        penalty.function(None, None, None, None, None)
    with refused(ConfigError, "adm", fix="adam"):
        options["generator_optimizer"].state_names  # noqa: B018


def test_a_run_trains_resumes_and_generates_with_all_of_them(mine, tmp_path):
    settings = ["model.game=brighter", "model.optimizer=radam", "model.optimizer_settings.weight_decay=0.01"]
    settings += ["model.penalty=r1+doubled", "model.penalty_every=2", "model.lr_end=1"]
    for name, steps in (("run", 4), ("whole", 6)):
        gancore.train("synthetic", recipe="mlpgan", overrides=settings, steps=steps, out=tmp_path / name)
    gancore.train(resume=tmp_path / "run", steps=6)
    one, two = (gancore.load(tmp_path / name).sample(5).data for name in ("run", "whole"))
    assert torch.equal(one, two)


def test_an_optimizer_of_a_third_party_has_the_same_keys_and_resumes(mine, tmp_path):
    settings = ["model.optimizer=lion", "model.optimizer_settings.weight_decay=0.01", "model.lr=1e-3"]
    settings += ["model.beta1=0.8", "model.beta2=0.95", "model.discriminator_lr=2e-3", "model.lr_end=1"]
    for name, steps in (("run", 3), ("whole", 5)):
        gancore.train("synthetic", recipe="mlpgan", overrides=settings, steps=steps, out=tmp_path / name)
    gancore.train(resume=tmp_path / "run", steps=5)
    one, two = (gancore.load_game(tmp_path / name).game for name in ("run", "whole"))
    assert all(map(torch.equal, one.state_dict().values(), two.state_dict().values()))
    used = one.players["discriminator"].optimizer
    assert used.kind is Lion and used.settings == {"weight_decay": 0.01, "betas": (0.8, 0.95)}
    assert (used.lr, one.players["generator"].optimizer.lr) == (2e-3, 1e-3)


def interrupting(cost, call):
    """``cost``, which sends Ctrl-C to this process at its call of this number."""
    calls = count(1)

    def compute(game, draw):
        if next(calls) == call:
            signal.raise_signal(signal.SIGINT)
        return cost(game, draw)

    return compute


@pytest.mark.slow
def test_a_class_and_a_tensor_train_a_whole_run_that_resumes_to_the_same_bytes(tmp_path, monkeypatch):
    given = dict(data=torch.randn(200, 2), game=Brighter, recipe="mlpgan", device="cpu")
    given["overrides"] = ["model.width=8", "model.batch_size=8"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    gancore.train("synthetic", **given, steps=6, out=whole)
    with monkeypatch.context() as patch:
        patch.setattr(Brighter, "generator_cost", interrupting(Brighter.generator_cost, call=5))
        with pytest.raises(KeyboardInterrupt) as stopped:
            gancore.train("synthetic", **given, steps=6, out=cut)
    assert 0 < stopped.value.result.step < 6
    gancore.train("synthetic", **given, steps=6, resume=cut)
    weights = [(run / "model/model.safetensors").read_bytes() for run in (whole, cut)]
    plain = tmp_path / "plain"
    gancore.train("synthetic", **{**given, "game": None}, steps=6, out=plain)
    assert weights[0] == weights[1] != (plain / "model/model.safetensors").read_bytes()
    assert f"{__name__}:Brighter" in (cut / "config.yaml").read_text()
    assert len(gancore.load(cut).sample(4, 0)) == 4


def test_a_game_that_no_process_could_find_again_is_refused(tmp_path):
    class Inside(AdversarialGame):
        pass

    with refused(ConfigError, "Inside", fix="module"):
        gancore.train("synthetic", game=Inside, steps=1, out=tmp_path / "run")
    with refused(ConfigError, "game", fix="AdversarialGame"):
        gancore.train("synthetic", game=3, steps=1, out=tmp_path / "run")
    with refused(ConfigError, "NotAGame", fix="class"):
        gancore.train("synthetic", game=NotAGame, recipe="mlpgan", steps=1, out=tmp_path / "run")
