"""Where picture files lie: in a folder tree, or in a zip archive that is read without being unpacked."""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections import Counter
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Protocol

from gancore.data.inventory import Listing, is_hidden, list_files, stamp_of
from gancore.data.refusal import Refusal, Refused
from gancore.errors import DataError
from gancore_image.reading import MOST_BYTES


class Files(Protocol):
    """Files by their names (with /, sorted); what cannot be read is Refused by its name."""

    place: Path
    names: list[str]
    refused: list[Refusal]

    def stamp(self, name: str) -> list[int]:
        """Numbers that change when the file does."""

    def read(self, name: str) -> bytes:
        """Raises Refused."""


class FolderFiles:
    """All files below a folder, or one file alone. Hidden ones are passed over.

    Each folder is entered once, however links run.
    """

    def __init__(self, place: Path) -> None:
        self.place = place if place.is_dir() else place.parent
        listing = list_files(place) if place.is_dir() else Listing([place.name], [])
        self.names, self.refused = listing.names, listing.refused

    def stamp(self, name: str) -> list[int]:
        try:
            status = (self.place / name).stat()
        except OSError as error:
            raise Refused(f"it cannot be read ({error.strerror})") from None
        if not stat.S_ISREG(status.st_mode):
            raise Refused("it is not a file")
        if status.st_size > MOST_BYTES:
            raise Refused(f"it takes {status.st_size >> 20:,} MiB, more than {MOST_BYTES >> 20}")
        return stamp_of(status)

    def read(self, name: str) -> bytes:
        self.stamp(name)
        try:
            return (self.place / name).read_bytes()
        except OSError as error:
            raise Refused(f"it cannot be read ({error.strerror})") from None


class ZipFiles:
    """The members of a zip archive. Nothing is written anywhere, and no member swells past the limit.

    Where all lies in one folder of the archive, names begin below that folder. Backslashes part folders too.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        try:
            self._bundle = zipfile.ZipFile(place)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise DataError(f"{place} cannot be opened as a zip archive: {error}", "make it anew") from None
        members = [member for member in self._bundle.infolist() if not _name(member).endswith("/")]
        self.refused: list[Refusal] = []
        shown = [member for member in members if not _any_hidden(_name(member))]
        counts = Counter(_name(member) for member in shown)
        whole = [member for member in shown if self._accept(member, counts[_name(member)])]
        top = _common_top([_name(member) for member in whole])
        self._members = {_name(member)[len(top) :]: member for member in whole}
        self.names = sorted(self._members)

    def _accept(self, member: zipfile.ZipInfo, count: int) -> bool:
        reason = _fault(member, count)
        if reason and (member.filename, reason) not in self.refused:
            self.refused.append((member.filename, reason))
        return not reason

    def stamp(self, name: str) -> list[int]:
        member = self._members[name]
        return [member.file_size, member.CRC]

    def read(self, name: str) -> bytes:
        try:
            with self._bundle.open(self._members[name]) as file:
                return file.read()  # at most the size that its entry tells, which _fault has seen
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
            raise Refused(f"it cannot be unpacked ({error})") from None


def _name(member: zipfile.ZipInfo) -> str:
    """With / between folders, where a program of Windows has written a backslash."""
    return member.filename.replace("\\", "/")


def _fault(member: zipfile.ZipInfo, count: int) -> str:
    name = member.filename
    if any(
        p.is_absolute() or p.drive or ".." in p.parts for p in (PurePosixPath(name), PureWindowsPath(name))
    ):
        return "its name leads out of the archive"
    if count > 1:
        return f"the archive holds {count} members of this name"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "it is a link"
    if member.flag_bits & 1:
        return "it is encrypted"
    if member.file_size > MOST_BYTES:
        return f"it takes {member.file_size >> 20:,} MiB, more than {MOST_BYTES >> 20}"
    return ""


def _any_hidden(name: str) -> bool:
    return any(is_hidden(part) and part != ".." for part in PurePosixPath(name).parts)


def _common_top(names: list[str]) -> str:
    """``photos/`` where every name begins with it; labels are the folders below."""
    tops = {name.partition("/")[0] if "/" in name else "" for name in names}
    return f"{tops.pop()}/" if len(tops) == 1 and "" not in tops else ""
