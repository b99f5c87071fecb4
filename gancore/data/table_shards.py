"""Tables whose rows are items: Parquet files, and Arrow files as the library datasets writes them.

The content of an item is a cell: bytes or text, or a structure with ``bytes`` and ``path``.
"""

from __future__ import annotations

import contextlib
import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

from gancore.data.data_files import DataFile
from gancore.data.inventory import MAX_ITEM_BYTES, SkipItem
from gancore.data.metadata import MetadataFile, plain_label
from gancore.data.shard_index import ShardIndex
from gancore.errors import DataError
from gancore.files import read_regular
from gancore.text import escape_unprintable, suggestion

SUFFIXES = (".parquet", ".arrow")
FEW_ROWS, MANY_ROWS = 32, 4096
"""Rows of Parquet that are decoded at a time: of contents, which may be large, and of other columns."""


@dataclass(frozen=True)
class TableColumns:
    """Which columns are read: ``content`` is the first that exists, or the one that ``chosen`` names."""

    content: Sequence[str]
    chosen: str | None = None
    labels: Sequence[str] = ()


def index_table(file: DataFile, columns: TableColumns) -> ShardIndex:
    """The rows of a table and their labels; a row is named by its number and, if it has one, its path.

    Raises:
        SkipItem: the file cannot be read as a table, or has no rows.
        DataError: it has no such column, a column is of another type, or pyarrow is missing.
    """
    with open_table(file) as table:
        content = content_column(table.schema, file, columns)
        names: list[str] = []
        kind = table.schema.field(content).type
        read_paths = _has_field(kind, "path")
        for batch in table.batches(0, [f"{content}.path" if read_paths else content]):
            paths = _paths(batch.column(0)) if read_paths else [None] * batch.num_rows
            names += [_row_name(number, path) for number, path in enumerate(paths, len(names))]
        if not names:
            raise SkipItem("it has no rows")
        found = (MetadataFile(file.name, table.schema.names, []).column([name]) for name in columns.labels)
        labels = {name: _labels(table, name, file) for name in found if name is not None}
    return ShardIndex(names, list(range(len(names))), [], labels)


def content_column(schema: Any, file: DataFile, columns: TableColumns) -> str:
    """The column of the content. Raises DataError: there is none, or it holds neither bytes nor text."""
    shown, wanted = escape_unprintable(file.address), (columns.chosen,) if columns.chosen else columns.content
    found = MetadataFile(file.name, schema.names, []).column(wanted)
    usable = [name for name in schema.names if _is_content(schema.field(name).type)]
    if found is None and columns.chosen is None and len(usable) == 1:
        return str(usable[0])
    kinds = ", ".join(f"{escape_unprintable(name)} ({schema.field(name).type})"[:60] for name in schema.names)
    if found is None:
        named = " or ".join(map(repr, wanted))
        raise DataError(
            f"{shown} has no column {named}, but {kinds}",
            f"set data.column: {suggestion(wanted[0], usable)}"
            if usable
            else "give a table with such a column",
        )
    if found not in usable:
        kind = escape_unprintable(str(schema.field(found).type))
        raise DataError(
            f"column {found!r} of {shown} is of {kind}, neither bytes nor text",
            "set data.column" if usable else "write bytes, or a structure of bytes and path",
        )
    return found


