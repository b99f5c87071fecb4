"""The one loop that trains every game."""

from __future__ import annotations

import time
from collections.abc import Callable

from gancore.games.field import Field, Table
from gancore.runtime.randomness import Rows, global_draws
from gancore.training.state import State


def train(table: Table, state: State, upkeep: Callable[[State], None]) -> None:
    """Play the game's phases to their end.

    Every draw is a pure function of (seed, step, index, name), so a run that is killed and resumed
    equals an undisturbed one, byte for byte on the same machine.
    """
    game = table.game
    game.train()
    while (phase := state.phase(game.phases)) is not None:
        began = time.perf_counter()
        field = Field(table, phase, state.step, state.round_in_phase, state.progress)
        with global_draws(table.dealer.key / state.step / "round"):
            done = phase.dynamics.round(field)
            game.after_round(field)
        state.advance(done)
        state.seconds += time.perf_counter() - began
        upkeep(state)


def prepare(table: Table) -> None:
    """Before round 0: what is fitted on train, then what a game draws for itself."""
    rows = Rows.all(table.batch_size)
    with global_draws(table.dealer.key / "prepare"):
        table.game.fit(table.dealer.views)
        table.game.prepare(table.dealer.deal(-1, 0, rows, 0, 0.0))
