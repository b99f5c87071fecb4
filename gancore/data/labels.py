"""Labels of a set's files: from the sub-folder, the file name, or a metadata file."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import Field, field_validator

from gancore.config import DataSection
from gancore.errors import ConfigError, DataError, nearest
from gancore.texts import label_text

METADATA_FILES = ("metadata.csv", "metadata.jsonl", "index.csv")
FILE_COLUMNS = ("file_name", "file", "path", "filename")
LABEL_COLUMNS = ("label", "class", "category")
MOST_FOLDERS = 200
"""More sub-folders than this are not taken for classes unless ``data.labels`` says so."""

Contents = Callable[[str], bytes | None]
"""What a file at the root of a set holds; None: there is no such file."""


class LabelledSection(DataSection):
    """``data`` of a domain that reads files: where their labels come from, and which shares are held out."""

    labels: Literal["auto", "folder", "pattern", "metadata", "none"] = Field(
        "auto", description="where labels come from: first sub-folder, file name, or metadata file"
    )
    label_pattern: str | None = Field(
        None,
        description="regular expression on the file name; its group `label`, or else the first, is the label",
    )
    label_column: str | None = Field(
        None,
        description="column of metadata.csv, metadata.jsonl or index.csv; none: label, class or category",
    )
    valid_share: float = Field(0.1, gt=0, le=0.4, description="share of the data held out to select by")
    test_share: float = Field(0.1, gt=0, le=0.4, description="share of the data held out to report on")

    @field_validator("label_pattern")
    @classmethod
    def _has_a_group(cls, pattern: str | None) -> str | None:
        """A regular expression with a group, which is the label."""
        if pattern is not None:
            try:
                groups = re.compile(pattern).groups
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
            if not groups:
                raise ValueError(f"{pattern!r} has no group; put the part that is the label in parentheses")
        return pattern


@dataclass(frozen=True)
class Labels:
    """A label for each name (None: it has none), and where they come from; empty where there are none."""

    values: list[str | None]
    origin: str = ""


@dataclass(frozen=True)
class FileSet:
    """The names of a set's files (below its root, with /), where it lies, and what its tables hold."""

    names: list[str]
    place: str
    contents: Contents


def in_folder(root: Path) -> Contents:
    """What files in a folder hold."""

    def content(name: str) -> bytes | None:
        try:
            return (root / name).read_bytes() if (root / name).is_file() else None
        except OSError as error:
            raise DataError(f"{root / name} cannot be read: {error.strerror}") from None

    return content


def read_labels(files: FileSet, how: LabelledSection) -> Labels:
    """The labels of ``files``, as ``how`` says.

    Raises:
        ConfigError: a way to label without what it needs.
        DataError: a metadata file that is missing or makes no sense; labels that no file has.
    """
    way = _choose(files, how) if how.labels == "auto" else how.labels
    if way == "none":
        return Labels([None] * len(files.names))
    labels = {"folder": _by_folder, "pattern": _by_pattern, "metadata": _by_metadata}[way](files, how)
    if not any(labels.values):
        raise DataError(
            f"nothing in {files.place} has a label from its {labels.origin}",
            "set data.labels=none, or another way",
        )
    return Labels([label and label_text(label) for label in labels.values], labels.origin)


def _choose(files: FileSet, how: LabelledSection) -> str:
    if how.label_pattern:
        return "pattern"
    if how.label_column or _metadata_has_labels(files):
        return "metadata"
    folders = {name.partition("/")[0] if "/" in name else "" for name in files.names}
    return "folder" if "" not in folders and 2 <= len(folders) <= MOST_FOLDERS else "none"


def _metadata_has_labels(files: FileSet) -> bool:
    if (table := _table(files)) is None:
        return False
    first = next(iter(_rows(*table)), {})
    return bool(set(first) & set(LABEL_COLUMNS) and set(first) & set(FILE_COLUMNS))


def _by_folder(files: FileSet, how: LabelledSection) -> Labels:
    return Labels([name.partition("/")[0] if "/" in name else None for name in files.names], "sub-folder")


def _by_pattern(files: FileSet, how: LabelledSection) -> Labels:
    if how.label_pattern is None:
        raise ConfigError(
            "data.labels=pattern without data.label_pattern", r"for example data.label_pattern='^(\d)_'"
        )
    pattern = re.compile(how.label_pattern)
    group = "label" if "label" in pattern.groupindex else 1
    matches = (pattern.search(PurePosixPath(name).name) for name in files.names)
    return Labels([match[group] if match else None for match in matches], f"file name ({how.label_pattern})")


def _by_metadata(files: FileSet, how: LabelledSection) -> Labels:
    table = _table(files)
    if table is None:
        raise DataError(
            f"no metadata file in {files.place}", f"give {' or '.join(METADATA_FILES)}, or set data.labels"
        )
    path = table[0]
    rows = list(_rows(*table))
    if not rows:
        raise DataError(f"{path} has no rows")
    file_column = _column(path, rows[0], FILE_COLUMNS)
    label_column = _column(path, rows[0], (how.label_column,) if how.label_column else LABEL_COLUMNS)
    told = {str(row.get(file_column)): row.get(label_column) for row in rows}
    labels = [told.get(name) for name in files.names]
    return Labels(
        [None if label in (None, "") else str(label) for label in labels],
        f"column {label_column!r} of {PurePosixPath(path).name}",
    )


def _table(files: FileSet) -> tuple[str, bytes] | None:
    """The metadata file: where it lies, and what it holds."""
    for name in METADATA_FILES:
        if (content := files.contents(name)) is not None:
            return f"{files.place}/{name}", content
    return None


def _rows(path: str, content: bytes) -> Iterable[dict[str, Any]]:
    try:
        lines = io.StringIO(content.decode("utf-8-sig"), newline="")
        if path.endswith(".csv"):
            yield from csv.DictReader(lines)
            return
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _json_row(line, path, number)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path} cannot be read: {error}", "it should be UTF-8 text, one row for each file"
        ) from None


def _json_row(line: str, path: str, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"line {number} of {path} is not JSON: {error}") from None
    if not isinstance(row, dict):
        raise DataError(f"line {number} of {path} is not an object", 'write {"file_name": ..., "label": ...}')
    return row


def _column(path: str, row: dict[str, Any], wanted: Iterable[str]) -> str:
    wanted = list(wanted)
    for name in wanted:
        if name in row:
            return name
    columns = [str(column) for column in row]
    raise DataError(f"{path} has no column {' or '.join(map(repr, wanted))}", nearest(wanted[0], columns))
