"""Which recordings a folder holds."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gancore.data.inventory import (
    Found,
    Listing,
    Looking,
    list_files,
    other_kinds,
    other_kinds_lines,
    stamp_of,
)
from gancore.data.inventory import take_inventory as take
from gancore.data.refusal import Refusal, some
from gancore.data.telling import Announce
from gancore.errors import DataError
from gancore_audio.reading import SUFFIXES, Clip, inspect, is_recording


@dataclass(frozen=True)
class Inventory:
    """The recordings below the folder ``base``."""

    base: Path
    found: Sequence[Found[Clip]]
    skipped: Sequence[Refusal]
    others: Counter[str]
    """How many files are no audio by their suffix."""

    @property
    def commonest_rate_hz(self) -> int:
        """Of equally common rates the highest."""
        counts = Counter(found.header.rate_hz for found in self.found)
        return max(counts, key=lambda rate_hz: (counts[rate_hz], rate_hz))


def take_inventory(root: Path, keep: Callable[[str], bool], announce: Announce) -> Inventory:
    """Every audio file below ``root`` whose name ``keep`` accepts.

    Raises:
        DataError: no such folder; none that is audio; none that can be used.
    """
    if not root.exists():
        raise DataError(f"no file or folder {root} exists", "check the path")
    base = root.parent if root.is_file() else root
    listing = Listing([root.name], []) if root.is_file() else list_files(root)
    kept = [name for name in listing.names if keep(name)]
    names = kept if root.is_file() else [name for name in kept if is_recording(name)]
    others = other_kinds(kept, SUFFIXES)
    if not names:
        lines = [*other_kinds_lines(others), *(f"{name}: {reason}" for name, reason in listing.refused[:3])]
        raise DataError(
            f"no audio in {root}" + (f" ({'; '.join(lines)})" if lines else ""),
            f"it should hold files that end in {', '.join(sorted(SUFFIXES))}",
        )
    looked = take("audio", base, names, _looking(base), announce)
    if not looked.found:
        raise DataError(
            f"none of the {len(names)} audio files in {root} can be used: {some(looked.skipped)}",
            f"give recordings that other programs can play, as {', '.join(sorted(SUFFIXES))}",
        )
    return Inventory(base, looked.found, [*listing.refused, *looked.skipped], others)


def _looking(base: Path) -> Looking[Clip]:
    def stamp(name: str) -> list[int]:
        return stamp_of((base / name).stat())

    def look(name: str) -> tuple[Clip, str]:
        clip = inspect(base / name)
        with (base / name).open("rb") as file:
            return clip, hashlib.file_digest(file, "sha256").hexdigest()[:32]

    return Looking(Clip, stamp, look)
