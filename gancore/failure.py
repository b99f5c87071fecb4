"""Describes an error for the user: one line or a JSON object, and the exit code."""

from __future__ import annotations

import errno
import json
import os
import sys
from dataclasses import dataclass

from gancore.errors import ExitCode, GancoreError, as_out_of_memory, describe_error, safe_str
from gancore.plugins import plugins
from gancore.plugins.faults import calling_plugin, plugin_error
from gancore.text import escape_control, truncate_middle


@dataclass(frozen=True)
class Failure:
    """The failure of a command. ``kind`` is the class name of the exception; ``fix`` says how to fix it."""

    kind: str
    message: str
    fix: str
    code: int

    @property
    def line(self) -> str:
        """The line for stderr."""
        head = "internal error" if self.code == ExitCode.INTERNAL_ERROR else "error"
        return " ".join(f"{head}: {self.message}{'; ' if self.fix else ''}{self.fix}".split())

    @property
    def document(self) -> str:
        """The JSON document for stdout with ``--json``."""
        return json.dumps({"error": vars(self)}, ensure_ascii=False)


def wants_traceback() -> bool:
    """Whether the environment variable GANCORE_TRACEBACK is set."""
    return os.environ.get("GANCORE_TRACEBACK", "0") not in ("", "0")


def report_failure(error: BaseException, as_json: bool = False) -> int:
    """Print the error on one line of stderr, with ``as_json`` also on stdout. Return the exit code."""
    failure = describe_failure(error)
    print(escape_control(failure.line), file=sys.stderr, flush=True)
    if as_json:
        print(escape_control(failure.document), flush=True)
    return failure.code


def describe_failure(error: BaseException) -> Failure:
    """Message, fix and exit code of any exception."""
    kind = type(error).__name__
    if isinstance(error, GancoreError):
        return Failure(kind, error.message, error.fix, error.exit_code)
    if hasattr(error, "format_message"):  # typer's usage errors; their class has moved between releases
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "gancore"
        message = truncate_middle(error.format_message().rstrip("."))
        return Failure("UsageError", message, f"see `{command} --help`", ExitCode.USER_ERROR)
    if oom := as_out_of_memory(error):
        return Failure(type(oom).__name__, oom.message, oom.fix, oom.exit_code)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        code = ExitCode.TEMPORARY_FAILURE if full else ExitCode.USER_ERROR
        return Failure(kind, f"{where}{error.strerror or safe_str(error)}", "", code)
    if blame := plugin_error(error, plugins().packages()):
        return Failure(type(blame).__name__, blame.message, blame.fix, blame.exit_code)
    message = describe_error(error)
    if plugin := calling_plugin(error, plugins().packages()):
        message += f" (called by {plugin})"
    fix = "run again with --traceback (or GANCORE_TRACEBACK=1) and report it"
    return Failure(kind, message, fix, ExitCode.INTERNAL_ERROR)
