"""Metadata files of a data set: CSV in the dialects of spreadsheets, or JSON lines."""

from __future__ import annotations

import codecs
import csv
import io
import json
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gancore.errors import DataError
from gancore.text import short_repr, suggestion

METADATA_FILES = ("metadata.csv", "metadata.jsonl", "index.csv")
_DELIMITERS = ",;\t|"
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

ReadFile = Callable[[str], bytes | None]
"""A function that gives the content of a file at the root of a data set; None if there is no such file."""


@dataclass(frozen=True)
class MetadataFile:
    """The rows of a metadata file with their line numbers."""

    path: str
    columns: list[str]
    rows: list[tuple[int, dict[str, Any]]]

    def column(self, wanted: Sequence[str]) -> str | None:
        """The first of ``wanted`` that exists, otherwise None; case and surrounding spaces are ignored."""
        exact = [name for name in wanted if name in self.columns]
        loose = {name.strip().casefold(): name for name in reversed(self.columns)}
        near = (loose.get(name.strip().casefold()) for name in wanted)
        return exact[0] if exact else next(filter(None, near), None)

    def require_column(self, wanted: Sequence[str]) -> str:
        """As :meth:`column`. Raises DataError if there is none."""
        if name := self.column(wanted):
            return name
        raise DataError(
            f"{self.path} has no column {' or '.join(map(repr, wanted))}", suggestion(wanted[0], self.columns)
        )

    def labels_by_file(self, file_column: str, label_column: str) -> dict[str, str]:
        """The label of each file that has one, by :func:`normalised_name`.

        Raises:
            DataError: a value is neither text nor a number; the message has its line.
        """
        found = {}
        for number, row in self.rows:
            name, label = row.get(file_column), row.get(label_column)
            for column, value in ((file_column, name), (label_column, label)):
                if isinstance(value, list | dict):
                    where = f"line {number} of {self.path}"
                    raise DataError(f"{where}: {column} is {short_repr(value)}", "write a text or a number")
            if name is not None and label not in (None, ""):
                found[normalised_name(str(name))] = plain_label(label)
        return found


def plain_label(label: object) -> str:
    """The label as text; ``3.0`` and ``3`` are the same label."""
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)


def normalised_name(name: str) -> str:
    """The form of a file name for look-ups in metadata: Unicode NFC, with /, without a leading ``./``."""
    key = unicodedata.normalize("NFC", name.strip()).replace("\\", "/")
    return key.removeprefix("./")


def read_metadata(read_file: ReadFile, location: str) -> MetadataFile | None:
    """Read the first metadata file of the data set at ``location``; None if there is none.

    Raises:
        DataError: the file cannot be read, or a line is invalid.
    """
    for name in METADATA_FILES:
        if (content := read_file(name)) is not None:
            return _parsed(f"{location}/{name}", content)
    return None


def _parsed(path: str, content: bytes) -> MetadataFile:
    try:
        text = content.decode("utf-16" if content.startswith(_WIDE) else "utf-8-sig")
        rows = list(_csv_rows(text) if path.endswith(".csv") else _json_rows(text, path))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path} cannot be read: {error}", "write UTF-8 text with one row for each file"
        ) from None
    columns = [str(name) for name in rows[0][1] if name is not None] if rows else []
    return MetadataFile(path, columns, rows)


def _csv_rows(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of a CSV file; its delimiter is the one that gives the most columns in the first line."""
    head = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=lambda mark: len(next(csv.reader([head], delimiter=mark), [])))
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    for row in reader:
        yield reader.line_num, row


def _json_rows(text: str, path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            where = f"line {number} of {path}"
            raise DataError(f"{where} is not JSON: {error}", "write one object a line") from None
        except RecursionError:
            raise DataError(f"line {number} of {path} is nested too deeply", "write flat objects") from None
        if not isinstance(row, dict):
            fix = 'write {"file_name": ..., "label": ...}'
            raise DataError(f"line {number} of {path} is not an object", fix)
        yield number, row
