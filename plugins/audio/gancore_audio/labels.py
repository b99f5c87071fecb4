"""What the labels of clips say of their pitch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

Range = tuple[float, float]
PITCHED = re.compile(r"(\d+(?:\.\d+)?)hz$", re.IGNORECASE)


def pitches_of(classes: Sequence[str], known: Mapping[str, Range]) -> list[Range | None]:
    """Of each class the lowest and highest pitch in Hz: as known, or as its name ends (``string-220hz``)."""
    named = {name: PITCHED.search(name) for name in classes}
    told = {name: (float(match[1]), float(match[1])) for name, match in named.items() if match}
    return [known.get(name, told.get(name)) for name in classes]