class TableRows:
    """The cells of a table, fast if they are read in order."""

    def __init__(self, file: DataFile, columns: TableColumns) -> None:
        self._file, self._columns = file, columns
        self._exit = contextlib.ExitStack()
        self._table = self._exit.enter_context(open_table(file))
        self._content = content_column(self._table.schema, file, columns)
        self._batches: Iterator[Any] = iter(())
        self._cells: Any = None
        self._first, self._stop = 0, 0

    def read(self, row: int) -> bytes:
        """The content of a row. Raises SkipItem: there is none, or it cannot be read."""
        if not self._first <= row < self._stop:
            self._seek(row)
        cell = self._cells[row - self._first].as_py()
        if isinstance(cell, dict):
            path = cell.get("path")
            cell = self._read_file(path) if cell["bytes"] is None and path else cell["bytes"]
        if cell is None:
            raise SkipItem("its cell is empty (null)")
        return cell.encode() if isinstance(cell, str) else bytes(cell)

    def _read_file(self, path: str) -> bytes:
        """The file that a row names in place of its content, if the table may name it."""
        root, target = self._file.embedded_below, Path(path).resolve()
        if not root or not target.is_relative_to(Path(root).resolve()):
            raise SkipItem("its row holds a path only, not the content; embed the files in the table")
        try:
            return read_regular(target, MAX_ITEM_BYTES)
        except OSError as error:
            raise SkipItem(f"its file cannot be read ({error.strerror})") from None

    def _seek(self, row: int) -> None:
        """Make the batch of ``row`` the current one: the next batches, else again from before that row."""
        with _readable(self._file):
            begin = self._table.first_row(row)
            if row < self._stop or self._cells is None or begin > self._stop:
                self._batches, self._stop = self._table.batches(row, [self._content], FEW_ROWS), begin
            while row >= self._stop:
                batch = next(self._batches)
                self._cells, self._first = batch.column(0), self._stop
                self._stop += batch.num_rows

    def close(self) -> None:
        self._exit.close()


class Table(Protocol):
    """Rows by columns. ``schema`` is that of pyarrow."""

    @property
    def schema(self) -> Any: ...

    def text_bytes(self) -> int:
        """About how many bytes its columns of text have in memory."""

    def first_row(self, row: int) -> int:
        """The first row that ``batches(row)`` gives, at most ``row``."""

    def batches(self, row: int, columns: Sequence[str], batch_rows: int = MANY_ROWS) -> Iterator[Any]:
        """Record batches of pyarrow from :meth:`first_row` on; ``column.field`` is a field of a structure.

        ``batch_rows``: about so many rows are decoded at a time.
        """


@dataclass
class _Parquet:
    file: Any
    starts: list[int] = field(default_factory=list)
    """The first row of each row group."""

    def __post_init__(self) -> None:
        rows = 0
        for group in range(self.file.num_row_groups):
            self.starts.append(rows)
            rows += self.file.metadata.row_group(group).num_rows

    @property
    def schema(self) -> Any:
        return self.file.schema_arrow

    def text_bytes(self) -> int:
        about = self.file.metadata
        columns = range(about.num_columns)
        texts = [n for n in columns if about.schema.column(n).logical_type.type == "STRING"]
        groups = map(about.row_group, range(about.num_row_groups))
        return sum(group.column(n).total_uncompressed_size for group in groups for n in texts)

    def first_row(self, row: int) -> int:
        return max((start for start in self.starts if start <= row), default=0)

    def batches(self, row: int, columns: Sequence[str], batch_rows: int = MANY_ROWS) -> Iterator[Any]:
        first = self.first_row(row)
        groups = [group for group, start in enumerate(self.starts) if start >= first]
        return self.file.iter_batches(batch_rows, row_groups=groups, columns=list(columns))  # type: ignore[no-any-return]


@dataclass
class _Arrow:
    batches_of_file: Sequence[Any]
    schema: Any

    def text_bytes(self) -> int:
        from pyarrow import types

        texts = [f.name for f in self.schema if types.is_string(f.type) or types.is_large_string(f.type)]
        return sum(batch.column(name).nbytes for batch in self.batches_of_file for name in texts)

    def first_row(self, row: int) -> int:
        return 0

    def batches(self, row: int, columns: Sequence[str], batch_rows: int = MANY_ROWS) -> Iterator[Any]:
        import pyarrow

        for batch in self.batches_of_file:
            cells = [_nested(batch, name) for name in columns]
            yield pyarrow.RecordBatch.from_arrays(cells, names=list(columns))


def _nested(batch: Any, name: str) -> Any:
    """The column of a batch; of ``column.path`` the field of a structure."""
    outer, _, inner = name.rpartition(".")
    return batch.column(name) if name in batch.schema.names else batch.column(outer).field(inner)


