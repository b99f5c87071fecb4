"""One life of a run: from opening its data to its end, however it comes. Light until it begins."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gancore.config import BUDGET_KEYS, RunConfig, budget, config_hash, difference
from gancore.configure import read_values
from gancore.errors import (
    CheckpointError,
    ConfigError,
    GancoreError,
    PluginError,
    TrainingError,
    in_words,
    out_of_memory,
    text_of,
)
from gancore.plugins import plugins
from gancore.plugins.blame import blamed
from gancore.plugins.foreign import staying
from gancore.training.placing import keep_config, withdraw, withdraw_rows
from gancore.training.progress import Progress
from gancore.training.run import RunFolder, RunLock, RunStatus

if TYPE_CHECKING:
    from gancore.domain import Data
    from gancore.runtime.processes import Processes
    from gancore.training.checkpoint import Checkpoint
    from gancore.training.session import Session
    from gancore.training.state import State
    from gancore.training.upkeep import Upkeep


@dataclass(frozen=True)
class RunResult:
    """What training left. ``status``: done, or stopped by the signal ``stopped_by`` (and saved).

    ``rank``: of the process that tells it; only that of rank 0 has written anything. ``generates``: the
    model makes samples; one that judges does not. ``spent``: seconds by what took them beside training
    (timing, evaluation, previews, checkpoints). ``verdict``: what is wrong with the model; empty: nothing
    known.
    """

    folder: Path
    model: Path
    step: int
    status: str
    seconds: float
    stopped_by: str = ""
    rank: int = 0
    generates: bool = True
    spent: Mapping[str, float] = field(default_factory=dict)
    verdict: str = ""


@dataclass
class Lifetime:
    """Plays a run under its lock, and keeps its status true. ``state`` is None until training begins.

    Nothing is written where the lock is no longer that of the folder on the path.

    ``data``: as for :class:`gancore.training.launch.Order`.
    """

    run: RunFolder
    lock: RunLock
    config: RunConfig
    progress: Progress
    data_root: Path | None
    init_from: Path | None
    force: bool
    processes: Processes | None = None
    asked: Callable[[], str] | None = None
    data: Data | None = None
    state: State | None = None
    status: RunStatus = field(init=False)

    def play(self) -> RunResult:
        before = self.run.read_status()
        self.status = self._running(before)
        self._write_status(self.status)
        try:
            with staying():
                result = self._play()
        except BaseException as error:
            told, intact = out_of_memory(error) or _ended_by_a_plugin(error), self.lock.held.is_intact()
            with contextlib.suppress(GancoreError):  # on a full disk the first error is the one to tell
                self._fail(told or error, before)
            if isinstance(error, Exception) and not intact:
                self.lock.check()  # what went wrong in a folder that is gone went wrong for that reason
            if told:
                raise told from error
            raise
        self._end(result.status, None)
        return result

    def _play(self) -> RunResult:
        from gancore.models.sampling import generates
        from gancore.runtime.processes import ALONE
        from gancore.training.session import open_session

        checkpoint = self._checkpoint()
        session = open_session(
            self.run,
            self.config,
            self.data_root,
            self.progress.note,
            self.processes or ALONE,
            self.data,
            None if checkpoint is None else _environment(checkpoint).get("precision"),
        )
        self.status = replace(self.status, source=session.source_name, environment=session.environment)
        state = self._first_state(session) if checkpoint is None else self._next_state(session, checkpoint)
        self.lock.check()
        keep_config(self.run, self.config)
        upkeep = self._upkeep(session, state)
        if state.step >= state.total:
            self.progress.note(f"{self.run.path} is finished: step {state.step} of {state.total}")
            if self.config.upkeep.select is None or not state.best:
                upkeep.publish(state)  # a kill may have come between the last checkpoint and its model
        else:
            self._train(session, state, upkeep, {} if checkpoint is None else checkpoint.state.get("log"))
        self.state = state
        if not state.stopping and not state.best:
            self._refuse_broken(upkeep, state)
        stopped = "stopped" if state.stopping else "done"
        return RunResult(
            self.run.path,
            self.run.model,
            state.step,
            stopped,
            state.seconds,
            state.stopping,
            generates=generates(session.table.game.sampler()),
            spent=dict(state.spent),
            verdict=state.verdict,
        )

    def _refuse_broken(self, upkeep: Upkeep, state: State) -> None:
        """Raises TrainingError where training has ended with a model that makes nothing usable."""
        try:
            told = "" if upkeep.has_finite_samples(state) else "makes samples that are NaN or infinite"
        except Exception as error:
            told = f"cannot be sampled ({in_words(error)})"
        if told:
            raise TrainingError(
                f"training has ended at step {state.step}, and its model {told}",
                "train anew at lower rates, with clipped gradients or in fp32; the checkpoints are kept",
            )

    def _checkpoint(self) -> Checkpoint | None:
        from gancore.training.checkpoint import newest_checkpoint

        checkpoint, refused = newest_checkpoint(self.run.checkpoints)
        for reason in refused:
            self.progress.note(f"checkpoint refused: {reason}")
        if refused and checkpoint is None and not self.force:
            raise CheckpointError(
                f"no checkpoint of {self.run.path} can be used ({refused[0]})", "--force starts anew"
            )
        if checkpoint is not None:
            self._refuse_foreign(checkpoint)
        return checkpoint

    def _refuse_foreign(self, checkpoint: Checkpoint) -> None:
        """Raises CheckpointError where it was written under another configuration than this run's."""
        kept = _config_of(checkpoint)
        changes = difference(kept, self.config, but=BUDGET_KEYS) if kept is not None else []
        if kept is None:
            self.progress.note(f"{checkpoint.path.name} does not say of which configuration it is")
        elif changes and not self.force:
            raise CheckpointError(
                f"{checkpoint.path.name} of {self.run.path} is of another configuration than the run:"
                f" {', '.join(changes)}",
                "remove that checkpoint, restore config.yaml, or go on all the same with --force",
            )

    def _first_state(self, session: Session) -> State:
        if self.init_from is not None:
            from gancore.training.origin import take_over

            self.progress.note(take_over(session.table, self.init_from))
        self.lock.check()
        session.begin()
        return session.start(None)

    def _next_state(self, session: Session, checkpoint: Checkpoint) -> State:
        from gancore.runtime.environment import changes

        kept = _config_of(checkpoint)
        loaded = session.load(checkpoint, self.force)
        before, replan = loaded.total, kept is not None and budget(kept) != budget(self.config)
        state = session.start(loaded, replan)
        note = self.progress.note
        note(f"resumed from step {state.step}")
        if replan:
            share = f"{state.progress:.0%} of it" if state.step < state.total else "its end"
            note(f"the budget is {state.total} rounds now, {before} before; schedules go on at {share}")
        others = changes(_environment(checkpoint), session.environment) if _environment(checkpoint) else []
        if others:
            note(f"from here on not byte-equal to an undisturbed run: {', '.join(others)}")
        if self.init_from is not None:
            note("--init-from is passed over: this run has weights of its own")
        return state

    def _train(self, session: Session, state: State, upkeep: Upkeep, log: Mapping[str, Any] | None) -> None:
        from gancore.training.agreement import agreeing, nobody, stop_signals
        from gancore.training.loop import train

        self.state = state
        title = f"{self.config.domain} {self.config.recipe} on {session.device} {session.precision}"
        plugins().observe("gancore_train_start", run=self.run)
        labels = session.data.spec.get("classes")
        if labels and state.step == 0 and getattr(self.config.model, "conditional", True) is False:
            unused = f"the {len(labels)} labels are not used"
            self.progress.note(f"{unused}; model.conditional=true trains on them, often to truer samples")
        with stop_signals(state, "this round is finished and the run saved"):
            try:
                upkeep.begin(state, title, log)
                processes = session.table.dealer.processes
                train(session.table, state, agreeing(upkeep, processes, self.asked or nobody))
                upkeep.finish(state)
            finally:
                upkeep.tracker.close()

    def _upkeep(self, session: Session, state: State) -> Upkeep:
        from gancore.training.tracking import Tracker
        from gancore.training.upkeep import Upkeep

        settings = self.config.upkeep

        def save(now: State, log: Mapping[str, Any]) -> None:
            self.lock.check()
            session.save(now, log)
            self._write_status(_at(self.status, now))

        def publish(now: State) -> None:
            self.lock.check()
            session.publish(now)

        return Upkeep(
            run=self.run,
            table=session.table,
            domain=session.domain,
            spec=session.data.spec,
            settings=settings,
            total=state.planned,
            seed=self.config.train.seed,
            progress=self.progress,
            tracker=Tracker(
                self.run.metrics_file,
                self.run.events,
                state.step,
                self.progress.note,
                evaluated=state.seen == state.step,
            ),
            evaluator=session.evaluator,
            save=save,
            publish=publish,
            heard=lambda now: self._write_status(_at(self.status, now)),
            check=self.lock.check,
            planned=state.cadence,
            keys=self.config.model.keys_that_help(),
        )

    def _write_status(self, status: RunStatus) -> None:
        self.lock.check()
        self.run.write_status(status)

    def _running(self, before: RunStatus | None) -> RunStatus:
        """Running, and as far as the run was when it was last heard of."""
        begun = before if before is not None and before.status != "damaged" else RunStatus("running")
        return replace(
            begun,
            status="running",
            domain=self.config.domain,
            recipe=self.config.recipe,
            source=self.config.data.source or "",
            started=begun.started or self.run.now(),
            error="",
            config_hash=config_hash(self.config),
        )

    def _fail(self, error: BaseException, before: RunStatus | None) -> None:
        """Where training did not even begin a new run leaves no folder, and an old one is as it was."""
        interrupted = isinstance(error, KeyboardInterrupt)
        if self.state is not None:
            self._end("interrupted" if interrupted else "failed", error)
        elif before is not None:
            self.progress.close("")
            self._write_status(before)
            withdraw_rows(self.run, self.config)
        else:
            self.progress.close("")
            self.lock.check()
            withdraw(self.run)

    def _end(self, word: Any, error: BaseException | None) -> None:
        if self.state is not None:
            self.status = _at(self.status, self.state)
        message = "" if error is None else _told(error)
        self.progress.close(word)
        self._write_status(replace(self.status, status=word, error=message))
        plugins().observe("gancore_train_end", run=self.run, status=word, error=error)


