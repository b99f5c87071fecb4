"""The command ``gancore``: a thin layer over :mod:`gancore.api`. Heavy imports wait until they are needed."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Sequence

from gancore.errors import GancoreError

USER_MISTAKE, INTERNAL_ERROR, INTERRUPTED = 2, 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; every error is one line on stderr.

    2: a mistake that the user can mend. 130: interrupted. 1: a defect of gancore.
    """
    words = [_with_home(word) for word in (sys.argv[1:] if arguments is None else arguments)]
    wants_traceback = os.environ.get("GANCORE_TRACEBACK", "0") not in ("", "0")
    if "--traceback" in words:
        words.remove("--traceback")
        wants_traceback = True
    _escape_what_a_terminal_cannot_show()
    try:
        return _run(words or ["--help"])
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        if wants_traceback:
            sys.excepthook(type(error), error, error.__traceback__)
        return explain(error)


def _with_home(word: str) -> str:
    """``--out=~/runs`` as a shell would read ``--out ~/runs``: it leaves a ``~`` inside a word alone."""
    option, equals, value = word.partition("=")
    return f"{option}={os.path.expanduser(value)}" if equals and re.fullmatch(r"--[a-z-]+", option) else word


def _escape_what_a_terminal_cannot_show() -> None:
    """A file name in another encoding is no reason to fail."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _run(words: Sequence[str]) -> int:
    import typer

    from gancore.cli.app import app

    try:
        returned = typer.main.get_command(app).main(words, prog_name="gancore", standalone_mode=False)
    except typer.Abort:
        return _say("aborted", INTERNAL_ERROR)
    return returned if isinstance(returned, int) else 0


def explain(error: Exception) -> int:
    """Say in one line what went wrong; the exit code."""
    if isinstance(error, GancoreError):
        return _say(f"error: {error}", USER_MISTAKE)
    if hasattr(error, "format_message"):  # typer's usage errors; their class has moved between releases
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "gancore"
        return _say(f"error: {error.format_message().rstrip('.')}; see `{command} --help`", USER_MISTAKE)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return _say(f"error: {where}{error.strerror or error}", USER_MISTAKE)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        fix = "make model.batch_size smaller, or model.accumulate larger"
        return _say(f"error: out of memory; {fix}", USER_MISTAKE)
    kind = type(error).__name__
    advice = "run again with --traceback (or GANCORE_TRACEBACK=1) and report it"
    return _say(f"internal error: {kind}: {str(error)[:200]}; {advice}", INTERNAL_ERROR)


def _say(line: str, code: int) -> int:
    """One line on stderr, whatever the message holds."""
    print(" ".join(line.split()), file=sys.stderr, flush=True)
    return code
