"""What a run does between rounds: log, preview, evaluate, save, each on its cadence."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import torch
from torch import nn

from gancore.config import UpkeepSection
from gancore.domain import Domain, Finding, Spec
from gancore.errors import GancoreError, TrainingError, in_words
from gancore.files import Json, discard, write_whole
from gancore.games.field import Table
from gancore.models.sampling import as_samples
from gancore.plugins import plugins
from gancore.runtime.device import memory_megabytes
from gancore.symptoms import applicable
from gancore.training.evaluation import Evaluator
from gancore.training.film import keep_picture, shows_all
from gancore.training.progress import Progress, Report
from gancore.training.run import RunFolder
from gancore.training.state import State
from gancore.training.tracking import Tracker
from gancore.training.verdict import verdict
from gancore.training.watching import Cadence, Watch, is_early
from gancore.trees import Tree, all_finite

T = TypeVar("T")
HOPELESS = 200
"""Rounds on end in which every step of a player was masked, before the run is stopped."""
STATUS_SECONDS = 5.0
"""Between two updates of run.json while nothing is saved."""


@dataclass
class Upkeep:
    """Called after every round.

    ``save`` writes a checkpoint with what the log has gathered, ``publish`` the model folder, ``heard`` how
    far the run is; ``check`` raises where the run folder is no longer this run's.

    ``total`` is the number of rounds planned at first: cadences that are neither given nor ``planned`` are
    shares of it. ``keys`` are those of the recipe's section: remedies name no others.

    Nothing here changes training, but that selection may end it early; and that is a function of the
    step, so that a resumed run equals an undisturbed one. A preview or an evaluation that fails is noted,
    and training goes on.
    """

    run: RunFolder
    table: Table
    domain: Domain
    spec: Spec
    settings: UpkeepSection
    total: int
    seed: int
    progress: Progress
    tracker: Tracker
    evaluator: Evaluator
    save: Callable[[State, Mapping[str, Json]], None]
    publish: Callable[[State], None]
    heard: Callable[[State], None]
    check: Callable[[], None]
    planned: Mapping[str, int] = field(default_factory=dict)
    keys: Container[str] = ()
    _masked: dict[str, int] = field(default_factory=dict)
    _logged: tuple[int, float] = (0, 0.0)
    _in_checkpoint: Mapping[str, Json] = field(default_factory=dict)
    _present: set[str] = field(default_factory=set)
    _finite: tuple[int, bool] = (-1, True)
    _saved_step: int = -1

    def __post_init__(self) -> None:
        self._saved = self._heard = time.monotonic()
        self._cadence = Cadence.of(self.settings, self.total, self.planned)
        self._watch = Watch(
            self.table,
            self.domain,
            self.spec,
            self.evaluator,
            self._cadence,
            self.settings.previews,
            self.seed,
        )

    def begin(self, state: State, title: str, log: Mapping[str, Json] | None = None) -> None:
        """``log``: what the checkpoint that the run goes on from kept for its next line."""
        self._logged = (state.step, state.seconds)
        if not state.new:
            self._recall(log or {})
            self._in_checkpoint = state.to_json()
        self.heard(state)
        self.progress.start(state.total, state.step, title)
        if self._saves_first and state.seen < state.step:  # a kill came between the checkpoint and these
            self._look(state)
        self._saved = self._heard = time.monotonic()

    def __call__(self, state: State) -> None:
        if self._cadence.due(self._cadence.log, state):
            self.check()
            self._log(state)
        if self._saves_first:
            self._save_when_due(state)
        self._look(state)
        self._save_when_due(state)
        if time.monotonic() - self._heard > STATUS_SECONDS:
            self.heard(state)
            self._heard = time.monotonic()

    def finish(self, state: State) -> None:
        """When training is over or was asked to stop."""
        if self._in_checkpoint != state.to_json():
            self._save(state)

    @property
    def _saves_first(self) -> bool:
        """A checkpoint comes before what may fail; not where an evaluation belongs into it."""
        return self.settings.select is None

    def _look(self, state: State) -> None:
        """Preview and evaluate, where that is due."""
        if self._watch.has_previews and self._cadence.due(self._cadence.preview, state):
            with _counted(state, "previews"):
                self._attempt("preview", state, lambda: self._preview(state))
        if self._cadence.due(self._cadence.evaluate, state):
            with _counted(state, "evaluation"):
                self._evaluate(state)
        state.seen = state.step

    def _attempt(self, what: str, state: State, action: Callable[[], T]) -> T | None:
        """None where it fails: looking at a model is no reason to lose it."""
        self.check()
        try:
            return action()
        except Exception as error:
            self.progress.note(f"{what} of step {state.step} failed: {in_words(error, 300)}")
        finally:
            self.table.game.train()
        return None

    def _save_when_due(self, state: State) -> None:
        every = self.settings.checkpoint_every
        lasting = every is not None and state.step % every == 0 and state.step != self._saved_step
        if lasting or time.monotonic() - self._saved > self.settings.checkpoint_seconds:
            self._save(state)

    def _gathered(self) -> dict[str, Json]:
        """What the next line of the log needs of the rounds before it."""
        sums = {name: list(sum_and_count) for name, sum_and_count in self.table.statistics.sums().items()}
        return {"sums": sums, "since": list(self._logged), "masked": dict(self._masked)}

    def _recall(self, log: Mapping[str, Json]) -> None:
        """Of a log that is not in order nothing is used: it tells means, and trains nothing."""
        try:
            sums = {name: (float(total), int(count)) for name, (total, count) in log["sums"].items()}
            step, seconds = log["since"]
            masked = {str(move): int(rounds) for move, rounds in log["masked"].items()}
            self._logged = (int(step), float(seconds))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            return
        self._masked = masked
        self.table.statistics.recall({name: told for name, told in sums.items() if told[1] > 0})

    def has_finite_samples(self, state: State) -> bool:
        """Whether the model as it stands makes finite samples; of a judge, whether its parameters are.

        Raises:
            Exception: of whatever kind the sampler raises where it can make none.
        """
        if not self._watch.has_previews:
            sampler = self.table.game.sampler()
            return all(bool(parameter.isfinite().all()) for parameter in sampler.parameters())
        if self._finite[0] != state.step:
            self._finite = (state.step, all_finite(self._watch.preview(state)[0][0]))
        return self._finite[1]

    def _log(self, state: State) -> None:
        scalars, found = self._watch.log(state)
        step, seconds = self._logged
        rounds, spent = state.step - step, max(1e-9, state.seconds - seconds)
        self._logged = (state.step, state.seconds)
        phase = self._watch.phase(state)
        facts = {
            "seconds": round(state.seconds, 3),
            "samples": state.step * self.table.samples_a_round,
            "phase": phase,
        }
        self.tracker.scalars(state.step, {**facts, **scalars})
        self.progress.update(
            Report(
                step=state.step,
                total=state.total,
                samples_per_second=rounds * self.table.samples_a_round / spent,
                eta_seconds=(state.total - state.step) * spent / max(1, rounds),
                scalars=scalars,
                memory_megabytes=memory_megabytes(self.table.dealer.key.device),
                phase=phase if len(state.plan) > 1 else "",
            )
        )
        self._tell(found)
        if self._watch.sees_motion(state):
            with _counted(state, "motion"):
                self._tell(self._attempt("motion", state, lambda: self._watch.motion(state)) or [])
        plugins().observe("gancore_step_end", run=self.run, step=state.step, scalars=scalars)
        self._stop_when_hopeless(state, scalars, rounds)

    def _stop_when_hopeless(self, state: State, scalars: Mapping[str, float], rounds: int) -> None:
        """Raises TrainingError where no step of a move was made for long; lazy moves are not in every log."""
        for name, share in scalars.items():
            move = name.removesuffix("/masked")
            if move != name:
                self._masked[move] = self._masked.get(move, 0) + rounds if share == 1 else 0
                if self._masked[move] >= HOPELESS:
                    raise TrainingError(
                        f"no step of the {move} had a finite gradient in {self._masked[move]} rounds"
                        f" up to step {state.step}",
                        "lower the learning rates, clip gradients, or train in fp32 (--precision fp32)",
                    )

    def _preview(self, state: State) -> None:
        made, found = self._watch.preview(state)
        self._tell(found)
        self._finite = (state.step, all_finite(made[0]))
        if self._cadence.evaluate == 0:
            state.verdict = verdict(made[0], self.evaluator.diversity)
        if not self._finite[1]:
            return
        samples = as_samples(made, self.spec)
        if not is_early(state):
            self._tell_news(self.domain.diagnose(samples))
        folder = self.run.samples / f"step-{state.step:09d}"
        discard(folder)  # of an earlier life of the run
        try:
            writer = f"the domain {self.domain.name!r}"
            paths = write_whole(folder, lambda aside: self.domain.write(samples, aside), writer)
        except (OSError, GancoreError) as error:
            return self.progress.note(f"preview of step {state.step} not written: {in_words(error)}")
        if not any(map(shows_all, paths)):
            keep = partial(keep_picture, self.domain, samples, folder)
            paths += self._attempt("picture", state, keep) or []
        self.tracker.samples(state.step, samples, self.domain, paths)
        plugins().observe("gancore_samples", run=self.run, step=state.step, paths=paths)

    def _evaluate(self, state: State) -> None:
        samples, values = self._attempt("evaluation", state, lambda: self._measured(state)) or (None, {})
        if values:
            self.tracker.scalars(state.step, {f"valid/{name}": value for name, value in values.items()})
        name = self.settings.select
        if name is None:
            state.verdict = self._verdict(samples, values)
            return
        value = values.get(name, math.nan)
        if not math.isfinite(value):
            self.progress.note(f"{name} on valid is {value} at step {state.step}: not a model to choose")
        elif self._is_best(state, name, value):
            state.best = {"measure": name, "step": state.step, "value": value, "since": 0}
            state.verdict = self._verdict(samples, values)
            self.publish(state)
        elif self._is_over_patience(state):
            self.progress.note(f"{name} on valid has not improved since step {state.best['step']}: done")
            state.finish()

    def _measured(self, state: State) -> tuple[Tree, Mapping[str, float]]:
        samples, found = self._watch.evaluate(state)
        self._tell(found)
        return samples, self.evaluator(self.table.game.sampler().eval(), samples)

    def _verdict(self, samples: Tree, values: Mapping[str, float]) -> str:
        if samples is None:
            return ""
        return verdict(samples, self.evaluator.diversity, self.evaluator.beside_noise(values))

    def _is_best(self, state: State, name: str, value: float) -> bool:
        if state.best.get("measure") != name:
            return True
        return self.evaluator.better(name, value, state.best["value"])

    def _is_over_patience(self, state: State) -> bool:
        """Counts one more evaluation without improvement."""
        state.best["since"] += 1
        return self.settings.patience is not None and state.best["since"] >= self.settings.patience

    def _save(self, state: State) -> None:
        with _counted(state, "checkpoints"):
            self.save(state, self._gathered())
            if self.settings.select is None or not state.best:
                self.publish(state)
        self._saved = self._heard = time.monotonic()
        self._saved_step = state.step
        self._in_checkpoint = state.to_json()
        plugins().observe(
            "gancore_checkpoint",
            run=self.run,
            step=state.step,
            path=self.run.checkpoints / f"step-{state.step:09d}",
        )

    def _tell_news(self, findings: list[Finding]) -> None:
        """A fault of the domain is told when it appears, not at every preview that still has it."""
        self._tell([finding for finding in findings if finding.name not in self._present])
        self._present = {finding.name for finding in findings}

    def _tell(self, findings: list[Finding]) -> None:
        for finding in findings:
            remedy = applicable(finding.remedy, self.keys)
            self.progress.note(f"{finding.name}: {finding.seen}" + (f"; try: {remedy}" if remedy else ""))


@contextlib.contextmanager
def _counted(state: State, name: str) -> Iterator[None]:
    began = time.perf_counter()
    try:
        yield
    finally:
        state.spend(name, time.perf_counter() - began)


def parameter_count(module: nn.Module) -> int:
    return sum(tensor.numel() for tensor in module.state_dict().values() if torch.is_floating_point(tensor))
