"""Handles stop signals: records them while work is saved, then delivers them to the program's own handler.

One policy for all commands and for Python. Imports no torch.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NoReturn

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""Ctrl-C; the signal of schedulers and containers; a terminal that closes; Slurm's ``--signal=USR1``."""

Handler = Callable[[int, FrameType | None], Any] | signal.Handlers


class Interrupted(KeyboardInterrupt):
    """A signal ended the work. ``result``: the RunResult of a training that was saved, or None."""

    def __init__(self, number: int, result: Any = None) -> None:
        self.number, self.result = number, result
        super().__init__(signal_name(number))

    def __reduce__(self) -> tuple[type[Interrupted], tuple[int, Any]]:
        return type(self), (self.number, self.result)


def signal_name(number: int) -> str:
    return signal.Signals(number).name


def signal_exit_code(number: int) -> int:
    """What a shell reports for a program ended by this signal: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + number


def raise_interrupted(number: int, frame: FrameType | None) -> NoReturn:
    """A handler that ends the work in progress at once; ``finally`` blocks run."""
    raise Interrupted(number)


@contextlib.contextmanager
def signal_handler(handler: Handler) -> Iterator[None]:
    """Within, ``handler`` handles all of STOP_SIGNALS; the former handlers are restored afterwards.

    Does nothing outside the main thread, because the main thread gets all signals. A signal that the caller
    ignores stays ignored (SIGHUP under nohup), except Ctrl-C: shells ignore it for jobs in the background.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    found = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    before = {
        number: old
        for number, old in found.items()
        if old is not None and (old is not signal.SIG_IGN or number == signal.SIGINT)
    }
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@contextlib.contextmanager
def default_handlers() -> Iterator[None]:
    """Within, signals end the program at once: for blocking calls, during which Python runs no handler."""
    with signal_handler(signal.SIG_DFL):
        yield


@contextlib.contextmanager
def record_signals(note: Callable[[int], None], message: str = "") -> Iterator[None]:
    """Within, pass signals to ``note``; write ``message`` to stderr; a second Ctrl-C interrupts at once."""
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if message and not received:
            print_from_handler(f"{signal_name(number)}: {message}; Ctrl-C interrupts at once")
        received.append(number)
        note(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    with signal_handler(handle):
        yield


@contextlib.contextmanager
def interrupt_on_signal() -> Iterator[None]:
    """Any of STOP_SIGNALS ends the block with Interrupted, and is then delivered to the program's handler."""
    try:
        with signal_handler(raise_interrupted):
            yield
    except Interrupted as stop:
        deliver(stop.number)
        raise


def deliver(number: int) -> None:
    """Do what the signal would have done without gancore: call its handler, or end the program.

    Raises:
        KeyboardInterrupt: by Python's own handler of Ctrl-C.
        SystemExit: for a signal without a handler; its exit code is 128 plus the signal's number.
    """
    handler = signal.getsignal(number)
    if callable(handler):
        handler(number, None)
    elif handler is signal.SIG_DFL:
        raise SystemExit(signal_exit_code(number))


def print_from_handler(line: str) -> None:
    """Write a line to stderr, bypassing its buffer: a handler may be called in the middle of a write."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # stderr is closed or missing
        stream = sys.stderr
        clear = "\r\x1b[2K" if stream.isatty() else ""
        os.write(stream.fileno(), f"{clear}{line}\n".encode())
