"""The processes of a comparison: each job in one of its own, heard line by line, stopped together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from gancore.comparison.worker import Job

INTERRUPTED = 130


@dataclass(frozen=True)
class Outcome:
    """How a process ended; ``message`` is its error, one line."""

    code: int
    message: str = ""


@dataclass
class Processes:
    """Starts jobs; ``lock`` is a descriptor that they keep open: it is let go with the last of them."""

    lock: int
    announce: Callable[[str], None]
    _running: set[subprocess.Popen[str]] = field(default_factory=set)
    _stopped: bool = False
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, job: Job, title: str) -> Outcome:
        """Run one job to its end; may be called from several threads."""
        with self._guard:
            if self._stopped:
                return Outcome(INTERRUPTED)
            process = self._start(job)
            self._running.add(process)
        said = self._listen(process, title)
        code = process.wait()
        with self._guard:
            self._running.discard(process)
            stopped = self._stopped
        return Outcome(INTERRUPTED if stopped else code, complaint(code, said))

    def _start(self, job: Job) -> subprocess.Popen[str]:
        """Out of the terminal's group: signals reach all of them once, by :meth:`stop`."""
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        return subprocess.Popen(
            [sys.executable, "-m", "gancore.comparison.worker", job.encode()],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="backslashreplace",
            pass_fds=(self.lock,),
            start_new_session=True,
        )

    def _listen(self, process: subprocess.Popen[str], title: str) -> str:
        """Pass on what it says; returns its last line."""
        last = ""
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                if line.strip():
                    last = line.strip()
                    self.announce(f"{title}: {last}")
        return last

    def stop(self) -> None:
        """No job begins any more; those at work save what they have and end."""
        with self._guard:
            self._stopped = True
            for process in self._running:
                process.send_signal(signal.SIGTERM)  # heard even where a shell has Ctrl-C ignored

    def wait(self) -> None:
        """Until those at work have ended."""
        for process in self._at_work():
            process.wait()

    def kill(self) -> None:
        for process in self._at_work():
            process.kill()

    def _at_work(self) -> list[subprocess.Popen[str]]:
        with self._guard:
            return list(self._running)


def complaint(code: int, last: str) -> str:
    """Why a process failed: its last line, without what the command line puts before it."""
    if code == 0:
        return ""
    if code < 0:
        return f"it was ended by {signal.Signals(-code).name}"
    for head in ("internal error: ", "error: "):
        if last.startswith(head):
            return last.removeprefix(head)
    return last or f"it ended with exit code {code}"
