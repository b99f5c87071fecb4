"""The processes of ``--devices N``: started here, watched, and ended together."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

from gancore.errors import ConfigError, ExitCode, GancoreError, TrainingError, out_of_memory, text_of
from gancore.plugins.blame import blamed
from gancore.runtime.processes import LostProcessError, Processes, joining, watch_parent
from gancore.runtime.signals import handled, noted
from gancore.training.launch import Order, play
from gancore.training.lifetime import RunResult

GRACE_SECONDS = 10.0
"""How long the others have to end by themselves when one of them has failed."""

CONTEXT = multiprocessing.get_context("spawn")
Outcome = RunResult | BaseException


class WorkerDiedError(TrainingError):
    """A process ended without a word: it was killed, or crashed."""

    exit_code = ExitCode.TRY_AGAIN


class Worker:
    """One process, and the end of the pipe on which its outcome comes."""

    def __init__(self, order: Order, processes: Processes, meeting: Path, request: Synchronized[int]) -> None:
        self.processes = processes
        self.pipe, theirs = CONTEXT.Pipe(duplex=False)
        arguments = (order, processes, meeting, request, theirs, os.getpid())
        self.process = CONTEXT.Process(target=_work, args=arguments, daemon=True)
        self.process.start()
        theirs.close()
        self.outcome: Outcome | None = None

    def listen(self) -> None:
        """Take in how it ended, if it has."""
        if self.outcome is None and (self.pipe.poll() or not self.process.is_alive()):
            try:
                self.outcome = self.pipe.recv()
            except (EOFError, OSError):
                self.process.join()
                self.outcome = self._death()

    def _death(self) -> WorkerDiedError:
        code = self.process.exitcode or 0
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return WorkerDiedError(
            f"process {self.processes.rank} of {self.processes.world} {how}", "go on with --resume"
        )

    @property
    def failed(self) -> bool:
        return isinstance(self.outcome, BaseException)


def spawn(order: Order, world: int) -> RunResult:
    """Train on ``world`` processes of this machine.

    Raises:
        GancoreError: what ended the first of them that failed for a reason of its own.
    """
    request = _shared_request()
    promise = "all processes finish this round and the run is saved"
    with tempfile.TemporaryDirectory() as folder, noted(partial(setattr, request, "value"), promise):
        workers = []
        try:
            with _deaf():
                for rank in range(world):
                    workers.append(
                        Worker(order, Processes(rank, world, rank), Path(folder) / "meeting", request)
                    )
            _wait_for(workers)
        finally:
            _end(workers)
    return _result(workers)


def _wait_for(workers: Sequence[Worker]) -> None:
    """Until all have ended; where one has failed, until the others have had the time to."""
    deadline = float("inf")
    while any(worker.outcome is None for worker in workers) and time.monotonic() < deadline:
        waiting = [worker for worker in workers if worker.outcome is None]
        wait([w.pipe for w in waiting] + [w.process.sentinel for w in waiting], timeout=0.2)
        for worker in waiting:
            worker.listen()
        if deadline == float("inf") and any(worker.failed for worker in workers):
            deadline = time.monotonic() + GRACE_SECONDS


def _result(workers: Sequence[Worker]) -> RunResult:
    outcomes = [worker.outcome for worker in workers]
    causes = [o for o in outcomes if isinstance(o, BaseException) and not isinstance(o, LostProcessError)]
    for outcome in [*causes, *outcomes]:
        if isinstance(outcome, BaseException):
            raise outcome
    first = outcomes[0]
    assert isinstance(first, RunResult)
    return first


def _end(workers: Sequence[Worker]) -> None:
    for worker in workers:
        if worker.outcome is None:
            worker.process.kill()
    for worker in workers:
        worker.process.join()


def _shared_request() -> Synchronized[int]:
    """The number of the signal that asks all to stop; 0: none.

    Raises:
        ConfigError: this machine gives no memory that processes can share.
    """
    try:
        return CONTEXT.Value("i", 0)
    except OSError as error:
        raise ConfigError(
            f"--devices: processes share memory in /dev/shm and TMPDIR, and one of them cannot be"
            f" written ({error.strerror or error})",
            "make both writable (docker run --shm-size=1g), or train with --devices 1",
        ) from error


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Processes started meanwhile do not hear a Ctrl-C, which a terminal sends to them too."""
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _work(
    order: Order,
    processes: Processes,
    meeting: Path,
    request: Synchronized[int],
    pipe: Connection,
    parent: int,
) -> None:
    """What a worker does: its part, then how it ended into the pipe."""
    os.setsid()  # out of the terminal's group
    watch_parent(parent)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")

    def asked() -> str:
        return signal.Signals(request.value).name if request.value else ""

    try:
        with (
            handled(lambda number, frame: None),  # the parent hears signals for all
            joining(processes, order.config.upkeep.peer_seconds, init_method=meeting.as_uri()),
        ):
            outcome: Outcome = play(order, processes, asked)
    except BaseException as error:
        outcome = _portable(error, processes)
    pipe.send(outcome)


def _portable(error: BaseException, processes: Processes) -> BaseException:
    """The error as one that the parent can raise: plugins' own kinds need not be picklable."""
    if isinstance(error, GancoreError):
        return (
            error if type(error).__module__.startswith("gancore.") else GancoreError(error.message, error.fix)
        )
    told = blamed(error)
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        return told or KeyboardInterrupt()
    if lacking := out_of_memory(error):
        return lacking
    if os.environ.get("GANCORE_TRACEBACK", "0") not in ("", "0"):
        traceback.print_exception(error)
    return told or RuntimeError(f"{type(error).__name__} on process {processes.rank}: {text_of(error)}")
