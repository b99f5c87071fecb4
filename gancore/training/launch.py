"""Starts a training on one process or on several: here, in processes started here, or in those of a launcher.

Rank 0 is the run's :class:`Trainer`; the other processes train with it step by step. Imports torch only
when training starts.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import IO, TYPE_CHECKING

from gancore.config import RunConfig
from gancore.errors import (
    ConfigError,
    GancoreError,
    LostProcessError,
    WorkerDiedError,
    as_out_of_memory,
    safe_str,
)
from gancore.failure import wants_traceback
from gancore.plugins import plugins
from gancore.plugins.faults import plugin_error
from gancore.plugins.imports import stdout_to_stderr
from gancore.progress import ProgressMode, open_progress
from gancore.run_folder import RunFolder
from gancore.runtime.clock import active_time, measure_suspensions
from gancore.runtime.signals import Interrupted, default_handlers, deliver, record_signals, signal_handler
from gancore.text import escape_control
from gancore.training.resume import check_config, removed_if_not_started
from gancore.training.trainer import RunResult, Trainer, train_worker

if TYPE_CHECKING:
    from gancore.data.dataset import Data
    from gancore.origin import Origin
    from gancore.runtime.distributed import ProcessGroup

GRACE_SECONDS = 10.0
"""How long the other workers may take to end when one of them has failed."""

CONTEXT = multiprocessing.get_context("spawn")
WorkerResult = RunResult | BaseException


@dataclass(frozen=True)
class TrainJob:
    """What to train, in which run folder, and how to show it.

    ``data``: already opened data, for one process; None: the data that the configuration names are opened.
    """

    run: RunFolder
    config: RunConfig
    data_root: Path | None = None
    origin: Origin | None = None
    force: bool = False
    progress: ProgressMode = "plain"
    strict_plugins: bool = False
    data: Data | None = None


def launch(make_job: Callable[[], TrainJob], devices: int | None) -> RunResult:
    """Train on ``devices`` processes, or under a launcher (which sets RANK) on those that it started."""
    launcher = find_launcher()
    if launcher is not None:
        _check_launcher(launcher, devices)
        return _join_launcher(launcher, make_job)
    job = make_job()
    with removed_if_not_started(job.run):
        if devices is None or devices == 1:
            return run_job(job)
        return spawn_workers(job, devices)


def run_job(
    job: TrainJob, processes: ProcessGroup | None = None, stop_requested: Callable[[], str] | None = None
) -> RunResult:
    """Run this process's part of a training job; one job at a time per process."""
    plugins().strict = job.strict_plugins
    if processes is not None and not processes.is_main:
        with _one_training(job), measure_suspensions(), _progress_stream(job):
            return train_worker(job.run, job.config, job.data_root, processes)
    started = active_time()
    plugins().load_all()  # before the run has a folder: one may hang
    with job.run.lock() as lock:
        training = _one_training(job)  # imports torch; waiting for another training counts in no budget
        import_seconds = active_time() - started
        with training, measure_suspensions(), _progress_stream(job) as stream:
            check_config(job.run, job.config, job.force)
            progress = open_progress(job.progress, stream)
            return Trainer(job, lock, progress, processes, stop_requested, import_seconds).fit()


@contextmanager
def _progress_stream(job: TrainJob) -> Iterator[IO[str] | None]:
    """The stream of the progress: stderr, for JSON stdout, where nothing else is then printed."""
    if job.progress != "json":
        yield sys.stderr
        return
    stdout = sys.stdout
    with stdout_to_stderr():
        yield stdout


def _one_training(job: TrainJob) -> AbstractContextManager[None]:
    from gancore.runtime.torch_settings import one_training_at_a_time

    def announce(line: str) -> None:
        if job.progress not in ("none", "json"):
            print(escape_control(f"{job.run.path} {line}"), file=sys.stderr)

    return one_training_at_a_time(announce)


def deliver_signal(result: RunResult) -> RunResult:
    """Return the result of a training; deliver a signal that stopped it to the program's own handler.

    Raises:
        Interrupted: Python's own handler of Ctrl-C, or the program's handler, ends the program.
        SystemExit: the program has no handler for the signal, which therefore ends it.
    """
    if result.stop_signal:
        number = signal.Signals[result.stop_signal]
        try:
            deliver(number)
        except KeyboardInterrupt as error:
            raise Interrupted(number, result) from error
    return result


def find_launcher() -> tuple[int, int, int] | None:
    """(rank, world size, local rank) as torchrun and similar launchers set them; None: there is no launcher.

    Raises:
        ConfigError: the variables name a launcher, but not the address at which its processes meet.
    """
    try:
        rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        local = int(os.environ.get("LOCAL_RANK", rank))
    except (KeyError, ValueError):
        return None
    if world <= 1:
        return None
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if missing:
        raise ConfigError(
            f"RANK={rank} and WORLD_SIZE={world} are set, {' and '.join(missing)} not: no launcher started"
            " this process",
            "unset RANK and WORLD_SIZE, or start the processes with torchrun",
        )
    return rank, world, local


def _check_launcher(launcher: tuple[int, int, int], devices: int | None) -> None:
    world_size = launcher[1]
    if devices not in (None, 1, world_size):
        raise ConfigError(
            f"--devices {devices}, but the launcher started {world_size} processes", "leave --devices out"
        )


