"""Jobs of a comparison, each in its own process: ``python -m gancore.comparison.worker JOB``, JOB in JSON.

A job opens the data, or runs some stages of one trial. It ends with an exit code of the command line; if it
fails, its last two lines are the error as text and as JSON. :class:`JobPool` starts jobs, forwards their
output line by line, and stops them together.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gancore import errors
from gancore.comparison.config import (
    ComparisonConfig,
    Trial,
    make_trials,
    read_comparison_config,
    selection_metric,
    train_arguments,
)
from gancore.comparison.folder import ComparisonFolder, Stage, read_json, write_json
from gancore.console import print_line, progress_printer
from gancore.errors import CheckpointError, DataError, ExitCode, GancoreError
from gancore.files import MAX_DATA_JSON_BYTES

INTERRUPTED = 130
ERROR_START = '{"error": '
"""Start of the line with the error of a failed job."""


@dataclass(frozen=True)
class Job:
    """``trial``: its number; None: prepare the comparison. The job ends if ``parent_pid`` does."""

    folder: str
    trial: int | None = None
    stages: Sequence[Stage] = ()
    profile_speed: bool = True
    data_root: str | None = None
    parent_pid: int = 0

    def to_json(self) -> str:
        return json.dumps(vars(self))


def run_job(job: Job) -> None:
    """Raises GancoreError for user errors."""
    folder = ComparisonFolder(Path(job.folder))
    config = read_comparison_config(folder.config_file)
    trials = make_trials(config)
    root = None if job.data_root is None else Path(job.data_root)
    if job.trial is None:
        from gancore.comparison.preparation import prepare_comparison

        return prepare_comparison(folder, config, trials, root)
    context = JobContext(folder, config, trials[job.trial], root, job.profile_speed)
    for stage in job.stages:
        if not folder.is_finished(context.trial, stage):
            _STAGE_FUNCTIONS[stage](context)


@dataclass(frozen=True)
class JobContext:
    """Arguments of a stage."""

    folder: ComparisonFolder
    config: ComparisonConfig
    trial: Trial
    data_root: Path | None
    profile_speed: bool

    @property
    def environment(self) -> Mapping[str, Any]:
        return read_json(self.folder.environment_file)

    @property
    def weights_hash(self) -> str:
        weights_hash = self.folder.weights_hash(self.trial)
        if not weights_hash:
            raise CheckpointError(f"{self.trial} has no finished model", "train it first")
        return weights_hash


def _train(context: JobContext) -> None:
    from gancore import api

    run = context.folder.run_folder(context.trial)
    select = selection_metric(context.config, context.environment.get("select", ""))
    arguments = train_arguments(context.config, context.trial.name, context.trial.seed, select)
    _record_machine(context)
    result = api.train(
        **arguments, data_root=context.data_root, out=run.path, resume="auto", progress="plain"
    )
    if result.status != "done":
        raise KeyboardInterrupt
    fingerprint = read_json(run.data_file, MAX_DATA_JSON_BYTES).get("fingerprint")
    if fingerprint != context.environment["data"]["fingerprint"]:
        raise DataError("the data changed since this comparison was started", "start a new comparison")


def _record_machine(context: JobContext) -> None:
    """Records every machine that a trial was trained on."""
    from gancore.comparison.preparation import machine_name

    file, name = context.folder.machine_file(context.trial), machine_name(context.config.device)
    known = [known for known in read_json(file).get("machine", "").split("; ") if known]
    if name not in known:
        write_json(file, {"machine": "; ".join([*known, name])})


def _evaluate(context: JobContext) -> None:
    from gancore import api

    config = context.config
    evaluation = api.evaluate(
        context.folder.run_folder(context.trial).path,
        metrics=config.metrics,
        feature_extractor=config.feature_extractor,
        n=config.n,
        seed=config.evaluation_seed,
        device=config.device,
        data_root=context.data_root,
        announce=progress_printer(quiet=False),
    )
    replace(evaluation, model=str(context.trial)).write(context.folder.evaluation_file(context.trial))


def _sample(context: JobContext) -> None:
    from gancore.comparison.gallery import write_gallery
    from gancore.models.model import load_model

    seed = context.config.evaluation_seed
    model = load_model(context.folder.run_folder(context.trial).model, context.config.device)
    samples = model.sample(int(context.environment["shown"]), seed)
    write_gallery(context.folder.samples(context.trial), model.domain, samples, seed, context.weights_hash)


def _profile(context: JobContext) -> None:
    from gancore.comparison.preparation import load_trained_trial, machine_name
    from gancore.comparison.tradeoffs import profile

    weights_hash, device = context.weights_hash, context.config.device
    trained = load_trained_trial(context.folder, device, context.trial, context.data_root)
    tradeoffs = profile(trained, context.profile_speed)
    write_json(
        context.folder.tradeoffs_file(context.trial),
        {**tradeoffs, "weights": weights_hash, "machine": machine_name(device)},
    )


_STAGE_FUNCTIONS: dict[Stage, Callable[[JobContext], None]] = {
    "train": _train,
    "evaluate": _evaluate,
    "show": _sample,
    "time": _profile,
}


def main(job_json: str) -> int:
    """Runs a job; returns an exit code of the command line."""
    from gancore.failure import describe_failure, report_failure, wants_traceback
    from gancore.runtime.distributed import exit_with_parent
    from gancore.runtime.signals import raise_interrupted, signal_handler

    job = Job(**json.loads(job_json))
    if job.parent_pid:
        exit_with_parent(job.parent_pid)
    try:
        with signal_handler(raise_interrupted):
            run_job(job)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BaseException as error:  # a plugin's SystemExit must not look like a finished job
        if wants_traceback():
            sys.excepthook(type(error), error, error.__traceback__)
        code = report_failure(error)
        print_line(describe_failure(error).document, to_stderr=True)
        return code
    return 0


@dataclass(frozen=True)
class JobResult:
    """How a job ended: its exit code, and the last line that it printed."""

    code: int
    last_line: str = ""

    @property
    def message(self) -> str:
        """The error in one line; empty if there was none."""
        details = self._details
        if details and self.code > 0:
            return " ".join("; ".join(filter(None, (details["message"], details["fix"]))).split())
        return failure_message(self.code, self.last_line)

    def error(self) -> GancoreError:
        """The error of the job, of the same class where that is one of gancore's, with its exit code."""
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
    """An error of a job that is of no class of gancore, with the job's exit code."""

    def __init__(self, message: str, fix: str, code: int) -> None:
        super().__init__(message, fix)
        with contextlib.suppress(ValueError):
            self.exit_code = ExitCode(code)  # type: ignore[misc]

    def __reduce__(self) -> tuple[type[GancoreError], Any]:
        return type(self), (self.message, self.fix, int(self.exit_code))


