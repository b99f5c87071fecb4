"""What a run does between steps: log, preview, evaluate, save, each at its interval."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from gancore.diagnostics import applicable_fixes
from gancore.domain import Diagnostic
from gancore.errors import GancoreError, TrainingError, describe_error
from gancore.files import Json, remove, write_files_atomic
from gancore.games.fitted import fits_in_one_step
from gancore.models.sampling import to_samples
from gancore.plugins import plugins
from gancore.progress import Progress, ProgressReport
from gancore.run_folder import RunLock
from gancore.runtime.clock import active_time
from gancore.runtime.device import peak_memory_mb
from gancore.text import count_noun
from gancore.training.animation import is_overview, write_preview
from gancore.training.logger import RunLogger
from gancore.training.monitor import Intervals, is_early
from gancore.training.quality import quality_warning
from gancore.training.run_context import RunContext
from gancore.training.state import TrainState
from gancore.trees import Tree, tree_all_finite

T = TypeVar("T")
MAX_MASKED_STEPS = 200
"""Consecutive steps in which every update of a player was masked, before the run is stopped."""
MIN_MASKED_STEPS, MASKED_SHARE = 5, 1 / 10
"""At the end of a run as few steps suffice, or this share of all."""
STATUS_SECONDS = 5.0
"""Between two updates of run.json while nothing is saved."""


@dataclass
class Callbacks:
    """Called before the first step of a run, after each step, and at the end.

    ``total`` is the number of steps planned at first: intervals that are neither configured nor ``planned``
    are shares of it. ``write_status`` updates run.json. Nothing is written once ``lock`` is lost.

    Nothing here changes training, except that selection may end it early; and that is a function of the
    step, so that a resumed run equals an uninterrupted one. A preview or an evaluation that fails is
    reported, and training continues.
    """

    context: RunContext
    progress: Progress
    logger: RunLogger
    lock: RunLock
    write_status: Callable[[TrainState], None]
    total: int
    planned: Mapping[str, int] = field(default_factory=dict)
    _masked: dict[str, int] = field(default_factory=dict)
    _logged: tuple[int, float] = (0, 0.0)
    _saved_state: Mapping[str, Json] = field(default_factory=dict)
    _known_findings: set[str] = field(default_factory=set)
    _finite_at: tuple[int, bool] = (-1, True)
    _saved_step: int = -1

    def __post_init__(self) -> None:
        self._saved = self._status_written = time.monotonic()
        self.run, self.setup, self.domain = self.context.run, self.context.setup, self.context.domain
        self.config, self.validator = self.context.config, self.context.validator
        self._intervals = Intervals.of(self.config, self.total, self.planned)
        self._monitor = self.context.new_monitor(self._intervals)

    def on_train_start(self, state: TrainState, title: str, log: Mapping[str, Json] | None = None) -> None:
        """``log``: the running sums of the log in the checkpoint that the run continues from."""
        self._logged = (state.step, state.seconds)
        if not state.is_new:
            self._restore_log_state(log or {})
            self._saved_state = state.to_json()
        self.write_status(state)
        self.progress.start(state.total_steps, state.step, title, self._describe_length(state))
        if self._saves_before_validation and state.seen < state.step:  # killed after the last checkpoint
            self._preview_and_validate(state)
        self._saved = self._status_written = time.monotonic()

    def _describe_length(self, state: TrainState) -> str:
        """The planned steps as text: ``at most 1,000 steps`` if a phase may end before its budget."""
        phases = self.setup.game.phases
        if fits_in_one_step(phases):
            return "fitted in one step"
        ends_early = any(phase.dynamics.may_end_early for phase in phases)
        return f"{'at most ' if ends_early else ''}{count_noun(state.total_steps, 'step')}"

    def on_step_end(self, state: TrainState) -> None:
        if self._intervals.is_due(self._intervals.log, state):
            self.lock.check()
            self._log(state)
        if self._saves_before_validation:
            self._save_when_due(state)
        self._preview_and_validate(state)
        self._save_when_due(state)
        if time.monotonic() - self._status_written > STATUS_SECONDS:
            self.write_status(state)
            self._status_written = time.monotonic()

    def on_train_end(self, state: TrainState) -> None:
        """Save when training is over or was stopped."""
        if self._saved_state != state.to_json():
            self._save(state)

    def export_model(self, state: TrainState) -> None:
        """Write the model folder."""
        self.lock.check()
        self.context.export_model(state)

    def has_finite_samples(self, state: TrainState) -> bool:
        """Whether the current model generates finite samples, or a classifier has finite parameters.

        Raises:
            Exception: of any kind that the sampler raises if it cannot make samples.
        """
        if not self._monitor.can_sample:
            sampler = self.setup.game.sampler()
            return all(bool(parameter.isfinite().all()) for parameter in sampler.parameters())
        if self._finite_at[0] != state.step:
            self._finite_at = (state.step, tree_all_finite(self._monitor.draw_preview(state)[0][0]))
        return self._finite_at[1]

    @property
    def _saves_before_validation(self) -> bool:
        """A checkpoint precedes what may fail, unless the result of an evaluation belongs into it."""
        return self.config.validation.select is None

    def _preview_and_validate(self, state: TrainState) -> None:
        """Preview and evaluate, if due."""
        if self._monitor.can_sample and self._intervals.is_due(self._intervals.preview, state):
            with _timed_overhead(state, "previews"):
                self._try("preview", state, lambda: self._preview(state))
        if self._intervals.is_evaluation_due(state):
            with _timed_overhead(state, "evaluation"):
                self._evaluate(state)
        state.seen = state.step

    def _try(self, what: str, state: TrainState, action: Callable[[], T]) -> T | None:
        """Returns None on failure: a failed preview or evaluation must not stop training."""
        self.lock.check()
        try:
            return action()
        except Exception as error:
            self.progress.note(f"{what} of step {state.step} failed: {describe_error(error, 300)}")
        finally:
            self.setup.game.train()
        return None

    def _save_when_due(self, state: TrainState) -> None:
        every = self.config.checkpoint.every
        permanent = every is not None and state.step % every == 0 and state.step != self._saved_step
        if permanent or time.monotonic() - self._saved > self.config.checkpoint.seconds:
            self._save(state)

    def _save(self, state: TrainState) -> None:
        with _timed_overhead(state, "checkpoints"):
            self.lock.check()
            self.context.save_checkpoint(state, self._log_state())
            self.write_status(state)
            if self.config.validation.select is None or not state.best:
                self.export_model(state)
        self._saved = self._status_written = time.monotonic()
        self._saved_step = state.step
        self._saved_state = state.to_json()
        plugins().call_observers(
            "gancore_checkpoint_saved",
            run=self.run,
            step=state.step,
            path=self.run.checkpoints / f"step-{state.step:09d}",
        )

    def _log_state(self) -> dict[str, Json]:
        """What the next line of the log needs from the steps before it."""
        sums = {name: list(sum_and_count) for name, sum_and_count in self.setup.scalars.sums().items()}
        return {"sums": sums, "since": list(self._logged), "masked": dict(self._masked)}

    def _restore_log_state(self, log: Mapping[str, Json]) -> None:
        """Ignores an invalid log state: it affects logged means, not training."""
        try:
            sums = {name: (float(total), int(count)) for name, (total, count) in log["sums"].items()}
            step, seconds = log["since"]
            masked = {str(move): int(steps) for move, steps in log["masked"].items()}
            self._logged = (int(step), float(seconds))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            return
        self._masked = masked
        self.setup.scalars.load({name: summed for name, summed in sums.items() if summed[1] > 0})

    def _log(self, state: TrainState) -> None:
        scalars, findings = self._monitor.read_scalars(state)
        step, seconds = self._logged
        steps, spent = state.step - step, max(1e-9, state.seconds - seconds)
        self._logged = (state.step, state.seconds)
        phase = self._monitor.phase_name(state)
        facts = {
            "seconds": round(state.seconds, 3),
            "samples": state.step * self.setup.samples_per_step,
            "phase": phase,
        }
        self.logger.log_scalars(state.step, {**facts, **scalars})
        self.progress.update(
            ProgressReport(
                step=state.step,
                total=state.total_steps,
                samples_per_second=steps * self.setup.samples_per_step / spent,
                eta_seconds=(state.total_steps - state.step) * spent / max(1, steps),
                scalars=scalars,
                memory_megabytes=peak_memory_mb(self.setup.batches.key.device),
                phase=phase if len(state.plan) > 1 else "",
            )
        )
        self._print_findings(findings)
        if self._monitor.is_motion_due(state):
            with _timed_overhead(state, "motion"):
                moved = self._try("motion", state, lambda: self._monitor.check_motion(state))
                self._print_findings(moved or [])
        plugins().call_observers("gancore_step_logged", run=self.run, step=state.step, scalars=scalars)
        self._stop_if_masked(state, scalars, steps)

    def _stop_if_masked(self, state: TrainState, scalars: Mapping[str, float], steps: int) -> None:
        """Raises TrainingError if all recent updates of a move were masked; not every log has lazy moves."""
        for name, share in scalars.items():
            move = name.removesuffix("/masked")
            if move != name:
                self._masked[move] = self._masked.get(move, 0) + steps if share == 1 else 0
                if self._masked[move] >= MAX_MASKED_STEPS:
                    raise TrainingError(
                        f"every update of the {move} had a gradient that is not finite, in"
                        f" {self._masked[move]} steps up to step {state.step}",
                        "lower the learning rates, clip gradients, or train in fp32 (--precision fp32)",
                    )

    def describe_masked(self, state: TrainState) -> str:
        """Which move's updates were all masked at the end of the run; empty if there is none."""
        fewest = min(MAX_MASKED_STEPS, max(MIN_MASKED_STEPS, MASKED_SHARE * state.step))
        return next(
            (
                f"every update of the {move} had a gradient that is not finite in the last {steps} steps"
                for move, steps in self._masked.items()
                if steps >= fewest
            ),
            "",
        )

    def _preview(self, state: TrainState) -> None:
        drawn, findings = self._monitor.draw_preview(state)
        self._print_findings(findings)
        self._finite_at = (state.step, tree_all_finite(drawn[0]))
        if self._intervals.evaluate == 0:
            state.verdict = quality_warning(drawn[0], self.validator.diversity)
        if not self._finite_at[1]:
            return
        samples = to_samples(drawn, self.context.data.spec)
        if not is_early(state):
            self._print_new_findings(self.domain.diagnose(samples))
        train = next(iter(self.context.data.views("train").values()))
        remarks = self._try("remarks", state, lambda: self.domain.remarks(samples, train))
        samples = replace(samples, remarks=remarks or ())
        for line in self.domain.text_lines(samples, 1):
            self.progress.note(f"a sample of step {state.step:,}: {line}")
        folder = self.run.samples / f"step-{state.step:09d}"
        remove(folder)  # written before the run was resumed from an earlier step
        try:
            writer = f"the domain {self.domain.name!r}"
            paths = write_files_atomic(folder, lambda aside: self.domain.write(samples, aside), writer)
        except (OSError, GancoreError) as error:
            return self.progress.note(f"preview of step {state.step} not written: {describe_error(error)}")
        if not any(map(is_overview, paths)):
            write = partial(write_preview, self.domain, samples, folder)
            paths += self._try("picture", state, write) or []
        self.logger.log_samples(state.step, samples, self.domain, paths)
        plugins().call_observers("gancore_samples_written", run=self.run, step=state.step, paths=paths)

    def _evaluate(self, state: TrainState) -> None:
        samples, values = self._try("evaluation", state, lambda: self._measure(state)) or (None, {})
        if values:
            self.logger.log_scalars(state.step, {f"valid/{name}": value for name, value in values.items()})
        name = self.config.validation.select
        if name is None:
            state.verdict = self._warning(samples, values)
            return
        if not self.setup.game.phases[state.phase_index].selects:
            return
        value = values.get(name, math.nan)
        if not math.isfinite(value):
            note = f"{name} on valid is {value} at step {state.step}: this step cannot be selected"
            self.progress.note(note)
        elif self._is_best(state, name, value):
            state.best = {"metric": name, "step": state.step, "value": value, "since": 0}
            state.verdict = self._warning(samples, values)
            self.export_model(state)
        elif self._patience_exceeded(state):
            self.progress.note(f"{name} on valid has not improved since step {state.best['step']}: done")
            state.end_here()

    def _measure(self, state: TrainState) -> tuple[Tree, Mapping[str, float]]:
        samples, findings = self._monitor.draw_samples(state)
        self._print_findings(findings)
        return samples, self.validator.validate(self.setup.game.sampler().eval(), samples)

    def _warning(self, samples: Tree, values: Mapping[str, float]) -> str:
        if samples is None:
            return ""
        return quality_warning(samples, self.validator.diversity, self.validator.noise_baseline(values))

    def _is_best(self, state: TrainState, name: str, value: float) -> bool:
        if state.best.get("metric") != name:
            return True
        return self.validator.is_better(name, value, state.best["value"])

    def _patience_exceeded(self, state: TrainState) -> bool:
        """Counts one more evaluation without improvement."""
        state.best["since"] += 1
        return (
            self.config.validation.patience is not None
            and state.best["since"] >= self.config.validation.patience
        )

    def _print_new_findings(self, findings: list[Diagnostic]) -> None:
        """Print a finding of the domain once when it appears, not at every preview."""
        self._print_findings([finding for finding in findings if finding.name not in self._known_findings])
        self._known_findings = {finding.name for finding in findings}

    def _print_findings(self, findings: list[Diagnostic]) -> None:
        keys = self.context.config.model.effective_keys()
        for finding in findings:
            remedy = applicable_fixes(finding.fix, keys)
            self.progress.note(f"{finding.name}: {finding.message}" + (f"; try: {remedy}" if remedy else ""))


@contextlib.contextmanager
def _timed_overhead(state: TrainState, name: str) -> Iterator[None]:
    started = active_time()
    try:
        yield
    finally:
        state.add_overhead(name, active_time() - started)