def _join_launcher(launcher: tuple[int, int, int], make_job: Callable[[], TrainJob]) -> RunResult:
    """Rank 0 makes the job; the other processes read it from the store; then all connect."""
    from gancore.runtime.distributed import (
        ProcessGroup,
        broadcast_by_store,
        connect,
        exit_with_parent,
        launcher_store,
    )

    processes = ProcessGroup(*launcher)
    exit_with_parent(os.getppid())
    store = launcher_store(processes)
    job: TrainJob = broadcast_by_store(store, processes, make_job)
    with ExitStack() as stack:
        if processes.is_main:
            stack.enter_context(removed_if_not_started(job.run))
        with default_handlers():
            stack.enter_context(connect(processes, job.config.train.distributed_timeout, store=store))
        return run_job(job, processes)


class Worker:
    """One process, and our end of the pipe through which it sends its result."""

    def __init__(
        self, job: TrainJob, processes: ProcessGroup, rendezvous_file: Path, stop_signal: Synchronized[int]
    ) -> None:
        self.processes = processes
        self.pipe, theirs = CONTEXT.Pipe(duplex=False)
        arguments = (job, processes, rendezvous_file, stop_signal, theirs, os.getpid())
        self.process = CONTEXT.Process(target=_worker_main, args=arguments, daemon=True)
        self.process.start()
        theirs.close()
        self.outcome: WorkerResult | None = None

    def poll(self) -> None:
        """Read its result, if it has ended."""
        if self.outcome is None and (self.pipe.poll() or not self.process.is_alive()):
            try:
                self.outcome = self.pipe.recv()
            except (EOFError, OSError):
                self.process.join()
                self.outcome = self._death_error()

    def _death_error(self) -> WorkerDiedError:
        code = self.process.exitcode or 0
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return WorkerDiedError(
            f"process {self.processes.rank} of {self.processes.world_size} {how}", "continue with --resume"
        )

    @property
    def failed(self) -> bool:
        return isinstance(self.outcome, BaseException)


def spawn_workers(job: TrainJob, world_size: int) -> RunResult:
    """Train on ``world_size`` processes of this machine.

    Raises:
        GancoreError: the error of the first process that failed by itself, not because of another.
    """
    from gancore.runtime.distributed import ProcessGroup

    stop_signal = _shared_stop_signal()
    message = "all processes finish this step and the run is saved"
    with (
        tempfile.TemporaryDirectory() as folder,
        record_signals(partial(setattr, stop_signal, "value"), message),
    ):
        workers = []
        try:
            with _ignore_sigint():
                for rank in range(world_size):
                    group = ProcessGroup(rank, world_size, rank)
                    workers.append(Worker(job, group, Path(folder) / "meeting", stop_signal))
            _wait(workers)
        finally:
            _stop_all(workers)
    return _first_result(workers)


def _wait(workers: Sequence[Worker]) -> None:
    """Wait until all have ended; if one has failed, at most GRACE_SECONDS longer."""
    deadline = float("inf")
    while any(worker.outcome is None for worker in workers) and time.monotonic() < deadline:
        waiting = [worker for worker in workers if worker.outcome is None]
        wait([w.pipe for w in waiting] + [w.process.sentinel for w in waiting], timeout=0.2)
        for worker in waiting:
            worker.poll()
        if deadline == float("inf") and any(worker.failed for worker in workers):
            deadline = time.monotonic() + GRACE_SECONDS


def _first_result(workers: Sequence[Worker]) -> RunResult:
    outcomes = [worker.outcome for worker in workers]
    causes = [o for o in outcomes if isinstance(o, BaseException) and not isinstance(o, LostProcessError)]
    for outcome in [*causes, *outcomes]:
        if isinstance(outcome, BaseException):
            raise outcome
    first = outcomes[0]
    assert isinstance(first, RunResult)
    return first


def _stop_all(workers: Sequence[Worker]) -> None:
    for worker in workers:
        if worker.outcome is None:
            worker.process.kill()
    for worker in workers:
        worker.process.join()


def _shared_stop_signal() -> Synchronized[int]:
    """The number of the signal that stops all workers; 0: none.

    Raises:
        ConfigError: this machine has no memory that processes can share.
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
def _ignore_sigint() -> Iterator[None]:
    """Processes started within ignore Ctrl-C, which a terminal sends to them as well."""
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _worker_main(
    job: TrainJob,
    processes: ProcessGroup,
    rendezvous_file: Path,
    stop_signal: Synchronized[int],
    pipe: Connection,
    parent: int,
) -> None:
    """What a worker process does: its part of the job; then it sends the result through the pipe."""
    from gancore.runtime.distributed import connect, exit_with_parent

    os.setsid()  # leaves the terminal's process group
    exit_with_parent(parent)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")

    def stop_requested() -> str:
        return signal.Signals(stop_signal.value).name if stop_signal.value else ""

    try:
        with (
            signal_handler(lambda number, frame: None),  # the parent handles signals for all workers
            connect(processes, job.config.train.distributed_timeout, init_method=rendezvous_file.as_uri()),
        ):
            outcome: WorkerResult = run_job(job, processes, stop_requested)
    except BaseException as error:
        outcome = _picklable_error(error, processes)
    pipe.send(outcome)


def _picklable_error(error: BaseException, processes: ProcessGroup) -> BaseException:
    """The error as one that the parent can raise: plugins' own classes need not be picklable."""
    if isinstance(error, GancoreError):
        return (
            error if type(error).__module__.startswith("gancore.") else GancoreError(error.message, error.fix)
        )
    user_error = plugin_error(error, plugins().packages())
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        return user_error or KeyboardInterrupt()
    if lacking := as_out_of_memory(error):
        return lacking
    if wants_traceback():
        traceback.print_exception(error)
    return user_error or RuntimeError(
        f"{type(error).__name__} on process {processes.rank}: {safe_str(error)}"
    )
