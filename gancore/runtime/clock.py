"""The clock of trainings: it does not advance while Ctrl-Z has suspended the program. Imports no torch."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType


class _Clock:
    suspended_seconds = 0.0

    def suspend(self, number: int, frame: FrameType | None) -> None:
        """A handler of SIGTSTP that suspends the program as if there were none, until SIGCONT."""
        started = time.perf_counter()
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, handler)
        self.suspended_seconds += time.perf_counter() - started


_CLOCK = _Clock()


def active_time() -> float:
    """Seconds since some moment, without those that :func:`measure_suspensions` saw the program suspended."""
    return time.perf_counter() - _CLOCK.suspended_seconds


@contextlib.contextmanager
def measure_suspensions() -> Iterator[None]:
    """Within, :func:`active_time` stands still while SIGTSTP (Ctrl-Z) has suspended the program.

    Does nothing outside the main thread, because the main thread gets all signals, or where the program has
    a handler of its own or ignores the signal. SIGSTOP has no handler, so that its time counts.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTSTP) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTSTP, _CLOCK.suspend)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
