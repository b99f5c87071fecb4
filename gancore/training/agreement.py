"""What the processes of a run must agree on from round to round: whether to go on, and who asked to stop."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from gancore.runtime.processes import Processes
from gancore.runtime.signals import SIGNALS, name_of, noted
from gancore.training.state import State

REASONS = ("", *(name_of(number) for number in SIGNALS))
"""Who may ask a run to stop: nobody, or one of the signals."""


def nobody() -> str:
    """Nobody asks to stop but by a signal to this very process."""
    return ""


def agreeing(
    upkeep: Callable[[State], None], processes: Processes, asked: Callable[[], str] = nobody
) -> Callable[[State], None]:
    """``upkeep``, after which all processes stop, or end, at the same round.

    Alone there is nothing to agree on. The others wait here while the first one saves or evaluates.
    ``asked`` says which signal the one who started them has had.
    """
    if processes.world == 1:
        return upkeep

    def after(state: State) -> None:
        upkeep(state)
        state.stopping = state.stopping or asked()
        stop, ended = processes.most(REASONS.index(state.stopping), state.step >= state.total)
        state.stopping = REASONS[int(stop)]
        if ended:
            state.finish()

    return after


def stop_signals(state: State, promise: str = "") -> AbstractContextManager[None]:
    """A signal ends training after the round in progress; ``promise`` is what stderr is told then."""

    def note(number: int) -> None:
        state.stopping = name_of(number)

    return noted(note, promise)
