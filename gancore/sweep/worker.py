"""A worker of a sweep: it works on one trial after another until there are as many as the command wants."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gancore.comparison.folder import read_json
from gancore.errors import ConfigError, ExitCode
from gancore.jobs import INTERRUPTED, JobPool, JobResult, stop_on_signal
from gancore.plugins import plugins
from gancore.progress import Announce
from gancore.run_folder import RunFolder
from gancore.runtime.signals import interrupt_on_signal
from gancore.sweep.config import SweepConfig, check_search_space, make_sweep_config, shown_value
from gancore.sweep.facts import Facts, selecting_values
from gancore.sweep.jobs import Preparation, TrialTraining
from gancore.sweep.storage import SweepFolder, is_url, open_storage, require_optuna, storage_errors
from gancore.text import count_noun
from gancore.training.launch import find_launcher
from gancore.trainings import read_recipes

if TYPE_CHECKING:
    from gancore.sweep.study import Claim, SweepStudy

PREPARATION, TRAINING = "gancore.sweep.preparation", "gancore.sweep.training"
POLL_SECONDS = 1.0
"""Between two looks at the log of a training."""
WAIT_SECONDS = 5.0
"""Between two looks for a trial that another worker has left."""
MAX_STARTS = 5
"""Starts of a trial at the same step, after which it fails: something kills it before it can save."""
NOT_OF_THE_TRIAL = frozenset({"DataError", "StorageError"})
"""Kinds of errors that every trial would meet: they end the worker, and the trial is left to be continued."""


@dataclass(frozen=True)
class SweepOptions:
    """What may differ between the workers of a sweep.

    ``trials``: the number over all workers. ``out``: the folder of the runs, for a storage that is a URL.
    ``wait``: whether to wait for trials of other workers, to take them over if they are left.
    """

    storage: str
    trials: int
    out: Path | None = None
    study: str = "sweep"
    device: str = "auto"
    data_root: Path | None = None
    wait: bool = True

    @property
    def folder(self) -> SweepFolder:
        """The folder that all workers share. Raises ConfigError if none is given, or two are."""
        if is_url(self.storage) == (self.out is None):
            if self.out is None:
                message, fix = "no folder for the runs", "give --out FOLDER, the same for all workers"
            else:
                message, fix = f"--storage {self.storage} holds the runs, too", "leave out --out"
            raise ConfigError(message, fix)
        return SweepFolder(Path(self.out or self.storage))


@dataclass
class Worker:
    """Works on trials of ``study``; ``announce`` is called with each line of progress."""

    study: SweepStudy
    options: SweepOptions
    announce: Announce

    def __call__(self) -> None:
        waits = False
        while True:
            claim = self.study.claim(self.options.trials)
            if claim is not None:
                waits = False
                with claim.stack:
                    self._work(claim)
                continue
            others = self.study.running
            if not others or not self.options.wait:
                return
            if not waits:
                self.announce(
                    f"{count_noun(others, 'trial')} at other workers: waiting to take over what is left"
                )
            waits = True
            time.sleep(WAIT_SECONDS)

    def _work(self, claim: Claim) -> None:
        """Train a trial, and record its result; a signal leaves it to be continued."""
        run = self.study.folder.run(claim.number)
        step = _saved_step(run)
        if claim.starts.count(step) >= MAX_STARTS:
            return self.study.fail(
                claim, f"it was started {MAX_STARTS} times at step {step} and ended before it saved"
            )
        settings = ", ".join(f"{name}={shown_value(value)}" for name, value in claim.params.items())
        self.announce(f"trial {claim.number}: {settings}" + (f"; resumed from step {step}" if step else ""))
        self.study.start(claim, step)
        result, pruned = self._train(claim, run)
        self._record(claim, run, result, pruned)

    def _train(self, claim: Claim, run: RunFolder) -> tuple[JobResult, bool]:
        """Train, and read the values on valid; return whether the trial was stopped because of them."""
        facts = self.study.facts
        arguments = self.study.config.train_arguments(claim.params, facts.metric)
        root = None if self.options.data_root is None else str(self.options.data_root)
        job = TrialTraining(
            arguments, str(run.path), self.options.device, facts.fingerprint, root, os.getpid()
        )
        pool = JobPool(TRAINING, claim.lock.handle, self.announce)
        with ThreadPoolExecutor(1) as threads, stop_on_signal(pool):
            training = threads.submit(pool, job, f"trial {claim.number}")
            try:
                pruned = self._watch(training, claim, run)
            except Exception:  # the storage fails: save, instead of training to the end
                pool.stop()
                raise
            if pruned:
                pool.stop()
            return training.result(), pruned

    def _watch(self, training: Future[JobResult], claim: Claim, run: RunFolder) -> bool:
        """Report the values on valid until the training ends; return True as soon as it should be stopped."""
        while not training.done():
            wait([training], timeout=POLL_SECONDS)
            values = selecting_values(run, self.study.facts.metric)
            if self.study.report(claim, values) and not training.done():
                return True
        return False

    def _record(self, claim: Claim, run: RunFolder, result: JobResult, pruned: bool) -> None:
        """Record the result, unless the trial was only interrupted.

        Raises:
            GancoreError: the error of the training, if it does not depend on the trial.
        """
        facts, values = self.study.facts, selecting_values(run, self.study.facts.metric)
        self.study.report(claim, values)
        if pruned:
            self.study.prune(claim)
            ending = f"pruned at step {_saved_step(run)}: {facts.metric} {facts.best(values):.4g}"
        elif result.code == ExitCode.OK and values:
            self.study.complete(claim, facts.best(values))
            ending = f"{facts.metric} {facts.best(values):.4g} (n={facts.n})"
        elif result.code in (INTERRUPTED, ExitCode.TEMPORARY_FAILURE) or result.code < 0:
            if result.code == ExitCode.TEMPORARY_FAILURE:
                raise result.error()
            ending = f"interrupted: {result.message or 'by a signal'}"
        elif result.kind in NOT_OF_THE_TRIAL:
            raise result.error()
        else:
            reason = result.message or f"{facts.metric} on valid was finite at no evaluation"
            self.study.fail(claim, reason)
            ending = f"failed: {reason}"
        self.announce(f"trial {claim.number}: {ending}")


def _saved_step(run: RunFolder) -> int:
    """The step of the newest checkpoint; 0 if there is none."""
    steps = [path.name.removeprefix("step-") for path in run.checkpoints.glob("step-*")]
    return max((int(step) for step in steps if step.isdecimal()), default=0)


def default_recipe(domain: str) -> str:
    """The name of a domain's default recipe."""
    return plugins().load_recipe(plugins().load_domain(domain), None)[0].name


