"""Data prepared once: a packed array with metadata, keyed by content and settings, complete or absent."""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from gancore.data.cache import cache_folder, warn_if_large
from gancore.data.inventory import SkipItem, SkippedItem
from gancore.data.packed import PackedArray
from gancore.data.sources import Announce, throttle
from gancore.errors import DataError, StorageError
from gancore.file_lock import exclusive_lock
from gancore.files import mark_used, remove, remove_leftovers, replace_folder, temporary_path, write_fsync

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_METADATA = "table.json"


class Item(Protocol):
    """An item to prepare. ``content_hash`` is a hash of its content: of equal items one is stored."""

    @property
    def name(self) -> str: ...
    @property
    def content_hash(self) -> str: ...


MetadataT = TypeVar("MetadataT", bound="DataclassInstance")
ItemT = TypeVar("ItemT", bound=Item)
Stored = TypeVar("Stored")


@dataclass(frozen=True)
class PreparedData(Generic[MetadataT]):
    """A packed array in its folder, with its metadata."""

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
    """What ``build`` makes: a packed array in the folder that it is given, and its metadata.

    It is called only if the cache of this ``kind`` has nothing for ``key`` (JSON values). Several processes
    may call this at once: one builds, the others wait. A killed build leaves nothing.
    ``metadata`` is a dataclass of JSON values.

    Raises:
        DataError: the cache cannot be written.
    """
    digest = hashlib.sha256(json.dumps(list(key), sort_keys=True).encode()).hexdigest()
    folder = cache_folder() / kind / digest[:24]
    if kept := _load(
        folder, metadata
    ):  # complete because it was renamed into place; the folder may be read-only
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
    """None if it is missing or damaged; it is then built again."""
    try:
        columns = json.loads((folder / _METADATA).read_text())
        return PreparedData(folder, PackedArray.open(folder), metadata(**columns))
    except (DataError, OSError, ValueError, TypeError):
        return None


def _build(folder: Path, build: Callable[[Path], MetadataT]) -> None:
    remove_leftovers(folder.parent, folder.name)  # leftovers of killed builds; this process holds the lock
    aside = temporary_path(folder)
    aside.mkdir()
    try:
        metadata = build(aside)
        write_fsync(aside / _METADATA, json.dumps(asdict(metadata)).encode())
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
    """The items in order, each with what ``store`` returns, which is called once for items of equal content.

    Skipped items are appended to ``skipped``. ``noun`` names the items in progress lines.
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
        return SkipItem(str(refused))  # without the traceback, which would hold the item's content
