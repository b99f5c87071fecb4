"""The import of a plugin's code: it prints to stderr, cannot end the program, and a long one is told of."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from gancore.errors import printable
from gancore.plugins.faults import LeftError, Origin

LIGHT_SECONDS, HEAVY_SECONDS = 5.0, 30.0
"""After which the import of a plugin's light module, or of one that imports torch, is told of."""


class _Output:
    """``sys.stdout``, which is stderr as long as any thread imports foreign code."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._depth = 0
        self._before: Any = None

    @contextmanager
    def on_stderr(self) -> Iterator[None]:
        with self._guard:
            if self._depth == 0:
                self._before, sys.stdout = sys.stdout, sys.stderr
            self._depth += 1
        try:
            yield
        finally:
            with self._guard:
                self._depth -= 1
                if self._depth == 0:
                    sys.stdout, self._before = self._before, None


_output = _Output()
on_stderr = _output.on_stderr
"""What is printed meanwhile goes to stderr: stdout is for the answers of commands."""

_here = threading.local()
_exit = os._exit


def _refused_exit(status: int) -> NoReturn:
    """``os._exit``, but where foreign code calls it: other threads, and forks of this process, may."""
    if getattr(_here, "staying", None) == os.getpid():
        raise LeftError(f"os._exit({status})")
    _exit(status)


@contextmanager
def staying() -> Iterator[None]:
    """``os._exit`` called in this thread raises LeftError."""
    before = getattr(_here, "staying", None)
    _here.staying, os._exit = os.getpid(), _refused_exit  # stays in place: elsewhere it is os._exit
    try:
        yield
    finally:
        _here.staying = before


@contextmanager
def told_when_long(origin: Origin, seconds: float, doing: str) -> Iterator[None]:
    """One line on stderr once the block has taken ``seconds``; ``doing``: ``is being imported``."""

    def tell() -> None:
        fix = origin.removal() if not origin.distribution else f"set GANCORE_DISABLE_PLUGINS={origin.name}"
        line = f"gancore: {origin} {doing}, for {seconds:g} s now; wait, or interrupt it (Ctrl-C) and {fix}"
        print(printable(line), file=sys.stderr, flush=True)

    timer = threading.Timer(seconds, tell)
    timer.daemon = True
    with suppress(RuntimeError):  # no thread can be had: then nothing is told
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if timer.ident is not None:
            timer.join()


@contextmanager
def importing(origin: Origin, seconds: float, doing: str = "is being imported") -> Iterator[None]:
    """All of the above, around code of a plugin that is run for the first time."""
    with on_stderr(), staying(), told_when_long(origin, seconds, doing):
        yield
