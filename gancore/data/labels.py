"""Labels of a set's files: from the sub-folder, the file name, or a metadata file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import Field, field_validator

from gancore.config import DataSection
from gancore.data.matching import search_all
from gancore.data.splits import below_splits
from gancore.data.tables import METADATA_FILES, Contents, file_key, read_table
from gancore.errors import ConfigError, DataError
from gancore.texts import label_text, printable

FILE_COLUMNS = ("file_name", "file", "path", "filename")
LABEL_COLUMNS = ("label", "class", "category")
MOST_FOLDERS = 200
"""More sub-folders than this are not taken for classes unless ``data.labels`` says so."""


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
            except (re.error, OverflowError, RecursionError) as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
            if not groups:
                raise ValueError(f"{pattern!r} has no group; put the part that is the label in parentheses")
        return pattern


@dataclass(frozen=True)
class Labels:
    """A label for each name (None: it has none), and where they come from; empty where there are none.

    ``line`` says it to the user.
    """

    values: list[str | None]
    origin: str = ""
    note: str = ""
    """Why a set that seems to have labels is used without."""

    def line(self, classes: Sequence[str]) -> str:
        """For a data contract; ``classes`` are those of the rows that are used."""
        if not classes:
            return f"labels: none{self.note and f' ({self.note})'}"
        shown = ", ".join(map(printable, classes[:12])) + (", ..." if len(classes) > 12 else "")
        return f"labels: {len(classes)} from {self.origin}: {shown}"


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
    clean = [label_text(label) or None if label else None for label in labels.values]
    if None in clean and _is_guess(how):
        lacking = f"{clean.count(None):,} of {len(clean):,} files have no label in {labels.origin}"
        note = f"{lacking}; data.labels={way} uses the others alone"
        return Labels([None] * len(clean), "", note)
    return Labels(clean, labels.origin)


def _is_guess(how: LabelledSection) -> bool:
    """Nobody asked for labels: a file without one is used like the others, and all go without."""
    return how.labels == "auto" and how.label_pattern is None and how.label_column is None


def _choose(files: FileSet, how: LabelledSection) -> str:
    if how.label_pattern:
        return "pattern"
    if how.label_column or _metadata_has_labels(files):
        return "metadata"
    folders = set(_first_folders(files))
    return "folder" if "" not in folders and 2 <= len(folders) <= MOST_FOLDERS else "none"


def _metadata_has_labels(files: FileSet) -> bool:
    if (table := read_table(files.contents, files.place)) is None:
        return False
    return bool(table.column(FILE_COLUMNS) and table.column(LABEL_COLUMNS))


def _by_folder(files: FileSet, how: LabelledSection) -> Labels:
    return Labels([folder or None for folder in _first_folders(files)], "sub-folder")


def _first_folders(files: FileSet) -> list[str]:
    """Of each file the first folder, below those of splits; "" where there is none."""
    return [name.partition("/")[0] if "/" in name else "" for name in below_splits(files.names)]


def _by_pattern(files: FileSet, how: LabelledSection) -> Labels:
    if how.label_pattern is None:
        raise ConfigError(
            "data.labels=pattern without data.label_pattern", r"for example data.label_pattern='^(\d)_'"
        )
    pattern = re.compile(how.label_pattern)
    group = "label" if "label" in pattern.groupindex else 1
    matches = search_all(pattern, [PurePosixPath(name).name for name in files.names], "data.label_pattern")
    return Labels([match[group] if match else None for match in matches], f"file name ({how.label_pattern})")


def _by_metadata(files: FileSet, how: LabelledSection) -> Labels:
    table = read_table(files.contents, files.place)
    if table is None:
        raise DataError(
            f"no metadata file in {files.place}", f"give {' or '.join(METADATA_FILES)}, or set data.labels"
        )
    if not table.rows:
        raise DataError(f"{table.path} has no rows", "write a row for each file, or set data.labels=none")
    column = table.needed((how.label_column,) if how.label_column else LABEL_COLUMNS)
    known = table.pairs(table.needed(FILE_COLUMNS), column)
    within = zip(files.names, below_splits(files.names), strict=True)
    values = [known.get(file_key(name), known.get(file_key(below))) for name, below in within]
    return Labels(values, f"column {column!r} of {PurePosixPath(table.path).name}")
