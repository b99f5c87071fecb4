"""The command ``gancore``, a thin layer over :mod:`gancore.api`. Heavy modules are imported when needed."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from gancore.cli.streams import pipe_safe_streams
from gancore.errors import ExitCode, GancoreError
from gancore.failure import report_failure, wants_traceback
from gancore.plugins import plugins as registry
from gancore.plugins.faults import plugin_error
from gancore.runtime.signals import Interrupted, raise_interrupted, signal_exit_code, signal_handler


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: an ExitCode, or 128 plus the number of a signal.

    Every error is one line on stderr; with ``--json``, it is also an object ``{"error": {...}}`` on stdout.
    """
    args = [_expand_home(word) for word in (sys.argv[1:] if arguments is None else arguments)]
    shows_traceback = wants_traceback()
    if "--traceback" in args:
        args.remove("--traceback")
        shows_traceback = True
    with pipe_safe_streams():
        try:
            return _run_command(args or ["--help"])
        except KeyboardInterrupt:
            return signal_exit_code(signal.SIGINT)
        except BaseException as error:
            if isinstance(error, SystemExit) and plugin_error(error, registry().packages()) is None:
                raise
            if shows_traceback:
                sys.excepthook(type(error), error, error.__traceback__)
            return report_failure(error, "--json" in args)


def _expand_home(word: str) -> str:
    """Expand ``~`` in ``--out=~/runs``: a shell expands it at the start of a word only."""
    option, equals, value = word.partition("=")
    return f"{option}={os.path.expanduser(value)}" if equals and re.fullmatch(r"--[a-z-]+", option) else word


def _run_command(args: Sequence[str]) -> int:
    """Run the command. A signal ends it, unless the command handles signals itself.

    typer reports every signal as Ctrl-C; the number of the received signal is recorded here.
    """
    import typer

    from gancore.cli.app import app

    received: list[int] = []

    def on_signal(number: int, frame: FrameType | None) -> NoReturn:
        received.append(number)
        raise_interrupted(number, frame)

    with signal_handler(on_signal):
        try:
            returned = typer.main.get_command(app).main(args, prog_name="gancore", standalone_mode=False)
        except typer.Abort:
            raise GancoreError("the input ended before an answer was read") from None
        except Exception as error:
            if received and _is_caused_by_signal(error):
                return signal_exit_code(received[0])
            raise
    if received and returned == signal_exit_code(signal.SIGINT):
        return signal_exit_code(received[0])
    return returned if isinstance(returned, int) else ExitCode.OK


def _is_caused_by_signal(error: BaseException | None) -> bool:
    """Whether Interrupted is the cause of an error: Python's ``__set_name__`` converts it to another one."""
    while error is not None and not isinstance(error, Interrupted):
        error = error.__cause__
    return error is not None
