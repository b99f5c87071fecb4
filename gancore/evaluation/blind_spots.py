"""What measures are known to get wrong with trust "yes", as ``gancore lab measures`` found it.

The table is made by that experiment on laws whose truth is known; ``docs/evaluation.md`` shows it
whole. Imports no torch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("blind_spots.json")
MISSED, FALSE_ALARM = "SF"
"""A fault that the measure does not tell from real rows; no fault, and it tells one."""


@cache
def checked() -> Any:
    """``rows`` and ``dimensions`` that were tried, in so many ``draws``; ``cases``: by name, in words;
    ``outcomes``: by measure and case a letter for each number of rows and each dimension, in that order.
    """
    return json.loads(FILE.read_text())


def blind_spots(measure: str, d: int, n: int) -> str:
    """What a measure of the core is known to get wrong on ``n`` rows of ``d`` features, in a few words.

    Of the rows and dimensions that were tried the nearest ones count, on a logarithmic scale. Empty: nothing
    is known, as of a measure that was not tried.
    """
    table = checked()
    row, column = _nearest(table["rows"], n), _nearest(table["dimensions"], d)
    place = row * len(table["dimensions"]) + column
    found = {
        letter: [table["cases"][case] for case, letters in cases.items() if letters[place] == letter]
        for cases in (table["outcomes"].get(measure, {}),)
        for letter in (MISSED, FALSE_ALARM)
    }
    told = [
        f"{verb} {', '.join(found[letter])}"
        for letter, verb in ((MISSED, "cannot see"), (FALSE_ALARM, "finds fault with"))
        if found[letter]
    ]
    return f"{'; '.join(told)} at d = {table['dimensions'][column]}" if told else ""


def _nearest(tried: Sequence[int], asked: int) -> int:
    return min(range(len(tried)), key=lambda i: abs(math.log(tried[i] / max(asked, 1))))
