"""The named data sets of images, and what is known about each."""

from __future__ import annotations

from collections.abc import Mapping

from gancore.records import SourceEntry

DIGITS = SourceEntry(
    "digits",
    "1,797 real handwritten digits of 8x8 pixels, which scikit-learn brings, enlarged",
    "CC-BY-4.0",
)
SOURCES: Mapping[str, SourceEntry] = {entry.name: entry for entry in (DIGITS,)}
