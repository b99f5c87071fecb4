"""The items of shards: members of tar files in WebDataset's layout, rows of Parquet and Arrow files."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
    if path.suffix.lower() == ".zip":
        return ZipFiles(path, kind)
    if path.suffix.lower() in SHARD_SUFFIXES and not path.is_dir():
        return ShardFiles([DataFile.local(path)], kind, section, str(path), source.announce)
    folder = FolderFiles(path, kind)
    if not folder.names and any(name.lower().endswith(SHARD_SUFFIXES) for name in folder.others):
        return ShardFiles(shards_below(path), kind, section, str(path), source.announce)
    return folder


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
    """A shard with the items that are used: their first number among all items, and their places."""

    file: DataFile
    stat_key: list[int]
    index: ShardIndex
    rows: array[int]
    """The positions of the items in ``index``."""
    split: Split | None = None
    first: int = 0
    prefix: str = ""
    """What the names of the items begin with, before their names in the shard."""


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
        self._shards = self._indexed(files, announce)
        self._members_beside: dict[str, tuple[_Shard, int]] = {}
        self._name_items(len(files) > 1)
        self._numbers = {name: number for number, name in enumerate(self.names)}
        self._firsts = [shard.first for shard in self._shards]
        self._open: tuple[_Shard, IO[bytes] | TableRows] | None = None

    def _indexed(self, files: Sequence[DataFile], announce: Announce) -> list[_Shard]:
        """The shards that can be read; ``refused`` gets the others."""
        columns = TableColumns(self._kind.columns, self._kind.column, self._label_columns)
        settings = [*columns.content, "", columns.chosen, *columns.labels]
        splits = splits_of_files([file.name for file in files])
        report, found = throttle(announce), []
        for number, (file, split) in enumerate(zip(files, splits, strict=True), start=1):
            try:
                with file.reading():
                    index, stat_key = open_index(file, settings, partial(_build_index, file, columns))
            except SkipItem as refused:
                self.refused.append((file.name, str(refused)))
                continue
            shard = _Shard(file, stat_key, index, array("q"), file.split or split)
            self.refused += [(f"{file.name}/{name}".rstrip("/"), reason) for name, reason in index.refused]
            found.append(shard)
            report(f"  {number:,} of {len(files):,} shards indexed")
        return found

    def _name_items(self, several: bool) -> None:
        """Number and name the items; names begin below a folder that holds all members of tar files."""
        tar_names = [name for shard in self._shards if not _is_table(shard) for name in shard.index.names]
        folder = common_folder(tar_names)
        for shard in self._shards:
            shard.first = len(self.names)
            shard.prefix = f"{shard.file.name}/" if several else ""
            skip = 0 if _is_table(shard) else len(folder)
            for row, name in enumerate(shard.index.names):
                within = name[skip:]
                if _is_table(shard) or self._is_item(name):
                    shard.rows.append(row)
                    self.names.append(shard.prefix + within)
                else:
                    self.others.append(shard.prefix + within)
                    if within in METADATA_FILES:
                        self._members_beside.setdefault(within, (shard, row))
        if any(shard.index.labels for shard in self._shards):  # these members are read: they hold the labels
            self.others = [name for name in self.others if not name.lower().endswith(SIDECAR_SUFFIXES)]

    def _is_item(self, name: str) -> bool:
        extension = PurePosixPath(name).name.partition(".")[2].lower()
        return self._kind.matches(name) and self._kind.column in (None, extension)

    def _find(self, name: str) -> tuple[_Shard, int]:
        """The shard of an item, and the position in its index."""
        number = self._numbers[name]
        shard = self._shards[bisect_right(self._firsts, number) - 1]
        return shard, shard.rows[number - shard.first]

    def stat_key(self, name: str) -> list[int]:
        shard, row = self._find(name)
        sizes = shard.index.sizes
        return [*shard.stat_key, shard.index.places[row], sizes[row] if sizes else 0]

    def read(self, name: str) -> bytes:
        return self._read(*self._find(name))

    def _read(self, shard: _Shard, row: int) -> bytes:
        place = shard.index.places[row]
        if not _is_table(shard):
            check_size(shard.index.sizes[row])
        with shard.file.reading():
            reader = self._reader(shard)
            if isinstance(reader, TableRows):
                content = reader.read(place)
                check_size(len(content))
                return content
            reader.seek(place)
            content = reader.read(shard.index.sizes[row])
        if len(content) < shard.index.sizes[row]:
            raise SkipItem(f"it is cut short: {len(content):,} of {shard.index.sizes[row]:,} bytes")
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
        reader = TableRows(shard.file, columns) if _is_table(shard) else shard.file.open()
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
            names = self.names[shard.first : shard.first + len(shard.rows)]
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
        return within.partition("/")[2] or within if _is_table(shard) else within

    def labels(self, names: Sequence[str], section: LabelledDataConfig) -> Labels:
        """Labels of a column of the tables, of ``.json`` or ``.cls`` members, else as for files of a folder.

        Raises as :func:`read_labels`; also if no shard has the column of ``section``.
        """
        columns = {}
        present = [
            name for name in self._label_columns if any(name in shard.index.labels for shard in self._shards)
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
        shard, row = self._find(name)
        values = shard.index.labels.get(column)
        return None if values is None else values[row]

    def read_beside(self, name: str) -> bytes | None:
        try:
            return self._read(*self._members_beside[name]) if name in self._members_beside else None
        except SkipItem as refused:
            raise DataError(f"{self.location}/{name} cannot be used: {refused}") from None


def _label_columns(section: LabelledDataConfig) -> Sequence[str]:
    """The columns of labels that are read, in order of preference."""
    if section.labels not in ("auto", "metadata") or section.label_pattern:
        return ()
    return (section.label_column,) if section.label_column else (*LABEL_COLUMNS, CLASS_COLUMN)


def _is_table(shard: _Shard) -> bool:
    return shard.file.suffix in TABLE_SUFFIXES


def _build_index(file: DataFile, columns: TableColumns) -> ShardIndex:
    return index_table(file, columns) if file.suffix in TABLE_SUFFIXES else index_tar(file, columns.labels)
