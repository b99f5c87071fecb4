"""The texts in a file: its lines, the rows of a column, or running text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO, Any

from gancore.data import (
    DataFile,
    MetadataFile,
    SkipItem,
    class_names,
    open_table,
    parse_fields,
    read_tar_samples,
)
from gancore.errors import DataError
from gancore.text import escape_unprintable, short_repr, suggestion
from gancore_text.files import MAX_MEMBER_BYTES, TAR_EXTENSIONS, TextHeader, open_bytes

MAX_CHARACTERS = 1 << 20
"""Longer lines are not held in memory; a field of CSV may have 16 times as many."""
TEXT_COLUMNS = ("text", "sentence", "caption", "content", "body")
TABLE_ROWS = 1024
_CUT = f"longer than {MAX_CHARACTERS:,} characters"
_NULL, _NO_STRING = "null", "not text but numbers or objects"


@dataclass(frozen=True, slots=True)
class Record:
    """A text with the number of its line or row, from 1. ``problem``: why there is none."""

    number: int
    text: str
    label: str | None = None
    problem: str = ""


@dataclass(frozen=True)
class Columns:
    """The columns that the configuration names."""

    text: str | None = None
    label: str | None = None


def read_records(file: DataFile, header: TextHeader, columns: Columns) -> Iterator[Record]:
    """The texts of a file, in order.

    Raises:
        DataError: it cannot be read, is malformed (names the line), or lacks a column.
    """
    shown = escape_unprintable(file.address)
    if header.kind in ("table", "tar"):
        try:
            if header.kind == "table":
                yield from _table_records(file, shown, header, columns)
            else:
                yield from _tar_records(file, shown, columns)
        except SkipItem as refused:
            raise DataError(f"{shown} cannot be used: {refused}", "write it again") from None
        return
    if header.kind == "lines" and (columns.text or columns.label):
        given = "column" if columns.text else "label_column"
        raise DataError(f"{shown} is read by lines, which have no columns", f"leave out data.{given}")
    with _open_text(file, shown, header) as text:
        if header.kind == "lines":
            for number, line in _lines(text):
                yield Record(number, line) if line is not None else Record(number, "", problem=_CUT)
        elif header.kind == "jsonl":
            yield from _json_records(text, shown, columns)
        else:
            yield from _csv_records(text, shown, columns, "\t" if header.kind == "tsv" else None)


def read_running_text(file: DataFile, header: TextHeader) -> Iterator[str]:
    """The content of a file in pieces, line ends as LF. Raises DataError: it cannot be read, or has rows."""
    shown = escape_unprintable(file.address)
    if header.kind != "lines":
        raise DataError(f"{shown} has rows, from which no windows are cut", "set data.unit=line")
    with _open_text(file, shown, header) as text:
        while piece := text.read(MAX_CHARACTERS):
            yield piece


@contextmanager
def _open_text(file: DataFile, shown: str, header: TextHeader) -> Iterator[IO[str]]:
    """Lines end with LF, CRLF or CR only, which become LF; in CSV they stay as they are."""
    newline = "" if header.kind in ("csv", "tsv") else None
    try:
        with (
            open_bytes(file, header.packed) as stream,
            io.TextIOWrapper(stream, encoding=header.encoding, newline=newline) as text,
        ):
            yield text
    except OSError as error:
        raise DataError(
            f"{shown} cannot be read: {error.strerror}", "give a file that you may read"
        ) from None
    except UnicodeError as error:
        raise DataError(f"{shown} is not {header.encoding.upper()}: {error}", "convert it to UTF-8") from None


def _lines(file: IO[str]) -> Iterator[tuple[int, str | None]]:
    """Numbered lines without their ends; None: longer than MAX_CHARACTERS."""
    number = 0
    while line := file.readline(MAX_CHARACTERS + 1):
        number += 1
        whole: str | None = line
        if len(line) > MAX_CHARACTERS and not line.endswith("\n"):
            whole = None
            while (rest := file.readline(MAX_CHARACTERS)) and not rest.endswith("\n"):
                pass
        yield number, whole.removesuffix("\n") if whole is not None else None


# JSON lines


def _json_records(file: IO[str], shown: str, columns: Columns) -> Iterator[Record]:
    column = None
    for number, line in _lines(file):
        if line is None:
            yield Record(number, "", problem=_CUT)
        elif line.strip():
            row = _json_object(line, f"line {number:,} of {shown}")
            if column is None:
                names = list(map(str, row))
                column = _text_column(names, shown, columns)
                _label_column(names, shown, columns)
            yield _record(number, row.get(column), row.get(columns.label or ""), shown)


def _json_object(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where} is not JSON: {error}", 'write one object a line: {"text": "..."}') from None
    except RecursionError:
        raise DataError(f"{where} is nested too deeply", 'write flat objects: {"text": "..."}') from None
    if not isinstance(row, dict):
        raise DataError(f"{where} is {short_repr(row)}, not an object", 'write {"text": "..."}')
    return row


# CSV


def _csv_records(file: IO[str], shown: str, columns: Columns, delimiter: str | None) -> Iterator[Record]:
    limit = csv.field_size_limit(16 * MAX_CHARACTERS)
    try:
        rows = _csv_rows(file, shown, delimiter)
        head = next(rows, (1, []))[1]
        if not head:
            raise DataError(f"{shown} has no heading", "name the columns in its first line")
        text = head.index(_text_column(head, shown, columns))
        label = _label_column(head, shown, columns)
        label_at = None if label is None else head.index(label)
        for number, row in rows:
            if len(row) > len(head):
                raise DataError(
                    f"line {number:,} of {shown} has {len(row)} fields, the first line has {len(head)}",
                    'put texts with commas into quotes ("), or rename a file of lines to .txt',
                )
            values = [*row, *[None] * (len(head) - len(row))]
            yield _record(number, values[text], None if label_at is None else values[label_at], shown)
    finally:
        csv.field_size_limit(limit)


def _csv_rows(file: IO[str], shown: str, delimiter: str | None) -> Iterator[tuple[int, list[str]]]:
    """The number of the first line of each row, and its fields; empty lines are left out.

    The delimiter is the one that gives the most fields in the first line.
    """
    first = file.readline(16 * MAX_CHARACTERS)
    if delimiter is None:
        delimiter = max(",;\t|", key=lambda mark: len(next(csv.reader([first], delimiter=mark), [])))
    reader = csv.reader(_chained(first, file), delimiter=delimiter, strict=True, skipinitialspace=True)
    while True:
        number = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise DataError(
                f"the row at line {number:,} of {shown} cannot be read: {error}",
                'close its quotes, and double the quotes within them ("")',
            ) from None
        if row is None:
            return
        if row:
            yield number, row


def _chained(first: str, file: IO[str]) -> Iterator[str]:
    yield first
    yield from file


# Tables and tar files


def _table_records(file: DataFile, shown: str, header: TextHeader, columns: Columns) -> Iterator[Record]:
    with ExitStack() as stack:
        unpacked = None
        if header.packed:
            unpacked = io.BytesIO(stack.enter_context(open_bytes(file, packed=True)).read())
        table = stack.enter_context(open_table(file, unpacked))
        names = table.schema.names
        text, label = _text_column(names, shown, columns), _label_column(names, shown, columns)
        kind = table.schema.field(text).type
        if not _is_string(kind):
            raise DataError(f"column {text!r} of {shown} is of {kind}, not of strings", "set data.column")
        classes = class_names(table.schema, label) if label else []
        number = 0
        for batch in table.batches(0, [text, *([label] if label else [])], TABLE_ROWS):
            texts = batch.column(0).to_pylist()
            labels = batch.column(1).to_pylist() if label else [None] * len(texts)
            for value, own in zip(texts, labels, strict=True):
                number += 1
                yield _record(number, value, _class_name(own, classes), shown)


def _class_name(label: object, classes: Sequence[str]) -> object:
    return classes[label] if classes and isinstance(label, int) and 0 <= label < len(classes) else label


def _is_string(kind: Any) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        return _is_string(kind.value_type)
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_null(kind))


def _tar_records(file: DataFile, shown: str, columns: Columns) -> Iterator[Record]:
    """The text of each sample: its member ``.txt``, or a field of its member ``.json``."""
    for number, sample in enumerate(read_tar_samples(file, TAR_EXTENSIONS, MAX_MEMBER_BYTES), start=1):
        if None in sample.values():
            yield Record(number, "", problem=_CUT)
            continue
        try:
            text, fields = _member_text(sample, columns)
            label = (sample.get(columns.label or "") or b"").decode().strip() or fields.get(
                columns.label or ""
            )
        except SkipItem as refused:
            yield Record(number, "", problem=str(refused).removeprefix("it is "))
        except UnicodeDecodeError:
            yield Record(number, "", problem="not UTF-8")
        else:
            yield _record(number, text, label, shown)


def _member_text(sample: Mapping[str, bytes | None], columns: Columns) -> tuple[object, dict[str, Any]]:
    """The text of a sample (None: it has none), and the fields of its JSON. Raises SkipItem."""
    fields = parse_fields(sample.get("json") or b"{}")
    wanted = (columns.text,) if columns.text else ("txt", *TEXT_COLUMNS)
    for name in wanted:
        if (content := sample.get(name)) is not None:
            return content.decode(), fields
        if name in fields:
            return fields[name], fields
    return None, fields


# Columns


def _record(number: int, text: object, label: object, shown: str) -> Record:
    if isinstance(label, list | dict):
        raise DataError(
            f"row {number:,} of {shown}: the label is {short_repr(label)}", "write a text or a number"
        )
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    named = None if label in (None, "") else str(label)
    if text is None:
        return Record(number, "", named, _NULL)
    return Record(number, text, named) if isinstance(text, str) else Record(number, "", named, _NO_STRING)


def _text_column(names: Sequence[str], shown: str, columns: Columns) -> str:
    wanted = (columns.text,) if columns.text else TEXT_COLUMNS
    found = MetadataFile(shown, list(names), []).column(wanted)
    if found is None and columns.text is None and len(names) == 1:
        return names[0]
    return found if found is not None else _refuse_column(names, shown, wanted, "data.column")


def _label_column(names: Sequence[str], shown: str, columns: Columns) -> str | None:
    if columns.label is None:
        return None
    found = MetadataFile(shown, list(names), []).column((columns.label,))
    return found if found is not None else _refuse_column(names, shown, (columns.label,), "data.label_column")


def _refuse_column(names: Sequence[str], shown: str, wanted: Sequence[str], key: str) -> str:
    raise DataError(
        f"{shown} has no column {' or '.join(map(repr, wanted))}",
        f"set {key}: {suggestion(wanted[0], map(escape_unprintable, names))}",
    )