@dataclass
class JobPool:
    """Starts jobs; every job inherits ``lock_fd``, so the lock is held until the last of them exits."""

    lock_fd: int
    announce: Callable[[str], None]
    _running: set[subprocess.Popen[str]] = field(default_factory=set)
    _stopped: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, job: Job, title: str) -> JobResult:
        """Runs one job to its end; may be called from several threads."""
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
        """In its own session: signals of the terminal reach jobs only through :meth:`stop`, once."""
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        return subprocess.Popen(
            [sys.executable, "-m", "gancore.comparison.worker", job.to_json()],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="backslashreplace",
            pass_fds=(self.lock_fd,),
            start_new_session=True,
        )

    def stop(self) -> None:
        """Starts no more jobs; running jobs save a checkpoint and end."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.send_signal(signal.SIGTERM)  # a shell may have SIGINT ignored

    def wait(self) -> None:
        """Waits until all running jobs have ended."""
        for process in self._live():
            process.wait()

    def kill(self) -> None:
        for process in self._live():
            process.kill()

    def _live(self) -> list[subprocess.Popen[str]]:
        with self._lock:
            return list(self._running)


def forward_output(lines: Iterable[str], title: str, announce: Callable[[str], None]) -> str:
    """Announces every line of a job but the error in JSON; returns the last line."""
    last = ""
    for line in lines:
        if line.strip():
            last = line.strip()
            if not last.startswith(ERROR_START):
                announce(f"{title}: {last}")
    return last


def failure_message(code: int, last_line: str) -> str:
    """Why a process failed: its last line without the prefix "error: "."""
    if code == 0:
        return ""
    if code < 0:
        return f"it was ended by {signal.Signals(-code).name}"
    for prefix in ("internal error: ", "error: "):
        if last_line.startswith(prefix):
            return last_line.removeprefix(prefix)
    return last_line or f"it ended with exit code {code}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
