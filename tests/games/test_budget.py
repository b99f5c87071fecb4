"""A budget becomes steps of phases, all of it and no more; timing leaves no trace."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused
from torch import nn
from toy_games import DenseDiscriminator, differing, play, points, run_config, set_up, whole

from gancore.config import TrainConfig
from gancore.errors import ConfigError
from gancore.games import (
    R1,
    SGD,
    Adam,
    Dynamics,
    Game,
    Move,
    Phase,
    Player,
    adversarial_game,
    fitted_game,
    normal,
)
from gancore.nn.spectral_normalization import spectral_norm
from gancore.training.monitor import Intervals
from gancore.training.plan import EvaluationPlan, plan_evaluations, plan_steps, plan_time
from gancore.training.state import TrainState
from gancore.training.timing import EvaluationCosts, seconds_per_step, step_kinds


class Waits(Dynamics):
    """A step of known length, in proportion to its batch, by a clock that nothing else moves."""

    now = 0.0

    def __init__(self, seconds, batch_size=8):
        self.seconds, self.batch_size = seconds, batch_size

    def play(self, step):
        Waits.now += self.seconds * step.setup.batch_size / self.batch_size


@pytest.fixture
def clock(monkeypatch):
    for module in ("plan", "timing"):
        monkeypatch.setattr(f"gancore.training.{module}.active_time", lambda: Waits.now)


class Idle(Game):
    def __init__(self, *phases):
        super().__init__()
        self.players, self.phases = {}, phases


def plan(*phases, batch_size=8, **budget):
    return plan_steps(
        set_up(lambda: Idle(*phases), points(), batch_size=batch_size), TrainConfig(**budget), 77
    )


def planned(*phases, seconds, preview=0.0, evaluation=0.0, motion=0.0, saving=0.0, **sections):
    """The state of a run of so many seconds on the wall, and how long its planning took."""
    table = set_up(lambda: Idle(*phases), points(), batch_size=8)
    began = Waits.now
    costs = EvaluationCosts(preview, evaluation, motion, saving)
    return plan_time(table, seconds, run_config(**sections), lambda: costs), Waits.now - began


shares = st.floats(0.01, 100.0)


@given(st.integers(1, 10**6), st.lists(shares, min_size=1, max_size=6))
def test_open_phases_divide_every_step_of_the_budget_by_their_shares(steps, weights):
    planned = plan(*(Phase([], budget_share=w) for w in weights), steps=steps)
    assert sum(planned) == steps
    for mine, weight in zip(planned, weights, strict=True):
        assert abs(mine - steps * weight / sum(weights)) <= 1


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 100), shares)
def test_fixed_phases_take_theirs_first(one, two, left, share):
    phases = [Phase([], steps=one), Phase([], budget_share=share), Phase([], steps=two), Phase([])]
    planned = plan(*phases, steps=one + two + left)
    assert (planned[0], planned[2]) == (one, two) and sum(planned) == one + two + left


def test_samples_are_steps_of_whole_batches_and_the_recipe_has_a_default():
    assert plan(Phase([]), samples=80) == [10]
    assert plan(Phase([]), samples=81) == [11]
    assert plan(Phase([])) == [77]


def test_seconds_are_timed_for_each_phase_and_divided_by_share(clock):
    phases = [
        Phase([], dynamics=Waits(0.002), budget_share=1.0),
        Phase([], dynamics=Waits(0.004), budget_share=3.0),
    ]
    state, timing = planned(*phases, seconds=4.0)
    spent = [n * s for n, s in zip(state.plan, (0.002, 0.004), strict=True)]
    assert spent == pytest.approx([(4.0 - timing) / 4, 3 * (4.0 - timing) / 4], abs=0.01)
    assert state.spent == {"timing": pytest.approx(timing)} and timing < 0.2


@given(st.floats(1e-4, 0.4), st.floats(0, 60), st.floats(0, 60), st.floats(0, 60))
def test_training_timing_and_looks_fit_into_the_seconds(cost, preview, evaluation, motion):
    with pytest.MonkeyPatch.context() as patch:
        for module in ("plan", "timing"):
            patch.setattr(f"gancore.training.{module}.active_time", lambda: Waits.now)
        state, timing = planned(
            Phase([], dynamics=Waits(cost)),
            seconds=60.0,
            preview=preview,
            evaluation=evaluation,
            motion=motion,
        )
    looks = 0.0
    for name, one in (("preview", preview), ("evaluate", evaluation)):
        every = state.cadence[name]
        looks += one * (-(-state.total_steps // every)) if every else 0.0
    assert looks <= 6.001
    moving = state.total_steps / state.cadence["motion"] * motion
    assert moving <= 0.05 * state.total_steps * cost + 1e-9
    assert 45 < timing + looks + moving + state.total_steps * cost <= 60.001


def test_a_step_longer_than_the_budget_is_refused_before_it_is_played_whole(clock):
    began = Waits.now
    with pytest.raises(ConfigError) as refusal:
        planned(Phase([], dynamics=Waits(396.0)), seconds=30.0)
    assert "396 s" in refusal.value.message and "--time" in refusal.value.fix
    assert Waits.now - began < 396.0 / 2


def test_a_slow_step_is_timed_on_a_part_of_the_batch(clock):
    state, timing = planned(Phase([], dynamics=Waits(20.0)), seconds=60.0)
    assert state.plan == [2] and timing == pytest.approx(7.5)


def test_lazy_moves_are_weighted_by_how_often_they_are_made():
    moves = [Move("d"), Move("d", "r1", every=16), Move("g", every=4)]
    assert step_kinds(Phase(moves)) == {0: 1 / 16, 1: 12 / 16, 4: 3 / 16}


def test_what_is_too_slow_to_be_looked_at_is_not_but_a_model_that_is_selected_is_evaluated_once():
    slow = EvaluationCosts(float("inf"), float("inf"))
    assert plan_evaluations(slow, 6.0, run_config()) == EvaluationPlan(0, 0, 0.0)
    assert plan_evaluations(slow, 6.0, run_config(validation={"select": "nll"})).evaluations == 1
    assert plan_evaluations(EvaluationCosts(0.1, 2.0), 6.0, run_config()).evaluations == 2
    assert plan_evaluations(EvaluationCosts(0.1, 0.1), 6.0, run_config()) == EvaluationPlan(
        10, 10, pytest.approx(2.0)
    )


def test_a_cadence_that_is_given_costs_steps_and_is_kept(clock):
    state, _ = planned(Phase([], dynamics=Waits(0.1)), seconds=60.0, evaluation=0.3, validation={"every": 1})
    assert state.total_steps == pytest.approx(60 / 0.4, rel=0.1)
    cadence = Intervals.of(run_config(validation={"every": 1}), state.planned, state.cadence)
    assert cadence.evaluate == 1


def test_checkpoints_at_a_given_cadence_cost_steps(clock):
    for every, cost in ((10, 0.4), (None, 0.1)):
        phase = Phase([], dynamics=Waits(0.1))
        state, _ = planned(phase, seconds=60.0, saving=3.0, checkpoint={"every": every})
        assert state.total_steps == pytest.approx(60 / cost, rel=0.1)


def test_a_resumed_run_keeps_the_steps_and_cadences_of_its_first_life(clock):
    phase = Phase([], dynamics=Waits(0.1))
    state, _ = planned(phase, seconds=60.0, preview=0.1, evaluation=3.0)
    again = TrainState.from_json(json.loads(json.dumps(state.to_json())), 1)
    assert again == state and again.cadence["evaluate"] > 0


def test_a_cadence_of_zero_steps_is_never_due():
    cadence = Intervals.of(run_config(), 10, {"preview": 0, "evaluate": 10})
    state = TrainState([10], step=10)
    assert not cadence.is_due(cadence.preview, state) and cadence.is_due(cadence.evaluate, state)


def test_a_phase_in_seconds_within_a_budget_in_steps(clock):
    planned = plan(Phase([], dynamics=Waits(0.01), seconds=0.2), Phase([]), steps=100)
    assert planned == [20, 80]


@pytest.mark.parametrize(
    ("phases", "budget"),
    [
        ([Phase([], steps=20)], {"steps": 19}),
        ([Phase([], steps=20), Phase([])], {"steps": 20}),
        ([Phase([], steps=20), Phase([])], {"samples": 100}),
    ],
)
def test_a_budget_below_what_the_recipe_fixes_is_refused_in_one_line(phases, budget):
    with refused(ConfigError, "budget", fix="budget"):
        plan(*phases, **budget)


def test_seconds_below_what_the_recipe_fixes_are_refused_in_one_line(clock):
    with pytest.raises(ConfigError) as refusal:
        planned(Phase([], seconds=2.0, dynamics=Waits(0.001)), Phase([], dynamics=Waits(0.001)), seconds=1.0)
    assert refusal.value.fix == "raise the budget"


class Optimistic(Dynamics):
    state_names = ("previous",)

    def play(self, step):
        for index, move in step.due_moves():
            gradient = step.gradient(move, step.draw(index))
            for p, g in zip(step.dynamics_state(move.player, "previous"), gradient.tensors, strict=True):
                if g is not None:
                    p.copy_(g)
            step.apply(move, gradient)


def steadied(optimizer, dynamics):
    def build():
        return adversarial_game(
            generator=lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)),
            discriminator=lambda: spectral_norm(DenseDiscriminator()), prior=normal(3),
            penalties=[R1(1.0, every=4)], ema_halflife=30.0,
            generator_optimizer=optimizer, discriminator_optimizer=optimizer,
            dynamics=dynamics,
        )  # fmt: skip

    return build


@pytest.mark.parametrize("optimizer", [Adam(0.05), SGD(0.05, 0.9)])
def test_timed_steps_are_undone_to_the_last_bit(optimizer):
    build = steadied(optimizer, Optimistic())
    table = set_up(build, points())
    before = whole(table)
    cost = seconds_per_step(table, table.game.phases[0], budget=0.5)
    assert 0 < cost < 1
    assert differing(before, whole(table)) == []
    assert table.scalars.read() == {}
    assert any("dynamics/previous" in name for name in before)
    assert differing(before, whole(play(build, points(), 2))) != []


def test_timing_a_model_that_is_fitted_leaves_it_unfitted():
    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.zeros(2))

        def fit(self, views, key):
            self.mean.copy_(views["train"].get_batch(torch.arange(len(views["train"])), key).data.mean(0))
            return True

        def sample(self, n, key):
            return self.mean.expand(n, 2)

    table = set_up(lambda: fitted_game(Mean()), points())
    assert plan_time(table, 1.0, run_config(), lambda: EvaluationCosts(0.0, 0.0)).total_steps > 0
    assert torch.equal(table.game.model.mean, torch.zeros(2))


def test_only_the_players_of_a_dynamics_have_its_memory():
    class Two(Game):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(2, 1), nn.Linear(2, 1)
            self.players = {"a": Player(["a"]), "b": Player(["b"])}
            self.phases = [Phase([Move("a")], dynamics=Optimistic()), Phase([Move("b")])]

    optimizers = Two().optimizer_states()
    assert list(optimizers["a"].dynamics_state) == ["previous"] and not optimizers["b"].dynamics_state


class Counted(nn.Module):
    """Counts its fits; ``one_step``: the first one completes it."""

    def __init__(self, one_step):
        super().__init__()
        self.one_step, self.fits = one_step, 0

    def fit(self, views, key):
        self.fits += 1
        Waits.now += 9.0
        return self.one_step


@pytest.mark.parametrize("one_step", [True, False])
def test_a_model_that_is_fitted_in_one_step_is_neither_timed_nor_planned_for_more(clock, one_step):
    table = set_up(lambda: fitted_game(Counted(one_step)), points(), batch_size=8)
    state = plan_time(table, 30.0, run_config(), lambda: EvaluationCosts(0.0, 0.0))
    assert (state.plan == [1], table.game.model.fits) == (one_step, 0 if one_step else 1)
    assert plan_steps(table, TrainConfig(), 77) == [1 if one_step else 77]
