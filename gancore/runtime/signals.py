"""Handles stop signals: records them while work is saved, then delivers them to the handler of the program.

Commands and Python functions use the same rules. Imports no torch.
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
"""Ctrl-C; termination by schedulers and containers; a closed terminal; ``--signal=USR1`` of Slurm."""

Handler = Callable[[int, FrameType | None], Any] | signal.Handlers


class Interrupted(KeyboardInterrupt):
    """A signal ended the work. ``result`` is the RunResult of a training that was saved, or None."""

    def __init__(self, number: int, result: Any = None) -> None:
        self.number, self.result = number, result
        super().__init__(signal_name(number))

    def __reduce__(self) -> tuple[type[Interrupted], tuple[int, Any]]:
        return type(self), (self.number, self.result)


def signal_name(number: int) -> str:
    return signal.Signals(number).name


def signal_exit_code(number: int) -> int:
    """The exit code of a program that this signal ended: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + number


def raise_interrupted(number: int, frame: FrameType | None) -> NoReturn:
    """A signal handler that raises Interrupted at once; ``finally`` blocks are executed."""
    raise Interrupted(number)


@contextlib.contextmanager
def signal_handler(handler: Handler) -> Iterator[None]:
    """Context manager that sets ``handler`` for all STOP_SIGNALS and restores the former handlers.

    It does nothing outside the main thread, which alone gets signals. A signal that the caller ignores stays
    ignored (SIGHUP under nohup), except Ctrl-C, which shells ignore for background jobs.
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
    """Context manager in which signals end the program at once, for calls that block Python's handlers."""
    with signal_handler(signal.SIG_DFL):
        yield


@contextlib.contextmanager
def record_signals(note: Callable[[int], None], message: str = "") -> Iterator[None]:
    """Context manager that passes signals to ``note`` and prints ``message``; a second Ctrl-C interrupts."""
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
    """Context manager that raises Interrupted for any of STOP_SIGNALS, then delivers it to the program."""
    try:
        with signal_handler(raise_interrupted):
            yield
    except Interrupted as stop:
        deliver(stop.number)
        raise


def deliver(number: int) -> None:
    """Deliver a recorded signal to the program: call its handler, or end the program.

    Raises:
        KeyboardInterrupt: the signal is Ctrl-C, and Python's default handler is set.
        SystemExit: the signal has no handler. The exit code is 128 plus the number of the signal.
    """
    handler = signal.getsignal(number)
    if callable(handler):
        handler(number, None)
    elif handler is signal.SIG_DFL:
        raise SystemExit(signal_exit_code(number))


def print_from_handler(line: str) -> None:
    """Write a line to stderr without its buffer, because a handler may interrupt a write."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # stderr is closed or missing
        stream = sys.stderr
        clear = "\r\x1b[2K" if stream.isatty() else ""
        os.write(stream.fileno(), f"{clear}{line}\n".encode())
