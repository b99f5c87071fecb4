"""Programs in copies of this process: a fork takes milliseconds, an import of torch takes seconds."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from multiprocessing.context import ForkContext, ForkProcess
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

HEAVY = (
    "gancore.training.run_context",
    "gancore.training.callbacks",
    "gancore.training.launch",
    "gancore.evaluation.runner",
    "gancore.comparison.preparation",
    "gancore.comparison.tradeoffs",
    "torch.utils.tensorboard",
    "matplotlib.figure",
    "scipy.signal",
    "scipy.stats",
    "sklearn.cluster",
)


def import_all(*more: str) -> None:
    """What each fork would import for itself."""
    for name in (*HEAVY, *more):
        import_module(name)


class Fork:
    """``action`` in a copy of this process, in ``folder``; what it and its children print goes to ``log``.

    Its exit code is what ``action`` returns (None: 0) or exits with; 99 where it raises anything else.
    """

    def __init__(self, folder: Path, action: Callable[[], int | None], log: Path | None = None) -> None:
        self.log = log or folder / "log.txt"
        self._code: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            self._live(folder, action)

    def _live(self, folder: Path, action: Callable[[], int | None]) -> None:
        code = 99
        try:
            os.chdir(folder)
            sys.stdout = sys.stderr = self.log.open("w", buffering=1)
            for stream in (1, 2):
                os.dup2(sys.stdout.fileno(), stream)
            code = action() or 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
            print(end.code)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)

    def kill(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def poll(self) -> int | None:
        """Its exit code, negative where a signal ended it; None: it lives."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def join(self, seconds: float = 120) -> int:
        """Its exit code; killed after ``seconds``, which fails the test."""
        try:
            self.wait_for(lambda: self.poll() is not None, seconds)
        finally:
            if self.poll() is None:
                os.kill(self.pid, signal.SIGKILL)
        assert self._code is not None
        return self._code

    def wait_for(self, there: Callable[[], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not there():
            assert time.monotonic() < deadline, self.log.read_text(errors="replace")
            time.sleep(0.005)


class ForkedJob:
    """In place of ``subprocess.Popen`` in ``gancore.jobs``: ``main`` of a module in a fork."""

    def __init__(self, module: str, job_json: str) -> None:
        ours, theirs = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self._live(module, job_json, theirs)
        os.close(theirs)
        self.stdout = os.fdopen(ours, errors="backslashreplace")
        self._code: int | None = None
        self._waiting = threading.Lock()

    def _live(self, module: str, job_json: str, pipe: int) -> None:
        code = 99
        try:
            os.setsid()
            sys.stdout = sys.stderr = os.fdopen(pipe, "w", buffering=1)
            code = import_module(module).main(job_json)
        finally:
            sys.stdout.flush()
            os._exit(code)

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Its exit code, for any number of threads."""
        with self._waiting:
            if self._code is None:
                self._code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._code


class _Process(ForkProcess):
    """A fork that gets its order as another program would: pickled."""

    def __init__(self, *, target: Callable[..., None], args: tuple[Any, ...], daemon: bool) -> None:
        order, *rest = args
        copy = ForkingPickler.loads(ForkingPickler.dumps(order))
        super().__init__(target=target, args=(copy, *rest), daemon=daemon)


class Forked(ForkContext):
    """In place of ``gancore.training.launch.CONTEXT``: the workers of ``--devices N`` are forks."""

    Process = _Process


FORKED = Forked()
