"""Which files a set holds, and what each is: asked once per file, remembered by its stamp."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Container, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from gancore.data.refusal import Refusal, Refused
from gancore.data.sources import cache_folder
from gancore.data.tables import METADATA_FILES
from gancore.data.telling import Announce, seldom
from gancore.errors import GancoreError
from gancore.files import atomic_write, used
from gancore.locking import RUN_LOCK
from gancore.texts import counted, printable

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_FORMAT = 3

Header = TypeVar("Header", bound="DataclassInstance")


@dataclass(frozen=True, slots=True)
class Found(Generic[Header]):
    """A usable file: its name below the set's place (with /), its header, a hash of its content."""

    name: str
    header: Header
    identity: str


@dataclass(frozen=True)
class Looking(Generic[Header]):
    """How files are looked at, by name. Both ways raise Refused, or OSError, for what cannot be used.

    ``stamp`` gives numbers that change when the file does; ``inspect`` its header and a hash of its content.
    ``header`` is a dataclass of JSON values.
    """

    header: type[Header]
    stamp: Callable[[str], list[int]]
    inspect: Callable[[str], tuple[Header, str]]


@dataclass
class Inventory(Generic[Header]):
    """The files that can be used, in order, and those that cannot."""

    found: list[Found[Header]] = field(default_factory=list)
    skipped: list[Refusal] = field(default_factory=list)


def take_inventory(
    kind: str, place: Path, names: Sequence[str], looking: Looking[Header], announce: Announce
) -> Inventory[Header]:
    """Every file of ``names``. A file whose stamp is that of last time is not inspected again.

    ``kind`` names a folder in the cache, where what is known of the set at ``place`` is remembered.
    """
    memory = _memory(kind, place)
    known, seen = _recall(memory), {}
    if known:
        used(memory)
    inventory: Inventory[Header] = Inventory()
    say = seldom(announce)
    for number, name in enumerate(names, start=1):
        try:
            seen[name] = row = _row(name, looking, known.get(name))
            inventory.found.append(Found(name, looking.header(*row["header"]), row["identity"]))
        except Refused as refused:
            inventory.skipped.append((name, str(refused)))
        say(f"  {number:,} of {len(names):,} files looked at")
    if seen != known:
        _remember(memory, seen)
    return inventory


def _row(name: str, looking: Looking[Header], known: dict[str, Any] | None) -> dict[str, Any]:
    try:
        stamp = looking.stamp(name)
        if known is not None and known["stamp"] == stamp:
            return known
        header, identity = looking.inspect(name)
    except OSError as error:
        raise Refused(f"it cannot be read ({error.strerror})") from None
    return {"stamp": stamp, "header": list(astuple(header)), "identity": identity}


def _memory(kind: str, place: Path) -> Path:
    name = hashlib.sha256(os.fsencode(place.resolve())).hexdigest()[:16]
    return cache_folder() / kind / "inventories" / f"{name}.json"


def _recall(path: Path) -> dict[str, dict[str, Any]]:
    try:
        remembered = json.loads(path.read_text())
        return remembered["files"] if remembered["format"] == _FORMAT else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _remember(path: Path, files: dict[str, dict[str, Any]]) -> None:
    """Only saves time, so that a cache that cannot be written is no error here."""
    with contextlib.suppress(OSError, GancoreError):
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, json.dumps({"format": _FORMAT, "files": files}))


def stamp_of(status: os.stat_result) -> list[int]:
    """Numbers that change when a file is written or replaced, even by one of equal size and date.

    A program can set a file's date, but neither the time of its last change of status nor its inode.
    """
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


@dataclass(frozen=True)
class Listing:
    """The files below a folder: their names (with /, sorted), and the folders that cannot be read."""

    names: list[str]
    refused: list[Refusal]


def list_files(root: Path) -> Listing:
    """All files below ``root``; hidden ones are left out, each folder is entered once, however links run.

    A run that lies below ``root`` is refused: what it holds was generated.
    """
    names: list[str] = []
    refused: list[Refusal] = []
    entered: set[tuple[int, int]] = set()
    waiting = [""]
    while waiting:
        below = waiting.pop()
        try:
            status = os.stat(root / below)
            if (status.st_dev, status.st_ino) in entered:
                continue
            entered.add((status.st_dev, status.st_ino))
            with os.scandir(root / below) as entries:
                shown = sorted((entry for entry in entries if not is_hidden(entry.name)), key=_name_of)
        except OSError as error:
            refused.append((below or str(root), f"the folder cannot be read ({error.strerror})"))
            continue
        if below and any(entry.name == RUN_LOCK for entry in shown):
            refused.append((below, "it is a run, and what it holds was generated"))
            continue
        folders = {entry.name for entry in shown if _is_folder(entry)}
        names += [below + entry.name for entry in shown if entry.name not in folders]
        waiting += [f"{below}{name}/" for name in sorted(folders, reverse=True)]
    return Listing(sorted(names), refused)


def _name_of(entry: os.DirEntry[str]) -> str:
    return entry.name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def other_kinds(names: Sequence[str], suffixes: Container[str]) -> Counter[str]:
    """How many files have none of ``suffixes``, by their suffix; metadata files do not count."""
    kinds = (os.path.splitext(name)[1].lower() for name in names if name not in METADATA_FILES)
    return Counter(kind for kind in kinds if kind not in suffixes)


def other_kinds_lines(others: Counter[str]) -> list[str]:
    """For a data contract: the files that were not looked at, by suffix; no line where there are none."""
    if not others:
        return []
    shown = ", ".join(f"{printable(kind) or 'no suffix'} {n:,}" for kind, n in others.most_common(6))
    more = ", ..." if len(others) > 6 else ""
    return [f"not used: {counted(others.total(), 'file')} of other kinds by suffix ({shown}{more})"]


def is_hidden(name: str) -> bool:
    """A dot at the front, or what archives of one system leave beside the files."""
    return name.startswith((".", "__MACOSX"))
