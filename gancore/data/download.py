"""Downloads over http and https: resumed, limited in size and time, verified with a known sha256."""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import re
import string
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlsplit

from gancore.errors import DataError

CHUNK_BYTES = 1 << 18
TIMEOUT_SECONDS = 30.0
MAX_BYTES = 1 << 37
"""Limit of a file whose size is not known in advance."""
MAX_REQUESTS = 1000
MIN_TIMEOUT_SECONDS, MIN_BYTES_PER_SECOND = 300.0, 5000
"""A transfer fails after these seconds plus the time that its bytes take at this rate."""
_RETRY_STATUS = {408, 425, 429, 500, 502, 503, 504}
_LOCAL_ERRNOS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOENT,
    errno.ENOTDIR,
}

Progress = Callable[[int, int | None], None]
"""A function that is called for each chunk with the bytes so far and the total bytes (None if unknown)."""


def download(
    url: str,
    target: Path,
    sha256: str,
    announce: Callable[[str], None] = lambda line: None,
    progress: Progress = lambda done, total: None,
    attempts: int = 5,
    pause_seconds: float = 1.0,
    most_bytes: int = MAX_BYTES,
) -> Path:
    """Download ``url`` to ``target``, unless ``target`` exists with this sha256.

    The bytes of an interrupted transfer are kept in ``target``.part. The transfer is resumed from there, up
    to ``attempts`` times without progress, and at the next call. ``target`` is complete and verified, or
    absent.

    Raises:
        DataError: the scheme is not http or https, there is no such file or no connection, the disk is full,
            the hash is wrong, there are more than ``most_bytes``, or the transfer is too slow.
    """
    check_scheme(url)
    if target.is_file() and file_sha256(target) == sha256:
        return target
    part = target.with_name(f"{target.name}.part")
    transfer = _Transfer(url, part, announce, progress, attempts, pause_seconds, most_bytes)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        resumed = part.exists()
        transfer.run()
        if resumed and file_sha256(part) != sha256:
            announce(f"The partial file of an earlier download of {url} does not match; starting again")
            part.unlink()
            transfer.run()
        _check_hash(url, part, sha256)
        part.replace(target)
    except OSError as error:
        raise DataError(
            f"{target} cannot be written: {error.strerror or error}",
            "free space or choose another cache folder",
        ) from None
    return target


def check_scheme(url: str) -> None:
    """Raise DataError unless ``url`` is an http or https URL."""
    try:
        scheme = urlsplit(url).scheme
    except ValueError as error:
        raise DataError(f"{url} is not a valid URL ({error})", "check the URL") from None
    if scheme not in ("http", "https"):
        raise DataError(
            f"{url} is not an http or https URL", "give a URL that begins with http:// or https://"
        )