def _told(error: BaseException) -> str:
    """An interruption and a mistake by its text, whatever else ended the run by its kind too."""
    if isinstance(error, (GancoreError, KeyboardInterrupt)):
        return text_of(error) or type(error).__name__
    return str(blamed(error) or in_words(error))


def _ended_by_a_plugin(error: BaseException) -> PluginError | None:
    """What to raise in the place of a plugin's SystemExit, CancelledError and their like."""
    return None if isinstance(error, (Exception, KeyboardInterrupt)) else blamed(error)


def _at(status: RunStatus, state: State) -> RunStatus:
    return replace(status, step=state.step, total=state.total, seconds=state.seconds, verdict=state.verdict)


def _environment(checkpoint: Checkpoint) -> Mapping[str, str]:
    told: Mapping[str, str] = checkpoint.manifest["about"].get("environment", {})
    return told


def _config_of(checkpoint: Checkpoint) -> RunConfig | None:
    """The configuration that a checkpoint was written under; None: an older gancore, which noted a hash.

    Raises:
        CheckpointError: it is none of the installed plugins.
    """
    values = checkpoint.manifest["about"].get("config")
    if not isinstance(values, dict):
        return None
    try:
        return read_values(values, f"{checkpoint.path.name}/manifest.json")
    except ConfigError as error:
        raise CheckpointError(
            f"{checkpoint.path.name}: its configuration does not suit what is installed: {error.message}",
            "install what it was trained with, or use another checkpoint",
        ) from error
