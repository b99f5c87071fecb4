"""stdout and stderr that ignore a closed pipe: the command finishes its work."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast

PIPE_CLOSED = frozenset({errno.EPIPE, errno.EIO, errno.ESHUTDOWN})
"""Errors of a pipe without a reader and of a closed terminal."""


class PipeSafeStream:
    """A text stream that discards text after its reader has exited."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._discard_rest(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._discard_rest(error)

    def _discard_rest(self, error: OSError) -> None:
        """Send the rest of the buffer and all later text to the null device. Other errors are raised."""
        if error.errno not in PIPE_CLOSED:
            raise error
        with contextlib.suppress(OSError, ValueError):
            devnull = os.open(os.devnull, os.O_WRONLY)
            os.dup2(devnull, self._stream.fileno())
            os.close(devnull)


@contextlib.contextmanager
def pipe_safe_streams() -> Iterator[None]:
    """Context manager that opens closed standard streams and ignores closed pipes."""
    _open_descriptors()
    before = sys.stdin, sys.stdout, sys.stderr
    if isinstance(sys.stdout, io.TextIOWrapper):  # characters that the encoding lacks are not an error
        sys.stdout.reconfigure(errors="backslashreplace")
    with open(os.devnull, "r+") as devnull:
        sys.stdin = sys.stdin or devnull
        sys.stdout, sys.stderr = (cast(TextIO, PipeSafeStream(stream or devnull)) for stream in before[1:])
        try:
            yield
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            sys.stdin, sys.stdout, sys.stderr = before


def _open_descriptors() -> None:
    """Open descriptors 0 to 2 if they are closed: otherwise the next opened file would get printed text."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
