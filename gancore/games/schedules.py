"""Schedules: pure functions of a phase's progress, which runs from 0 to 1."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

from gancore.errors import ConfigError

Schedule: TypeAlias = Callable[[float], float]
"""A number as a function of the phase's progress in [0, 1]."""


def schedule_value(schedule: Schedule | float, progress: float) -> float:
    """The schedule's value at ``progress``; a plain number is constant."""
    return schedule(progress) if callable(schedule) else float(schedule)


def linear(start: float, end: float) -> Schedule:
    """From ``start`` to ``end`` along a line."""
    return lambda progress: start + (end - start) * progress


def cosine(start: float, end: float) -> Schedule:
    """From ``start`` to ``end`` along half a cosine (Loshchilov & Hutter 2017, eq. 5)."""
    return lambda progress: end + (start - end) * 0.5 * (1 + math.cos(math.pi * progress))


def exponential(start: float, end: float) -> Schedule:
    """``start * (end / start) ** progress``: RelGAN's temperature (Nie et al. 2019)."""
    return lambda progress: float(start * (end / start) ** progress)


def warmup(target: Schedule | float, share: float) -> Schedule:
    """Linear from 0 over the first ``share`` of the phase, then ``target``."""
    return lambda progress: (
        schedule_value(target, progress) * min(1.0, progress / share if share > 0 else 1.0)
    )


def require_every(every: int, what: str) -> None:
    """Raises ConfigError unless ``every`` is an integer of at least 1."""
    if type(every) is not int or every < 1:
        raise ConfigError(f"{what} has every={every!r}", "give an integer of at least 1")
