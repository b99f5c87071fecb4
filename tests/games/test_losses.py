"""Adversarial losses against hand-made values and independent formulas."""

from types import SimpleNamespace

import pytest
import torch
from refusals import refused
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy
from torch.nn.functional import softplus

import gancore.plugins
from gancore.entries import LossEntry
from gancore.errors import ConfigError
from gancore.games import AdversarialLoss
from gancore.games.losses import (
    LOSSES,
    find_loss,
    hinge,
    least_squares,
    measuring,
    minimax,
    nonsaturating,
    relativistic_average,
    relativistic_paired,
    wasserstein,
)
from gancore.plugins import PluginRegistry

R = torch.linspace(-3, 4, 12, dtype=torch.float64)
F = torch.linspace(2, -5, 12, dtype=torch.float64)
MARGIN = AdversarialLoss(lambda r, f: f - r + 1, lambda r, f: -f)


def entropy(logits, target):
    return cross_entropy(logits, torch.full_like(logits, target), reduction="none")


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("loss", [minimax, nonsaturating])
def test_discriminator_pays_cross_entropy_with_smoothed_reals(loss, label_smoothing):
    expected = entropy(R, 1 - label_smoothing) + entropy(F, 0.0)
    assert torch.allclose(loss(label_smoothing).discriminator(R, F), expected)


def test_generators_of_minimax_and_nonsaturating():
    assert torch.allclose(minimax().generator(R, F), -entropy(F, 0.0))
    assert torch.allclose(nonsaturating().generator(R, F), entropy(F, 1.0))


def test_gradient_vanishes_for_minimax_alone_when_the_discriminator_is_sure():
    f = torch.tensor([-20.0], requires_grad=True)
    slopes = [
        torch.autograd.grad(loss().generator(f, f).sum(), f)[0].item() for loss in (minimax, nonsaturating)
    ]
    assert abs(slopes[0]) < 1e-8
    assert slopes[1] == pytest.approx(-1.0)


def test_the_measuring_function_log_is_minimax():
    for player in ("discriminator", "generator"):
        assert torch.allclose(getattr(measuring("log"), player)(R, F), getattr(minimax(), player)(R, F))


@pytest.mark.parametrize(
    ("name", "phi"), [("identity", lambda p: p), ("square", torch.square), ("sqrt", torch.sqrt)]
)
def test_measuring_functions_by_name_are_those_of_the_probability(name, phi):
    real, fake = R.sigmoid(), F.sigmoid()
    for loss in (measuring(name), measuring(phi)):
        assert torch.allclose(loss.discriminator(R, F), -phi(real) - phi(1 - fake))
        assert torch.allclose(loss.generator(R, F), phi(1 - fake))


def test_wasserstein_critic_is_the_difference():
    loss = wasserstein()
    assert torch.equal(loss.discriminator(R, F), F - R) and torch.equal(loss.generator(R, F), -F)
    assert not loss.logit_is_log_odds


def test_hinge_is_flat_beyond_its_margins():
    r, f = torch.tensor([1.0, 1.5, 0.5, -1.0]), torch.tensor([-1.0, -3.0, -0.5, 1.0])
    assert torch.equal(hinge().discriminator(r, f), torch.tensor([0.0, 0.0, 1.0, 4.0]))
    assert torch.equal(hinge().generator(r, f), -f)


def test_least_squares_by_hand():
    r, f = torch.tensor([1.0, 3.0]), torch.tensor([0.0, -2.0])
    assert torch.equal(least_squares().discriminator(r, f), torch.tensor([0.0, 4.0]))
    assert torch.equal(least_squares().generator(r, f), torch.tensor([0.5, 4.5]))


