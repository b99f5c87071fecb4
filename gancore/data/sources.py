"""Where data come from: the built-in default, a named set, or a path; and where things are kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gancore.data.download import LARGEST_BYTES, Progress, check_scheme, download
from gancore.data.lock import exclusive
from gancore.data.rows import ROWS_NAME
from gancore.data.telling import Announce, seldom
from gancore.data.unpack import is_archive, unpack
from gancore.errors import DataError, nearest
from gancore.files import used
from gancore.records import SourceEntry
from gancore.texts import printable

if TYPE_CHECKING:
    from gancore.domain import Source


SLACK_BYTES = 100_000_000
"""A file may be so much larger than twice what its source says of the whole data set."""


def cache_folder() -> Path:
    """What gancore keeps and can make again: ``$GANCORE_CACHE``, else the user's cache folder.

    Raises:
        DataError: neither is known: no HOME is set, and the user is not in the system's list.
    """
    own, shared = os.environ.get("GANCORE_CACHE"), os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(own).expanduser() if own else Path(shared or "~/.cache").expanduser() / "gancore"
    except RuntimeError as error:
        where = "GANCORE_CACHE" if own else "XDG_CACHE_HOME" if shared else "the user's cache folder"
        raise DataError(f"{where} is below a home folder that is not known", "set GANCORE_CACHE") from error


def data_folder() -> Path:
    """Where downloaded data sets go."""
    return cache_folder() / "data"


def is_built_in(entry: SourceEntry) -> bool:
    """A source that is made, not found: without files to fetch and without a home to fetch them from."""
    return not entry.files and not entry.home


def absolute_source(given: str | None, entries: Mapping[str, SourceEntry]) -> str | None:
    """A path that exists as an absolute one; anything else (a name, a path that is wrong) as it is given."""
    if given is None or given in entries:
        return given
    path = os.path.expanduser(given)
    return os.path.abspath(path) if os.path.exists(path) else given


def resolve(
    given: str | None,
    entries: Mapping[str, SourceEntry],
    data_root: Path | None,
    announce: Announce,
    rows: Path | None = None,
) -> Source:
    """The source that ``--data`` means.

    None is the built-in default. A name of ``entries`` is looked for in ``data_root``,
    ``$GANCORE_DATA`` and the user's cache, and else downloaded there: only a set asked for by its name
    ever is. Anything else is a path (``./name`` where a name hides it). ``rows`` is the folder in which a
    run keeps rows that a program gave in memory.

    Raises:
        DataError: no such name or path; a set that can neither be found nor downloaded.
    """
    if data_root is not None and not data_root.is_dir():
        raise DataError(f"the data root {data_root} is no folder", "give an existing one")
    if given is None:
        return _default(entries, announce)
    if given in entries:
        return _named(entries[given], data_root, announce)
    if rows is not None and ROWS_NAME.fullmatch(given) and (rows / given).is_file():
        return _source(given, rows / given, None, announce)
    path = os.path.expanduser(given)
    if ROWS_NAME.fullmatch(given) and not os.path.exists(path):
        raise DataError(
            f"the rows {given}, which a program gave in memory, are not here",
            f"name the file that the run keeps, as --data RUN/data/{given}",
        )
    if not os.path.exists(path):
        raise DataError(
            f"no file or folder {given!r} exists, and no data set has that name",
            nearest(given, entries),
        )
    return _source(Path(path).resolve().name, Path(path), None, announce)


def _default(entries: Mapping[str, SourceEntry], announce: Announce) -> Source:
    for entry in entries.values():
        if is_built_in(entry):
            return _source(entry.name, None, entry, announce)
    raise DataError("this domain has no built-in data", f"name a data set or a path ({nearest('', entries)})")


def _named(entry: SourceEntry, data_root: Path | None, announce: Announce) -> Source:
    if is_built_in(entry):
        return _source(entry.name, None, entry, announce)
    if found := _first_folder(_roots(data_root), entry.name):
        with suppress(DataError):  # what is found needs no cache
            if found.parent == data_folder():
                used(found)
        return _source(entry.name, found, entry, announce)
    if found := _first_folder(_roots(data_root), f"{entry.name}_sample"):
        announce(f"Using {found}: only a sample of {entry.name}")
        return _source(entry.name, found, entry, announce)
    if not entry.files:
        looked = ", ".join(str(root / entry.name) for root in _roots(data_root))
        raise DataError(
            f"the data set {entry.name!r} is not here (looked for {looked}), and it cannot be downloaded",
            f"get it from {entry.home} and put it under --data-root or $GANCORE_DATA",
        )
    return _source(entry.name, fetch(entry, data_folder() / entry.name, announce), entry, announce)


def _source(name: str, path: Path | None, entry: SourceEntry | None, announce: Announce) -> Source:
    from gancore.domain import Source  # imports torch, which those who only ask for a folder can do without

    return Source(printable(name), path, entry, announce)


def _roots(data_root: Path | None) -> Iterator[Path]:
    """Where a named set may lie, the nearest first; the cache's folder is looked for last."""
    if data_root is not None:
        yield data_root
    if environment := os.environ.get("GANCORE_DATA"):
        yield Path(os.path.expanduser(environment))
    yield data_folder()


def _first_folder(roots: Iterable[Path], name: str) -> Path | None:
    return next((root / name for root in roots if (root / name).is_dir()), None)


def fetch(entry: SourceEntry, folder: Path, announce: Announce) -> Path:
    """Downloads and unpacks a data set; ``folder`` appears whole or not at all.

    Archives that hold one folder and nothing else are opened up to its contents.
    """
    announce(
        f"{entry.name}: {entry.summary}. Licence: {entry.licence}. "
        f"{f'About {entry.megabytes:,.0f} MB, kept' if entry.megabytes else 'Kept'} in {folder}"
    )
    work = folder.with_name(f"{folder.name}.part")
    try:
        with exclusive(folder.with_name(f"{folder.name}.lock"), announce):
            if folder.is_dir():  # another process was faster
                return folder
            content = work / "content"
            shutil.rmtree(content, ignore_errors=True)
            most = round(2e6 * entry.megabytes + SLACK_BYTES) if entry.megabytes else LARGEST_BYTES
            for url, sha256 in entry.files.items():
                check_scheme(url)
                target, say = work / Path(urlsplit(url).path).name, _reporter(announce)
                _place(download(url, target, sha256, announce, say, most_bytes=most), content)
            _only_child(content).rename(folder)
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written: {error.strerror or error}", "set GANCORE_CACHE to another folder"
        ) from None
    return folder


def _place(path: Path, content: Path) -> None:
    content.mkdir(parents=True, exist_ok=True)
    if is_archive(path):
        unpack(path, content)
    else:
        shutil.copyfile(path, content / path.name)


def _only_child(folder: Path) -> Path:
    children = list(folder.iterdir())
    return children[0] if len(children) == 1 and children[0].is_dir() else folder


def _reporter(announce: Announce) -> Progress:
    """Says how far a download is, every few seconds."""
    say = seldom(announce)

    def report(done: int, total: int | None) -> None:
        say(f"  {done / 1e6:,.1f} MB" + (f" of {total / 1e6:,.1f} MB" if total else ""))

    return report
