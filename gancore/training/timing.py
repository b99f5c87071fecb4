"""How long a round of a phase takes, measured on rounds that are undone afterwards."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import torch

from gancore.errors import ConfigError, GancoreError
from gancore.games.field import Field, Table
from gancore.games.game import Phase
from gancore.games.statistics import Statistics
from gancore.training.table import all_tensors

SHARE, MOST_SECONDS = 1 / 100, 20.0
"""Of a budget, what timing a phase may take beside the warm-up; and in seconds, at most."""
ROUGH_SHARE = 1 / 10
"""Where whole rounds would take more of the budget than this, they are timed on a part of a batch."""
PART = 4
"""The part of a batch on which rounds are timed roughly: one of so many."""
CERTAIN_SECONDS = 10.0
"""A rough estimate above the budget is checked on a whole round if that takes no longer than this."""


def seconds_per_round(table: Table, phase: Phase, budget: float) -> float:
    """Mean seconds of a round over a whole cycle of the phase's lazy moves; ``budget`` is in seconds.

    Each kind of round (which lazy moves are due) is timed and weighted by how often it occurs. All tensors
    are as before when this returns.

    Raises:
        ConfigError: one round takes longer than the budget.
    """
    before = [tensor.detach().clone() for tensor in all_tensors(table)]
    try:
        return _measured(table, phase, budget)
    finally:
        _restore(table, before)


def round_kinds(phase: Phase) -> dict[int, float]:
    """The first round of each kind, and the share of rounds that are of this kind."""
    due = [
        tuple(i for i, move in enumerate(phase.moves) if number % move.every == 0)
        for number in range(phase.cycle)
    ]
    return {due.index(kind): count / len(due) for kind, count in Counter(due).items()}


def _measured(table: Table, phase: Phase, budget: float) -> float:
    kinds = round_kinds(phase)
    rough = _rough_seconds(table, phase, kinds)
    if rough is not None and rough > budget and rough > CERTAIN_SECONDS:
        _refuse_slow(rough, budget)
    if rough is not None and 2 * len(kinds) * rough > ROUGH_SHARE * budget and rough <= budget:
        return rough
    cost = _fine_seconds(table, phase, kinds, min(MOST_SECONDS, SHARE * budget))
    if cost > budget:
        _refuse_slow(cost, budget)
    return cost


def _rough_seconds(table: Table, phase: Phase, kinds: dict[int, float]) -> float | None:
    """Seconds of a round from a part of the batch, rather too many; None: the batch cannot be divided so."""
    size = table.batch_size // PART
    if table.batch_size % PART or size % (table.accumulate * table.dealer.processes.world):
        return None
    play = _player(replace(table, batch_size=size), phase)
    try:
        for number in kinds:
            play(number)  # the first call of each kind sets up kernels and memory
        return PART * sum(share * play(number) for number, share in kinds.items())
    except (GancoreError, RuntimeError, ValueError):  # a cost that sees so many rows at once, or more
        return None


def _fine_seconds(table: Table, phase: Phase, kinds: dict[int, float], patience: float) -> float:
    play = _player(table, phase)
    for number in kinds:
        play(number)
    spent, passes = dict.fromkeys(kinds, 0.0), 0
    while passes == 0 or sum(spent.values()) < patience:
        passes += 1
        for number in kinds:
            spent[number] += play(number)
    return sum(share * spent[number] / passes for number, share in kinds.items())


def _player(table: Table, phase: Phase) -> Callable[[int], float]:
    """Plays the round of this number; returns its seconds, those of the slowest process."""
    trial = replace(table, statistics=Statistics())

    def play(number: int) -> float:
        began = time.perf_counter()
        field = Field(trial, phase, number, number, 0.0)
        phase.dynamics.round(field)
        table.game.after_round(field)
        if table.dealer.key.device.type == "cuda":
            torch.cuda.synchronize()
        trial.statistics.read()
        return table.dealer.processes.most(time.perf_counter() - began)[0]

    return play


def _refuse_slow(cost: float, budget: float) -> None:
    raise ConfigError(
        f"one round of training takes about {cost:.3g} s here, and the budget is {budget:g} s",
        f"give --seconds {2 * max(1, round(cost))} or more, or set a smaller model.batch_size",
    )


@torch.no_grad()
def _restore(table: Table, before: list[torch.Tensor]) -> None:
    for tensor, old in zip(all_tensors(table), before, strict=True):
        tensor.copy_(old)
