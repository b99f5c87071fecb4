"""Budgets: steps, samples or seconds become a number of rounds for each phase, before the first one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from gancore.config import TrainSection, UpkeepSection
from gancore.errors import ConfigError
from gancore.games.field import Table
from gancore.games.game import Phase
from gancore.training.looks import SHARE, LookCosts, allowed, motion_every, seconds_of_given
from gancore.training.state import State
from gancore.training.table import all_tensors
from gancore.training.timing import seconds_per_round

LEAST = 0.5
"""Of a budget in seconds, the share that training gets whatever else takes time."""
SAVED_BYTES_PER_SECOND = 1e8
"""How fast checkpoints and models are written: a slow disk."""


def plan_rounds(table: Table, train: TrainSection, default_steps: int) -> list[int]:
    """The rounds of each phase, where the budget is in steps or samples.

    Fixed phases take their rounds (or seconds) first; the others divide what is left by their shares.
    """
    phases = table.game.phases
    if train.samples is not None:
        total = -(-train.samples // table.samples_a_round)
    else:
        total = train.steps or default_steps
    fixed = [_fixed(table, phase) for phase in phases]
    left = total - sum(rounds or 0 for rounds in fixed)
    _refuse_overdrawn(left, fixed, f"{total} rounds")
    return _divide(left, phases, fixed)


def plan_seconds(
    table: Table,
    seconds: float,
    settings: UpkeepSection,
    measure_looks: Callable[[], LookCosts],
    began: float | None = None,
) -> State:
    """A new run's state, where the budget is ``seconds`` on the wall from ``began`` to the last checkpoint.

    ``began``: of ``time.perf_counter``, before the checks that precede the first round; None: now.
    Rounds are timed and then undone; previews and evaluations get a tenth of the budget, less the time
    that all this took, and a twentieth at least; looks at motion get a twentieth of training. Rounds and
    cadences are fixed here, so that a resumed run equals an undisturbed one.

    Raises:
        ConfigError: one round takes longer than the budget, or fixed phases do.
    """
    began = time.perf_counter() if began is None else began
    phases, processes = table.game.phases, table.dealer.processes
    costs = [seconds_per_round(table, phase, seconds) for phase in phases]
    looked: LookCosts = processes.tell(measure_looks() if processes.first else None)
    (spent,) = processes.most(time.perf_counter() - began)
    looks = allowed(looked, max(SHARE * seconds - spent, SHARE / 2 * seconds), settings)
    motion = motion_every(looked.motion, min(costs))
    more = seconds_of_given(looked, settings, seconds) + (looked.motion / motion if motion else 0.0)
    costs = [cost + more for cost in costs]
    taken = spent + looks.seconds + _seconds_of_saving(table)
    plan = _in_seconds(phases, costs, seconds, max(LEAST * seconds, seconds - taken))
    cadence = {**looks.cadence(sum(plan)), "motion": motion}
    return State(plan, cadence=cadence, spent={"timing": spent})


def _seconds_of_saving(table: Table) -> float:
    """Of the last checkpoint and the model."""
    return 2 * sum(tensor.nbytes for tensor in all_tensors(table)) / SAVED_BYTES_PER_SECOND


def _fixed(table: Table, phase: Phase) -> int | None:
    if phase.rounds is None and phase.seconds is not None:
        return max(1, round(phase.seconds / seconds_per_round(table, phase, phase.seconds)))
    return phase.rounds


def _in_seconds(
    phases: Sequence[Phase], costs: Sequence[float], seconds: float, training: float
) -> list[int]:
    """Rounds of phases with these ``costs`` a round that take the ``training`` part of the budget."""
    fixed = [
        phase.rounds if phase.seconds is None else max(1, round(phase.seconds / c))
        for phase, c in zip(phases, costs, strict=True)
    ]
    left = training - sum((rounds or 0) * cost for rounds, cost in zip(fixed, costs, strict=True))
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
