"""Archives, opened with suspicion: nothing lands outside the folder, nothing swells without end."""

from __future__ import annotations

import contextlib
import io
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from gancore.errors import DataError


@dataclass(frozen=True)
class Caps:
    """What an archive may hold. ``ratio`` (unpacked to packed bytes) counts above ``free_bytes``."""

    members: int = 2_000_000
    total_bytes: int = 256 << 30
    ratio: float = 200.0
    free_bytes: int = 64 << 20


def is_archive(path: Path) -> bool:
    return path.name.lower().endswith((".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2"))


def unpack(archive: Path, folder: Path, caps: Caps | None = None) -> Path:
    """Unpacks a tar or zip file into ``folder``.

    Raises:
        DataError: damaged, too large for ``caps``, or a member that would leave the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    caps = caps or Caps()
    try:
        if zipfile.is_zipfile(archive):
            _unpack_zip(archive, folder, caps)
        else:
            _unpack_tar(archive, folder, caps)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, LZMAError, EOFError, RuntimeError) as error:
        raise DataError(f"{archive} cannot be unpacked: {error}", "delete it and fetch it again") from None
    except OSError as error:
        raise DataError(
            f"{archive} cannot be unpacked into {folder}: {error.strerror or error}",
            "free space or choose another folder",
        ) from None
    return folder


def _unpack_tar(archive: Path, folder: Path, caps: Caps) -> None:
    with tarfile.open(archive, "r:*") as tar:
        meter = _Meter(archive, caps)
        for member in tar:
            meter.count(member.name, member.size)
            target = folder / member.name
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            source = _content(archive, tar, member)
            meter.count(member.name, 0 if member.isreg() else source.seek(0, io.SEEK_END))
            source.seek(0)
            target.parent.mkdir(parents=True, exist_ok=True)
            with source, target.open("wb") as file:
                shutil.copyfileobj(source, file)


def _content(archive: Path, tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    """Of a file, or of the one within the archive that a link leads to: no link is made."""
    with contextlib.suppress(KeyError):
        source = tar.extractfile(member) if member.isreg() or member.islnk() or member.issym() else None
        if source is not None:
            return source
    raise DataError(
        f"{archive} is not unpacked: its member {member.name!r} is a device, or a link to no file in it",
        "repack it without",
    )


def _unpack_zip(archive: Path, folder: Path, caps: Caps) -> None:
    with zipfile.ZipFile(archive) as bundle:
        for name, member in _checked(archive, caps, bundle.infolist()):
            target = folder / name
            if name.endswith("/"):
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with bundle.open(member) as source, target.open("wb") as file:
                shutil.copyfileobj(source, file)


def _checked(
    archive: Path, caps: Caps, members: Iterable[zipfile.ZipInfo]
) -> list[tuple[str, zipfile.ZipInfo]]:
    """All members with the names that they are written by, each of these checked before one is written."""
    meter = _Meter(archive, caps)
    named = []
    for member in members:
        name = member.filename.replace("\\", "/")  # as programs of Windows part folders
        meter.count(name, member.file_size)
        if stat.S_ISLNK(member.external_attr >> 16):
            raise DataError(
                f"{archive} is not unpacked: its member {member.filename!r} is a link", "repack it without"
            )
        named.append((name, member))
    return named


class _Meter:
    """Counts members and bytes, before they are written, against the caps."""

    def __init__(self, archive: Path, caps: Caps) -> None:
        self._archive, self._caps = archive, caps
        self._packed = archive.stat().st_size
        self._members = self._bytes = 0

    def count(self, name: str, size: int) -> None:
        if not _stays_inside(name):
            self._refuse(f"its member {name!r} would land outside the folder")
        self._members, self._bytes = self._members + 1, self._bytes + size
        if self._members > self._caps.members:
            self._refuse(f"it has more than {self._caps.members:,} members")
        if self._bytes > self._caps.total_bytes:
            self._refuse(f"it would take more than {self._caps.total_bytes:,} bytes")
        if self._bytes > self._caps.free_bytes + self._caps.ratio * self._packed:
            self._refuse(f"it would swell to more than {self._caps.ratio:g} times its size")

    def _refuse(self, why: str) -> None:
        raise DataError(f"{self._archive} is not unpacked: {why}", "check where it comes from")


def _stays_inside(name: str) -> bool:
    """Neither of Posix nor of Windows has it a drive, a root or a step up."""
    paths = PurePosixPath(name), PureWindowsPath(name)
    return not any(path.anchor or ".." in path.parts for path in paths)
