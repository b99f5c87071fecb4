"""Start or resume a comparison, or rewrite its report. Finished stages are skipped."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from gancore.comparison.config import (
    ComparisonConfig,
    Trial,
    expand_grid,
    make_trials,
    read_comparison_config,
    sampling_recipes,
)
from gancore.comparison.folder import STAGES, ComparisonFolder, Stage, read_json, write_json
from gancore.comparison.report import write_report
from gancore.config_yaml import to_yaml
from gancore.data.sources import ArraySource, array_source, is_array
from gancore.errors import ConfigError
from gancore.files import atomic_write
from gancore.jobs import INTERRUPTED, JobPool, JobResult, stop_on_signal
from gancore.plugins import plugins
from gancore.runtime.signals import interrupt_on_signal
from gancore.trainings import first_difference, read_recipes

JOB_MODULE = "gancore.comparison.job"

Announce = Callable[[str], None]
STAGE_TEXT = {
    "train": "training",
    "evaluate": "measuring",
    "show": "drawing samples of",
    "sweep": "changing the temperature of",
    "time": "timing",
}
DEFAULTS = {"seeds": 1, "n": 2000, "evaluation_seed": 0, "device": "auto"}
"""Settings of a new comparison that are not given."""


GROWING = ("seeds", "temperatures")
"""Settings to which a comparison can be given more values."""


@dataclass(frozen=True)
class Job:
    """Arguments of a job.

    ``trial`` is a number; None prepares the comparison. It ends with ``parent_pid``.
    """

    folder: str
    trial: int | None = None
    stages: Sequence[Stage] = ()
    profile_speed: bool = True
    data_root: str | None = None
    parent_pid: int = 0

    def to_json(self) -> str:
        return json.dumps(vars(self))


RunJob = Callable[[Job, str], JobResult]


@dataclass(frozen=True)
class ComparisonResult:
    """Result of a comparison: ``report`` is the content of report.json, ``failures`` has a line for each."""

    folder: Path
    report_html: Path
    report: dict[str, Any]
    failures: tuple[str, ...] = ()


@dataclass
class ComparisonRunner:
    """Runs a comparison with ``jobs`` trials at a time; ``announce`` is called with each line of progress."""

    folder: ComparisonFolder
    config: ComparisonConfig
    jobs: int = 1
    data_root: Path | None = None
    announce: Announce = field(default=lambda line: None)
    data_rows: ArraySource | None = None
    """Data that a program passed in memory; they are saved in the folder."""
    trials: list[Trial] = field(init=False)

    def __post_init__(self) -> None:
        if self.jobs > 1 and self.config.budget.unit == "time":
            raise ConfigError(
                f"--jobs {self.jobs} and --time are given: parallel trainings would slow each other down",
                "give the budget in steps or samples, or leave out --jobs",
            )
        self.trials = make_trials(self.config)

    def __call__(self) -> ComparisonResult:
        self.folder.create()
        with interrupt_on_signal(), self.folder.lock() as lock_fd:
            self._save_config()
            if self.data_rows is not None:
                self.data_rows.store(self.folder.data_folder)
            self.folder.check_configs(self.trials)
            pool = JobPool(JOB_MODULE, lock_fd, self.announce)
            with stop_on_signal(pool):
                self._prepare(pool)
            for trial in self.trials:
                self.folder.failure_file(trial).unlink(missing_ok=True)
            self._run_trials(pool)
            report = write_report(self.folder, self.config, self.trials)
        return ComparisonResult(self.folder.path, self.folder.report_html, report, failure_lines(report))

    def _save_config(self) -> None:
        """Save the configuration. New seeds and temperatures are added; other changes are refused."""
        if self.folder.config_file.is_file():
            before = read_comparison_config(self.folder.config_file)
            self.config = self.config.including(before)
            changed = first_difference(before.including(self.config), self.config)
            if changed:
                raise ConfigError(
                    f"{self.folder.path} has a comparison with different settings: {changed}",
                    "use --resume without other options, or another --out",
                )
            self.trials = make_trials(self.config)
        atomic_write(self.folder.config_file, to_yaml(self.config))

    def _prepare(self, run: RunJob) -> None:
        """Open and record the data, unless all trainings are finished.

        Raises:
            GancoreError: the error of the job, see :meth:`JobResult.error`.
        """
        recorded = read_json(self.folder.environment_file)
        if recorded and all(self._is_done(trial, "train") for trial in self.trials):
            return
        result = run(self._make_job(None, ()), "data")
        if result.code and not self.folder.environment_file.is_file():
            self.folder.undo_create()
        if result.code == INTERRUPTED:
            raise KeyboardInterrupt
        if result.code:
            raise result.error()

    def _run_trials(self, pool: JobPool) -> None:
        later: tuple[Stage, ...] = STAGES[1:] if self.jobs == 1 else STAGES[1:-1]
        with ThreadPoolExecutor(self.jobs) as threads, stop_on_signal(pool):
            waiting: set[Future[None]] = set()
            for number in range(len(self.trials)):
                waiting.add(threads.submit(self._run_trial, number, later, pool))
            self._wait_and_report(waiting)
            for number in range(len(self.trials)):  # timing needs an otherwise idle machine
                self._wait_and_report({threads.submit(self._run_stages, number, ("time",), pool)})

    def _wait_and_report(self, waiting: set[Future[None]]) -> None:
        """Rewrite the report whenever a trial has finished."""
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
            write_report(self.folder, self.config, self.trials)

    def _run_trial(self, number: int, later: tuple[Stage, ...], run: RunJob) -> None:
        self._run_stages(number, ("train",), run)
        self._run_stages(number, later, run)

    def _run_stages(self, number: int, stages: tuple[Stage, ...], run: RunJob) -> None:
        """Run the unfinished stages in one process; a failure skips all later stages."""
        trial = self.trials[number]
        left = tuple(stage for stage in stages if not self._is_done(trial, stage))
        if not left or self.folder.failure_file(trial).exists():
            return
        self.announce(f"{STAGE_TEXT[left[0]]} {trial} ({number + 1} of {len(self.trials)})")
        result = run(self._make_job(number, left), str(trial))
        if result.code == INTERRUPTED:
            return
        if result.code:
            stage = next((stage for stage in left if not self._is_done(trial, stage)), left[-1])
            write_json(self.folder.failure_file(trial), {"stage": stage, "message": result.message})

    def _make_job(self, number: int | None, stages: tuple[Stage, ...]) -> Job:
        profile_speed = number is not None and not self._is_profiled(self.trials[number])
        root = None if self.data_root is None else str(self.data_root)
        return Job(str(self.folder.path.absolute()), number, stages, profile_speed, root, os.getpid())

    def _is_profiled(self, trial: Trial) -> bool:
        """Whether another seed of the recipe was timed: the time per sample does not depend on the seed."""
        same = (other for other in self.trials if other.name == trial.name and other != trial)
        return any("seconds_a_sample" in read_json(self.folder.tradeoffs_file(other)) for other in same)

    def _is_done(self, trial: Trial, stage: Stage) -> bool:
        return self.folder.is_finished(trial, stage)


def failure_lines(report: Mapping[str, Any]) -> tuple[str, ...]:
    """One line for each failed trial."""
    return tuple(f"{failure['trial']}: {failure['message']}" for failure in report["failures"])


def start_comparison(
    values: Mapping[str, Any],
    recipes: Sequence[str],
    jobs: int,
    data_root: Path | None,
    out: Path | None,
    runs_folder: Path,
    announce: Announce,
) -> ComparisonResult:
    """Run a comparison in ``out`` or in a new folder of ``runs_folder``; finished stages are skipped.

    ``values`` are those of :class:`ComparisonConfig` and ``grid``; None means the default.
    """
    if values["domain"] is None:
        raise ConfigError("no domain is given", "give --domain; `gancore plugins` lists them")
    folder = ComparisonFolder(out or _new_folder(runs_folder, values["domain"]))
    data = values["data"]
    rows = array_source(data) if is_array(data) else None
    source = str((folder.data_folder / rows.name).absolute()) if rows else None if data is None else str(data)
    named = read_recipes(recipes or sampling_recipes(values["domain"]))
    expanded, overrides = expand_grid(named, values["overrides"], values["grid"])
    given = {name: value for name, value in values.items() if name != "grid"}
    given |= {name: value for name, value in DEFAULTS.items() if given.get(name) is None}
    if given.get("temperatures") is None:
        given["temperatures"] = list(plugins().load_domain(values["domain"]).comparison_temperatures)
    config = ComparisonConfig.make(**{**given, "data": source, "recipes": expanded, "overrides": overrides})
    return ComparisonRunner(folder, config, jobs, data_root, announce, rows)()


def _new_folder(runs_folder: Path, domain: str) -> Path:
    name, number = f"compare-{domain}-{datetime.now():%Y%m%d-%H%M%S}", 1
    while (path := runs_folder / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return path


def resume_comparison(
    path: Path, given: Mapping[str, Any], jobs: int, data_root: Path | None, announce: Announce
) -> ComparisonResult:
    """Continue the comparison in ``path``; seeds and temperatures in ``given`` are added to its own.

    Raises:
        ConfigError: a setting other than seeds is given: the folder stores all settings.
    """
    folder = ComparisonFolder(path)
    config = read_comparison_config(folder.config_file)
    for name, value in given.items():
        if name not in GROWING and _is_given(value):
            raise ConfigError(
                f"{name} is given together with resume: {path} stores the settings of its comparison",
                f"leave out {name}; only {' and '.join(GROWING)} can be added",
            )
    added = {name: given[name] for name in GROWING if given.get(name) is not None}
    config = ComparisonConfig.make(**{**config.model_dump(), **added})
    return ComparisonRunner(folder, config, jobs, data_root, announce)()


def _is_given(value: Any) -> bool:
    return value is not None and not (isinstance(value, list | tuple) and len(value) == 0)


def rewrite_report(path: Path) -> ComparisonResult:
    """Write the report again from the results in the folder; nothing is trained or evaluated."""
    folder = ComparisonFolder(path)
    config = read_comparison_config(folder.config_file)
    report = write_report(folder, config, make_trials(config))
    return ComparisonResult(path, folder.report_html, report, failure_lines(report))
