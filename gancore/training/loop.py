"""The one loop that trains every game: in a run, and in memory (:func:`play`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gancore.config import TrainConfig
from gancore.games.training_setup import TrainingSetup
from gancore.games.training_step import TrainingStep
from gancore.random import RowRange, fork_global_rng
from gancore.runtime.clock import active_time
from gancore.training.plan import plan_steps
from gancore.training.precision import check_precision
from gancore.training.state import TrainState


def train(setup: TrainingSetup, state: TrainState, on_step_end: Callable[[TrainState], None]) -> None:
    """Play the game's phases to their end; call ``on_step_end`` after each step.

    Every draw is a pure function of (seed, step, index, name), so a run that was killed and resumed
    equals an uninterrupted one, byte for byte on the same machine.
    """
    game = setup.game
    game.train()
    while (phase := state.current_phase(game.phases)) is not None:
        started = active_time()
        progress, progress_end = state.progress, state.progress_end
        training_step = TrainingStep(setup, phase, state.step, state.step_in_phase, progress, progress_end)
        # "round" is hashed into every draw of a step: the word never changes.
        with fork_global_rng(setup.batches.key / state.step / "round"):
            done = phase.dynamics.play(training_step)
            game.after_step(training_step)
        state.advance(done)
        state.seconds += active_time() - started
        on_step_end(state)


def prepare_game(setup: TrainingSetup) -> None:
    """Before step 0: fit what is fitted on train, then let the game draw what it needs."""
    rows = RowRange.all(setup.batch_size)
    with fork_global_rng(setup.batches.key / "prepare"):
        setup.game.fit(setup.batches.views)
        setup.game.initialize(setup.batches.draw(-1, 0, rows, 0, 0.0))


def play(
    setup: TrainingSetup, steps: int, on_step_end: Callable[[TrainState], None] | None = None
) -> TrainState:
    """Make ``steps`` steps in memory, without a run folder; call ``on_step_end`` after each.

    The first call prepares the game. Another call continues with the next draws: with constant rates
    ``play(setup, 5)`` twice equals ``play(setup, 10)``. To end it, set ``state.stop_signal`` in
    ``on_step_end``.
    """
    previous = setup.resume_state.pop() if setup.resume_state else None
    if previous is None:
        prepare_game(setup)
    if setup.bf16 and "" in check_precision(setup).modules:
        setup = replace(setup, bf16=False)
    if isinstance(previous, TrainState):
        state = previous
        state.stop_signal = ""
        state.change_budget(plan_steps(setup, TrainConfig(steps=state.step + steps), steps))
    else:
        state = TrainState(plan_steps(setup, TrainConfig(steps=steps), steps))
    setup.resume_state.append(state)
    train(setup, state, on_step_end or (lambda state: None))
    return state
