"""The items of a source as files by name: of a folder, a zip archive, tar shards, or tables."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gancore.data.archives import leads_outside
from gancore.data.inventory import (
    MAX_ITEM_BYTES,
    FileInspector,
    Header,
    Inventory,
    SkipItem,
    SkippedItem,
    build_inventory,
    count_other_suffixes,
    file_stat_key,
    is_hidden,
    list_files,
)
from gancore.data.labels import FileSet, LabelledDataConfig, Labels, folder_reader, read_labels
from gancore.data.splits import Split, splits_from_folders
from gancore.errors import DataError
from gancore.progress import Announce


@dataclass(frozen=True)
class ItemKind:
    """Which files and columns hold the items of a domain.

    ``suffixes``: of their files, such as ``.png``. ``columns``: names of the column of a table that holds
    them, the first that exists is taken. ``column``: the only one that is taken; in tar shards the extension
    of members, all after the first dot of their names. ``folders``: only files below these first folders are
    taken; empty: all files.
    """

    suffixes: frozenset[str]
    columns: Sequence[str] = ()
    column: str | None = None
    folders: frozenset[str] = frozenset()

    def matches(self, name: str) -> bool:
        return os.path.splitext(name)[1].lower() in self.suffixes

    def includes(self, name: str) -> bool:
        return not self.folders or name.partition("/")[0] in self.folders


class ItemFiles:
    """Items by their names, in order; ``refused`` are those that cannot be used, with the reason.

    ``location``: the place of all, for messages. ``others``: names of the files that are no items.
    """

    location: str
    names: list[str]
    refused: list[SkippedItem]
    others: list[str]

    @property
    def other_suffixes(self) -> Counter[str]:
        """The number of files that are no items, by suffix, without metadata files."""
        return count_other_suffixes(self.others, ())

    def stat_key(self, name: str) -> list[int]:
        """Numbers that change when the item changes. Raises SkipItem."""
        raise NotImplementedError

    def read(self, name: str) -> bytes:
        """The content of an item. Raises SkipItem: it cannot be read, or is larger than MAX_ITEM_BYTES."""
        raise NotImplementedError

    @contextlib.contextmanager
    def as_path(self, name: str) -> Iterator[Path]:
        """Context manager of a file with the content and the suffix of an item. Raises SkipItem."""
        content = self.read(name)
        with tempfile.TemporaryDirectory(prefix="gancore-") as folder:
            path = Path(folder) / f"item{PurePosixPath(name).suffix.lower()}"
            path.write_bytes(content)
            yield path

    def inspect(
        self,
        kind: str,
        header: type[Header],
        read_header: Callable[[str], tuple[Header, str]],
        announce: Announce,
    ) -> Inventory[Header]:
        """The header and content hash of every item: :func:`build_inventory` for all of ``names``."""
        inspector = FileInspector(header, self.stat_key, read_header)
        return build_inventory(kind, Path(self.location), self.names, inspector, announce)

    def splits(self, names: Sequence[str]) -> list[Split | None]:
        """The official split of each item: None if it has none."""
        return splits_from_folders(names)

    def labels(self, names: Sequence[str], section: LabelledDataConfig) -> Labels:
        """The labels of items. Raises as :func:`read_labels`."""
        return read_labels(FileSet(list(names), self.location, self.read_beside), section)

    def read_beside(self, name: str) -> bytes | None:
        """The content of a file that is no item, such as ``metadata.csv``; None if there is none."""
        return None


class FolderFiles(ItemFiles):
    """The items below a folder, or one file. Hidden files are ignored.

    Each folder is entered once, whatever links it has.
    """

    def __init__(self, path: Path, kind: ItemKind) -> None:
        self._root = path if path.is_dir() else path.parent
        self.location = str(self._root)
        listing = list_files(path) if path.is_dir() else None
        every = [path.name] if listing is None else [name for name in listing.names if kind.includes(name)]
        self.names = [name for name in every if kind.matches(name)]
        self.refused = [] if listing is None else listing.skipped
        self.others = [name for name in every if not kind.matches(name)]

    def stat_key(self, name: str) -> list[int]:
        return file_stat_key(self._status(name))

    def _status(self, name: str) -> os.stat_result:
        try:
            status = (self._root / name).stat()
        except OSError as error:
            raise SkipItem(f"it cannot be read ({error.strerror})") from None
        if not stat.S_ISREG(status.st_mode):
            raise SkipItem("it is not a file")
        return status

    def read(self, name: str) -> bytes:
        check_size(self._status(name).st_size)
        try:
            return (self._root / name).read_bytes()
        except OSError as error:
            raise SkipItem(f"it cannot be read ({error.strerror})") from None

    @contextlib.contextmanager
    def as_path(self, name: str) -> Iterator[Path]:
        yield self._root / name

    def read_beside(self, name: str) -> bytes | None:
        return folder_reader(self._root)(name)


class ZipFiles(ItemFiles):
    """The members of a zip archive, read without unpacking to disk. None may be larger than MAX_ITEM_BYTES.

    If all members are in one folder of the archive, names begin below that folder. Backslashes also separate
    folders.
    """

    def __init__(self, path: Path, kind: ItemKind) -> None:
        self.location = str(path)
        try:
            self._archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise DataError(
                f"{path} cannot be opened as a zip archive: {error}", "create the archive again"
            ) from None
        members = [member for member in self._archive.infolist() if not _name(member).endswith("/")]
        self.refused = []
        visible = [member for member in members if not _any_hidden(_name(member))]
        counts = Counter(_name(member) for member in visible)
        accepted = [member for member in visible if self._accept(member, counts[_name(member)])]
        prefix = common_folder([_name(member) for member in accepted])
        self._members = {_name(member)[len(prefix) :]: member for member in accepted}
        self.names = sorted(name for name in self._members if kind.matches(name))
        self.others = [name for name in self._members if not kind.matches(name)]

    def _accept(self, member: zipfile.ZipInfo, count: int) -> bool:
        reason = _reject_reason(member, count)
        if reason and (member.filename, reason) not in self.refused:
            self.refused.append((member.filename, reason))
        return not reason

    def stat_key(self, name: str) -> list[int]:
        member = self._members[name]
        return [member.file_size, member.CRC]

    def read(self, name: str) -> bytes:
        try:
            with self._archive.open(self._members[name]) as file:
                return file.read()  # at most the declared size, which _reject_reason has checked
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
            raise SkipItem(f"it cannot be unpacked ({error})") from None

    def read_beside(self, name: str) -> bytes | None:
        try:
            return self.read(name) if name in self._members else None
        except SkipItem as refused:
            raise DataError(f"{self.location}/{name} cannot be used: {refused}") from None


def check_size(size: int) -> None:
    """Raises SkipItem for an item that is too large."""
    if size > MAX_ITEM_BYTES:
        raise SkipItem(f"it takes {size >> 20:,} MiB, more than {MAX_ITEM_BYTES >> 20}")


def _name(member: zipfile.ZipInfo) -> str:
    """The name with / between folders; some programs on Windows write backslashes."""
    return member.filename.replace("\\", "/")


def _reject_reason(member: zipfile.ZipInfo, count: int) -> str:
    if leads_outside(member.filename):
        return "its name leads out of the archive"
    if count > 1:
        return f"the archive holds {count} members of this name"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "it is a link"
    if member.flag_bits & 1:
        return "it is encrypted"
    if member.file_size > MAX_ITEM_BYTES:
        return f"it takes {member.file_size >> 20:,} MiB, more than {MAX_ITEM_BYTES >> 20}"
    return ""


def _any_hidden(name: str) -> bool:
    return any(is_hidden(part) and part != ".." for part in PurePosixPath(name).parts)


def common_folder(names: Sequence[str]) -> str:
    """``items/`` if every name begins with it; the folders below are the labels."""
    tops = {name.partition("/")[0] if "/" in name else "" for name in names}
    return f"{tops.pop()}/" if len(tops) == 1 and "" not in tops else ""
