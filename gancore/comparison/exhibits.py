"""Samples side by side: the files that a domain wrote, embedded by their media type as data URIs."""

from __future__ import annotations

import base64
import mimetypes
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gancore.comparison.folder import INDEX, read_json
from gancore.files import open_regular, read_regular

NUMBERED = re.compile(r"(\d+)")
STILL = "image"
MEDIA = frozenset({STILL, "audio", "video"})
"""First words of media types for which pages have elements."""
LINES, CHARACTERS = 60, 6000
"""What is shown of a text."""
LARGEST_BYTES = 1 << 26
"""Of a file that is embedded."""


@dataclass(frozen=True)
class File:
    """``kind``: text, other, or the first word of its media type, by which the page chooses its element."""

    path: Path
    kind: str
    media_type: str
    text: str = ""
    cut: bool = False

    @property
    def uri(self) -> str:
        content = base64.b64encode(read_regular(self.path, LARGEST_BYTES)).decode()
        return f"data:{self.media_type};base64,{content}"

    @property
    def weight(self) -> int:
        """Characters that it adds to the page."""
        return len(self.text) if self.kind == "text" else -(-self.path.stat().st_size // 3) * 4


@dataclass(frozen=True)
class Exhibit:
    """What one model made: files of the whole set, then those of each sample by number."""

    name: str
    count: int
    whole: Sequence[File] = ()
    items: Mapping[int, Sequence[File]] = field(default_factory=dict)
    hidden: Sequence[str] = ()

    def weight(self, most: int) -> int:
        shown = [file for number, files in self.items.items() if number <= most for file in files]
        return sum(file.weight for file in (*self.whole, *shown))


def read_index(folder: Path) -> dict[str, Any]:
    """The index of a folder of samples; empty where it is not there or a value is of another type."""
    index = read_json(folder / INDEX)
    files, count = index.get("files"), index.get("count")
    is_whole = (
        isinstance(files, list)
        and all(isinstance(name, str) for name in files)
        and isinstance(count, int)
        and isinstance(index.get("preview", ""), str)
    )
    return index if is_whole else {}


def is_inside(folder: Path, relative: str) -> bool:
    """Whether a name leads to a regular file in ``folder``, through no link, that is small enough to embed.

    An index may come from anybody: no name in it may lead to a file of the reader.
    """
    path, room = folder / relative, folder.parent
    try:
        here = room.parent.resolve(strict=True) / room.name / folder.name
        unlinked = path.resolve(strict=True) == here / relative and here in (here / relative).parents
        return unlinked and path.is_file() and path.stat().st_size <= LARGEST_BYTES
    except (OSError, ValueError, RuntimeError):
        return False


def exhibits(root: Path, shown: Mapping[str, Mapping[str, Any]]) -> list[Exhibit]:
    """By name, as the report lists them."""
    return [_exhibit(root / told["folder"], name, told) for name, told in shown.items()]


def _exhibit(folder: Path, name: str, told: Mapping[str, Any]) -> Exhibit:
    whole: list[File] = []
    items: dict[int, list[File]] = {}
    hidden: list[str] = []
    for relative in told["files"]:
        if not is_inside(folder, relative):
            hidden.append(relative)
            continue
        file = read_file(folder / relative)
        number = NUMBERED.match(file.path.name)
        if file.kind == "other":
            hidden.append(relative)
        elif number:
            items.setdefault(int(number[1]), []).append(file)
        else:
            whole.append(file)
    preview = told.get("preview", "")
    if preview and is_inside(folder, preview) and not any(file.kind in MEDIA for file in whole):
        whole.insert(0, read_file(folder / told["preview"]))
    whole.sort(key=lambda file: file.kind == "text")
    if any(file.kind == STILL for file in whole):  # it has them all: alone they would be there twice
        items = {n: files for n, files in items.items() if any(file.kind != STILL for file in files)}
    return Exhibit(name, told["count"], whole, dict(sorted(items.items())), hidden)


def read_file(path: Path) -> File:
    """What a browser shows is embedded, what is text is quoted, the rest is named."""
    media_type = mimetypes.guess_type(path.name)[0] or ""
    kind = media_type.partition("/")[0]
    if kind in MEDIA:
        return File(path, kind, media_type)
    text = _text(path)
    if text is None:
        return File(path, "other", media_type)
    lines = text.splitlines()[:LINES]
    kept = "\n".join(lines)[:CHARACTERS]
    return File(path, "text", "text/plain", kept, len(kept) < len(text.rstrip("\n")))


def _text(path: Path) -> str | None:
    """None: it is not text."""
    try:
        with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
            head = file.read(4 * CHARACTERS)
        if b"\0" in head:
            return None
        return head.decode("utf-8", "ignore" if len(head) == 4 * CHARACTERS else "strict")
    except (OSError, UnicodeDecodeError):
        return None


def most_that_fit(found: Sequence[Exhibit], characters: int) -> int:
    """How many numbered samples of each may stand on a page that has room for so much."""
    numbers = max((max(exhibit.items, default=0) for exhibit in found), default=0)
    while numbers > 0 and sum(exhibit.weight(numbers) for exhibit in found) > characters:
        numbers -= 1
    return numbers
