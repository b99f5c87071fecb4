"""The command ``gancore``: a thin layer over :mod:`gancore.api`. Heavy imports wait until they are needed."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

from gancore.cli.streams import lasting_streams
from gancore.errors import ExitCode, GancoreError, cut, in_words, out_of_memory, printable, text_of
from gancore.plugins.blame import blamed, caller
from gancore.runtime.signals import exit_code, handled, interrupt


@dataclass(frozen=True)
class Failure:
    """How a command failed: ``kind`` is the name of the exception, ``fix`` how to fix it."""

    kind: str
    message: str
    fix: str
    code: int

    @property
    def line(self) -> str:
        """What stderr gets."""
        head = "internal error" if self.code == ExitCode.INTERNAL_ERROR else "error"
        return " ".join(f"{head}: {self.message}{'; ' if self.fix else ''}{self.fix}".split())

    @property
    def document(self) -> str:
        """What stdout gets under --json."""
        return json.dumps({"error": vars(self)}, ensure_ascii=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code, one of ExitCode or 128 and the number of a signal.

    Every error is one line on stderr; under --json also an object ``{"error": {...}}`` on stdout.
    """
    words = [_with_home(word) for word in (sys.argv[1:] if arguments is None else arguments)]
    wants_traceback = os.environ.get("GANCORE_TRACEBACK", "0") not in ("", "0")
    if "--traceback" in words:
        words.remove("--traceback")
        wants_traceback = True
    with lasting_streams():
        try:
            return _run(words or ["--help"])
        except KeyboardInterrupt:
            return exit_code(signal.SIGINT)
        except BaseException as error:
            if isinstance(error, SystemExit) and blamed(error) is None:
                raise
            if wants_traceback:
                sys.excepthook(type(error), error, error.__traceback__)
            return _tell(failure(error), "--json" in words)


def _with_home(word: str) -> str:
    """``--out=~/runs`` as a shell would read ``--out ~/runs``: it leaves a ``~`` inside a word alone."""
    option, equals, value = word.partition("=")
    return f"{option}={os.path.expanduser(value)}" if equals and re.fullmatch(r"--[a-z-]+", option) else word


def _run(words: Sequence[str]) -> int:
    """Signals end the command where it saves nothing; typer reports each of them as Ctrl-C."""
    import typer

    from gancore.cli.app import app

    ended_by: list[int] = []

    def end(number: int, frame: FrameType | None) -> NoReturn:
        ended_by.append(number)
        interrupt(number, frame)

    with handled(end):
        try:
            returned = typer.main.get_command(app).main(words, prog_name="gancore", standalone_mode=False)
        except typer.Abort:
            raise GancoreError("the input ended before an answer") from None
    if ended_by and returned == exit_code(signal.SIGINT):
        return exit_code(ended_by[0])
    return returned if isinstance(returned, int) else ExitCode.DONE


def explain(error: BaseException) -> int:
    """Say in one line on stderr what went wrong; the exit code."""
    return _tell(failure(error), as_json=False)


def failure(error: BaseException) -> Failure:
    """What went wrong, in words, and the exit code that goes with it."""
    kind = type(error).__name__
    if isinstance(error, GancoreError):
        return Failure(kind, error.message, error.fix, error.exit_code)
    if hasattr(error, "format_message"):  # typer's usage errors; their class has moved between releases
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "gancore"
        message = cut(error.format_message().rstrip("."))
        return Failure("UsageError", message, f"see `{command} --help`", ExitCode.USER_MISTAKE)
    if lacking := out_of_memory(error):
        return Failure(type(lacking).__name__, lacking.message, lacking.fix, lacking.exit_code)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        code = ExitCode.TRY_AGAIN if full else ExitCode.USER_MISTAKE
        return Failure(kind, f"{where}{error.strerror or text_of(error)}", "", code)
    if told := blamed(error):
        return Failure(type(told).__name__, told.message, told.fix, told.exit_code)
    message = in_words(error)
    if who := caller(error):
        message += f" (called by {who})"
    fix = "run again with --traceback (or GANCORE_TRACEBACK=1) and report it"
    return Failure(kind, message, fix, ExitCode.INTERNAL_ERROR)


def _tell(failure: Failure, as_json: bool) -> int:
    print(printable(failure.line), file=sys.stderr, flush=True)
    if as_json:
        print(printable(failure.document), flush=True)
    return failure.code