def test_relativistic_losses_depend_on_differences_and_are_symmetric():
    for loss in (relativistic_paired(), relativistic_average()):
        assert torch.allclose(loss.discriminator(R, F), loss.generator(F, R))
        assert torch.allclose(loss.discriminator(R + 5, F + 5), loss.discriminator(R, F))
        assert loss.generator_needs_real
    assert torch.allclose(relativistic_paired().discriminator(R, F), entropy(R - F, 1.0))
    average = relativistic_average()
    assert torch.allclose(
        average.discriminator(R, F), entropy(R - F.mean(), 1.0) + entropy(F - R.mean(), 0.0)
    )
    assert average.batch_coupled and not relativistic_paired().batch_coupled


def test_what_a_loss_looks_at_is_found_without_being_stated():
    """Written as the guide says: two functions. Real logits behind detach or a comparison count too."""
    for reads in (
        lambda r, f: softplus(r - f),
        lambda r, f: softplus(r.detach() - f),
        lambda r, f: f.where(r > f, 0),
    ):
        assert AdversarialLoss(lambda r, f: softplus(f - r), reads).generator_needs_real
    plain = AdversarialLoss(lambda r, f: softplus(f - r), lambda r, f: softplus(-f))
    assert plain.generator_needs_real is False and plain.batch_coupled is False
    for coupled in (
        lambda r, f: softplus(f - r.mean()),
        lambda r, f: f - r.std(0),
        lambda r, f: f.softmax(0),
    ):
        assert AdversarialLoss(coupled, lambda r, f: -f).batch_coupled
        assert AdversarialLoss(lambda r, f: f - r, coupled).batch_coupled
    noisy = AdversarialLoss(lambda r, f: f - r + torch.rand_like(f), lambda r, f: -f)
    assert noisy.batch_coupled is False


def test_a_trial_of_a_loss_leaves_the_callers_generator_alone():
    before = torch.get_rng_state()
    AdversarialLoss(lambda r, f: f - r + torch.rand_like(f), lambda r, f: -f)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("stated", ["generator_needs_real", "batch_coupled"])
def test_a_loss_that_states_what_is_not_so_is_refused(stated):
    with pytest.raises(ConfigError, match=stated):
        AdversarialLoss(lambda r, f: f - r, lambda r, f: r.mean() - f, **{stated: False})


@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize("values", [lambda r, f: (f - r).mean(), lambda r, f: (f - r)[:3], lambda r, f: 1.0])
def test_a_loss_without_a_value_for_each_row_is_refused(player, values):
    functions = {"discriminator": lambda r, f: f - r, "generator": lambda r, f: -f, player: values}
    with pytest.raises(ConfigError, match="one value per row"):
        AdversarialLoss(**functions)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_pulls_the_players_apart(name):
    """The discriminator gains by raising reals and lowering fakes, the generator by raising fakes."""
    r, f = (torch.zeros(6, dtype=torch.float64, requires_grad=True) for _ in range(2))
    loss = find_loss(name)
    up, down = torch.autograd.grad(loss.discriminator(r, f).sum(), (r, f), allow_unused=True)
    assert (up < 0).all() and ((down > 0).all() or name == "least-squares")
    assert (torch.autograd.grad(loss.generator(r, f).sum(), f)[0] < 0).all()
    assert loss.discriminator(r, f).shape == loss.generator(r, f).shape == (6,)


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (lambda: find_loss("wassertein"), "wasserstein"),
        (lambda: measuring("logg"), "log"),
        (lambda: minimax(1.0), "label_smoothing"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(make, hint):
    with refused(ConfigError, fix=hint) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_plugin_brings_a_loss_by_name(monkeypatch):
    found = PluginRegistry()
    found._found.clear()
    entry = LossEntry("margin", f"{__name__}:MARGIN", "a margin of one")
    found.register(SimpleNamespace(gancore_losses=gancore.hookimpl(lambda: [entry])), "margins")
    monkeypatch.setattr(gancore.plugins, "plugins", lambda: found)
    assert find_loss("margin") is MARGIN
    with refused(ConfigError, "margn", fix="margin"):
        find_loss("margn")
