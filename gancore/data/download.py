"""Files from the web, checked: http and https only, resumed, compared with a known sha256."""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from gancore.errors import DataError

CHUNK_BYTES = 1 << 18
TIMEOUT_SECONDS = 30.0
_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_OUR_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR}

Progress = Callable[[int, int | None], None]
"""Told (bytes so far, bytes in all or None) at each chunk."""


def download(
    url: str,
    target: Path,
    sha256: str,
    announce: Callable[[str], None] = lambda line: None,
    progress: Progress = lambda done, total: None,
    attempts: int = 5,
    pause_seconds: float = 1.0,
) -> Path:
    """Fetches ``url`` into ``target``, or leaves it if it is there with the right hash.

    What has come of a broken transfer stays in ``target``.part and is carried on, up to ``attempts``
    times without headway, and at the next call. ``target`` appears whole and right, or not at all.

    Raises:
        DataError: another scheme than http and https, no such file, no connection, full disk, wrong hash.
    """
    check_scheme(url)
    if target.is_file() and hash_of(target) == sha256:
        return target
    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        resumed = part.exists()
        _fetch_patiently(url, part, announce, progress, attempts, pause_seconds)
        if resumed and hash_of(part) != sha256:
            announce(f"What was left of an earlier download of {url} does not fit; starting again")
            part.unlink()
            _fetch_patiently(url, part, announce, progress, attempts, pause_seconds)
        _check_hash(url, part, sha256)
        part.replace(target)
    except OSError as error:
        raise DataError(
            f"{target} cannot be written: {error.strerror or error}",
            "free space or choose another cache folder",
        ) from None
    return target


def check_scheme(url: str) -> None:
    """Raises DataError unless ``url`` is http or https."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise DataError(f"{url} is not downloaded", "only http:// and https:// are")


def hash_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_hash(url: str, part: Path, sha256: str) -> None:
    found = hash_of(part)
    if found != sha256:
        part.unlink()
        raise DataError(
            f"{url} is not the file that was expected: its sha256 is {found}, not {sha256}; it was deleted",
            "try again; if it stays so, the file at the source has changed",
        )


class _LostError(Exception):
    """The transfer broke in a way that another attempt may mend."""


def _fetch_patiently(
    url: str,
    part: Path,
    announce: Callable[[str], None],
    progress: Progress,
    attempts: int,
    pause_seconds: float,
) -> None:
    """Attempts until the file is whole; headway sets the count of failures back."""
    failures = 0
    while True:
        before = _size(part)
        try:
            return _fetch(url, part, announce, progress)
        except _LostError as lost:
            failures = 1 if _size(part) > before else failures + 1
            if failures >= attempts:
                raise DataError(
                    f"{url} cannot be downloaded: {lost}",
                    f"try again: the {_size(part):,} bytes that came are kept; or fetch it by hand",
                ) from None
            announce(f"Download interrupted ({lost}); trying again")
            time.sleep(pause_seconds * 2 ** (failures - 1))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _fetch(url: str, part: Path, announce: Callable[[str], None], progress: Progress) -> None:
    """One attempt, from where ``part`` ends."""
    have = _size(part)
    headers = {"User-Agent": "gancore", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        with _opener().open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_SECONDS) as answer:
            goes_on = answer.status == 206 and _range_start(answer.headers) == have
            if not goes_on:
                have = 0
            total = _total(answer.headers, have)
            announce(f"Downloading {url} ({_megabytes(total)}{f', from {have:,} bytes on' if have else ''})")
            _copy(answer, part, have, total, progress)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # what we have is as long as the file, or longer: not a piece of it
            if _total_of_range(error.headers) != have:
                part.unlink()
                raise _LostError("the file at the source has changed") from None
            return
        if error.code in _TRY_AGAIN:
            raise _LostError(f"the server answers {error.code} {error.reason}") from None
        raise DataError(
            f"{url} cannot be downloaded: {error.code} {error.reason}", "check the address"
        ) from None
    except (OSError, http.client.HTTPException) as error:
        if (
            isinstance(error, OSError)
            and error.errno in _OUR_DISK
            and not isinstance(error, urllib.error.URLError)
        ):
            raise
        raise _LostError(getattr(error, "reason", None) or str(error) or type(error).__name__) from None


def _copy(answer: Any, part: Path, have: int, total: int | None, progress: Progress) -> None:
    with part.open("ab" if have else "wb") as file:
        while chunk := answer.read(CHUNK_BYTES):
            file.write(chunk)
            have += len(chunk)
            progress(have, total)
        file.flush()
        os.fsync(file.fileno())
    if total is not None and have < total:
        raise _LostError(f"the connection ended after {have:,} of {total:,} bytes")


def _range_start(headers: Message) -> int | None:
    """``Content-Range: bytes 100-199/200`` -> 100."""
    words = headers.get("Content-Range", "").removeprefix("bytes ").partition("-")
    return int(words[0]) if words[0].isdigit() else None


def _total_of_range(headers: Message) -> int | None:
    """``Content-Range: bytes */200`` -> 200."""
    total = headers.get("Content-Range", "").rpartition("/")[2]
    return int(total) if total.isdigit() else None


def _total(headers: Message, have: int) -> int | None:
    length = headers.get("Content-Length", "")
    return have + int(length) if length.isdigit() else None


def _megabytes(count: int | None) -> str:
    return "size unknown" if count is None else f"{count / 1e6:,.1f} MB"


class _WebOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never to a local file or another protocol."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        check_scheme(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_WebOnly)
