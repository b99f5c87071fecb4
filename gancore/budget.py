"""Budgets of a training: a time, a number of steps, or a number of training examples, parsed from text."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, PositiveFloat, PositiveInt

from gancore.text import suggestion

Unit = Literal["time", "steps", "samples"]
EXAMPLES = "--time 10m (90s, 2h), --steps 20000 or --samples 1e6"
_UNITS: dict[str, int] = {
    "": 1,
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hour", "hours"), 3600),
}
_FORM = re.compile(r"(?P<number>[0-9.]+(?:e[+-]?[0-9]+)?)\s*(?P<unit>[a-z]*)", re.ASCII)
MAXIMUM = 2**53
"""The largest number below which a float represents every integer."""


def parse_duration(value: Any) -> Any:
    """Seconds from text: ``90s``, ``10m``, ``2h`` or a plain number. Other types are returned unchanged.

    Raises:
        ValueError: the text has another form, its unit is unknown, or its number is outside (0, 2**53].
    """
    if not isinstance(value, str):
        return value
    number, unit = _split(value)
    if unit not in _UNITS:
        raise ValueError(f"unknown unit {unit!r} of time: {suggestion(unit, [u for u in _UNITS if u])}")
    return _check_range(number * _UNITS[unit])


def parse_count(value: Any) -> Any:
    """An integer from text: ``20000`` or ``2e4``. Other types are returned unchanged.

    Raises:
        ValueError: the text has another form, or its number is a fraction or outside (0, 2**53].
    """
    if not isinstance(value, str):
        return value
    number, unit = _split(value)
    if unit:
        raise ValueError(f"a number without a unit is expected, not {unit!r}")
    if number % 1:
        raise ValueError("an integer is expected")
    return int(_check_range(number))


def _split(text: str) -> tuple[float, str]:
    match = _FORM.fullmatch(text.strip().lower())
    try:
        number = float(match["number"]) if match else math.nan
    except ValueError:
        number = math.nan
    if match is None or not math.isfinite(number):
        raise ValueError("not a number with an optional unit")
    return number, match["unit"]


def _check_range(number: float) -> float:
    if not 0 < number <= MAXIMUM:
        raise ValueError("too large" if number else "must be greater than 0")
    return number


Duration = Annotated[PositiveFloat, BeforeValidator(parse_duration)]
"""Seconds; text may have a unit: ``90s``, ``10m``, ``2h``."""
Count = Annotated[PositiveInt, BeforeValidator(parse_count)]
"""An integer; text may have an exponent: ``2e4``."""


@dataclass(frozen=True)
class Budget:
    """Seconds of training, steps, or training examples seen; the last two are integers."""

    amount: float
    unit: Unit

    @property
    def in_words(self) -> str:
        """The budget as text: ``10 minutes``, ``20,000 steps``."""
        if self.unit != "time":
            return f"{self.amount:,.0f} {self.unit if self.amount > 1 else self.unit[:-1]}"
        for length, name in ((3600, "hour"), (60, "minute")):
            if self.amount % length == 0:
                count = self.amount / length
                return f"{count:.0f} {name}" + "s" * (count > 1)
        return f"{self.amount:g} seconds"
