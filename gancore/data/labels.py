"""Labels of files, from folders, file names or a metadata file, and their class indices."""

from __future__ import annotations

import contextlib
import re
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import FrameType
from typing import Literal, NoReturn

import torch
from pydantic import Field, field_validator
from torch import Tensor

from gancore.config import DataConfig
from gancore.data.dataset import Spec
from gancore.data.metadata import METADATA_FILES, ReadFile, normalised_name, read_metadata
from gancore.data.splits import strip_split_folders
from gancore.errors import ConfigError, DataError
from gancore.text import clean_label, escape_unprintable

FILE_COLUMNS = ("file_name", "file", "path", "filename")
LABEL_COLUMNS = ("label", "class", "category")
MOST_FOLDERS = 200
"""The largest number of sub-folders that are used as classes without ``data.labels=folder``."""


class LabelledDataConfig(DataConfig):
    """Section ``data`` of a domain that reads files: the origin of labels and the shares of the splits."""

    labels: Literal["auto", "folder", "pattern", "metadata", "none"] = Field(
        "auto", description="origin of labels: first sub-folder, file name, or metadata file"
    )
    label_pattern: str | None = Field(
        None,
        description="regular expression on the file name; its group `label` or first group is the label",
    )
    label_column: str | None = Field(
        None,
        description="column of metadata.csv, metadata.jsonl or index.csv; none: label, class or category",
    )
    valid_fraction: float = Field(0.1, gt=0, le=0.4, description="share of the data for valid")
    test_fraction: float = Field(0.1, gt=0, le=0.4, description="share of the data for test")

    @field_validator("label_pattern")
    @classmethod
    def _has_a_group(cls, pattern: str | None) -> str | None:
        """Refuse a text that is not a regular expression with a group."""
        if pattern is not None:
            try:
                groups = re.compile(pattern).groups
            except (re.error, OverflowError, RecursionError) as error:
                raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
            if not groups:
                raise ValueError(f"{pattern!r} has no group; put the part for the label in parentheses")
        return pattern


@dataclass(frozen=True)
class Labels:
    """The label of each file (None: it has none) and their ``source``; empty if no labels are used."""

    values: list[str | None]
    source: str = ""
    note: str = ""
    """Why labels of a data set are not used."""

    def summary_line(self, classes: Sequence[str]) -> str:
        """A line for ``Data.summary``; ``classes`` are those of the rows that are used."""
        if not classes:
            return f"labels: none{self.note and f' ({self.note})'}"
        shown = ", ".join(map(escape_unprintable, classes[:12])) + (", ..." if len(classes) > 12 else "")
        return f"labels: {len(classes)} from {self.source}: {shown}"


@dataclass(frozen=True)
class FileSet:
    """A data set: names of its files (below its root, with /), its location, a function to read a file.

    ``columns``: labels that come with the files, by the name of their column, one for each file.
    """

    names: list[str]
    location: str
    read_file: ReadFile
    columns: Mapping[str, Sequence[str | None]] = field(default_factory=dict)


def folder_reader(root: Path) -> ReadFile:
    """A function that reads files of a folder."""

    def content(name: str) -> bytes | None:
        try:
            return (root / name).read_bytes() if (root / name).is_file() else None
        except OSError as error:
            raise DataError(f"{root / name} cannot be read: {error.strerror}") from None

    return content


def read_labels(files: FileSet, section: LabelledDataConfig) -> Labels:
    """Read the labels of ``files`` by the method of ``section``.

    Raises:
        ConfigError: a setting of the method is missing.
        DataError: the metadata file is missing or invalid, or no file has a label.
    """
    method = _choose_method(files, section) if section.labels == "auto" else section.labels
    if method == "none":
        return Labels([None] * len(files.names))
    labels = {"folder": _by_folder, "pattern": _by_pattern, "metadata": _by_metadata}[method](files, section)
    if not any(labels.values):
        raise DataError(
            f"no file in {files.location} has a label from its {labels.source}",
            "set data.labels=none, or another method",
        )
    clean = [clean_label(label) or None if label else None for label in labels.values]
    if None in clean and _is_automatic(section):
        lacking = f"{clean.count(None):,} of {len(clean):,} files have no label in {labels.source}"
        note = f"{lacking}; data.labels={method} uses the other files only"
        return Labels([None] * len(clean), "", note)
    return Labels(clean, labels.source)


def _is_automatic(section: LabelledDataConfig) -> bool:
    """Whether labels are guessed, not requested: then none are used if a file has no label."""
    return section.labels == "auto" and section.label_pattern is None and section.label_column is None


def _choose_method(files: FileSet, section: LabelledDataConfig) -> str:
    if section.label_pattern:
        return "pattern"
    if section.label_column or files.columns or _has_label_column(files):
        return "metadata"
    folders = set(_first_folders(files))
    return "folder" if "" not in folders and 2 <= len(folders) <= MOST_FOLDERS else "none"


