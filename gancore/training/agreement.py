"""What the processes of a run must agree on from round to round: whether to go on, and who asked to stop."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from gancore.runtime.processes import Processes
from gancore.training.state import State

SIGNALS = ("", "SIGINT", "SIGTERM")
"""Who may ask a run to stop."""


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
        stop, ended = processes.most(SIGNALS.index(state.stopping), state.step >= state.total)
        state.stopping = SIGNALS[int(stop)]
        if ended:
            state.finish()

    return after


@contextlib.contextmanager
def stop_signals(ask: Callable[[str], None]) -> Iterator[None]:
    """Ctrl-C and SIGTERM ask once, and the step is finished; a second Ctrl-C interrupts at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        ask(signal.Signals(number).name)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
