"""Losses and dynamics have checks of their own: those of the core pass, and each planted fault is caught."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from torch.nn.functional import softplus

from gancore.entries import DynamicsEntry, LossEntry
from gancore.games import AdversarialLoss, Alternating, Dynamics
from gancore.games.dynamics import DYNAMICS
from gancore.games.losses import LOSSES
from gancore.testing import CHECKS
from gancore.testing.check import run_check
from gancore.testing.part_fixtures import DynamicsFixture, LossFixture

GENERATOR = torch.Generator()
CPU = torch.device("cpu")


def failed(bench):
    results = [run_check(check, bench) for check in CHECKS if check.scope == bench.scope]
    assert results
    return {result.check: result.text for result in results if result.state == "failed"}


def loss_bench(name):
    return LossFixture(LossEntry(name, "planted:loss", "x"))


def dynamics_bench(name):
    return DynamicsFixture(DynamicsEntry(name, "planted:dynamics", "x"))


@pytest.mark.parametrize("name", ["nonsaturating", "relativistic-average", "wasserstein", "least-squares"])
def test_the_cores_own_losses_pass(name):
    assert failed(loss_bench(name)) == {}


@pytest.mark.parametrize("name", DYNAMICS)
def test_the_cores_own_dynamics_pass(name):
    assert failed(dynamics_bench(name)) == {}


D, G = (lambda r, f: softplus(-r) + softplus(f)), (lambda r, f: softplus(-f))
LOSS_FAULTS = {
    "a value for each batch": (lambda r, f: D(r, f).mean(), G, "returns_one_value_per_row"),
    "a logarithm of what becomes 0": (
        lambda r, f: -r.sigmoid().log() - (1 - f.sigmoid()).log(),
        G,
        "stays_finite",
    ),
    "a NaN": (D, lambda r, f: G(r, f) * float("nan"), "stays_finite"),
    "the sign of the generator": (D, lambda r, f: -G(r, f), "gradients_have_right_signs"),
    "the order of the logits": (lambda r, f: D(f, r), G, "gradients_have_right_signs"),
    "a constant": (D, lambda r, f: f - f, "gives_gradients"),
}


@pytest.mark.parametrize("fault", LOSS_FAULTS)
def test_a_planted_fault_of_a_loss_is_caught(fault, monkeypatch):
    discriminator, generator, check = LOSS_FAULTS[fault]
    monkeypatch.setitem(LOSSES, "planted", lambda: AdversarialLoss(discriminator, generator))
    assert check in failed(loss_bench("planted")) or fault == "a value for each batch"
    if fault == "a value for each batch":
        assert "one value per row" in failed(loss_bench("planted"))[check]


def test_a_loss_that_keeps_its_coupling_from_the_trial_is_caught_in_a_game(monkeypatch):
    def coupled(r, f):
        if len(f) != 4 and len(f) % 8:
            raise RuntimeError("whole batches alone")
        return D(r, f) + (f - r.mean()) ** 2 * (len(f) > 0)

    loss = AdversarialLoss(coupled, G)
    object.__setattr__(loss, "batch_coupled", False)
    monkeypatch.setitem(LOSSES, "planted", lambda: loss)
    assert "batch_coupled" in failed(loss_bench("planted"))["couples_rows_as_declared"]


@dataclass(frozen=True)
class Ascends(Dynamics):
    def play_turn(self, step, turn):
        for index, move in turn:
            step.apply(move, step.gradient(move, step.draw(index)).scale(-1.0))


@dataclass(frozen=True)
class Rests(Dynamics):
    def play_turn(self, step, turn):
        return None


@dataclass(frozen=True)
class Explodes(Dynamics):
    def play_turn(self, step, turn):
        for index, move in turn:
            step.apply(move, step.gradient(move, step.draw(index)))
            for parameter in step.params(move.player):
                parameter.data.mul_(float("nan"))


@dataclass(frozen=True)
class Remembers(Dynamics):
    """In itself, and not in state_names."""

    kept: list = field(default_factory=list, init=False)

    def play_turn(self, step, turn):
        self.kept.append(1)
        for index, move in turn:
            step.apply(move, step.gradient(move, step.draw(index)).scale(1.0 / len(self.kept)))


@dataclass(frozen=True)
class Draws(Dynamics):
    """From a generator of its own, that goes on from one training to the next."""

    def play_turn(self, step, turn):
        for index, move in turn:
            scale = float(torch.rand((), generator=GENERATOR))
            step.apply(move, step.gradient(move, step.draw(index)).scale(scale))


@dataclass(frozen=True)
class Required(Alternating):
    steps: int


@dataclass(frozen=True)
class Unwritable(Alternating):
    device: torch.device = CPU


DYNAMICS_FAULTS = {
    Ascends: "converges_on_linear_game",
    Rests: "converges_on_linear_game",
    Explodes: "converges_on_linear_game",
    Remembers: "resumes_with_the_dynamics",
    Draws: "resumes_with_the_dynamics",
    Required: "settings_round_trip",
    Unwritable: "settings_round_trip",
}


@pytest.mark.parametrize("kind", DYNAMICS_FAULTS, ids=lambda kind: kind.__name__)
def test_a_planted_fault_of_a_dynamics_is_caught(kind, monkeypatch):
    monkeypatch.setitem(DYNAMICS, "planted", kind)
    assert DYNAMICS_FAULTS[kind] in failed(dynamics_bench("planted"))
