"""A user's regular expression on many names: one that would not end is given up."""

from __future__ import annotations

import contextlib
import re
import signal
import threading
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import NoReturn

from gancore.errors import ConfigError

PATIENCE_SECONDS, NAMES_PER_SECOND = 10.0, 10_000
"""All names together may take this long, and as long again as they would at this rate."""


class _SlowError(Exception):
    """Matching has taken too long."""


def search_all(pattern: re.Pattern[str], names: Sequence[str], key: str) -> list[re.Match[str] | None]:
    """The first match in each name. ``key`` is the setting that holds the pattern.

    Raises:
        ConfigError: it takes too long, as where parts of a pattern can share a name among them in many ways.
    """
    found: list[re.Match[str] | None] = []
    try:
        with _time_limit(PATIENCE_SECONDS + len(names) / NAMES_PER_SECOND):
            for name in names:
                found.append(pattern.search(name))
    except _SlowError:
        raise ConfigError(
            f"{key} {pattern.pattern!r} takes too long on {names[len(found)]!r}",
            f"write {key} without a repetition inside a repetition, as (a+)+",
        ) from None
    return found


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raises _SlowError within. Only the main thread hears signals; a timer of the program's own stays."""
    if threading.current_thread() is not threading.main_thread() or signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise _SlowError

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
