"""What measures are known to get wrong with trust "yes", as ``gancore lab measures`` found it.

The table is made by that experiment on laws whose truth is known; ``docs/measures-checked.md`` shows it
whole. Imports no torch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TypedDict, cast

FILE = Path(__file__).with_name("blind_spots.json")
MISSED, FALSE_ALARM, DEPENDS = SILENT = "SFD"
"""A fault that the measure does not tell from real rows; no fault, and it tells one; another value where it
must be the same: each with trust "yes".
"""
SHOWN = 2
"""Cases that a note names; all stand in ``docs/measures-checked.md``."""
SAID = {MISSED: "cannot see", FALSE_ALARM: "finds fault with", DEPENDS: "depends on"}


class Checked(TypedDict):
    """``rows`` and ``dimensions`` that were tried, in so many ``draws``; ``cases``: by name, in words;
    ``outcomes``: by measure and case a letter for each number of rows and each dimension, in that order.
    """

    rows: list[int]
    dimensions: list[int]
    draws: int
    cases: dict[str, str]
    outcomes: dict[str, dict[str, str]]


@cache
def checked() -> Checked:
    """The table as it was made last."""
    return cast(Checked, json.loads(FILE.read_text()))


def known(measure: str, d: int, n: int) -> Mapping[str, str]:
    """By case, the letter of a measure of the core on ``n`` rows of ``d`` features.

    Of the rows and dimensions that were tried the nearest ones count, on a logarithmic scale. Empty: the
    measure was not tried.
    """
    table = checked()
    place = _nearest(table["rows"], n) * len(table["dimensions"]) + _nearest(table["dimensions"], d)
    return {case: letters[place] for case, letters in table["outcomes"].get(measure, {}).items()}


def blind_spots(measure: str, d: int, n: int) -> str:
    """What :func:`known` has of a measure that it gets wrong with trust "yes", in words; empty: nothing."""
    table, letters = checked(), known(measure, d, n)
    told = []
    for letter, verb in SAID.items():
        if spots := [table["cases"][case] for case, its in letters.items() if its == letter]:
            more = f" and {len(spots) - SHOWN} more" if len(spots) > SHOWN else ""
            told.append(f"{verb} {', '.join(spots[:SHOWN])}{more}")
    tried = table["dimensions"][_nearest(table["dimensions"], d)]
    return f"{'; '.join(told)} at d = {tried}" if told else ""


def _nearest(tried: Sequence[int], asked: int) -> int:
    return min(range(len(tried)), key=lambda i: abs(math.log(tried[i] / max(asked, 1))))
