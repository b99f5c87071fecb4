"""Texts in files: one a line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gancore.errors import DataError
from gancore.text import escape_unprintable


@dataclass(frozen=True)
class Record:
    """A text with the number of its line or row, from 1."""

    number: int
    text: str


def read_lines(path: Path) -> Iterator[Record]:
    """The lines of a file, which end with LF, CRLF or CR only.

    Raises:
        DataError: it cannot be read, or is no UTF-8.
    """
    try:
        with path.open(encoding="utf-8-sig", newline=None) as file:
            for number, line in enumerate(file, start=1):
                yield Record(number, line)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", "give a file that you may read") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{escape_unprintable(str(path))} is not UTF-8: byte {error.object[error.start]:#04x} in it",
            "convert it: iconv -f latin1 -t utf-8 FILE > NEW",
        ) from None
