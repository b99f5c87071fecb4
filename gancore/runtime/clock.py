"""The clock of trainings, which stops while Ctrl-Z has suspended the program. Imports no torch."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType


class _Clock:
    def __init__(self) -> None:
        self.suspensions: list[float] = []
        """Seconds of each. A suspension may begin while another is recorded; ``append`` loses none."""

    def suspend(self, number: int, frame: FrameType | None) -> None:
        """A handler of SIGTSTP that suspends the program until SIGCONT, as the default handler does."""
        started = time.perf_counter()
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, handler)
        self.suspensions.append(time.perf_counter() - started)


_CLOCK = _Clock()


def active_time() -> float:
    """Seconds since an arbitrary start, without the suspensions that :func:`measure_suspensions` measured."""
    return time.perf_counter() - sum(_CLOCK.suspensions)


@contextlib.contextmanager
def measure_suspensions() -> Iterator[None]:
    """Context manager in which :func:`active_time` stops while SIGTSTP (Ctrl-Z) has suspended the program.

    It does nothing outside the main thread, which alone gets signals, and if the program has a handler of its
    own or ignores the signal. SIGSTOP cannot be handled: its suspensions count.
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
