"""Unpacks archives safely: no path leaves the folder, and sizes are limited."""

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
class ArchiveLimits:
    """Limits of an archive. ``ratio``, unpacked to packed bytes, applies above ``free_bytes``."""

    members: int = 2_000_000
    total_bytes: int = 256 << 30
    ratio: float = 200.0
    free_bytes: int = 64 << 20


def is_archive(path: Path) -> bool:
    """Whether the name is that of a zip or a (compressed) tar file."""
    return path.name.lower().endswith((".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2"))


def unpack_archive(archive: Path, folder: Path, limits: ArchiveLimits | None = None) -> Path:
    """Unpack a tar or zip file into ``folder``.

    Raises:
        DataError: it is damaged, exceeds ``limits``, or has a member outside the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    limits = limits or ArchiveLimits()
    try:
        if zipfile.is_zipfile(archive):
            _unpack_zip(archive, folder, limits)
        else:
            _unpack_tar(archive, folder, limits)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, LZMAError, EOFError, RuntimeError) as error:
        raise DataError(f"{archive} cannot be unpacked: {error}", "delete it and download it again") from None
    except OSError as error:
        raise DataError(
            f"{archive} cannot be unpacked into {folder}: {error.strerror or error}",
            "free space or choose another folder",
        ) from None
    return folder


def _unpack_tar(archive: Path, folder: Path, limits: ArchiveLimits) -> None:
    with tarfile.open(archive, "r:*") as tar:
        counter = _LimitCounter(archive, limits)
        for member in tar:
            counter.count(member.name, member.size)
            target = folder / member.name
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            source = _content(archive, tar, member)
            counter.count(member.name, 0 if member.isreg() else source.seek(0, io.SEEK_END))
            source.seek(0)
            target.parent.mkdir(parents=True, exist_ok=True)
            with source, target.open("wb") as file:
                shutil.copyfileobj(source, file)


def _content(archive: Path, tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    """The content of a member; for a link, of its target within the archive: links are not created."""
    with contextlib.suppress(KeyError):
        source = tar.extractfile(member) if member.isreg() or member.islnk() or member.issym() else None
        if source is not None:
            return source
    raise DataError(
        f"{archive} is not unpacked: its member {member.name!r} is a device, or links to a file outside it",
        "repack it without that member",
    )


def _unpack_zip(archive: Path, folder: Path, limits: ArchiveLimits) -> None:
    with zipfile.ZipFile(archive) as bundle:
        for name, member in _checked(archive, limits, bundle.infolist()):
            target = folder / name
            if name.endswith("/"):
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with bundle.open(member) as source, target.open("wb") as file:
                shutil.copyfileobj(source, file)


def _checked(
    archive: Path, limits: ArchiveLimits, members: Iterable[zipfile.ZipInfo]
) -> list[tuple[str, zipfile.ZipInfo]]:
    """All members with the names under which they are written; all are checked before any is written."""
    counter = _LimitCounter(archive, limits)
    named = []
    for member in members:
        name = member.filename.replace("\\", "/")  # some Windows programs write this separator
        counter.count(name, member.file_size)
        if stat.S_ISLNK(member.external_attr >> 16):
            raise DataError(
                f"{archive} is not unpacked: its member {member.filename!r} is a link",
                "repack it without that member",
            )
        named.append((name, member))
    return named


class _LimitCounter:
    """Counts members and bytes against the limits, before they are written."""

    def __init__(self, archive: Path, limits: ArchiveLimits) -> None:
        self._archive, self._limits = archive, limits
        self._packed = archive.stat().st_size
        self._members = self._bytes = 0

    def count(self, name: str, size: int) -> None:
        if leads_outside(name):
            self._refuse(f"its member {name!r} would be written outside the folder")
        self._members, self._bytes = self._members + 1, self._bytes + size
        if self._members > self._limits.members:
            self._refuse(f"it has more than {self._limits.members:,} members")
        if self._bytes > self._limits.total_bytes:
            self._refuse(f"it would take more than {self._limits.total_bytes:,} bytes")
        if self._bytes > self._limits.free_bytes + self._limits.ratio * self._packed:
            self._refuse(f"it would expand to more than {self._limits.ratio:g} times its size")

    def _refuse(self, why: str) -> None:
        raise DataError(f"{self._archive} is not unpacked: {why}", "check where it comes from")


def leads_outside(name: str) -> bool:
    """Whether a name has a drive, a root or ``..``, as a POSIX path or as a Windows path."""
    return any(path.anchor or ".." in path.parts for path in (PurePosixPath(name), PureWindowsPath(name)))
