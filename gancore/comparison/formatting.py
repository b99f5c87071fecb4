"""Numbers and lists as text."""

from __future__ import annotations

import math
from collections.abc import Sequence

MISSING = "\N{EN DASH}"
"""Text of a missing value."""


def format_number(value: float | None) -> str:
    """Three significant figures: ``0.0123``, ``12.3``, ``1,234``, ``1.2e-05``; a dash for None."""
    if value is None:
        return MISSING
    if math.isnan(value) or math.isinf(value):
        return "not a number" if math.isnan(value) else "infinite" if value > 0 else "-infinite"
    if value % 1 == 0 and abs(value) < 1e7:
        return f"{value:,.0f}"
    if abs(value) < 1e-4 or abs(value) >= 1e7:
        return f"{value:.1e}"
    if abs(value) >= 999.5:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")


def format_seconds(value: float | None) -> str:
    """A time as text: ``1.23 s``, ``4.5 ms``, ``12 µs``, ``3.2 min``; a dash for None."""
    if value is None:
        return MISSING
    if value >= 100:
        return f"{value / 60:.3g} min" if value < 6000 else f"{value / 3600:.3g} h"
    for size, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if value >= size or unit == "µs":
            return f"{value / size:.3g} {unit}"
    raise AssertionError(value)


def format_count(value: float | None) -> str:
    """A count as text: ``1,234``, ``12.3 k``, ``4.56 M``; a dash for None."""
    if value is None:
        return MISSING
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (size if unit != 'k' else 1e3):.3g} {unit}"
    return f"{value:,.0f}"


def join_names(names: Sequence[str]) -> str:
    """A list as text: ``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def format_direction(higher_is_better: bool | None, ideal: float | None = None) -> str:
    """``"higher is better"``, ``"lower is better"``, ``"best is 1"``; empty if neither end is better."""
    if higher_is_better is not None and ideal is not None:
        return f"best is {ideal:g}"
    return {True: "higher is better", False: "lower is better", None: ""}[higher_is_better]
