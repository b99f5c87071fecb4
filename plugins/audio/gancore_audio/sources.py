"""The named data sets of audio, and what is known about how each is laid out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gancore.data.splits import Split
from gancore.records import SourceEntry

PERCUSSION = SourceEntry(
    "percussion",
    "drums, cymbals and plucked strings in 8 classes, synthesised on the spot at 16 kHz",
    "CC0-1.0",
)
FSDD = SourceEntry(
    "fsdd",
    "Free Spoken Digit Dataset: digits by 5 speakers at 8 kHz (release 1.0.9, 2,500 recordings)",
    "CC-BY-SA-4.0",
    {
        "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/v1.0.9.tar.gz": (
            "8bc44cde129d505cbbb6b365c09f80c663f2aa77578afc634e6141a2f87100c0"
        )
    },
    12.0,
    "https://github.com/Jakobovski/free-spoken-digit-dataset",
)
DRUMS = SourceEntry(
    "drums",
    "472 drum one-shots of several kits, with an index.csv of class and licence for each file",
    "per file, in index.csv: CC0-1.0, CC-BY-3.0, CC-BY-SA-3.0, GPL-2.0-or-later",
    home="the kits of tidalcycles/sounds-tr808-fischer, sonic-pi-net/sonic-pi and Debian's hydrogen-drumkits",
)
SC09 = SourceEntry(
    "sc09",
    "the digits zero to nine of Speech Commands 0.02 at 16 kHz",
    "CC-BY-4.0",
    {
        "http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz": (
            "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58"
        )
    },
    2429.0,
    "https://arxiv.org/abs/1804.03209",
)
SOURCES: Mapping[str, SourceEntry] = {entry.name: entry for entry in (PERCUSSION, FSDD, DRUMS, SC09)}


@dataclass(frozen=True)
class Layout:
    """What the files of a named set mean.

    ``folders``: only clips below these count. ``label_pattern`` and ``label_column`` stand in for the
    configuration's. The official splits: ``test_pattern`` on file names, or the files that list the
    names of ``valid`` and ``test``, where the set has them.
    """

    folders: frozenset[str] = frozenset()
    label_pattern: str | None = None
    label_column: str | None = None
    test_pattern: str | None = None
    lists: Mapping[str, Split] | None = None

    def keeps(self, name: str) -> bool:
        return not self.folders or name.partition("/")[0] in self.folders

    def official_splits(self, names: list[str], root: Path) -> dict[str, Split]:
        """The split of each name for which the set fixes one."""
        fixed: dict[str, Split] = {}
        if self.test_pattern:
            fixed |= {name: "test" for name in names if re.search(self.test_pattern, name)}
        for file, split in (self.lists or {}).items():
            if (root / file).is_file():
                fixed |= dict.fromkeys((root / file).read_text().split(), split)
        return fixed


DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

LAYOUTS: Mapping[str, Layout] = {
    "fsdd": Layout(label_pattern=r"^(\d)_", test_pattern=r"_[0-4]\.\w+$"),
    "drums": Layout(label_column="class"),
    "sc09": Layout(
        folders=frozenset(DIGITS), lists={"validation_list.txt": "valid", "testing_list.txt": "test"}
    ),
}
