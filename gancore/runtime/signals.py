"""Signals that ask a program to end: noted while work is saved, then passed on to whom they were meant for.

One policy for every command and for Python. Imports no torch.
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

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""Ctrl-C; what a scheduler or a container sends; a terminal that closes; Slurm's ``--signal=USR1``."""

Handler = Callable[[int, FrameType | None], Any] | signal.Handlers


class Interrupted(KeyboardInterrupt):
    """A signal ended what was going on. ``result``: the RunResult of a training that was saved, or None."""

    def __init__(self, number: int, result: Any = None) -> None:
        self.number, self.result = number, result
        super().__init__(name_of(number))

    def __reduce__(self) -> tuple[type[Interrupted], tuple[int, Any]]:
        return type(self), (self.number, self.result)

    @property
    def exit_code(self) -> int:
        return exit_code(self.number)


def name_of(number: int) -> str:
    return signal.Signals(number).name


def exit_code(number: int) -> int:
    """What a shell reports of a program that a signal ended: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + number


def interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """A handler that ends the work in progress at once; ``finally`` blocks are run."""
    raise Interrupted(number)


@contextlib.contextmanager
def handled(handler: Handler) -> Iterator[None]:
    """``handler`` for all of SIGNALS; those before it are back afterwards.

    Outside the main thread nothing is done, as the main thread gets all signals. A signal that the caller
    ignores stays ignored (SIGHUP under nohup), but for Ctrl-C: shells ignore it for jobs in the background.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    found = {number: signal.getsignal(number) for number in SIGNALS}
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
def unhandled() -> Iterator[None]:
    """Signals end the program at once: for a call that blocks, in which no handler of Python is run."""
    with handled(signal.SIG_DFL):
        yield


@contextlib.contextmanager
def noted(note: Callable[[int], None], promise: str = "") -> Iterator[None]:
    """A signal is noted, and acknowledged on stderr with ``promise``; a second Ctrl-C interrupts at once."""
    seen: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if promise and not seen:
            acknowledge(f"{name_of(number)}: {promise}; Ctrl-C interrupts at once")
        seen.append(number)
        note(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    with handled(handle):
        yield


@contextlib.contextmanager
def ending() -> Iterator[None]:
    """Any of SIGNALS ends the block with Interrupted, and then reaches whom it was meant for."""
    try:
        with handled(interrupt):
            yield
    except Interrupted as stop:
        pass_on(stop.number)
        raise


def pass_on(number: int) -> None:
    """Do what the signal would have done without gancore: call its handler, or end the program.

    Raises:
        KeyboardInterrupt: by Python's own handler of Ctrl-C.
        SystemExit: for a signal that nobody handles; its exit code is 128 and the signal's number.
    """
    handler = signal.getsignal(number)
    if callable(handler):
        handler(number, None)
    elif handler is signal.SIG_DFL:
        raise SystemExit(exit_code(number))


def acknowledge(line: str) -> None:
    """One line on stderr, past its buffers: a handler may be called in the middle of a write."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or none: nobody is there to read
        stream = sys.stderr
        clear = "\r\x1b[2K" if stream.isatty() else ""
        os.write(stream.fileno(), f"{clear}{line}\n".encode())
