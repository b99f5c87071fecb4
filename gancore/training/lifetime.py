"""One life of a run: from opening its data to its end, however it comes. Light until it begins."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gancore.config import RunConfig, config_hash
from gancore.errors import CheckpointError, GancoreError
from gancore.plugins import plugins
from gancore.training.placing import withdraw
from gancore.training.progress import Progress
from gancore.training.run import RunFolder, RunStatus

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

    ``data``: as for :class:`gancore.training.launch.Order`.
    """

    run: RunFolder
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
        plugins().load_all()
        before = self.run.read_status()
        self.status = self._running(before)
        self.run.write_status(self.status)
        try:
            result = self._play()
        except BaseException as error:
            with contextlib.suppress(GancoreError):  # on a full disk the first error is the one to tell
                self._fail(error, before)
            raise
        self._end(result.status, None)
        return result

    def _play(self) -> RunResult:
        from gancore.models.sampling import generates
        from gancore.training.session import open_session

        checkpoint = self._checkpoint()
        from gancore.runtime.processes import ALONE

        session = open_session(
            self.run, self.config, self.data_root, self.progress.note, self.processes or ALONE, self.data
        )
        self.status = replace(self.status, source=session.source_name)
        state = self._first_state(session) if checkpoint is None else self._next_state(session, checkpoint)
        if state.step >= state.total:
            self.progress.note(f"{self.run.path} is finished: step {state.step} of {state.total}")
            if self.config.upkeep.select is None or not state.best:
                session.publish(state)  # a kill may have come between the last checkpoint and its model
        else:
            self._train(session, state, self._upkeep(session, state))
        self.state = state
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

    def _checkpoint(self) -> Checkpoint | None:
        from gancore.training.checkpoint import newest_checkpoint

        checkpoint, refused = newest_checkpoint(self.run.checkpoints)
        for reason in refused:
            self.progress.note(f"checkpoint refused: {reason}")
        if refused and checkpoint is None and not self.force:
            raise CheckpointError(
                f"no checkpoint of {self.run.path} can be used ({refused[0]})", "--force starts anew"
            )
        return checkpoint

    def _first_state(self, session: Session) -> State:
        from gancore.training.session import initialise

        if self.init_from is not None:
            weights = _weights_of(self.init_from)
            count = initialise(session.table, weights, str(self.init_from))
            self.progress.note(f"{count} of the {len(weights)} tensors of {self.init_from} are taken over")
        session.begin()
        return session.start(None)

    def _next_state(self, session: Session, checkpoint: Checkpoint) -> State:
        changed = checkpoint.manifest["about"].get("config") != config_hash(self.config)  # only under force
        state = session.start(session.load(checkpoint, self.force), replan=changed)
        self.progress.note(f"resumed from step {state.step}")
        if self.init_from is not None:
            self.progress.note("--init-from is passed over: this run has weights of its own")
        return state

    def _train(self, session: Session, state: State, upkeep: Upkeep) -> None:
        from gancore.training.agreement import agreeing, nobody, stop_signals
        from gancore.training.loop import train

        self.state = state
        title = f"{self.config.domain} {self.config.recipe} on {session.device} {session.precision}"
        plugins().observe("gancore_train_start", run=self.run)
        with stop_signals(lambda name: setattr(state, "stopping", name)):
            try:
                upkeep.begin(state, title)
                processes = session.table.dealer.processes
                train(session.table, state, agreeing(upkeep, processes, self.asked or nobody))
                upkeep.finish(state)
            finally:
                upkeep.tracker.close()

    def _upkeep(self, session: Session, state: State) -> Upkeep:
        from gancore.training.tracking import Tracker
        from gancore.training.upkeep import Upkeep

        settings = self.config.upkeep

        def save(now: State) -> None:
            session.save(now)
            self.run.write_status(_at(self.status, now))

        return Upkeep(
            run=self.run,
            table=session.table,
            domain=session.domain,
            spec=session.data.spec,
            settings=settings,
            total=state.planned,
            seed=self.config.train.seed,
            progress=self.progress,
            tracker=Tracker(self.run.metrics_file, self.run.events, state.step, self.progress.note),
            evaluator=session.evaluator,
            save=save,
            publish=session.publish,
            planned=state.cadence,
            keys=set(type(self.config.model).model_fields),
        )

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
            self.run.write_status(before)
        else:
            self.progress.close("")
            withdraw(self.run)

    def _end(self, word: Any, error: BaseException | None) -> None:
        if self.state is not None:
            self.status = _at(self.status, self.state)
        message = "" if error is None else str(error) or type(error).__name__
        self.progress.close(word)
        self.run.write_status(replace(self.status, status=word, error=message))
        plugins().observe("gancore_train_end", run=self.run, status=word, error=error)


def _at(status: RunStatus, state: State) -> RunStatus:
    return replace(status, step=state.step, total=state.total, seconds=state.seconds, verdict=state.verdict)


def _weights_of(path: Path) -> dict[str, Any]:
    """The tensors of a run's newest checkpoint, or of a model folder."""
    from gancore.models.folder import load_model
    from gancore.training.checkpoint import newest_checkpoint

    if (path / "checkpoints").is_dir():
        checkpoint, refused = newest_checkpoint(path / "checkpoints")
        if checkpoint is None:
            raise CheckpointError(
                f"{path} has no usable checkpoint ({'; '.join(refused) or 'none is there'})",
                "give another run, or a model folder",
            )
        return dict(checkpoint.tensors["game"])
    return dict(load_model(path).tensors)
