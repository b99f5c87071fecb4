"""Data that are prepared once: a packed array with metadata, by content and settings, complete or absent."""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from gancore.data.cache import cache_folder, warn_if_large
from gancore.data.inventory import SkipItem, SkippedItem
from gancore.data.packed import PackedArray
from gancore.errors import DataError, StorageError
from gancore.file_lock import exclusive_lock
from gancore.files import mark_used, remove, remove_leftovers, replace_folder, temporary_path, write_fsync
from gancore.progress import Announce, throttle

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_METADATA = "table.json"


class Item(Protocol):
    """An item to prepare. Items with equal ``content_hash``, a hash of the content, are stored once."""

    @property
    def name(self) -> str: ...
    @property
    def content_hash(self) -> str: ...


MetadataT = TypeVar("MetadataT", bound="DataclassInstance")
ItemT = TypeVar("ItemT", bound=Item)
Stored = TypeVar("Stored")


@dataclass(frozen=True)
class PreparedData(Generic[MetadataT]):
    """A packed array with its folder and metadata."""

    folder: Path
    packed: PackedArray
    metadata: MetadataT


def open_prepared(
    kind: str,
    key: Sequence[Any],
    metadata: type[MetadataT],
    build: Callable[[Path], MetadataT],
    announce: Announce,
) -> PreparedData[MetadataT]:
    """Open the prepared data of ``key``, or build and store them.

    If several processes call this at the same time, one builds and the others wait. A killed build leaves no
    entry.

    Args:
        kind: the folder of the cache.
        key: JSON values that determine the data: content and settings.
        metadata: a dataclass of JSON values.
        build: writes a packed array into the folder that it gets, and returns the metadata.
        announce: prints a line to the user.

    Raises:
        DataError: the cache cannot be written.
    """
    digest = hashlib.sha256(json.dumps(list(key), sort_keys=True).encode()).hexdigest()
    folder = cache_folder() / kind / digest[:24]
    # A folder is renamed when it is complete, and may be read-only.
    if kept := _load(folder, metadata):
        mark_used(folder)
        return kept
    try:
        with exclusive_lock(folder.with_name(f"{folder.name}.lock"), announce):
            if (kept := _load(folder, metadata)) is None:
                _build(folder, build)
                kept = _load(folder, metadata)
                warn_if_large(announce)
    except OSError as error:
        raise _failure(error, folder) from None
    if kept is None:
        raise DataError(f"the cache {folder} cannot be read back", "delete it, or set GANCORE_CACHE")
    return kept


def _failure(error: OSError, folder: Path) -> DataError:
    if error.errno == errno.ENOSPC:
        return StorageError(
            f"the disk is full; the cache {folder} needs space", "free space, or set GANCORE_CACHE"
        )
    return DataError(f"the cache {folder} cannot be written: {error.strerror}", "set GANCORE_CACHE")


def _load(folder: Path, metadata: type[MetadataT]) -> PreparedData[MetadataT] | None:
    """Load prepared data; None if they are missing or damaged, and must be built."""
    try:
        columns = json.loads((folder / _METADATA).read_text())
        return PreparedData(folder, PackedArray.open(folder), metadata(**columns))
    except (DataError, OSError, ValueError, TypeError):
        return None


def _build(folder: Path, build: Callable[[Path], MetadataT]) -> None:
    remove_leftovers(folder.parent, folder.name)  # of killed builds; this process holds the lock
    aside = temporary_path(folder)
    aside.mkdir()
    try:
        metadata = build(aside)
        write_fsync(aside / _METADATA, json.dumps(vars(metadata)).encode())
        replace_folder(aside, folder)
    finally:
        if aside.exists():
            remove(aside)


def store_unique(
    items: Iterable[ItemT],
    store: Callable[[ItemT], Stored],
    skipped: list[SkippedItem],
    announce: Announce,
    noun: str,
) -> Iterator[tuple[ItemT, Stored]]:
    """Store each item with ``store`` and yield (item, return value), in order.

    ``store`` is called once for items of equal content. Skipped items are appended to ``skipped``. ``noun``
    names the items in lines of progress.
    """
    known: dict[str, Stored | SkipItem] = {}
    report = throttle(announce)
    for number, item in enumerate(items, start=1):
        if item.content_hash not in known:
            known[item.content_hash] = _stored(item, store)
        result = known[item.content_hash]
        if isinstance(result, SkipItem):
            skipped.append((item.name, str(result)))
        else:
            yield item, result
        report(f"  {number:,} {noun} prepared")


def _stored(item: ItemT, store: Callable[[ItemT], Stored]) -> Stored | SkipItem:
    try:
        return store(item)
    except SkipItem as refused:
        return SkipItem(str(refused))  # without the traceback, which refers to the content of the item
