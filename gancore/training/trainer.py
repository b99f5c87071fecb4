"""Trains one run: locks its folder, opens the data, trains, records the status. Imports torch only then."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gancore.config import BUDGET_KEYS, RunConfig, budget_signature, config_hash, diff_configs
from gancore.config_layers import config_from_values
from gancore.errors import (
    CheckpointError,
    ConfigError,
    GancoreError,
    PluginError,
    TrainingError,
    as_out_of_memory,
    describe_error,
    safe_str,
)
from gancore.plugins import plugins
from gancore.plugins.faults import plugin_error
from gancore.plugins.imports import forbid_exit
from gancore.progress import Progress, silent
from gancore.run_folder import RunFolder, RunLock, RunStatus
from gancore.runtime.clock import active_time
from gancore.runtime.signals import STOP_SIGNALS, record_signals, signal_name
from gancore.training.resume import remove_given_rows, remove_new_run, write_config

if TYPE_CHECKING:
    from gancore.origin import Origin
    from gancore.runtime.distributed import ProcessGroup
    from gancore.training.callbacks import Callbacks
    from gancore.training.checkpoint import Checkpoint
    from gancore.training.launch import TrainJob
    from gancore.training.run_context import RunContext
    from gancore.training.state import TrainState

STOP_SIGNAL_NAMES = ("", *(signal_name(number) for number in STOP_SIGNALS))
"""Values of ``TrainState.stop_signal``: none, or one of the signals."""


@dataclass(frozen=True)
class RunResult:
    """The result of a training.

    ``status``: done, or stopped by the signal ``stop_signal`` (and saved). ``rank``: the rank of the
    process that returns this; only rank 0 writes files. ``is_generator``: the model generates samples; a
    classifier does not. ``spent``: seconds in addition to training, by purpose (timing, evaluation,
    previews, checkpoints). ``verdict``: what is wrong with the model; empty: nothing known. ``usual_steps``:
    the recipe's own number of steps, if the run made too few to judge the model; 0 otherwise.
    """

    folder: Path
    model: Path
    step: int
    status: str
    seconds: float
    stop_signal: str = ""
    rank: int = 0
    is_generator: bool = True
    spent: Mapping[str, float] = field(default_factory=dict)
    verdict: str = ""
    usual_steps: int = 0


@dataclass
class Trainer:
    """Trains a run while holding its lock, and keeps run.json up to date.

    It writes nothing after the lock file was replaced or removed. ``state`` is None until training starts.
    ``stop_requested`` returns the signal that the parent process has received. ``import_seconds``: the
    seconds that imports took, which count in a time budget.
    """

    job: TrainJob
    lock: RunLock
    progress: Progress
    processes: ProcessGroup | None = None
    stop_requested: Callable[[], str] | None = None
    import_seconds: float = 0.0
    state: TrainState | None = None
    status: RunStatus = field(init=False)

    def __post_init__(self) -> None:
        self.run, self.config = self.job.run, self.job.config

    def fit(self) -> RunResult:
        previous = self.run.read_status()
        self.status = self._running_status(previous)
        self._write_status(self.status)
        try:
            with forbid_exit():
                result = self._fit()
        except BaseException as error:
            user_error = as_out_of_memory(error) or _plugin_exit(error)
            holds_lock = self.lock.lock.is_valid()
            with contextlib.suppress(GancoreError):  # on a full disk, report the first error
                self._on_error(user_error or error, previous)
            if isinstance(error, Exception) and not holds_lock:
                self.lock.check()  # if the folder is gone, report that instead
            if user_error:
                raise user_error from error
            raise
        self._finish(result.status, None)
        return result

    def _fit(self) -> RunResult:
        started = active_time() - self.import_seconds
        from gancore.runtime.distributed import SINGLE_PROCESS
        from gancore.training.run_context import open_run

        checkpoint = self._checkpoint()
        context = open_run(
            self.run,
            self.config,
            self.job.data_root,
            self.progress.note,
            self.processes or SINGLE_PROCESS,
            self.job.data,
            None if checkpoint is None else _checkpoint_environment(checkpoint).get("precision"),
            started,
        )
        self.status = _status_of(self.status, context)
        state = self._start(context) if checkpoint is None else self._resume(context, checkpoint)
        self.lock.check()
        write_config(self.run, self.config)
        callbacks = self._callbacks(context, state)
        if state.step >= state.total_steps:
            self.progress.note(f"{self.run.path} is finished: step {state.step} of {state.total_steps}")
            if self.config.validation.select is None or not state.best:
                callbacks.export_model(state)  # the run may have been killed between checkpoint and model
        else:
            self._train(context, state, callbacks, {} if checkpoint is None else checkpoint.state.get("log"))
        self.state = state
        if not state.stop_signal and not state.best:
            self._check_model(callbacks, state)
        return self._result(context, state)

    def _result(self, context: RunContext, state: TrainState) -> RunResult:
        return RunResult(
            self.run.path,
            self.run.model,
            state.step,
            "stopped" if state.stop_signal else "done",
            state.seconds,
            state.stop_signal,
            is_generator=context.setup.game.sampler().can("sample"),
            spent=dict(state.spent),
            verdict=state.verdict,
            usual_steps=self._usual_steps(context, state),
        )

    def _usual_steps(self, context: RunContext, state: TrainState) -> int:
        """For ``RunResult.usual_steps``. Fits, and phases that met their own target, are no short runs."""
        from gancore.training.monitor import EARLY_STEPS

        usual = self.config.model.steps
        is_short = state.step < min(EARLY_STEPS, usual) and state.step == state.planned
        return usual if is_short and context.setup.game.players else 0

    def _check_model(self, callbacks: Callbacks, state: TrainState) -> None:
        """Raises TrainingError if training has ended with a model that makes no usable samples, or learned
        nothing at the end."""
        try:
            finite = callbacks.has_finite_samples(state)
            problem = "" if finite else "makes samples that are NaN or infinite"
        except Exception as error:
            problem = f"cannot be sampled ({describe_error(error)})"
        if masked := callbacks.describe_masked(state):
            problem = f"{problem and f'{problem}, and '}no longer learned: {masked}"
        if problem:
            raise TrainingError(
                f"training has ended at step {state.step}, and its model {problem}",
                "start a new run with lower learning rates, gradient clipping or fp32;"
                " the checkpoints are kept",
            )

    def _checkpoint(self) -> Checkpoint | None:
        from gancore.training.checkpoint import latest_checkpoint

        checkpoint, refused = latest_checkpoint(self.run.checkpoints)
        for reason in refused:
            self.progress.note(f"checkpoint refused: {reason}")
        if refused and checkpoint is None and not self.job.force:
            raise CheckpointError(
                f"no checkpoint of {self.run.path} can be used ({refused[0]})",
                "use --force to start from the beginning",
            )
        if checkpoint is not None:
            self._check_config(checkpoint)
        return checkpoint

    def _check_config(self, checkpoint: Checkpoint) -> None:
        """Raises CheckpointError if it was written with other settings than this run's."""
        saved = _checkpoint_config(checkpoint)
        changes = diff_configs(saved, self.config, ignore=BUDGET_KEYS) if saved is not None else []
        if saved is None:
            self.progress.note(f"{checkpoint.path.name} does not state its configuration")
        elif changes and not self.job.force:
            raise CheckpointError(
                f"{checkpoint.path.name} of {self.run.path} was written with different settings than the"
                f" run's: {', '.join(changes)}",
                "remove that checkpoint, restore config.yaml, or use --force",
            )

    def _start(self, context: RunContext) -> TrainState:
        if self.job.origin is not None:
            self._initialize(context, self.job.origin)
        self.lock.check()
        context.prepare()
        return context.synchronize(None)

    def _initialize(self, context: RunContext, origin: Origin) -> None:
        """Load the weights of ``origin``, and say which settings and tensors were kept."""
        from gancore.training.setup import initialize_from

        if line := origin.describe(self.config):
            self.progress.note(line)
        advice = origin.advise(self.config)
        self.progress.note(initialize_from(context.setup, origin.path, context.data.spec, advice))

    def _resume(self, context: RunContext, checkpoint: Checkpoint) -> TrainState:
        from gancore.runtime.device import environment_changes

        saved = _checkpoint_config(checkpoint)
        loaded = context.load_checkpoint(checkpoint, self.job.force)
        old_total, replan = (
            loaded.total_steps,
            saved is not None and budget_signature(saved) != budget_signature(self.config),
        )
        state = context.synchronize(loaded, replan)
        note = self.progress.note
        note(f"resumed from step {state.step}")
        if replan:
            share = f"{state.progress:.0%} of it" if state.step < state.total_steps else "its end"
            note(
                f"the budget is now {state.total_steps} steps, was {old_total}; schedules continue at {share}"
            )
        environment = _checkpoint_environment(checkpoint)
        changes = environment_changes(environment, context.environment) if environment else []
        if changes:
            note(f"warning: results will not be byte-equal to an uninterrupted run: {', '.join(changes)}")
        if self.job.origin is not None:
            note("warning: --init-from is ignored: this run has weights already")
        return state

    def _train(
        self, context: RunContext, state: TrainState, callbacks: Callbacks, log: Mapping[str, Any] | None
    ) -> None:
        from gancore.training.loop import train

        self.state = state
        title = f"{self.config.domain} {self.config.recipe} on {context.device} {context.precision}"
        plugins().call_observers("gancore_train_start", run=self.run)
        labels = context.data.spec.get("classes")
        if labels and state.step == 0 and getattr(self.config.model, "conditional", True) is False:
            unused = f"the {len(labels)} labels are not used"
            self.progress.note(f"{unused}; model.conditional=true trains on them, often to truer samples")
        with record_stop_signals(state, "this step is finished and the run saved"):
            try:
                callbacks.on_train_start(state, title, log)
                processes = context.setup.batches.processes
                on_step_end = stop_together(callbacks.on_step_end, processes, self.stop_requested or no_stop)
                train(context.setup, state, on_step_end)
                callbacks.on_train_end(state)
            finally:
                callbacks.logger.close()

    def _callbacks(self, context: RunContext, state: TrainState) -> Callbacks:
        from gancore.training.callbacks import Callbacks
        from gancore.training.logger import RunLogger

        logger = RunLogger(
            self.run.metrics_file,
            self.run.events,
            state.step,
            self.progress.note,
            includes_validation=state.seen == state.step,
        )
        return Callbacks(
            context=context,
            progress=self.progress,
            logger=logger,
            lock=self.lock,
            write_status=lambda now: self._write_status(_status_at(self.status, now)),
            total=state.planned,
            planned=state.cadence,
        )

    def _write_status(self, status: RunStatus) -> None:
        self.lock.check()
        self.run.write_status(status)

    def _running_status(self, previous: RunStatus | None) -> RunStatus:
        """Running, at the step that the previous status names."""
        known = previous if previous is not None and previous.status != "damaged" else RunStatus("running")
        return replace(
            known,
            status="running",
            domain=self.config.domain,
            recipe=self.config.recipe,
            source=self.config.data.source or "",
            started=known.started or self.run.now(),
            error="",
            config_hash=config_hash(self.config),
        )

    def _on_error(self, error: BaseException, previous: RunStatus | None) -> None:
        """If training did not start, a new run's folder is removed and an existing run is unchanged."""
        interrupted = isinstance(error, KeyboardInterrupt)
        if self.state is not None:
            self._finish("interrupted" if interrupted else "failed", error)
        elif previous is not None:
            self.progress.close("")
            self._write_status(previous)
            remove_given_rows(self.run, self.config)
        else:
            self.progress.close("")
            self.lock.check()
            remove_new_run(self.run)

    def _finish(self, word: Any, error: BaseException | None) -> None:
        if self.state is not None:
            self.status = _status_at(self.status, self.state)
        message = "" if error is None else _error_text(error)
        self.progress.close(word)
        self._write_status(replace(self.status, status=word, error=message))
        plugins().call_observers("gancore_train_end", run=self.run, status=word, error=error)


