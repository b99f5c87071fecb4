"""The one kind of error that users see: a line that says what, where, and how to fix it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What a command reports to the shell; docs/configuration.md has the table.

    A command that a signal ended reports 128 and the signal's number: 130 after Ctrl-C, 143 after SIGTERM.
    """

    DONE = 0
    INTERNAL_ERROR = 1
    USER_MISTAKE = 2
    PARTLY_FAILED = 3
    TRAINING_FAILED = 4
    TRY_AGAIN = 75
    """EX_TEMPFAIL of sysexits.h: nothing is wrong with what was asked for."""


_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """``text`` with control characters, and those that turn the writing direction, as JSON escapes.

    Text of foreign files could otherwise command the terminal. Lines and tabs stay; JSON stays equal JSON.
    """
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class GancoreError(Exception):
    """A mistake that the user can fix. The CLI prints it as one line and exits with ``exit_code``.

    ``message`` says what is wrong and where; ``fix`` says how to fix it.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.USER_MISTAKE

    def __init__(self, message: str, fix: str = "") -> None:
        self.message, self.fix = cut(message.rstrip(".;: ")), cut(fix)
        super().__init__(f"{self.message}; {self.fix}" if fix else self.message)

    def __reduce__(self) -> tuple[type[GancoreError], tuple[str, str]]:
        """As made, so that it goes whole from one process to another."""
        return type(self), (self.message, self.fix)


class ConfigError(GancoreError):
    """A key or value of the configuration that cannot be."""


class DataError(GancoreError):
    """Data that cannot be found, read or used."""


class PluginError(GancoreError):
    """A plugin that is missing, broken or of another API version."""


class CheckpointError(GancoreError):
    """A checkpoint or model folder that is damaged, foreign or in use."""


class BusyError(CheckpointError):
    """Another process is at work on the same folder."""

    exit_code = ExitCode.TRY_AGAIN


class StorageError(CheckpointError, DataError):
    """What cannot be written now: the disk is full, a quota used up, a device fails."""

    exit_code = ExitCode.TRY_AGAIN


class TrainingError(GancoreError):
    """Training that cannot go on."""

    exit_code = ExitCode.TRAINING_FAILED


class OutOfMemoryError(TrainingError):
    """More memory is needed than there is."""


_LACKS_MEMORY = (
    "DefaultCPUAllocator",  # torch on the CPU: a RuntimeError
    "out of memory",
    "std::bad_alloc",
    "Unable to allocate",  # numpy
    "Storage size calculation overflowed",
    "numel: integer multiplication overflow",
)


def out_of_memory(error: BaseException) -> OutOfMemoryError | None:
    """``error`` as one line if it says that memory is lacking, as torch, numpy and Python say it."""
    text = text_of(error)
    if not (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and any(words in text for words in _LACKS_MEMORY))
    ):
        return None
    asked = re.search(r"tried to allocate (\d+ bytes|[\d.]+ .iB)", text, re.IGNORECASE)
    size = f" (one tensor of {_size(asked[1])})" if asked else ""
    return OutOfMemoryError(
        f"out of memory{size}",
        "make model.batch_size or the networks (model.width) smaller, or model.accumulate larger",
    )


def _size(text: str) -> str:
    number, unit = text.split()
    return f"{int(number) / 1e9:,.1f} GB" if unit == "bytes" else text


def cut(text: str, longest: int = 1000) -> str:
    """``text`` without its middle where it is longer: a value that is echoed may be of any size."""
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]} [{len(text) - 2 * half:,} characters left out] {text[-half:]}"


def text_of(error: BaseException) -> str:
    """The text of a foreign exception; one whose text raises has none."""
    try:
        return str(error)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return ""


def in_words(error: BaseException, longest: int = 200) -> str:
    """``error`` on one line: a GancoreError as it is, any other after the name of its kind."""
    text = " ".join(text_of(error).split())
    if not isinstance(error, GancoreError):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text if len(text) <= longest else text[: longest - 3] + "..."


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint that names the nearest of ``known``, or lists them: ``did you mean 'width'?``"""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(known)}" if known else "none is known"
