"""Files from the web, checked: http and https only, resumed, compared with a known sha256."""

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
LARGEST_BYTES = 1 << 37
"""Of a file of which nobody said how large it is."""
MOST_REQUESTS = 1000
PATIENCE_SECONDS, SLOWEST_BYTES_PER_SECOND = 300.0, 5000
"""A transfer may take so long, and as long again as all that has come would take at this rate."""
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
    most_bytes: int = LARGEST_BYTES,
) -> Path:
    """Fetches ``url`` into ``target``, or leaves it if it is there with the right hash.

    What has come of a broken transfer stays in ``target``.part and is carried on, up to ``attempts``
    times without headway, and at the next call. ``target`` appears whole and right, or not at all.

    Raises:
        DataError: another scheme than http and https, no such file, no connection, full disk, wrong hash;
            more than ``most_bytes``, or so slow that it would not end.
    """
    check_scheme(url)
    if target.is_file() and hash_of(target) == sha256:
        return target
    part = target.with_name(f"{target.name}.part")
    transfer = _Transfer(url, part, announce, progress, attempts, pause_seconds, most_bytes)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        resumed = part.exists()
        transfer.run()
        if resumed and hash_of(part) != sha256:
            announce(f"What was left of an earlier download of {url} does not fit; starting again")
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
    """Raises DataError unless ``url`` is an address of http or https."""
    try:
        scheme = urlsplit(url).scheme
    except ValueError as error:
        raise DataError(f"{url} is no address ({error})", "check the address") from None
    if scheme not in ("http", "https"):
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


@dataclass
class _Transfer:
    """A file on its way into ``part``, and what its server has been allowed so far.

    ``received``: bytes since it began, those that came again included; ``longest``: of ``part``, ever.
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
        """Attempts until the file is whole; headway sets the count of failures back."""
        failures, longest = 0, _size(self.part)
        while True:
            self.requests += 1
            try:
                return self._fetch()
            except _LostError as lost:
                size = _size(self.part)
                failures = 1 if size > longest else failures + 1
                longest = max(longest, size)
                if failures >= self.attempts or self.requests >= MOST_REQUESTS:
                    raise DataError(
                        f"{self.url} cannot be downloaded: {lost}",
                        f"try again: the {size:,} bytes that came are kept; or fetch it by hand",
                    ) from None
                self.announce(f"Download interrupted ({lost}); trying again")
                time.sleep(self.pause_seconds * 2 ** (failures - 1))

    def _fetch(self) -> None:
        """One attempt, from where ``part`` ends."""
        have = _size(self.part)
        headers = {"User-Agent": "gancore", "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        try:
            request = urllib.request.Request(_in_ascii(self.url), headers=headers)
            with _opener().open(request, timeout=TIMEOUT_SECONDS) as answer:
                self._take(answer, have)
        except urllib.error.HTTPError as error:
            error.close()
            self._answered(error, have)
        except ValueError as error:  # an address that leads on to none, a header that is no number
            raise self._failed(f"its server's answer cannot be read ({error})") from None
        except (OSError, http.client.HTTPException) as error:
            if _is_of_our_disk(error):
                raise
            raise _LostError(getattr(error, "reason", None) or str(error) or type(error).__name__) from None

    def _take(self, answer: Any, have: int) -> None:
        """Raises _LostError where the connection ends early, DataError where it is too much or too slow."""
        if answer.status != 206 or _range_start(answer.headers) != have:
            have = 0
        total = _total(answer.headers, have)
        self._allow(total or 0)
        size = "size unknown" if total is None else _megabytes(total)
        self.announce(f"Downloading {self.url} ({size}{f', from {have:,} bytes on' if have else ''})")
        with self.part.open("ab" if have else "wb") as file:
            while chunk := answer.read1(CHUNK_BYTES):
                file.write(chunk)
                have += len(chunk)
                self.received += len(chunk)
                self._allow(have)
                self.progress(have, total)
            file.flush()
            os.fsync(file.fileno())
        if total is not None and have < total:
            raise _LostError(f"the connection ended after {have:,} of {total:,} bytes")

    def _allow(self, size: int) -> None:
        """Raises DataError where a file of so many bytes is too large, or all has taken too long."""
        if size > self.most_bytes:
            self.part.unlink(missing_ok=True)
            raise self._failed(f"it is larger than {_megabytes(self.most_bytes)}, which is what was expected")
        if time.monotonic() - self.began > PATIENCE_SECONDS + self.received / SLOWEST_BYTES_PER_SECOND:
            raise self._failed(f"it comes at fewer than {SLOWEST_BYTES_PER_SECOND:,} bytes a second")

    def _answered(self, error: urllib.error.HTTPError, have: int) -> None:
        """What to make of an answer that is no file; returns where ``part`` is the whole file already."""
        if error.code == 416 and have:
            if _total_of_range(error.headers) == have:
                return
            self.part.unlink()  # as long as the file, or longer: not a piece of it
            raise _LostError("the file at the source has changed") from None
        if error.code in _TRY_AGAIN:
            raise _LostError(f"the server answers {error.code} {error.reason}") from None
        raise self._failed(f"{error.code} {error.reason}") from None

    def _failed(self, reason: str) -> DataError:
        return DataError(
            f"{self.url} cannot be downloaded: {reason}", "check the address, or fetch it by hand"
        )


def _in_ascii(url: str) -> str:
    """The address with what is no ASCII, or white space, as %XX."""
    return quote(url, safe=string.punctuation)


def _is_of_our_disk(error: Exception) -> bool:
    return (
        isinstance(error, OSError)
        and error.errno in _OUR_DISK
        and not isinstance(error, urllib.error.URLError)
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _range_start(headers: Message) -> int | None:
    """``Content-Range: bytes 100-199/200`` -> 100."""
    words = headers.get("Content-Range", "").removeprefix("bytes ").partition("-")
    return _number(words[0])


def _total_of_range(headers: Message) -> int | None:
    """``Content-Range: bytes */200`` -> 200."""
    total = headers.get("Content-Range", "").rpartition("/")[2]
    return _number(total)


def _total(headers: Message, have: int) -> int | None:
    length = _number(headers.get("Content-Length", ""))
    return None if length is None else have + length


def _number(text: str) -> int | None:
    """A count of bytes as a header has it; None: it is none."""
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


class _WebOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never to a local file or another protocol."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        check_scheme(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_WebOnly)
