"""A comparison from its first training to its page; what is finished is never made again."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from gancore.comparison.asked import Asked, first_difference, read_asked
from gancore.comparison.entrants import entrants, refuse_changed
from gancore.comparison.folder import STAGES, ComparisonFolder, Entrant, Stage, read_json, write_json
from gancore.comparison.processes import INTERRUPTED, Outcome, Processes
from gancore.comparison.report import write_report
from gancore.comparison.worker import Job
from gancore.config_text import dump
from gancore.data.rows import GivenRows
from gancore.errors import ConfigError, GancoreError
from gancore.files import atomic_write
from gancore.runtime.signals import acknowledge, ending, handled, interrupt

Run = Callable[[Job, str], Outcome]
DOING = {"train": "training", "evaluate": "measuring", "show": "drawing samples of", "time": "timing"}


@dataclass(frozen=True)
class Comparison:
    """What a comparison left. ``report`` is what stands in report.json; ``failures`` say what went wrong."""

    folder: Path
    page: Path
    report: dict[str, Any]
    failures: tuple[str, ...] = ()


@dataclass
class Runner:
    """``jobs`` entrants at once; ``announce`` is told, line by line, what is being done."""

    folder: ComparisonFolder
    asked: Asked
    jobs: int = 1
    data_root: Path | None = None
    announce: Callable[[str], None] = field(default=lambda line: None)
    rows: GivenRows | None = None
    """Data that a program gave in memory, to be kept in the folder."""
    everyone: list[Entrant] = field(init=False)

    def __post_init__(self) -> None:
        if self.jobs > 1 and self.asked.spent.unit == "seconds":
            raise ConfigError(
                f"--jobs {self.jobs} with a budget in seconds: trainings side by side share their time",
                "give the budget in steps or samples, or leave --jobs out",
            )
        self.everyone = entrants(self.asked)

    def __call__(self) -> Comparison:
        self.folder.make()
        with ending(), self.folder.lock() as lock:
            self._keep_asked()
            if self.rows is not None:
                self.rows.keep(self.folder.rows)
            refuse_changed(self.folder, self.everyone)
            processes = Processes(lock, self.announce)
            with _stopping(processes):
                self._open(processes)
            for entrant in self.everyone:
                self.folder.failure(entrant).unlink(missing_ok=True)
            self._make(processes)
            report = write_report(self.folder, self.asked, self.everyone)
        return Comparison(self.folder.path, self.folder.page, report, failures_in(report))

    def _keep_asked(self) -> None:
        """New seeds are added to those that the folder has; all else is as it was begun."""
        if self.folder.asked.is_file():
            before = read_asked(self.folder.asked)
            self.asked = self.asked.joined(before.seeds)
            changed = first_difference(before.joined(self.asked.seeds), self.asked)
            if changed:
                raise ConfigError(
                    f"{self.folder.path} holds a comparison that was asked otherwise: {changed}",
                    "go on with --resume alone, or give another --out",
                )
            self.everyone = entrants(self.asked)
        atomic_write(self.folder.asked, dump(self.asked))

    def _open(self, run: Run) -> None:
        """The data, before anything is trained on them; once more where something is still to be trained."""
        if read_json(self.folder.about) and all(self._has(entrant, "train") for entrant in self.everyone):
            return
        outcome = run(self._job(-1, ()), "data")
        if outcome.code and not self.folder.about.is_file():
            self.folder.withdraw()
        if outcome.code == INTERRUPTED:
            raise KeyboardInterrupt
        if outcome.code:
            message, _, fix = outcome.message.partition("; ")
            raise GancoreError(message, fix)

    def _make(self, processes: Processes) -> None:
        alone: tuple[Stage, ...] = STAGES[1:] if self.jobs == 1 else STAGES[1:3]
        with ThreadPoolExecutor(self.jobs) as pool, _stopping(processes):
            waiting: set[Future[None]] = set()
            for number in range(len(self.everyone)):
                waiting.add(pool.submit(self._take_through, number, alone, processes))
            self._await(waiting)
            for number in range(len(self.everyone)):  # clocks run where nothing else does
                self._await({pool.submit(self._stage, number, ("time",), processes)})

    def _await(self, waiting: set[Future[None]]) -> None:
        """The page is written anew whenever someone is through."""
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
            write_report(self.folder, self.asked, self.everyone)

    def _take_through(self, number: int, later: tuple[Stage, ...], run: Run) -> None:
        self._stage(number, ("train",), run)
        self._stage(number, later, run)

    def _stage(self, number: int, stages: tuple[Stage, ...], run: Run) -> None:
        """What of these is not finished, in one process; a failure is noted and nothing follows it."""
        entrant = self.everyone[number]
        left = tuple(stage for stage in stages if not self._has(entrant, stage))
        if not left or self.folder.failure(entrant).exists():
            return
        self.announce(f"{DOING[left[0]]} {entrant} ({number + 1} of {len(self.everyone)})")
        outcome = run(self._job(number, left), str(entrant))
        if outcome.code == INTERRUPTED:
            return
        if outcome.code:
            stage = next((stage for stage in left if not self._has(entrant, stage)), left[-1])
            write_json(self.folder.failure(entrant), {"stage": stage, "message": outcome.message})

    def _job(self, number: int, stages: tuple[Stage, ...]) -> Job:
        timed = number >= 0 and not self._is_timed(self.everyone[number])
        root = None if self.data_root is None else str(self.data_root)
        return Job(str(self.folder.path.absolute()), number, stages, timed, root, os.getpid())

    def _is_timed(self, entrant: Entrant) -> bool:
        """Whether another seed of the same recipe was: seconds a sample do not depend on the seed."""
        same = (other for other in self.everyone if other.name == entrant.name and other != entrant)
        return any("seconds_a_sample" in read_json(self.folder.tradeoffs(other)) for other in same)

    def _has(self, entrant: Entrant, stage: Stage) -> bool:
        return self.folder.is_finished(entrant, stage)


def failures_in(report: Mapping[str, Any]) -> tuple[str, ...]:
    """A line for each that did not come through."""
    return tuple(f"{failure['who']}: {failure['message']}" for failure in report["failures"])


@contextlib.contextmanager
def _stopping(processes: Processes) -> Iterator[None]:
    """A signal lets those at work save what they have."""
    try:
        yield
    except KeyboardInterrupt:
        acknowledge("stopping: what is in progress is saved first; the same command goes on with it")
        processes.stop()
        try:
            with handled(_hurry):
                processes.wait()
        except KeyboardInterrupt:
            processes.kill()
        raise


def _hurry(number: int, frame: FrameType | None) -> None:
    """While work is saved a second Ctrl-C is heard; what a scheduler repeats is not."""
    if number == signal.SIGINT:
        interrupt(number, frame)