@contextlib.contextmanager
def open_table(file: DataFile, unpacked: IO[bytes] | None = None) -> Iterator[Table]:
    """Context manager of a table. ``unpacked``: the content of a file that is compressed as a whole.

    Raises:
        SkipItem: the file cannot be read as a table.
        DataError: pyarrow is not installed, or a remote file cannot be read.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise DataError(
            f"{escape_unprintable(file.address)} needs pyarrow", 'pip install "gancore[data]"'
        ) from None
    with _readable(file), contextlib.ExitStack() as stack:
        stream = unpacked or stack.enter_context(file.open())
        if file.suffix != ".arrow":
            yield _Parquet(parquet.ParquetFile(stream))
            return
        source = (
            pyarrow.PythonFile(stream, mode="r") if file.filesystem else pyarrow.memory_map(file.location)
        )
        yield _open_arrow(stack.enter_context(source), stream)


def _open_arrow(source: Any, stream: IO[bytes]) -> _Arrow:
    """An Arrow file in either format: a stream of batches, or with a table of contents at its end.

    A local file is mapped; a remote one is read into memory.
    """
    import pyarrow

    head = stream.read(6)
    stream.seek(0)
    if head == b"ARROW1":
        reader = pyarrow.ipc.open_file(source)
        return _Arrow(
            [reader.get_batch(number) for number in range(reader.num_record_batches)], reader.schema
        )
    reader = pyarrow.ipc.open_stream(source)
    return _Arrow(list(reader), reader.schema)


@contextlib.contextmanager
def _readable(file: DataFile) -> Iterator[None]:
    """Turns errors of reading a table into SkipItem; those of remote files are DataError."""
    import pyarrow

    kind = "Arrow" if file.suffix == ".arrow" else "Parquet"
    with file.reading():
        try:
            yield
        except (pyarrow.ArrowException, StopIteration, UnicodeDecodeError) as error:
            reason = escape_unprintable(" ".join(str(error).split())[:200])
            raise SkipItem(f"it cannot be read as {kind} ({reason or 'it is cut short'})") from None


def _is_content(kind: Any) -> bool:
    """Whether a cell of this type is bytes or text, or a structure with bytes."""
    from pyarrow import types

    if types.is_struct(kind):
        return _has_field(kind, "bytes") and _is_content(kind.field("bytes").type)
    if types.is_dictionary(kind):
        return _is_content(kind.value_type)
    tests = (types.is_binary, types.is_large_binary, types.is_string, types.is_large_string, types.is_null)
    return any(test(kind) for test in tests)


def _has_field(kind: Any, name: str) -> bool:
    from pyarrow import types

    return bool(types.is_struct(kind)) and any(kind.field(i).name == name for i in range(kind.num_fields))


def _paths(cells: Any) -> list[str | None]:
    from pyarrow import types

    values = cells.field("path") if types.is_struct(cells.type) else cells
    return [str(value) if value else None for value in values.to_pylist()]


def _row_name(number: int, path: str | None) -> str:
    base = posixpath.basename((path or "").replace("\\", "/"))
    return f"{number:06d}/{base}" if base else f"{number:06d}"


def _labels(table: Any, column: str, file: DataFile) -> list[str | None]:
    """The labels of a column, by their names if the table has them. Raises DataError: they are no labels."""
    from pyarrow import types

    kind = table.schema.field(column).type
    inner = kind.value_type if types.is_dictionary(kind) else kind
    tests = (types.is_integer, types.is_string, types.is_large_string, types.is_boolean, types.is_floating)
    if not any(test(inner) for test in (*tests, types.is_null)):
        raise DataError(
            f"column {column!r} of {escape_unprintable(file.address)} is of {kind}, not of labels",
            "set data.label_column, or data.labels=none",
        )
    names = class_names(table.schema, column)
    values = [value for batch in table.batches(0, [column]) for value in batch.column(0).to_pylist()]
    return [_label(value, names) for value in values]


def _label(value: object, names: Sequence[str]) -> str | None:
    if value is None or value == "" or (names and value == -1):  # -1: datasets' mark of a missing label
        return None
    if names and isinstance(value, int) and 0 <= value < len(names):
        return names[value]
    return plain_label(value)


def class_names(schema: Any, column: str) -> list[str]:
    """The names of the classes of a column, as the library datasets writes them; empty: it has none."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        names = features[column]["names"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    names = list(names.values()) if isinstance(names, Mapping) else names
    return [str(name) for name in names] if isinstance(names, list) else []
