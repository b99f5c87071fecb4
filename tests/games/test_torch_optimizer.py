"""Optimizers of torch as those of players: torch's own updates, masks, exact resume, settings by name."""

from types import SimpleNamespace

import pytest
import torch
from refusals import refused
from torch import nn

import gancore.plugins
from gancore import ConfigError, OptimizerEntry, hookimpl
from gancore.games import (
    OPTIMIZERS,
    SGD,
    Adam,
    AdamW,
    OptimizerState,
    RMSprop,
    TorchOptimizer,
    find_optimizer,
)
from gancore.plugins import PluginRegistry

CLASSES = [
    (torch.optim.RAdam, {}),
    (torch.optim.NAdam, {"betas": (0.5, 0.9)}),
    (torch.optim.Adagrad, {"initial_accumulator_value": 0.1}),
    (torch.optim.Adamax, {}),
    (torch.optim.Adadelta, {}),
    (torch.optim.Adam, {"amsgrad": True}),
    (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    (torch.optim.RMSprop, {"centered": True, "momentum": 0.3}),
    (torch.optim.Rprop, {}),
    (torch.optim.Adafactor, {}),
]
GO, SKIP = torch.tensor(0.0), torch.tensor(1.0)


class CountsInItsGroup(torch.optim.SGD):
    """Keeps the number of its updates where no parameter's state is."""

    def step(self, closure=None):
        group = self.param_groups[0]
        group["k"] = group.get("k", 0) + 1
        group["lr"] = group["lr"] / group["k"]
        return super().step(closure)


def parameters():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) for shape in ((4, 3), (3,), (2, 2, 3, 3), ())]


def gradients(count):
    generator = torch.Generator().manual_seed(1)
    return [[torch.randn(p.shape, generator=generator) for p in parameters()] for _ in range(count)]


def owned(kind, settings):
    params = [nn.Parameter(p) for p in parameters()]
    named = {f"p{i}": p for i, p in enumerate(params)}
    return params, OptimizerState(TorchOptimizer(kind, 0.02, settings), [(1.0, named)])


@pytest.mark.parametrize(("kind", "settings"), CLASSES, ids=lambda value: getattr(value, "__name__", ""))
def test_twenty_updates_equal_those_of_torch_bit_for_bit(kind, settings):
    params, own = owned(kind, settings)
    theirs = [nn.Parameter(p) for p in parameters()]
    optimizer = kind(theirs, lr=0.02, **settings)
    for grads in gradients(20):
        own.update(grads, 0.02, GO, 1.0)
        for param, grad in zip(theirs, grads, strict=True):
            param.grad = grad.clone()
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(params, theirs, strict=True))
    assert all(param.grad is None for param in params)


