"""Lines that tell how far a long piece of work is, now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

Announce: TypeAlias = Callable[[str], None]
"""Tells the user, line by line, what is being done."""

PAUSE_SECONDS = 5.0


def seldom(announce: Announce) -> Announce:
    """``announce`` for lines that come thick and fast: it hears one every few seconds, none at first."""
    last = time.monotonic()

    def say(line: str) -> None:
        nonlocal last
        if time.monotonic() - last > PAUSE_SECONDS:
            last = time.monotonic()
            announce(line)

    return say
