"""Plans a run before its first step: a budget in steps, samples or seconds becomes steps of each phase."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gancore.config import RunConfig, TrainConfig
from gancore.errors import ConfigError
from gancore.games.fitted import fits_in_one_step
from gancore.games.game import Phase
from gancore.games.training_setup import TrainingSetup
from gancore.runtime.clock import active_time
from gancore.training.monitor import MOTION_EVERY
from gancore.training.setup import state_tensors
from gancore.training.state import TrainState
from gancore.training.timing import EvaluationCosts, seconds_per_step

EVALUATION_SHARE, MAX_EVALUATIONS = 0.1, 10
"""Share of the budget for all previews and evaluations together; maximum number of each."""
MAX_MOTION_SHARE = 1 / 20
"""Maximum share of training time for checks of the samples' motion."""
MIN_TRAINING_SHARE = 0.5
"""Minimum share of a budget in seconds that training gets."""
WRITE_BYTES_PER_SECOND = 1e8
"""Assumed speed of writing checkpoints and models: that of a slow disk."""


@dataclass(frozen=True)
class EvaluationPlan:
    """How many previews and evaluations a run makes, and the seconds that they take together."""

    previews: int
    evaluations: int
    seconds: float

    def intervals(self, steps: int) -> dict[str, int]:
        """Steps from one to the next; 0: never."""
        counts = {"preview": self.previews, "evaluate": self.evaluations}
        return {name: max(1, -(-steps // count)) if count else 0 for name, count in counts.items()}


def plan_evaluations(costs: EvaluationCosts, seconds: float, config: RunConfig) -> EvaluationPlan:
    """Plan as many pairs of a preview and an evaluation as ``seconds`` allow, then previews for the rest.

    A run that selects its model evaluates it at least once. An interval given in ``config`` is not
    limited here: its cost is part of each step's (:func:`configured_seconds_per_step`).
    """
    preview = 0.0 if config.logging.preview_every else costs.preview
    evaluation = 0.0 if config.validation.every else costs.evaluation
    evaluations = max(_affordable(seconds, preview + evaluation), 1 if config.validation.select else 0)
    left = max(0.0, seconds - (evaluations * evaluation if evaluations else 0.0))
    previews = _affordable(left, preview)
    spent = (evaluations * evaluation if evaluations else 0.0) + (previews * preview if previews else 0.0)
    return EvaluationPlan(previews, evaluations, spent)


def _affordable(seconds: float, cost: float) -> int:
    return MAX_EVALUATIONS if cost * MAX_EVALUATIONS <= seconds else int(seconds / cost)


def motion_interval(cost: float, step_seconds: float) -> int:
    """Minimum number of steps between checks of motion that take ``cost`` seconds each; 0: never."""
    if cost == math.inf:
        return 0
    return max(MOTION_EVERY, math.ceil(cost / (MAX_MOTION_SHARE * step_seconds)))


def configured_seconds_per_step(costs: EvaluationCosts, config: RunConfig, budget: float) -> float:
    """Mean seconds per step of previews, evaluations and checkpoints whose interval is configured."""
    pairs = (
        (costs.preview, config.logging.preview_every),
        (costs.evaluation, config.validation.every),
        (costs.checkpoint, config.checkpoint.every),
    )
    return sum(min(cost, budget) / every for cost, every in pairs if every)


def plan_steps(setup: TrainingSetup, train: TrainConfig, default_steps: int) -> list[int]:
    """The steps of each phase, for a budget in steps or samples.

    Fixed phases take their steps (or seconds) first; the others divide the rest by their shares.
    """
    phases = setup.game.phases
    if train.samples is not None:
        total = -(-train.samples // setup.samples_per_step)
    else:
        total = train.steps or default_steps
    fixed = [_fixed_steps(setup, phase) for phase in phases]
    left = total - sum(steps or 0 for steps in fixed)
    _check_fixed_phases(left, fixed, f"{total} steps")
    return _divide_by_share(left, phases, fixed)


def plan_time(
    setup: TrainingSetup,
    seconds: float,
    config: RunConfig,
    measure_costs: Callable[[], EvaluationCosts],
    started: float | None = None,
) -> TrainState:
    """The state of a new run whose budget is ``seconds``, from ``started`` to the last checkpoint.

    ``started``: a time of ``active_time``, before the checks that precede the first step; None: now.
    Steps are timed and then undone. Previews and evaluations get a tenth of the budget, less the seconds
    that all this took, and at least a twentieth; checks of motion get a twentieth of training. Steps and
    intervals are fixed here, so that a resumed run equals an uninterrupted one. A model that is fitted in one
    step is not timed: no budget shortens that step.

    Raises:
        ConfigError: one step takes longer than the budget, or fixed phases do.
    """
    started = active_time() if started is None else started
    phases, processes = setup.game.phases, setup.batches.processes
    if fits_in_one_step(phases):
        return TrainState([1] * len(phases))
    costs = [seconds_per_step(setup, phase, seconds) for phase in phases]
    measured: EvaluationCosts = processes.broadcast_object(measure_costs() if processes.is_main else None)
    (spent,) = processes.all_max(active_time() - started)
    evaluation_seconds = max(EVALUATION_SHARE * seconds - spent, EVALUATION_SHARE / 2 * seconds)
    evaluations = plan_evaluations(measured, evaluation_seconds, config)
    motion = motion_interval(measured.motion, min(costs))
    more = configured_seconds_per_step(measured, config, seconds)
    more += measured.motion / motion if motion else 0.0
    costs = [cost + more for cost in costs]
    last_save = 2 * sum(tensor.nbytes for tensor in state_tensors(setup)) / WRITE_BYTES_PER_SECOND
    overhead = spent + evaluations.seconds + last_save
    plan = _steps_in_time(phases, costs, seconds, max(MIN_TRAINING_SHARE * seconds, seconds - overhead))
    cadence = {**evaluations.intervals(sum(plan)), "motion": motion}
    return TrainState(plan, cadence=cadence, spent={"timing": spent})


def _fixed_steps(setup: TrainingSetup, phase: Phase) -> int | None:
    if phase.steps is None and phase.seconds is not None:
        return max(1, round(phase.seconds / seconds_per_step(setup, phase, phase.seconds)))
    return phase.steps


def _steps_in_time(
    phases: Sequence[Phase], costs: Sequence[float], seconds: float, training: float
) -> list[int]:
    """Steps of phases with these ``costs`` per step, which take ``training`` seconds of the budget."""
    fixed = [
        phase.steps if phase.seconds is None else max(1, round(phase.seconds / cost))
        for phase, cost in zip(phases, costs, strict=True)
    ]
    left = training - sum((steps or 0) * cost for steps, cost in zip(fixed, costs, strict=True))
    _check_fixed_phases(left, fixed, f"{seconds:g} seconds")
    shares = sum(phase.budget_share for phase, steps in zip(phases, fixed, strict=True) if steps is None)
    return [
        steps if steps is not None else max(1, int(left * phase.budget_share / shares / cost))
        for phase, steps, cost in zip(phases, fixed, costs, strict=True)
    ]


def _divide_by_share(left: int, phases: Sequence[Phase], fixed: Sequence[int | None]) -> list[int]:
    """Divide all ``left`` steps by share."""
    shares = [
        phase.budget_share if steps is None else 0.0 for phase, steps in zip(phases, fixed, strict=True)
    ]
    plan, given, reached = [], 0, 0.0
    for share, steps in zip(shares, fixed, strict=True):
        reached += share
        mine = round(left * reached / sum(shares)) - given if steps is None else 0
        given += mine
        plan.append(mine if steps is None else steps)
    return plan


def _check_fixed_phases(left: float, fixed: Sequence[int | None], budget: str) -> None:
    if left < 0 or (left == 0 and None in fixed):
        raise ConfigError(
            f"the budget of {budget} is smaller than the recipe's fixed phases need", "raise the budget"
        )