@pytest.mark.parametrize(("kind", "settings"), CLASSES, ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize("after", [0, 3])
def test_a_masked_update_changes_nothing(kind, settings, after):
    params, own = owned(kind, settings)
    for grads in gradients(after):
        own.update(grads, 0.02, GO, 1.0)
    before = [p.detach().clone() for p in params], {n: t.clone() for n, t in own.state_dict().items()}
    own.update([torch.full_like(p, torch.nan) for p in params], 0.02, SKIP, 1.0)
    assert all(torch.equal(a, b) for a, b in zip(before[0], params, strict=True))
    assert all(torch.equal(t, before[1][n]) for n, t in own.state_dict().items())


@pytest.mark.parametrize(("kind", "settings"), CLASSES, ids=lambda value: getattr(value, "__name__", ""))
def test_state_that_is_saved_and_loaded_goes_on_as_if_undisturbed(kind, settings):
    params, own = owned(kind, settings)
    again, other = owned(kind, settings)
    steps = gradients(6)
    for grads in steps[:3]:
        own.update(grads, 0.02, GO, 1.0)
    with torch.no_grad():
        for p, q in zip(again, params, strict=True):
            p.copy_(q)
    other.load_state_dict({n: t.clone() for n, t in own.state_dict().items()})
    for grads in steps[3:]:
        own.update(grads, 0.02, GO, 1.0)
        other.update(grads, 0.02, GO, 1.0)
    assert all(torch.equal(a, b) for a, b in zip(params, again, strict=True))


def test_a_parameter_without_a_gradient_stays_and_two_players_may_share_one():
    params, own = owned(torch.optim.NAdam, {})
    second = OptimizerState(TorchOptimizer(torch.optim.RAdam, 0.01), [(1.0, {"p0": params[0]})])
    before = params[1].detach().clone()
    own.update([gradients(1)[0][0], None, None, None], 0.02, GO, 1.0)
    second.update([gradients(1)[0][0]], 0.01, GO, 1.0)
    assert torch.equal(params[1], before) and not torch.equal(params[0], parameters()[0])


def test_lazy_updates_scale_rate_and_moments():
    params, own = owned(torch.optim.NAdam, {"betas": (0.5, 0.9)})
    theirs, other = owned(torch.optim.NAdam, {"betas": (0.5**0.8, 0.9**0.8)})
    for grads in gradients(3):
        own.update(grads, 0.02, GO, 0.8)
        other.update(grads, 0.02 * 0.8, GO, 1.0)
    assert all(torch.equal(a, b) for a, b in zip(params, theirs, strict=True))


@pytest.mark.parametrize(
    ("kind", "settings", "word"),
    [
        (torch.optim.LBFGS, {}, "LBFGS"),
        (CountsInItsGroup, {}, "CountsInItsGroup"),
        (torch.optim.SGD, {"momentum": 0.9, "dampening": 0.5}, "SGD"),
        (torch.optim.RAdam, {"betas": (2.0, 0.9)}, "beta"),
    ],
)
def test_a_class_whose_state_would_be_lost_is_refused(kind, settings, word):
    with refused(ConfigError, word):
        TorchOptimizer(kind, 0.1, settings)


def test_updates_that_are_differentiated_are_refused_in_words():
    with refused(ConfigError, "RAdam", fix="adam, adamw"):
        TorchOptimizer(torch.optim.RAdam, 0.1).differentiable_update([], [], {}, 0.1, 1.0)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_name_gives_its_optimizer_with_these_moments(name):
    found = find_optimizer(name, 0.1, 0.3, 0.8)
    expected = {"adam": Adam(0.1, (0.3, 0.8)), "adamw": AdamW(0.1, (0.3, 0.8))}
    expected |= {"rmsprop": RMSprop(0.1, 0.8), "sgd": SGD(0.1, 0.3)}
    if name in expected:
        assert found == expected[name]
    else:
        assert isinstance(found, TorchOptimizer) and found.kind is OPTIMIZERS[name]
        assert found.settings.get("betas", (0.3, 0.8)) == (0.3, 0.8) and found.settings.get("rho", 0.8) == 0.8


def test_settings_reach_the_optimizer_and_wrong_ones_are_named():
    assert find_optimizer("adam", 0.1, 0.3, 0.8, {"eps": 1e-3}).eps == 1e-3
    assert find_optimizer("adamw", 0.1, 0.3, 0.8, {"weight_decay": 0.5}).weight_decay == 0.5
    assert find_optimizer("radam", 0.1, 0.3, 0.8, {"betas": [0.1, 0.2]}).settings["betas"] == (0.1, 0.2)
    for name in ("adam", "radam"):
        with refused(ConfigError, "model.optimizer_settings", "weight_decy", fix="weight_decay"):
            find_optimizer(name, 0.1, 0.3, 0.8, {"weight_decy": 0.1})
        with refused(ConfigError, "lr", fix="model.lr"):
            find_optimizer(name, 0.1, 0.3, 0.8, {"lr": 0.1})
    with refused(ConfigError, "admax", fix="adamax"):
        find_optimizer("admax", 0.1, 0.3, 0.8)


def test_a_plugin_brings_an_optimizer_of_torch_by_name(monkeypatch):
    found = PluginRegistry()
    found._found.clear()
    entry = OptimizerEntry("rprop", "torch.optim:Rprop", "signs of gradients")
    found.register(SimpleNamespace(gancore_optimizers=hookimpl(lambda: [entry])), "mine")
    monkeypatch.setattr(gancore.plugins, "plugins", lambda: found)
    assert find_optimizer("rprop", 0.1, 0.3, 0.8).kind is torch.optim.Rprop
