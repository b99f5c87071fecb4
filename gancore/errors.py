"""Exceptions that are shown to users as one line: what is wrong, where, how to fix it."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import ClassVar

from gancore.text import truncate, truncate_middle

__all__ = [
    "BusyError",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "ExitCode",
    "GancoreError",
    "OutOfMemoryError",
    "PluginError",
    "StorageError",
    "TrainingError",
]


class ExitCode(IntEnum):
    """Exit codes of commands; docs/configuration.md has the table.

    A command that a signal ends exits with 128 plus the number of the signal: 130 for Ctrl-C, 143 for
    SIGTERM.
    """

    OK = 0
    INTERNAL_ERROR = 1
    USER_ERROR = 2
    PARTIAL_FAILURE = 3
    TRAINING_FAILED = 4
    TEMPORARY_FAILURE = 75
    """EX_TEMPFAIL of sysexits.h: the same command may succeed later."""


class GancoreError(Exception):
    """An error that the user can fix. The command line prints it on one line and exits with ``exit_code``.

    ``message`` says what is wrong and where; ``fix`` says how to fix it.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.USER_ERROR

    def __init__(self, message: str, fix: str = "") -> None:
        self.message, self.fix = truncate_middle(message.rstrip(".;: ")), truncate_middle(fix)
        super().__init__(f"{self.message}; {self.fix}" if fix else self.message)

    def __reduce__(self) -> tuple[type[GancoreError], tuple[str, str]]:
        """Pickle the error as message and fix, for passing it between processes."""
        return type(self), (self.message, self.fix)


class ConfigError(GancoreError):
    """An invalid key or value in the configuration."""


class DataError(GancoreError):
    """Data that cannot be found, read or used."""


class PluginError(GancoreError):
    """A plugin that is missing, broken, or written for another contract version."""


class CheckpointError(GancoreError):
    """A checkpoint or model folder that is damaged, in use, or not written by gancore."""


class BusyError(CheckpointError):
    """Another process is using the same folder."""

    exit_code = ExitCode.TEMPORARY_FAILURE


class StorageError(CheckpointError, DataError):
    """A file cannot be written: the disk is full, a quota is used up, or a device fails."""

    exit_code = ExitCode.TEMPORARY_FAILURE


class TrainingError(GancoreError):
    """Training cannot continue."""

    exit_code = ExitCode.TRAINING_FAILED


class OutOfMemoryError(TrainingError):
    """Not enough memory."""


class WorkerDiedError(TrainingError):
    """A worker process was killed or crashed."""

    exit_code = ExitCode.TEMPORARY_FAILURE


class LostProcessError(TrainingError):
    """Another process of this run does not respond; the reason is in its own error message."""

    exit_code = ExitCode.TEMPORARY_FAILURE


_OUT_OF_MEMORY_PHRASES = (
    "DefaultCPUAllocator",  # torch on the CPU: a RuntimeError
    "out of memory",
    "std::bad_alloc",
    "Unable to allocate",  # numpy
    "Storage size calculation overflowed",
    "numel: integer multiplication overflow",
)


def as_out_of_memory(error: BaseException) -> OutOfMemoryError | None:
    """Convert an error of torch, numpy or Python about missing memory; None for other errors."""
    text = safe_str(error)
    if not (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and any(phrase in text for phrase in _OUT_OF_MEMORY_PHRASES))
    ):
        return None
    found = re.search(r"tried to allocate (\d+ bytes|[\d.]+ .iB)", text, re.IGNORECASE)
    size = f" (one tensor of {_size(found[1])})" if found else ""
    return OutOfMemoryError(
        f"out of memory{size}",
        "make model.batch_size or the networks (model.width) smaller, or model.micro_batches larger",
    )


def _size(text: str) -> str:
    number, unit = text.split()
    return f"{int(number) / 1e9:,.1f} GB" if unit == "bytes" else text


def safe_str(error: BaseException) -> str:
    """``str(error)``, or an empty string if that raises."""
    try:
        return str(error)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return ""


def describe_error(error: BaseException, limit: int = 200) -> str:
    """An error on one line: the text of a GancoreError; for other errors, class name and text."""
    text = " ".join(safe_str(error).split())
    if not isinstance(error, GancoreError):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return truncate(text, limit)
