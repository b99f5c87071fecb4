"""What each training of a comparison may take: a number and a unit, as people write them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from gancore.errors import ConfigError
from gancore.text import suggestion

Unit = Literal["seconds", "steps", "samples"]
EXAMPLES = "as 10m, 90s, 1h, 20000 steps or 1e6 samples"
_UNITS: dict[str, tuple[Unit, int]] = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), ("seconds", 1)),
    **dict.fromkeys(("m", "min", "minute", "minutes"), ("seconds", 60)),
    **dict.fromkeys(("h", "hour", "hours"), ("seconds", 3600)),
    **dict.fromkeys(("step", "steps"), ("steps", 1)),
    **dict.fromkeys(("sample", "samples"), ("samples", 1)),
}
_FORM = re.compile(r"(?P<number>[0-9.]+(?:e[+-]?[0-9]+)?)\s*(?P<unit>[a-z]*)", re.ASCII)
MOST = 2**53
"""Beyond it a float skips whole numbers."""


@dataclass(frozen=True)
class Budget:
    """Seconds of training, steps, or real samples seen; the last two are whole numbers."""

    amount: float
    unit: Unit

    def __str__(self) -> str:
        """As it can be read again."""
        if self.unit == "seconds":
            return f"{self.amount!r}s" if self.amount % 1 else f"{self.amount:.0f}s"
        return f"{self.amount:.0f} {self.unit}"

    @property
    def in_words(self) -> str:
        """``10 minutes``, ``20,000 steps``."""
        if self.unit != "seconds":
            return f"{self.amount:,.0f} {self.unit if self.amount > 1 else self.unit[:-1]}"
        for length, name in ((3600, "hour"), (60, "minute")):
            if self.amount % length == 0:
                count = self.amount / length
                return f"{count:.0f} {name}" + "s" * (count > 1)
        return f"{self.amount:g} seconds"


def read_budget(text: str) -> Budget:
    """``NUMBER UNIT``, with or without a space: s, m or h; steps; samples; or their full names.

    Raises:
        ConfigError: another form, an unknown unit, nothing, or a part of a step or sample.
    """
    where = f"--budget {text[:40]!r}"
    found = _FORM.fullmatch(text.strip().lower())
    number = _number(found["number"]) if found else None
    if found is None or number is None:
        raise ConfigError(f"{where} is not a number and a unit", f"write it {EXAMPLES}")
    if not found["unit"]:
        raise ConfigError(f"{where} has no unit", f"write it {EXAMPLES}")
    if found["unit"] not in _UNITS:
        raise ConfigError(
            f"{where}: no unit {found['unit']!r}", f"{suggestion(found['unit'], _UNITS)}; {EXAMPLES}"
        )
    unit, size = _UNITS[found["unit"]]
    amount = number * size
    if not 0 < amount <= MOST:
        raise ConfigError(
            f"{where} is nothing to train for" if not amount else f"{where} is too much", EXAMPLES
        )
    if unit != "seconds" and amount % 1:
        raise ConfigError(f"{where}: {unit} are whole", f"give a whole number, {EXAMPLES}")
    return Budget(amount, unit)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
