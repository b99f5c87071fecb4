"""Schedules are closed forms of the phase's progress, and phases end when their dynamics says so."""

import math

import pytest
import torch
from torch import nn
from toy_games import play, points, whole

from gancore.games import (
    SGD,
    Alternating,
    Cost,
    Dynamics,
    Game,
    Move,
    Phase,
    Player,
    cosine,
    exponential,
    linear,
    warmup,
)
from gancore.games.schedules import schedule_value


def test_closed_forms():
    halfway = [schedule(0.5) for schedule in (linear(4, 1), cosine(4, 1), exponential(4, 1))]
    assert halfway == pytest.approx([2.5, 2.5, 2.0])
    for schedule in (linear(4, 1), cosine(4, 1), exponential(4, 1)):
        assert (schedule(0.0), schedule(1.0)) == pytest.approx((4, 1))
    assert cosine(1, 0)(0.25) == pytest.approx((1 + math.cos(math.pi / 4)) / 2)
    assert [warmup(3.0, 0.1)(p) for p in (0.0, 0.05, 0.1, 1.0)] == pytest.approx([0, 1.5, 3, 3])
    assert warmup(linear(2, 0), 0.5)(0.25) == pytest.approx(1.5 * 0.5)
    assert warmup(3.0, 0.0)(0.0) == 3.0
    assert schedule_value(0.3, 0.7) == 0.3


class Noted(Game):
    """Notes each phase's progress; its weight moves down by the rate at each step."""

    def __init__(self, phases, optimizer):
        super().__init__()
        self.w = nn.ParameterList([nn.Parameter(torch.tensor([0.0], dtype=torch.float64))])
        self.players, self.phases, self.noted = {"w": Player(["w"], optimizer)}, phases, []

    def cost(self, move, draw):
        self.noted.append((move.cost, draw.progress))
        return Cost().add("loss", self.w[0].expand(draw.num_rows))


def test_progress_runs_from_zero_over_each_phase_and_schedules_follow_it():
    phases = [Phase([Move("w", "one")], steps=4), Phase([Move("w", "two")])]
    game = play(lambda: Noted(phases, SGD(linear(1.0, 0.0))), points(), 9).game
    assert game.noted == [*[("one", k / 4) for k in range(4)], *[("two", k / 5) for k in range(5)]]
    assert game.w[0].item() == pytest.approx(-sum(1 - p for _, p in game.noted))


def test_a_phase_without_steps_is_passed_over():
    phases = [Phase([Move("w", "one")], steps=0), Phase([Move("w", "two")])]
    game = play(lambda: Noted(phases, SGD(1.0)), points(), 3).game
    assert [cost for cost, _ in game.noted] == ["two"] * 3


class Until(Alternating):
    """Done once the weight is low enough."""

    def play(self, step):
        super().play(step)
        return bool(step.game.w[0] <= -3)


def test_a_dynamics_that_is_done_ends_its_phase_and_the_next_begins():
    phases = [Phase([Move("w", "one")], steps=100, dynamics=Until()), Phase([Move("w", "two")], steps=2)]
    game = play(lambda: Noted(phases, SGD(1.0)), points(), 102).game
    assert [cost for cost, _ in game.noted] == ["one"] * 3 + ["two"] * 2


class Optimistic(Dynamics):
    """Each update looks back: 2 g_t - g_{t-1} (Daskalakis et al. 2018), the first one at zeros."""

    state_names = ("previous",)

    def play(self, step):
        for index, move in step.due_moves():
            gradient = step.gradient(move, step.draw(index))
            previous = step.dynamics_state(move.player, "previous")
            ahead = [2 * g - p for g, p in zip(gradient.tensors, previous, strict=True)]
            for p, g in zip(previous, gradient.tensors, strict=True):
                p.copy_(g)
            step.apply(move, type(gradient)(ahead, gradient.means, gradient.terms))


class Bowl(Noted):
    def cost(self, move, draw):
        return Cost().add("loss", 0.5 * self.w[0].sub(1.0).square().expand(draw.num_rows))


def test_what_a_dynamics_remembers_is_saved_with_the_run(tmp_path):
    def build():
        return Bowl([Phase([Move("w")], dynamics=Optimistic())], SGD(0.1))

    w, before = 0.0, 0.0
    for _ in range(12):
        w, before = w - 0.1 * (2 * (w - 1) - before), w - 1
    undisturbed = play(build, points(), 12)
    assert undisturbed.game.w[0].item() == pytest.approx(w, abs=1e-14)
    killed = play(build, points(), 12, kills=(5,), folder=tmp_path)
    for name, tensor in whole(undisturbed).items():
        assert torch.equal(tensor, whole(killed)[name]), name
