"""Items prepared once: a packed set with a table, keyed by content and settings, whole or not there."""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from gancore.data.kept import tell_if_large
from gancore.data.lock import exclusive
from gancore.data.packed import Packed
from gancore.data.refusal import Refusal, Refused
from gancore.data.sources import cache_folder
from gancore.data.telling import Announce, seldom
from gancore.errors import DataError, StorageError
from gancore.files import aside_name, discard, put_in_place, sweep, used, write_synced

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_TABLE = "table.json"


class Item(Protocol):
    """Something to prepare. ``identity`` is a hash of its content: of equal items one is stored."""

    @property
    def name(self) -> str: ...
    @property
    def identity(self) -> str: ...


TableT = TypeVar("TableT", bound="DataclassInstance")
ItemT = TypeVar("ItemT", bound=Item)
Stored = TypeVar("Stored")


@dataclass(frozen=True)
class Prepared(Generic[TableT]):
    """A packed set in its folder, with the table of what is known of it."""

    folder: Path
    packed: Packed
    table: TableT


def open_prepared(
    kind: str,
    words: Sequence[Any],
    table: type[TableT],
    build: Callable[[Path], TableT],
    announce: Announce,
) -> Prepared[TableT]:
    """What ``build`` makes: a packed set in the folder that it is given, and a table of it.

    It is called only if nothing is kept for ``words`` (JSON values) in the cache of this ``kind``. Several
    processes may call this at once: one builds, the others wait. A killed build leaves nothing.
    ``table`` is a dataclass of JSON values.

    Raises:
        DataError: the cache cannot be written.
    """
    key = hashlib.sha256(json.dumps(list(words), sort_keys=True).encode()).hexdigest()
    folder = cache_folder() / kind / key[:24]
    if kept := _load(folder, table):  # whole since it has its name; may lie where nobody can write
        used(folder)
        return kept
    try:
        with exclusive(folder.with_name(f"{folder.name}.lock"), announce):
            if (kept := _load(folder, table)) is None:
                _build(folder, build)
                kept = _load(folder, table)
                tell_if_large(announce)
    except OSError as error:
        raise _failure(error, folder) from None
    if kept is None:
        raise DataError(f"the cache {folder} cannot be read back", "delete it, or set GANCORE_CACHE")
    return kept


def _failure(error: OSError, folder: Path) -> DataError:
    if error.errno == errno.ENOSPC:
        return StorageError(
            f"the disk is full; the cache {folder} needs room", "free some, or set GANCORE_CACHE"
        )
    return DataError(f"the cache {folder} cannot be written: {error.strerror}", "set GANCORE_CACHE")


def _load(folder: Path, table: type[TableT]) -> Prepared[TableT] | None:
    """None if it is missing or damaged: then it is built again."""
    try:
        columns = json.loads((folder / _TABLE).read_text())
        return Prepared(folder, Packed.open(folder), table(**columns))
    except (DataError, OSError, ValueError, TypeError):
        return None


def _build(folder: Path, build: Callable[[Path], TableT]) -> None:
    sweep(folder.parent, folder.name)  # what killed builds left: the lock is ours
    aside = aside_name(folder)
    aside.mkdir()
    try:
        table = build(aside)
        write_synced(aside / _TABLE, json.dumps(asdict(table)).encode())
        put_in_place(aside, folder)
    finally:
        if aside.exists():
            discard(aside)


def each_once(
    items: Iterable[ItemT],
    store: Callable[[ItemT], Stored],
    skipped: list[Refusal],
    announce: Announce,
    what: str,
) -> Iterator[tuple[ItemT, Stored]]:
    """The items in order, each with what ``store`` gives for its content; it is called once for equal ones.

    Those that it refuses are left out, and added to ``skipped``. ``what`` they are is told on the way.
    """
    known: dict[str, Stored | Refused] = {}
    say = seldom(announce)
    for number, item in enumerate(items, start=1):
        if item.identity not in known:
            known[item.identity] = _stored(item, store)
        result = known[item.identity]
        if isinstance(result, Refused):
            skipped.append((item.name, str(result)))
        else:
            yield item, result
        say(f"  {number:,} {what} prepared")


def _stored(item: ItemT, store: Callable[[ItemT], Stored]) -> Stored | Refused:
    try:
        return store(item)
    except Refused as refused:
        return Refused(str(refused))  # without the traceback, which would hold the item's content