def file_sha256(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_hash(url: str, part: Path, sha256: str) -> None:
    found = file_sha256(part)
    if found != sha256:
        part.unlink()
        raise DataError(
            f"{url} has the sha256 {found}, not {sha256} as expected; the file was deleted",
            "try again; if this repeats, the file at the source has changed",
        )


class _ConnectionLostError(Exception):
    """The connection was lost; another attempt may succeed."""


@dataclass
class _Transfer:
    """One download into ``part``.

    ``received`` is the number of bytes since its start, including bytes that were received repeatedly.
    """

    url: str
    part: Path
    announce: Callable[[str], None]
    progress: Progress
    attempts: int
    pause_seconds: float
    most_bytes: int
    began: float = field(default_factory=time.monotonic)
    received: int = 0
    requests: int = 0

    def run(self) -> None:
        """Request the file until it is complete; progress resets the count of failures."""
        failures, longest = 0, _size(self.part)
        while True:
            self.requests += 1
            try:
                return self._fetch()
            except _ConnectionLostError as lost:
                size = _size(self.part)
                failures = 1 if size > longest else failures + 1
                longest = max(longest, size)
                if failures >= self.attempts or self.requests >= MAX_REQUESTS:
                    raise DataError(
                        f"{self.url} cannot be downloaded: {lost}",
                        f"try again (the {size:,} bytes received are kept), or download it by hand",
                    ) from None
                self.announce(f"Download interrupted ({lost}); trying again")
                time.sleep(self.pause_seconds * 2 ** (failures - 1))

    def _fetch(self) -> None:
        """Send one request for the bytes after the end of ``part``."""
        have = _size(self.part)
        headers = {"User-Agent": "gancore", "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        try:
            request = urllib.request.Request(quote(self.url, safe=string.punctuation), headers=headers)
            with urllib.request.build_opener(_WebOnly).open(request, timeout=TIMEOUT_SECONDS) as answer:
                self._receive(answer, have)
        except urllib.error.HTTPError as error:
            error.close()
            self._handle_http_error(error, have)
        except ValueError as error:  # a redirect to an invalid URL, a header that is not a number
            raise self._error(f"the answer of the server cannot be read ({error})") from None
        except (OSError, http.client.HTTPException) as error:
            if _is_local(error):
                raise
            raise _ConnectionLostError(
                getattr(error, "reason", None) or str(error) or type(error).__name__
            ) from None

    def _receive(self, answer: Any, have: int) -> None:
        """Receive the answer. Raises _ConnectionLostError if it ends early, DataError beyond the limits."""
        if answer.status != 206 or _range_start(answer.headers) != have:
            have = 0
        total = _total(answer.headers, have)
        self._check_limits(total or 0)
        size = "size unknown" if total is None else _megabytes(total)
        self.announce(f"Downloading {self.url} ({size}{f', from {have:,} bytes on' if have else ''})")
        with self.part.open("ab" if have else "wb") as file:
            while chunk := answer.read1(CHUNK_BYTES):
                file.write(chunk)
                have += len(chunk)
                self.received += len(chunk)
                self._check_limits(have)
                self.progress(have, total)
            file.flush()
            os.fsync(file.fileno())
        if total is not None and have < total:
            raise _ConnectionLostError(f"the connection ended after {have:,} of {total:,} bytes")

    def _check_limits(self, size: int) -> None:
        """Raise DataError if a file of ``size`` bytes is too large, or the transfer too slow."""
        if size > self.most_bytes:
            self.part.unlink(missing_ok=True)
            raise self._error(f"it is larger than the expected {_megabytes(self.most_bytes)}")
        if time.monotonic() - self.began > MIN_TIMEOUT_SECONDS + self.received / MIN_BYTES_PER_SECOND:
            raise self._error(f"it is slower than {MIN_BYTES_PER_SECOND:,} bytes per second")

    def _handle_http_error(self, error: urllib.error.HTTPError, have: int) -> None:
        """Handle an HTTP error status. Return if ``part`` is already complete."""
        if error.code == 416 and have:
            if _total_of_range(error.headers) == have:
                return
            self.part.unlink()  # not a prefix of the file
            raise _ConnectionLostError("the file at the source has changed") from None
        if error.code in _RETRY_STATUS:
            raise _ConnectionLostError(f"the server answers {error.code} {error.reason}") from None
        raise self._error(f"{error.code} {error.reason}") from None

    def _error(self, reason: str) -> DataError:
        return DataError(
            f"{self.url} cannot be downloaded: {reason}", "check the URL, or download it by hand"
        )


def _is_local(error: Exception) -> bool:
    return (
        isinstance(error, OSError)
        and error.errno in _LOCAL_ERRNOS
        and not isinstance(error, urllib.error.URLError)
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _range_start(headers: Message) -> int | None:
    """The start of a range: 100 for ``Content-Range: bytes 100-199/200``."""
    words = headers.get("Content-Range", "").removeprefix("bytes ").partition("-")
    return _number(words[0])


def _total_of_range(headers: Message) -> int | None:
    """The total size of a range: 200 for ``Content-Range: bytes */200``."""
    total = headers.get("Content-Range", "").rpartition("/")[2]
    return _number(total)


def _total(headers: Message, have: int) -> int | None:
    length = _number(headers.get("Content-Length", ""))
    return None if length is None else have + length


def _number(text: str) -> int | None:
    """A number of bytes in a header; None if the text is not a number."""
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


class _WebOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https URLs only."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        check_scheme(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]