def _has_label_column(files: FileSet) -> bool:
    if (metadata := read_metadata(files.read_file, files.location)) is None:
        return False
    return bool(metadata.column(FILE_COLUMNS) and metadata.column(LABEL_COLUMNS))


def _by_folder(files: FileSet, section: LabelledDataConfig) -> Labels:
    return Labels([folder or None for folder in _first_folders(files)], "sub-folder")


def _first_folders(files: FileSet) -> list[str]:
    """The first folder of each file, after a folder of a split; "" if there is none."""
    return [name.partition("/")[0] if "/" in name else "" for name in strip_split_folders(files.names)]


def _by_pattern(files: FileSet, section: LabelledDataConfig) -> Labels:
    if section.label_pattern is None:
        raise ConfigError(
            "data.labels=pattern needs data.label_pattern", r"set it, such as data.label_pattern='^(\d)_'"
        )
    pattern = re.compile(section.label_pattern)
    group = "label" if "label" in pattern.groupindex else 1
    matches = search_with_timeout(
        pattern, [PurePosixPath(name).name for name in files.names], "data.label_pattern"
    )
    return Labels(
        [match[group] if match else None for match in matches], f"file name ({section.label_pattern})"
    )


def _by_metadata(files: FileSet, section: LabelledDataConfig) -> Labels:
    for column, own in files.columns.items():
        return Labels(list(own), f"column {column!r}")
    metadata = read_metadata(files.read_file, files.location)
    if metadata is None:
        raise DataError(
            f"no metadata file in {files.location}", f"give {' or '.join(METADATA_FILES)}, or set data.labels"
        )
    if not metadata.rows:
        raise DataError(f"{metadata.path} has no rows", "write a row for each file, or set data.labels=none")
    column = metadata.require_column((section.label_column,) if section.label_column else LABEL_COLUMNS)
    known = metadata.labels_by_file(metadata.require_column(FILE_COLUMNS), column)
    within = zip(files.names, strip_split_folders(files.names), strict=True)
    values = [known.get(normalised_name(name), known.get(normalised_name(below))) for name, below in within]
    return Labels(values, f"column {column!r} of {PurePosixPath(metadata.path).name}")


MIN_TIMEOUT_SECONDS, NAMES_PER_SECOND = 10.0, 10_000
"""Matching fails after these seconds plus the time for the number of names at this rate."""


class _MatchTimeoutError(Exception):
    """Matching took too long."""


def search_with_timeout(
    pattern: re.Pattern[str], names: Sequence[str], key: str
) -> list[re.Match[str] | None]:
    """The first match in each name, or None. ``key`` is the setting of the pattern, for the message.

    Raises:
        ConfigError: it takes too long, because parts of the pattern match a name in many ways.
    """
    found: list[re.Match[str] | None] = []
    try:
        with _time_limit(MIN_TIMEOUT_SECONDS + len(names) / NAMES_PER_SECOND):
            for name in names:
                found.append(pattern.search(name))
    except _MatchTimeoutError:
        raise ConfigError(
            f"{key} {pattern.pattern!r} takes too long on {names[len(found)]!r}",
            f"write {key} without a repetition inside a repetition, such as (a+)+",
        ) from None
    return found


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Context manager that raises _MatchTimeoutError after a time.

    There is no limit outside the main thread, or if the program uses the timer.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise _MatchTimeoutError

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def class_indices(labels: Sequence[str | None], classes: Sequence[str]) -> Tensor | None:
    """The index of each label in ``classes``, (n,) int64; None if there are no classes."""
    if not classes:
        return None
    index_of = {name: index for index, name in enumerate(classes)}
    return torch.tensor([index_of[str(label)] for label in labels], dtype=torch.int64)


def class_fields(classes: Sequence[str], train: Tensor | None) -> dict[str, list[str] | list[float]]:
    """The fields ``classes`` and ``class_shares`` of a spec, from the class indices of train (n,).

    Empty if there are no classes.
    """
    if train is None:
        return {}
    counts = torch.bincount(train, minlength=len(classes))
    shares = [round(share, 6) for share in (counts / counts.sum()).tolist()]
    return {"classes": list(classes), "class_shares": shares}


def num_conditional_classes(conditional: bool, spec: Spec) -> int:
    """The number of classes on which the networks are conditioned; 0 if the recipe is unconditional.

    Raises:
        ConfigError: the recipe is conditional and the data have no labels.
    """
    classes = spec.get("classes") or []
    if conditional and not classes:
        raise ConfigError(
            "model.conditional is true, but the data have no labels",
            "set data.labels, or model.conditional=false",
        )
    return len(classes) if conditional else 0


def num_classifier_classes(spec: Spec) -> int:
    """The number of classes of the recipe `classifier`.

    Raises:
        ConfigError: the data have fewer than two classes.
    """
    count = len(spec.get("classes") or [])
    if count < 2:
        raise ConfigError(
            f"recipe 'classifier' needs at least two labels, the data have {count}", "set data.labels"
        )
    return count
