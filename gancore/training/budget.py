"""Budgets: steps, samples or seconds become a number of rounds for each phase, before the first one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from gancore.config import TrainSection
from gancore.errors import ConfigError
from gancore.games.field import Field, Table
from gancore.games.game import Phase
from gancore.games.statistics import Statistics
from gancore.training.table import all_tensors


def plan_rounds(table: Table, train: TrainSection, default_steps: int) -> list[int]:
    """The rounds of each phase.

    Fixed phases take their rounds (or seconds) first; the others divide what is left by their
    shares. Seconds become rounds by timing some rounds that are then undone.
    """
    phases = table.game.phases
    if train.seconds is not None:
        return _in_seconds(table, phases, train.seconds)
    if train.samples is not None:
        total = -(-train.samples // table.batch_size)
    else:
        total = train.steps or default_steps
    fixed = [_fixed(table, phase) for phase in phases]
    left = total - sum(rounds or 0 for rounds in fixed)
    _refuse_overdrawn(left, fixed, f"{total} rounds")
    return _divide(left, phases, fixed)


def _fixed(table: Table, phase: Phase) -> int | None:
    if phase.rounds is None and phase.seconds is not None:
        return max(1, round(phase.seconds / seconds_per_round(table, phase, phase.seconds)))
    return phase.rounds


def _in_seconds(table: Table, phases: Sequence[Phase], seconds: float) -> list[int]:
    costs = [seconds_per_round(table, phase, seconds) for phase in phases]
    fixed = [
        phase.rounds if phase.seconds is None else max(1, round(phase.seconds / c))
        for phase, c in zip(phases, costs, strict=True)
    ]
    left = seconds - sum((rounds or 0) * cost for rounds, cost in zip(fixed, costs, strict=True))
    _refuse_overdrawn(left, fixed, f"{seconds:g} seconds")
    shares = sum(phase.share for phase, rounds in zip(phases, fixed, strict=True) if rounds is None)
    return [
        rounds if rounds is not None else max(1, int(left * phase.share / shares / cost))
        for phase, rounds, cost in zip(phases, fixed, costs, strict=True)
    ]


def _divide(left: int, phases: Sequence[Phase], fixed: Sequence[int | None]) -> list[int]:
    """``left`` rounds by share, every one of them given out."""
    shares = [phase.share if rounds is None else 0.0 for phase, rounds in zip(phases, fixed, strict=True)]
    plan, given, reached = [], 0, 0.0
    for share, rounds in zip(shares, fixed, strict=True):
        reached += share
        mine = round(left * reached / sum(shares)) - given if rounds is None else 0
        given += mine
        plan.append(mine if rounds is None else rounds)
    return plan


def _refuse_overdrawn(left: float, fixed: Sequence[int | None], budget: str) -> None:
    if left < 0 or (left == 0 and None in fixed):
        raise ConfigError(
            f"the budget of {budget} is less than the recipe's fixed phases take", "raise the budget"
        )


def seconds_per_round(table: Table, phase: Phase, budget: float) -> float:
    """Time some rounds of the phase, whole cycles of its lazy moves, and undo them.

    The timing takes a fiftieth of the budget, 20 seconds at most, but one cycle at least.
    """
    before = _snapshot(table)
    play = _player(table, phase)
    play(2)
    rounds, began = 0, time.perf_counter()
    most = table.dealer.processes.most  # all processes play the same number of rounds
    while rounds == 0 or most(time.perf_counter() - began)[0] < min(20.0, budget / 50):
        play(phase.cycle)
        rounds += phase.cycle
    (cost,) = most((time.perf_counter() - began) / rounds)
    _restore(table, before)
    return cost


def _player(table: Table, phase: Phase) -> Callable[[int], None]:
    trial = replace(table, statistics=Statistics())
    made = 0

    def play(rounds: int) -> None:
        nonlocal made
        for _ in range(rounds):
            field = Field(trial, phase, made, made, 0.0)
            phase.dynamics.round(field)
            table.game.after_round(field)
            made += 1
        if table.dealer.key.device.type == "cuda":
            torch.cuda.synchronize()
        trial.statistics.read()

    return play


def _snapshot(table: Table) -> list[torch.Tensor]:
    return [tensor.detach().clone() for tensor in all_tensors(table)]


@torch.no_grad()
def _restore(table: Table, before: list[torch.Tensor]) -> None:
    for tensor, old in zip(all_tensors(table), before, strict=True):
        tensor.copy_(old)
