"""Standard streams that outlast whoever reads them: a closed one never ends a command that does its work."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast

GONE = frozenset({errno.EPIPE, errno.EIO, errno.ESHUTDOWN})
"""The reader has left, or the terminal has hung up."""


class LastingStream:
    """A text stream; once its reader is gone, what is written is dropped."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._give_up(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """What is still in its buffer, and all that follows, goes nowhere. Raises other errors."""
        if error.errno not in GONE:
            raise error
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


@contextlib.contextmanager
def lasting_streams() -> Iterator[None]:
    """stdin, stdout and stderr are open, and writing never fails for want of a reader."""
    _open_descriptors()
    before = sys.stdin, sys.stdout, sys.stderr
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name in another encoding is no reason to fail
        sys.stdout.reconfigure(errors="backslashreplace")
    with open(os.devnull, "r+") as nowhere:
        sys.stdin = sys.stdin or nowhere
        sys.stdout, sys.stderr = (cast(TextIO, LastingStream(stream or nowhere)) for stream in before[1:])
        try:
            yield
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            sys.stdin, sys.stdout, sys.stderr = before


def _open_descriptors() -> None:
    """Descriptors 0 to 2 lead somewhere: else the next file that is opened would get what is printed."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