def run_sweep(
    values: Mapping[str, Any],
    recipes: Sequence[str],
    search: Sequence[str],
    options: SweepOptions,
    announce: Announce,
) -> SweepStudy:
    """Create the study of a sweep, or join it, and work on its trials; ``values`` are those of SweepConfig.

    Raises:
        GancoreError: an argument or the data are wrong, or the storage has another sweep.
    """
    require_optuna()
    if find_launcher() is not None:
        raise ConfigError("torchrun started this process: it joins one training", "start workers without it")
    if values["domain"] is None:
        raise ConfigError("no domain is given", "give --domain; `gancore plugins` lists them")
    named = read_recipes(recipes or [default_recipe(values["domain"])])
    config = make_sweep_config(search, recipes=named, **values)
    check_search_space(config)
    folder = options.folder
    with interrupt_on_signal():
        facts = _find_facts(config, options, announce)
        folder.create("--storage" if options.out is None else "--out")
        from gancore.sweep.study import join_study

        storage = open_storage(options.storage)
        with storage_errors(options.storage):
            study = join_study(storage, options.study, options.storage, folder, config, facts)
            Worker(study, options, announce)()
    return study


def _find_facts(config: SweepConfig, options: SweepOptions, announce: Announce) -> Facts:
    """Open the data in a process of its own: this one needs no torch.

    Raises:
        GancoreError: the error of that process.
    """
    root = None if options.data_root is None else str(options.data_root)
    pool = JobPool(PREPARATION, None, announce)
    with tempfile.TemporaryDirectory() as temporary, stop_on_signal(pool):
        out = Path(temporary) / "facts.json"
        job = Preparation(config.model_dump(mode="json"), str(out), root, os.getpid())
        result = pool(job, "data")
        if result.code == INTERRUPTED:
            raise KeyboardInterrupt
        if result.code:
            raise result.error()
        return Facts(**read_json(out))
