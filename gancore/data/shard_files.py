"""The items of shards: members of tar files in WebDataset's layout, rows of Parquet and Arrow files."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from gancore.data.data_files import DataFile, find_data_files
from gancore.data.inventory import (
    FileInspector,
    Header,
    Inventory,
    SkipItem,
    build_inventory,
    list_files,
)
from gancore.data.item_files import FolderFiles, ItemFiles, ItemKind, ZipFiles, check_size, common_folder
from gancore.data.labels import LABEL_COLUMNS, FileSet, LabelledDataConfig, Labels, read_labels
from gancore.data.metadata import METADATA_FILES
from gancore.data.shard_index import ShardIndex, open_index
from gancore.data.sources import Source
from gancore.data.splits import Split, split_from_name, splits_from_folders
from gancore.data.table_shards import SUFFIXES as TABLE_SUFFIXES
from gancore.data.table_shards import TableColumns, TableRows, index_table
from gancore.data.tar_shards import CLASS_COLUMN, SIDECAR_SUFFIXES, index_tar
from gancore.errors import DataError
from gancore.progress import Announce, silent, throttle
from gancore.text import suggestion

SHARD_SUFFIXES = (".tar", *TABLE_SUFFIXES)


def open_item_files(source: Source, kind: ItemKind, section: LabelledDataConfig) -> ItemFiles:
    """The items of a source: of shards, of a zip archive, or of a folder or file.

    A folder is one of shards if it has shards and no file with a suffix of ``kind``.

    Raises:
        DataError: there is nothing at the source, or a table has no column of items.
    """
    if source.location or source.files:
        return ShardFiles(source_files(source, SHARD_SUFFIXES), kind, section, source.name, source.announce)
    path = source.path
    if path is None or not path.exists():
        raise DataError(f"no file or folder {path} exists", "check the path")
    if path.suffix.lower() in SHARD_SUFFIXES and not path.is_dir():
        return ShardFiles([DataFile.local(path)], kind, section, str(path), source.announce)
    files = ZipFiles(path, kind) if path.suffix.lower() == ".zip" else FolderFiles(path, kind)
    if (
        path.is_dir()
        and not files.names
        and any(name.lower().endswith(SHARD_SUFFIXES) for name in files.others)
    ):
        return ShardFiles(shards_below(path), kind, section, str(path), source.announce)
    if kind.column is not None:
        raise DataError(f"{path} has no shards, which data.column is for", "leave out data.column")
    return files


def source_files(source: Source, suffixes: Sequence[str]) -> list[DataFile]:
    """The files of a source that is a pattern, a URL or a data set of the hub; empty for other sources.

    Of folders and wildcards only files with ``suffixes`` are taken.

    Raises:
        DataError: there is none.
    """
    if source.files:
        return list(source.files)
    return find_data_files(source.location, suffixes) if source.location else []


def shards_below(folder: Path) -> list[DataFile]:
    """The shards below a folder, without those that the library datasets keeps of its own operations."""
    names = [name for name in list_files(folder).names if name.lower().endswith(SHARD_SUFFIXES)]
    return [
        DataFile.local(folder / name, name)
        for name in names
        if not PurePosixPath(name).match("cache-*.arrow")
    ]


def splits_of_files(names: Sequence[str]) -> list[Split | None]:
    """The split of each file by its first folder, else by its own name, such as ``train-00000-of-00002``.

    None for all files unless every one has a split, and one has train.
    """
    folders = splits_from_folders(names)
    if any(folders):
        return folders
    own = [split_from_name(PurePosixPath(name).name.partition(".")[0]) for name in names]
    return own if "train" in own and None not in own else [None] * len(names)


@dataclass
class _Shard:
    """A shard with its items, by column: places, sizes (of members), labels.

    ``first``: the number of its first item among all items. ``prefix``: what the names of its items begin
    with, before their names in the shard.
    """

    file: DataFile
    stat_key: list[int]
    split: Split | None
    is_table: bool
    first: int = 0
    prefix: str = ""
    places: array[int] = field(default_factory=partial(array, "q"))
    sizes: array[int] = field(default_factory=partial(array, "q"))
    labels: dict[str, list[str | None]] = field(default_factory=dict)

    def keep(self, index: ShardIndex, rows: Sequence[int]) -> None:
        """Take these rows of the index."""
        self.places.extend(index.places[row] for row in rows)
        self.sizes.extend(index.sizes[row] if index.sizes else 0 for row in rows)
        self.labels = {name: [values[row] for row in rows] for name, values in index.labels.items()}


class ShardFiles(ItemFiles):
    """The items of shards. Each shard is indexed once, and again if it was replaced.

    The name of an item begins with that of its shard, unless there is one shard.
    """

    def __init__(
        self,
        files: Sequence[DataFile],
        kind: ItemKind,
        section: LabelledDataConfig,
        location: str,
        announce: Announce = silent,
    ) -> None:
        self.location, self._kind = location, kind
        self.names, self.refused, self.others = [], [], []
        self._label_columns = _label_columns(section)
        self._shards: list[_Shard] = []
        self._members_beside: dict[str, tuple[_Shard, int, int]] = {}
        self._name_items(self._open_indexes(files, announce), len(files) > 1)
        self._numbers = {name: number for number, name in enumerate(self.names)}
        self._firsts = [shard.first for shard in self._shards]
        self._open: tuple[_Shard, IO[bytes] | TableRows] | None = None

    def _open_indexes(self, files: Sequence[DataFile], announce: Announce) -> list[ShardIndex]:
        """The indexes of the shards that can be read; ``refused`` gets the others."""
        columns = TableColumns(self._kind.columns, self._kind.column, self._label_columns)
        settings = [*columns.content, "", columns.chosen, *columns.labels]
        splits = splits_of_files([file.name for file in files])
        report, indexes = throttle(announce), []
        for number, (file, split) in enumerate(zip(files, splits, strict=True), start=1):
            is_table = file.suffix in TABLE_SUFFIXES
            build = (
                partial(index_table, file, columns) if is_table else partial(index_tar, file, columns.labels)
            )
            try:
                with file.reading():
                    index, stat_key = open_index(file, settings, build)
            except SkipItem as refused:
                self.refused.append((file.name, str(refused)))
                continue
            self.refused += [(f"{file.name}/{name}".rstrip("/"), reason) for name, reason in index.refused]
            self._shards.append(_Shard(file, stat_key, file.split or split, is_table))
            indexes.append(index)
            report(f"  {number:,} of {len(files):,} shards indexed")
        return indexes

    def _name_items(self, indexes: list[ShardIndex], several: bool) -> None:
        """Number and name the items; names begin below a folder that holds all members of tar files.

        ``indexes`` is emptied: only what is needed of them stays in memory.
        """
        pairs = zip(self._shards, indexes, strict=True)
        folder = common_folder([name for shard, index in pairs if not shard.is_table for name in index.names])
        has_labels = any(index.labels for index in indexes)
        indexes.reverse()
        for shard in self._shards:
            index = indexes.pop()
            shard.first = len(self.names)
            shard.prefix = f"{shard.file.name}/" if several else ""
            if shard.is_table:
                rows: Sequence[int] = range(len(index.names))
            else:
                rows = [row for row, name in enumerate(index.names) if self._is_item(name)]
                self._note_others(shard, index, set(rows), len(folder), has_labels)
            skip = 0 if shard.is_table else len(folder)
            self.names += [shard.prefix + index.names[row][skip:] for row in rows]
            shard.keep(index, rows)
        if self._kind.column and not self.names and self.others:
            known = sorted({_extension(name) for name in self.others})
            raise DataError(
                f"no member of {self.location} has the extension {self._kind.column!r}",
                f"set data.column: {suggestion(self._kind.column, known)}",
            )

    def _is_item(self, name: str) -> bool:
        extension = _extension(name)
        suffix = f".{extension.rpartition('.')[2]}" if extension else ""
        return suffix in self._kind.suffixes and self._kind.column in (None, extension)

    def _note_others(
        self, shard: _Shard, index: ShardIndex, rows: set[int], skip: int, has_labels: bool
    ) -> None:
        """Add the members that are no items to ``others``, but for those that hold labels."""
        for row, name in enumerate(index.names):
            within = name[skip:]
            if row in rows or (has_labels and name.lower().endswith(SIDECAR_SUFFIXES)):
                continue
            self.others.append(shard.prefix + within)
            if within in METADATA_FILES:
                self._members_beside.setdefault(within, (shard, index.places[row], index.sizes[row]))

    def _find(self, name: str) -> tuple[_Shard, int]:
        """The shard of an item, and its number in the shard."""
        number = self._numbers[name]
        shard = self._shards[bisect_right(self._firsts, number) - 1]
        return shard, number - shard.first

    def stat_key(self, name: str) -> list[int]:
        shard, number = self._find(name)
        return [*shard.stat_key, shard.places[number], shard.sizes[number]]

    def read(self, name: str) -> bytes:
        shard, number = self._find(name)
        return self._read(shard, shard.places[number], shard.sizes[number])

    def _read(self, shard: _Shard, place: int, size: int) -> bytes:
        check_size(size)
        with shard.file.reading():
            reader = self._reader(shard)
            if isinstance(reader, TableRows):
                content = reader.read(place)
                check_size(len(content))
                return content
            reader.seek(place)
            content = reader.read(size)
        if len(content) < size:
            raise SkipItem(f"it is cut short: {len(content):,} of {size:,} bytes")
        return content

    def _reader(self, shard: _Shard) -> IO[bytes] | TableRows:
        """The open shard; one is open at a time, since items are read in order."""
        if self._open is not None and self._open[0] is shard:
            return self._open[1]
        if self._open is not None:
            self._open[1].close()
            self._open = None
        if shard.file.stat_key() != shard.stat_key:
            raise DataError(f"{shard.file.address} has changed while it was read", "start again")
        columns = TableColumns(self._kind.columns, self._kind.column)
        reader = TableRows(shard.file, columns) if shard.is_table else shard.file.open()
        self._open = (shard, reader)
        return reader

    def inspect(
        self,
        kind: str,
        header: type[Header],
        read_header: Callable[[str], tuple[Header, str]],
        announce: Announce,
    ) -> Inventory[Header]:
        """As :meth:`ItemFiles.inspect`; each shard has an index of its own, which is small."""
        inventory: Inventory[Header] = Inventory()
        report, inner = throttle(announce), announce if len(self._shards) == 1 else silent
        inspector = FileInspector(header, self.stat_key, read_header)
        columns = json.dumps([self._kind.column, *self._kind.columns])
        for number, shard in enumerate(self._shards, start=1):
            names = self.names[shard.first : shard.first + len(shard.places)]
            part = build_inventory(kind, f"{shard.file.address} {columns}", names, inspector, inner)
            inventory.found += part.found
            inventory.skipped += part.skipped
            report(f"  {number:,} of {len(self._shards):,} shards inspected")
        return inventory

    def splits(self, names: Sequence[str]) -> list[Split | None]:
        """By the names of the shards or of their folders, else by the folders of members."""
        if any(shard.split for shard in self._shards):
            return [self._find(name)[0].split for name in names]
        return splits_from_folders([self._name_within(name) for name in names])

    def _name_within(self, name: str) -> str:
        """The name of an item within its shard; of a row its path, without the number."""
        shard = self._find(name)[0]
        within = name[len(shard.prefix) :]
        return within.partition("/")[2] or within if shard.is_table else within

    def labels(self, names: Sequence[str], section: LabelledDataConfig) -> Labels:
        """Labels of a column of the tables, of ``.json`` or ``.cls`` members, else as for files of a folder.

        Raises as :func:`read_labels`; also if no shard has the column of ``section``.
        """
        columns = {}
        present = [
            name for name in self._label_columns if any(name in shard.labels for shard in self._shards)
        ]
        for column in present[:1]:
            columns[column] = [self._label(name, column) for name in names]
        if section.label_column and not present and not self._members_beside:
            raise DataError(
                f"no shard of {self.location} has labels in {section.label_column!r}",
                "set data.label_column to a column, or to a field of the .json members",
            )
        within = [self._name_within(name) for name in names]
        return read_labels(FileSet(within, self.location, self.read_beside, columns), section)

    def _label(self, name: str, column: str) -> str | None:
        shard, number = self._find(name)
        values = shard.labels.get(column)
        return None if values is None else values[number]

    def read_beside(self, name: str) -> bytes | None:
        try:
            return self._read(*self._members_beside[name]) if name in self._members_beside else None
        except SkipItem as refused:
            raise DataError(f"{self.location}/{name} cannot be used: {refused}") from None


def _extension(name: str) -> str:
    """All after the first dot of the file name, in lower case."""
    return name.rpartition("/")[2].partition(".")[2].lower()


def _label_columns(section: LabelledDataConfig) -> Sequence[str]:
    """The columns of labels that are read, in order of preference."""
    if section.labels not in ("auto", "metadata") or section.label_pattern:
        return ()
    return (section.label_column,) if section.label_column else (*LABEL_COLUMNS, CLASS_COLUMN)
