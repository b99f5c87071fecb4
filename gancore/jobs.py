"""Jobs: processes that work for a command. :class:`JobPool` starts them, forwards their output line by line
and stops them; :func:`run_as_job` is the main function of such a process.

A job is a module that is run with its arguments in JSON. It ends with an exit code of the command line. If it
fails, its last two lines are the error as text and as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Protocol

from gancore import errors
from gancore.console import print_line
from gancore.errors import ExitCode, GancoreError
from gancore.failure import describe_failure, report_failure, wants_traceback
from gancore.runtime.signals import print_from_handler, raise_interrupted, signal_handler

INTERRUPTED = 130
ERROR_START = '{"error": '
"""Start of the line that has the error of a failed job in JSON."""


class Job(Protocol):
    """The arguments of a job."""

    def to_json(self) -> str: ...


@dataclass(frozen=True)
class JobResult:
    """The exit code of a job and the last line that it printed."""

    code: int
    last_line: str = ""

    @property
    def message(self) -> str:
        """The error in one line; empty if the job succeeded."""
        details = self._details
        if details and self.code > 0:
            return " ".join("; ".join(filter(None, (details["message"], details["fix"]))).split())
        return failure_message(self.code, self.last_line)

    @property
    def kind(self) -> str:
        """The class name of the error; empty if it is not known."""
        return self._details.get("kind", "")

    def error(self) -> GancoreError:
        """The error of the job: an instance of the same class of gancore, otherwise a JobError."""
        details = self._details
        if not details:
            return JobError(self.message, "", self.code)
        kind = getattr(errors, details["kind"], None)
        if isinstance(kind, type) and issubclass(kind, GancoreError) and kind.exit_code == self.code:
            return kind(details["message"], details["fix"])
        return JobError(details["message"], details["fix"], self.code)

    @property
    def _details(self) -> Mapping[str, str]:
        if not self.last_line.startswith(ERROR_START):
            return {}
        try:
            details = json.loads(self.last_line)["error"]
        except ValueError:
            return {}
        return {name: str(details.get(name, "")) for name in ("kind", "message", "fix")}


class JobError(GancoreError):
    """An error of a job that has no class of gancore. It has the exit code of the job."""

    def __init__(self, message: str, fix: str, code: int) -> None:
        super().__init__(message, fix)
        with contextlib.suppress(ValueError):
            self.exit_code = ExitCode(code)  # type: ignore[misc]

    def __reduce__(self) -> tuple[type[GancoreError], Any]:
        return type(self), (self.message, self.fix, int(self.exit_code))


@dataclass
class JobPool:
    """Starts jobs of ``module``. Every job inherits ``lock_fd``, so that the lock is held until the last one
    exits; None: there is no lock.
    """

    module: str
    lock_fd: int | None
    announce: Callable[[str], None]
    _running: set[subprocess.Popen[str]] = field(default_factory=set)
    _stopped: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, job: Job, title: str) -> JobResult:
        """Run one job to its end. It may be called from several threads."""
        with self._lock:
            if self._stopped:
                return JobResult(INTERRUPTED)
            process = self._start(job)
            self._running.add(process)
        assert process.stdout is not None
        with process.stdout:
            last_line = forward_output(process.stdout, title, self.announce)
        code = process.wait()
        with self._lock:
            self._running.discard(process)
            stopped = self._stopped
        return JobResult(INTERRUPTED if stopped else code, last_line)

    def _start(self, job: Job) -> subprocess.Popen[str]:
        """Start a job in a session of its own: signals of the terminal reach it only through :meth:`stop`."""
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        return subprocess.Popen(
            [sys.executable, "-m", self.module, job.to_json()],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="backslashreplace",
            pass_fds=() if self.lock_fd is None else (self.lock_fd,),
            start_new_session=True,
        )

    def stop(self) -> None:
        """Start no more jobs, and stop running jobs, which save a checkpoint and end."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.send_signal(signal.SIGTERM)  # a shell may have SIGINT ignored

    def wait(self) -> None:
        """Wait until all running jobs have ended."""
        for process in self._live():
            process.wait()

    def kill(self) -> None:
        for process in self._live():
            process.kill()

    def _live(self) -> list[subprocess.Popen[str]]:
        with self._lock:
            return list(self._running)


def forward_output(lines: Iterable[str], title: str, announce: Callable[[str], None]) -> str:
    """Announce every line of a job except the error in JSON; return the last line."""
    last = ""
    for line in lines:
        if line.strip():
            last = line.strip()
            if not last.startswith(ERROR_START):
                announce(f"{title}: {last}")
    return last


def failure_message(code: int, last_line: str) -> str:
    """The reason why a process failed: its last line without the prefix "error: ", or its exit code."""
    if code == 0:
        return ""
    if code < 0:
        return f"it was ended by {signal.Signals(-code).name}"
    for prefix in ("internal error: ", "error: "):
        if last_line.startswith(prefix):
            return last_line.removeprefix(prefix)
    return last_line or f"it ended with exit code {code}"


@contextlib.contextmanager
def stop_on_signal(pool: JobPool) -> Iterator[None]:
    """Context manager that stops the jobs on a signal: they save a checkpoint and end."""
    try:
        yield
    except KeyboardInterrupt:
        print_from_handler("stopping: running trials are saved first; repeat the command to continue")
        pool.stop()
        try:
            with signal_handler(_on_signal):
                pool.wait()
        except KeyboardInterrupt:
            pool.kill()
        raise


def _on_signal(number: int, frame: FrameType | None) -> None:
    """Handle a signal: a second Ctrl-C stops immediately, a repeated SIGTERM of a scheduler is ignored."""
    if number == signal.SIGINT:
        raise_interrupted(number, frame)


def run_as_job(work: Callable[[], None], parent_pid: int) -> int:
    """Do the work of a job, which ends with its parent; return an exit code of the command line."""
    from gancore.runtime.distributed import exit_with_parent

    if parent_pid:
        exit_with_parent(parent_pid)
    try:
        with signal_handler(raise_interrupted):
            work()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BaseException as error:  # a plugin's SystemExit must not look like a finished job
        if wants_traceback():
            sys.excepthook(type(error), error, error.__traceback__)
        code = report_failure(error)
        print_line(describe_failure(error).document, to_stderr=True)
        return code
    return 0