def train_worker(
    run: RunFolder, config: RunConfig, data_root: Path | None, processes: ProcessGroup
) -> RunResult:
    """Train in a process other than rank 0: it computes its share of each batch and writes no files."""
    from gancore.training.loop import train
    from gancore.training.run_context import open_run

    plugins().load_all()
    context = open_run(run, config, data_root, silent, processes)
    state = context.synchronize(None)
    with record_stop_signals(state):
        forget = context.setup.scalars.reset
        train(context.setup, state, stop_together(lambda state: forget(), processes))
    status = "stopped" if state.stop_signal else "done"
    return RunResult(
        run.path, run.model, state.step, status, state.seconds, state.stop_signal, processes.rank
    )


def no_stop() -> str:
    """No stop request from a parent process."""
    return ""


def stop_together(
    on_step_end: Callable[[TrainState], None],
    processes: ProcessGroup,
    stop_requested: Callable[[], str] = no_stop,
) -> Callable[[TrainState], None]:
    """A function that calls ``on_step_end``, then makes all processes stop, or end, at the same step.

    With one process it is ``on_step_end``. The other processes wait here while rank 0 saves or evaluates.
    ``stop_requested`` returns the signal that the parent process has received.
    """
    if processes.world_size == 1:
        return on_step_end

    def stop_after(state: TrainState) -> None:
        on_step_end(state)
        state.stop_signal = state.stop_signal or stop_requested()
        number = STOP_SIGNAL_NAMES.index(state.stop_signal)
        stop, ended = processes.all_max(number, state.step >= state.total_steps)
        state.stop_signal = STOP_SIGNAL_NAMES[int(stop)]
        if ended:
            state.end_here()

    return stop_after


