"""The processes of a comparison as copies of this one, where everything is imported already."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module

from gancore.comparison import job as job_module
from gancore.comparison.runner import Job
from gancore.jobs import INTERRUPTED, JobResult, forward_output

HEAVY = (
    "gancore.training.run_context",
    "gancore.training.callbacks",
    "gancore.evaluation.runner",
    "gancore.comparison.preparation",
    "gancore.comparison.tradeoffs",
    "torch.utils.tensorboard",
    "matplotlib.figure",
    "scipy.stats",
    "gancore_synthetic.gans",
    "gancore_synthetic.likelihoods",
)


def import_all() -> None:
    """What each process would import for itself."""
    for name in HEAVY:
        import_module(name)


@dataclass
class ForkedProcesses:
    """In place of :class:`gancore.jobs.JobPool`; ``jobs`` are all that were started."""

    module: str
    lock: int
    announce: Callable[[str], None]
    jobs: list[Job] = field(default_factory=list)
    stopped: bool = False

    def __call__(self, job: Job, title: str) -> JobResult:
        if self.stopped:
            return JobResult(INTERRUPTED)
        self.jobs.append(job)
        ours, theirs = os.pipe()
        pid = os.fork()
        if pid == 0:
            self._live(job, theirs)
        os.close(theirs)
        with open(ours, errors="backslashreplace") as lines:
            last_line = forward_output(lines, title, self.announce)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return JobResult(code, last_line)

    def _live(self, job: Job, pipe: int) -> None:
        code = 99
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            sys.stdout = sys.stderr = os.fdopen(pipe, "w", buffering=1)
            code = job_module.main(job.to_json())
        finally:
            os._exit(code)

    def stop(self) -> None:
        self.stopped = True

    def wait(self) -> None:
        pass

    def kill(self) -> None:
        pass
