"""Files of a data set: local paths, patterns with braces and wildcards, and URLs that fsspec opens."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from gancore.data.inventory import SkipItem, file_stat_key, is_hidden, list_files
from gancore.data.patterns import LOCAL_SCHEMES, MAX_FILES, expand_braces, has_wildcards, is_url, too_many
from gancore.data.splits import Split
from gancore.errors import DataError, GancoreError, describe_error
from gancore.files import open_regular
from gancore.text import escape_unprintable


@dataclass(frozen=True)
class DataFile:
    """A file of a data set. ``name``: its path below the root (with /); ``location``: its path or URL.

    ``split``: that of all its items, if it is known otherwise than by its name. ``filesystem``: that of
    fsspec which opens ``location``; None: the file is local. ``embedded_below``: a table may name files below
    this folder in place of their content.
    """

    name: str
    location: str
    split: Split | None = None
    filesystem: Any = field(default=None, compare=False, repr=False)
    embedded_below: str = ""

    @classmethod
    def local(cls, path: Path, name: str = "") -> DataFile:
        return cls(name or path.name, str(path))

    @property
    def suffix(self) -> str:
        return os.path.splitext(self.name)[1].lower()

    @property
    def address(self) -> str:
        """The path or URL, for messages and keys."""
        return (
            self.location if self.filesystem is None else str(self.filesystem.unstrip_protocol(self.location))
        )

    def open(self) -> IO[bytes]:
        """The file as a stream that can seek. A pipe or a device is refused and does not block.

        Raises:
            OSError: a local file cannot be opened, or is not a regular file.
            DataError: a remote file cannot be opened.
        """
        if self.filesystem is None:
            return os.fdopen(open_regular(Path(self.location).resolve(), os.O_RDONLY), "rb")
        with remote_errors(self.address):
            return cast("IO[bytes]", self.filesystem.open(self.location, "rb"))

    def stat_key(self) -> list[int]:
        """Numbers that change when the file is written or replaced. Raises as :meth:`open`."""
        if self.filesystem is None:
            return file_stat_key(os.stat(self.location))
        with remote_errors(self.address):
            self.filesystem.invalidate_cache()
            info = self.filesystem.info(self.location)
        text = repr(sorted((key, str(value)) for key, value in info.items()))
        return [int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")]

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Context manager for reading from :meth:`open`.

        Raises:
            SkipItem: a local file cannot be read.
            DataError: a remote file cannot be read, which another attempt may repair.
        """
        try:
            if self.filesystem is None:
                yield
            else:
                with remote_errors(self.address):
                    yield
        except OSError as error:
            raise SkipItem(f"it cannot be read ({error.strerror or error})") from None


@contextlib.contextmanager
def remote_errors(location: str) -> Iterator[None]:
    """Context manager that turns all that a file system of fsspec raises into DataError."""
    try:
        yield
    except (GancoreError, SkipItem):
        raise
    except FileNotFoundError:
        raise DataError(f"{_shown(location)} does not exist", "check the address") from None
    except Exception as error:  # of the network: each file system passes on those of its client
        raise DataError(
            f"{_shown(location)} cannot be read: {_shown(describe_error(error, 200))}",
            "check the address, the credentials and the connection, then try again",
        ) from None


def find_data_files(given: str, suffixes: Sequence[str]) -> list[DataFile]:
    """The files that a pattern, a URL or a local path names, in order: a file, or those of a folder.

    Of folders and wildcards only files with ``suffixes`` are taken; a file that is named itself is taken.

    Raises:
        DataError: there is none, one that braces name does not exist, or fsspec cannot open the URL.
    """
    local = next((given.removeprefix(start) for start in LOCAL_SCHEMES if given.startswith(start)), given)
    filesystem = _filesystem(local)[0] if is_url(local) else None
    found: list[str] = []
    missing = []
    for text in expand_braces(local):
        paths = _expanded(text, filesystem, suffixes)
        found += paths
        missing += [] if paths or has_wildcards(text) else [text]
    if missing and (found or len(missing) > 1):
        raise DataError(
            f"{len(missing):,} of the files of {_shown(given)} do not exist, first {_shown(missing[0])}",
            "name those that exist, or use a wildcard (*)",
        )
    if not found:
        raise DataError(
            f"there is no file {_shown(given)}, nor any below it in {', '.join(suffixes)}", "check the path"
        )
    if len(found) > MAX_FILES:
        raise too_many(given)
    root = _common_folder(found)
    distinct = dict.fromkeys(found)
    return [DataFile(path[len(root) :], path, None, filesystem) for path in distinct]


def _expanded(text: str, filesystem: Any, suffixes: Sequence[str]) -> list[str]:
    """The paths of one text without braces; a folder stands for its files with ``suffixes``."""
    if filesystem is None:
        return _expanded_local(os.path.abspath(os.path.expanduser(text)), suffixes)
    path = _filesystem(text)[1]
    with remote_errors(text):
        if has_wildcards(path):
            names = sorted(filesystem.glob(path))
        elif filesystem.isdir(path):
            names = sorted(filesystem.find(path))
        else:
            return [path] if filesystem.exists(path) else []
    return [name for name in names if _is_shown(name) and name.lower().endswith(tuple(suffixes))]


def _expanded_local(path: str, suffixes: Sequence[str]) -> list[str]:
    if not os.path.exists(path) and has_wildcards(path):
        names = sorted(glob.glob(path, recursive=True))
    elif os.path.isdir(path):
        names = [f"{path}/{name}" for name in list_files(Path(path)).names]
    else:
        return [path] if os.path.exists(path) else []
    return [name for name in names if _is_shown(name) and name.lower().endswith(tuple(suffixes))]


def _is_shown(path: str) -> bool:
    return not is_hidden(path.rpartition("/")[2])


def _common_folder(paths: Sequence[str]) -> str:
    """The folder that all paths are in, with its last /."""
    first, last = min(paths).split("/")[:-1], max(paths).split("/")[:-1]
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return "".join(f"{part}/" for part, _ in same)


def _filesystem(url: str) -> tuple[Any, str]:
    """The file system of fsspec for a URL, and the path in it.

    Raises:
        DataError: fsspec, or what it needs for this URL, is not installed.
    """
    try:
        import fsspec
    except ImportError:
        raise DataError(f"{_shown(url)} needs fsspec", 'pip install "gancore[data]"') from None
    try:
        filesystem, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        reason = _shown(str(error))  # it names the package
        raise DataError(f"{_shown(url)} needs a package ({reason})", "install it with pip") from None
    except Exception as error:  # an unknown protocol, wrong credentials: each file system has its own
        reason = _shown(describe_error(error, 200))
        raise DataError(f"{_shown(url)} cannot be opened: {reason}", "check the address") from None
    return filesystem, str(path)


def _shown(text: str) -> str:
    return escape_unprintable(text)
