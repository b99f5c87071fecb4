"""Labels of clips: from the sub-folder, the file name, or a metadata file."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from gancore.errors import ConfigError, DataError, nearest
from gancore_audio.config import AudioConfig

METADATA_FILES = ("metadata.csv", "metadata.jsonl", "index.csv")
FILE_COLUMNS = ("file_name", "file", "path", "filename")
LABEL_COLUMNS = ("label", "class", "category")
MOST_FOLDERS = 200
"""More sub-folders than this are not taken for classes unless ``data.labels`` says so."""


Range = tuple[float, float]
PITCHED = re.compile(r"(\d+(?:\.\d+)?)hz$", re.IGNORECASE)


@dataclass(frozen=True)
class Labels:
    """A label for each name (None: it has none), and where they come from; empty where there are none."""

    values: list[str | None]
    origin: str = ""


def read_labels(names: list[str], root: Path, config: AudioConfig) -> Labels:
    """The labels of the clips ``names`` (paths below ``root``, with /).

    Raises:
        ConfigError: a way to label without what it needs.
        DataError: a metadata file that is missing or makes no sense; labels that no clip has.
    """
    how = _choose(names, root, config) if config.labels == "auto" else config.labels
    if how == "none":
        return Labels([None] * len(names))
    labels = {"folder": _by_folder, "pattern": _by_pattern, "metadata": _by_metadata}[how](
        names, root, config
    )
    if not any(labels.values):
        raise DataError(
            f"no clip of {root} has a label from its {labels.origin}", "set data.labels=none, or another way"
        )
    return labels


def pitches_of(classes: Sequence[str], known: Mapping[str, Range]) -> list[Range | None]:
    """Of each class the lowest and highest pitch in Hz: as known, or as its name ends (``string-220hz``)."""
    named = {name: PITCHED.search(name) for name in classes}
    told = {name: (float(match[1]), float(match[1])) for name, match in named.items() if match}
    return [known.get(name, told.get(name)) for name in classes]


def _choose(names: list[str], root: Path, config: AudioConfig) -> str:
    if config.label_pattern:
        return "pattern"
    if config.label_column or _metadata_has_labels(root):
        return "metadata"
    folders = {name.partition("/")[0] if "/" in name else "" for name in names}
    return "folder" if "" not in folders and 2 <= len(folders) <= MOST_FOLDERS else "none"


def _metadata_has_labels(root: Path) -> bool:
    if (path := _metadata_file(root)) is None:
        return False
    first = next(iter(_rows(path)), {})
    return bool(set(first) & set(LABEL_COLUMNS) and set(first) & set(FILE_COLUMNS))


def _by_folder(names: list[str], root: Path, config: AudioConfig) -> Labels:
    return Labels([name.partition("/")[0] if "/" in name else None for name in names], "sub-folder")


def _by_pattern(names: list[str], root: Path, config: AudioConfig) -> Labels:
    if config.label_pattern is None:
        raise ConfigError(
            "data.labels=pattern without data.label_pattern", r"for example data.label_pattern='^(\d)_'"
        )
    pattern = re.compile(config.label_pattern)
    group = "label" if "label" in pattern.groupindex else 1
    matches = (pattern.search(PurePosixPath(name).name) for name in names)
    return Labels(
        [match[group] if match else None for match in matches], f"file name ({config.label_pattern})"
    )


def _by_metadata(names: list[str], root: Path, config: AudioConfig) -> Labels:
    path = _metadata_file(root)
    if path is None:
        raise DataError(
            f"no metadata file in {root}", f"give {' or '.join(METADATA_FILES)}, or set data.labels"
        )
    rows = list(_rows(path))
    if not rows:
        raise DataError(f"{path} has no rows")
    file_column = _column(path, rows[0], FILE_COLUMNS)
    label_column = _column(path, rows[0], (config.label_column,) if config.label_column else LABEL_COLUMNS)
    told = {str(row.get(file_column)): row.get(label_column) for row in rows}
    labels = [told.get(name) for name in names]
    return Labels(
        [None if label in (None, "") else str(label) for label in labels],
        f"column {label_column!r} of {path.name}",
    )


def _metadata_file(root: Path) -> Path | None:
    return next((root / name for name in METADATA_FILES if (root / name).is_file()), None)


def _rows(path: Path) -> Iterable[dict[str, Any]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            if path.suffix == ".csv":
                yield from csv.DictReader(file)
                return
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _json_row(line, path, number)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path} cannot be read: {error}", "it should be UTF-8 text, one row a clip"
        ) from None


def _json_row(line: str, path: Path, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"line {number} of {path} is not JSON: {error}") from None
    if not isinstance(row, dict):
        raise DataError(f"line {number} of {path} is not an object", 'write {"file_name": ..., "label": ...}')
    return row


def _column(path: Path, row: dict[str, Any], wanted: Iterable[str]) -> str:
    wanted = list(wanted)
    for name in wanted:
        if name in row:
            return name
    columns = [str(column) for column in row]
    raise DataError(f"{path} has no column {' or '.join(map(repr, wanted))}", nearest(wanted[0], columns))