def record_stop_signals(state: TrainState, message: str = "") -> AbstractContextManager[None]:
    """A signal ends training after the current step; ``message`` is then written to stderr."""

    def note(number: int) -> None:
        state.stop_signal = signal_name(number)

    return record_signals(note, message)


def _error_text(error: BaseException) -> str:
    """The text of an interruption or a user error; of any other error its kind as well."""
    if isinstance(error, (GancoreError, KeyboardInterrupt)):
        return safe_str(error) or type(error).__name__
    return str(plugin_error(error, plugins().packages()) or describe_error(error))


def _plugin_exit(error: BaseException) -> PluginError | None:
    """What to raise in place of a plugin's SystemExit, CancelledError and the like."""
    return (
        None
        if isinstance(error, (Exception, KeyboardInterrupt))
        else plugin_error(error, plugins().packages())
    )


def _status_of(status: RunStatus, context: RunContext) -> RunStatus:
    phases: list[Mapping[str, str | int]] = [
        {"name": phase.name, "steps": 0, "selects": phase.selects} for phase in context.setup.game.phases
    ]
    return replace(status, source=context.source_name, phases=phases, environment=context.environment)


def _status_at(status: RunStatus, state: TrainState) -> RunStatus:
    return replace(
        status,
        step=state.step,
        total=state.total_steps,
        seconds=state.seconds,
        verdict=state.verdict,
        phases=[{**phase, "steps": steps} for phase, steps in zip(status.phases, state.plan, strict=True)],
    )


def _checkpoint_environment(checkpoint: Checkpoint) -> Mapping[str, str]:
    facts: Mapping[str, str] = checkpoint.manifest["metadata"].get("environment", {})
    return facts


def _checkpoint_config(checkpoint: Checkpoint) -> RunConfig | None:
    """The configuration of a checkpoint; None for one of an older version, which stored only a hash.

    Raises:
        CheckpointError: the installed plugins do not accept it.
    """
    values = checkpoint.manifest["metadata"].get("config")
    if not isinstance(values, dict):
        return None
    try:
        return config_from_values(values, f"{checkpoint.path.name}/manifest.json")
    except ConfigError as error:
        raise CheckpointError(
            f"{checkpoint.path.name}: its configuration does not fit what is installed: {error.message}",
            "install what it was trained with, or use another checkpoint",
        ) from error
