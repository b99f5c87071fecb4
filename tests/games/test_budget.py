"""A budget becomes rounds of phases, all of it and no more; timing leaves no trace."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused
from torch import nn
from toy_games import Judge, differing, play, points, set_table, whole

from gancore.config import TrainSection
from gancore.errors import ConfigError
from gancore.games import R1, SGD, Adam, Dynamics, Game, Move, Phase, Player, adversarial, fitted, normal
from gancore.nn.norms import spectral_norm
from gancore.training.budget import plan_rounds, seconds_per_round


class Waits(Dynamics):
    """A round of known length, by a clock that nothing else moves."""

    now = 0.0

    def __init__(self, seconds):
        self.seconds = seconds

    def round(self, field):
        Waits.now += self.seconds


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr("gancore.training.budget.time", SimpleNamespace(perf_counter=lambda: Waits.now))


class Idle(Game):
    def __init__(self, *phases):
        super().__init__()
        self.players, self.phases = {}, phases


def plan(*phases, batch_size=8, **budget):
    return plan_rounds(
        set_table(lambda: Idle(*phases), points(), batch_size=batch_size), TrainSection(**budget), 77
    )


shares = st.floats(0.01, 100.0)


@given(st.integers(1, 10**6), st.lists(shares, min_size=1, max_size=6))
def test_open_phases_divide_every_round_of_the_budget_by_their_shares(steps, weights):
    rounds = plan(*(Phase([], share=w) for w in weights), steps=steps)
    assert sum(rounds) == steps
    for mine, weight in zip(rounds, weights, strict=True):
        assert abs(mine - steps * weight / sum(weights)) <= 1


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 100), shares)
def test_fixed_phases_take_theirs_first(one, two, left, share):
    phases = [Phase([], rounds=one), Phase([], share=share), Phase([], rounds=two), Phase([])]
    rounds = plan(*phases, steps=one + two + left)
    assert (rounds[0], rounds[2]) == (one, two) and sum(rounds) == one + two + left


def test_samples_are_rounds_of_whole_batches_and_the_recipe_has_a_default():
    assert plan(Phase([]), samples=80) == [10]
    assert plan(Phase([]), samples=81) == [11]
    assert plan(Phase([])) == [77]


def test_seconds_are_timed_for_each_phase_and_divided_by_share(clock):
    phases = [Phase([], dynamics=Waits(0.002), share=1.0), Phase([], dynamics=Waits(0.004), share=3.0)]
    rounds = plan(*phases, seconds=4.0)
    spent = [n * s for n, s in zip(rounds, (0.002, 0.004), strict=True)]
    assert spent == pytest.approx([1.0, 3.0], abs=0.01)


def test_a_phase_in_seconds_within_a_budget_in_steps(clock):
    rounds = plan(Phase([], dynamics=Waits(0.01), seconds=0.2), Phase([]), steps=100)
    assert rounds == [20, 80]


@pytest.mark.parametrize(
    ("phases", "budget"),
    [
        ([Phase([], rounds=20)], {"steps": 19}),
        ([Phase([], rounds=20), Phase([])], {"steps": 20}),
        ([Phase([], rounds=20), Phase([])], {"samples": 100}),
        ([Phase([], seconds=2.0, dynamics=Waits(0.001)), Phase([])], {"seconds": 1.0}),
    ],
)
def test_a_budget_below_what_the_recipe_fixes_is_refused_in_one_line(phases, budget):
    with refused(ConfigError, "budget", fix="budget"):
        plan(*phases, **budget)


class Optimistic(Dynamics):
    slots = ("previous",)

    def round(self, field):
        for index, move in field.moves():
            gradient = field.gradient(move, field.draw(index))
            for p, g in zip(field.memory(move.player, "previous"), gradient.tensors, strict=True):
                if g is not None:
                    p.copy_(g)
            field.apply(move, gradient)


def steadied(rule, dynamics):
    def build():
        return adversarial(
            generator=lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)),
            discriminator=Judge, prior=normal(3), penalties=[R1(1.0, every=4)], average=30.0,
            discriminator_remedies=[spectral_norm], generator_rule=rule, discriminator_rule=rule,
            dynamics=dynamics,
        )  # fmt: skip

    return build


@pytest.mark.parametrize("rule", [Adam(0.05), SGD(0.05, 0.9)])
def test_timed_rounds_are_undone_to_the_last_bit(rule):
    build = steadied(rule, Optimistic())
    table = set_table(build, points())
    before = whole(table)
    cost = seconds_per_round(table, table.game.phases[0], budget=0.5)
    assert 0 < cost < 1
    assert differing(before, whole(table)) == []
    assert table.statistics.read() == {}
    assert any("dynamics/previous" in name for name in before)
    assert differing(before, whole(play(build, points(), 2))) != []


def test_timing_a_model_that_is_fitted_leaves_it_unfitted():
    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.zeros(2))

        def fit(self, views, key):
            self.mean.copy_(views["train"].take(torch.arange(len(views["train"])), key).data.mean(0))
            return True

        def sample(self, n, key):
            return self.mean.expand(n, 2)

    table = set_table(lambda: fitted(Mean()), points())
    assert plan_rounds(table, TrainSection(seconds=1.0), 10)[0] > 0
    assert torch.equal(table.game.model.mean, torch.zeros(2))


def test_only_the_players_of_a_dynamics_have_its_memory():
    class Two(Game):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(2, 1), nn.Linear(2, 1)
            self.players = {"a": Player(["a"]), "b": Player(["b"])}
            self.phases = [Phase([Move("a")], dynamics=Optimistic()), Phase([Move("b")])]

    updaters = Two().updaters()
    assert list(updaters["a"].memory) == ["previous"] and not updaters["b"].memory
