"""The study of a sweep: its settings and its trials, each of which one worker claims. Imports optuna.

A trial is in the state RUNNING from its proposal until its result is recorded. The worker that trains it
holds its lock file. A trial that is RUNNING and not locked was left by a worker that was stopped or killed:
the next worker that claims a trial continues it.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from gancore.errors import ConfigError
from gancore.file_lock import FileLock
from gancore.sweep.config import RECIPE, Params, SweepConfig
from gancore.sweep.facts import Facts
from gancore.sweep.search import Dimension
from gancore.sweep.storage import SweepFolder, shown
from gancore.trainings import first_difference

SETTINGS = "gancore"
"""The attribute of a study that holds its settings."""
STARTS, FAILURE = "starts", "failure"
"""Attributes of a trial: the step at every start, and why it failed."""
STARTUP_TRIALS = 5
"""Trials that end before the first is pruned."""
STARTUP_VALIDATIONS = 3
"""Validations of a trial before which it is not pruned."""


@dataclass
class Claim:
    """A trial on which this worker works; it is free again when ``stack`` is closed."""

    number: int
    trial_id: int
    params: Params
    stack: contextlib.ExitStack
    lock: FileLock
    starts: list[int] = field(default_factory=list)


class SweepStudy:
    """The study of a sweep in its storage, beside its folder."""

    def __init__(
        self, storage: BaseStorage, name: str, folder: SweepFolder, config: SweepConfig, facts: Facts
    ) -> None:
        self.storage, self.folder, self.config, self.facts = storage, folder, config, facts
        pruner = optuna.pruners.MedianPruner(STARTUP_TRIALS, STARTUP_VALIDATIONS)
        self.study = optuna.load_study(
            study_name=name,
            storage=storage,
            pruner=pruner if config.prune else optuna.pruners.NopPruner(),
        )

    # Trials

    def trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    @property
    def running(self) -> int:
        """The number of trials that have not ended."""
        return [trial.state for trial in self.trials()].count(TrialState.RUNNING)

    def claim(self, limit: int) -> Claim | None:
        """A trial to work on: one that was left, or a new one while there are fewer than ``limit``.

        None: all trials have ended, or other workers work on them.
        """
        with contextlib.ExitStack() as stack, self.folder.claiming():
            trials = self.trials()
            for trial in trials:
                if trial.state == TrialState.RUNNING and (lock := self.folder.try_lock(trial.number, stack)):
                    if self.trials()[trial.number].state == TrialState.RUNNING:
                        return self._open(trial.number, stack.pop_all(), lock)
                    stack.close()
            if len(trials) >= limit:
                return None
            self.study.sampler = self._sampler(len(trials))
            number = self.study.ask().number
            if lock := self.folder.try_lock(number, stack):
                return self._open(number, stack.pop_all(), lock)
        return None

    def _open(self, number: int, stack: contextlib.ExitStack, lock: FileLock) -> Claim:
        """The trial with all its parameters, also if it was left before all were proposed."""
        self.study.sampler = self._sampler(number)
        frozen = self.trials()[number]
        trial = optuna.trial.Trial(self.study, frozen._trial_id)
        try:
            params = self._propose(trial)
        except BaseException:
            stack.close()
            raise
        starts = list(frozen.user_attrs.get(STARTS, []))
        return Claim(number, frozen._trial_id, params, stack, lock, starts)

    def _propose(self, trial: optuna.trial.Trial) -> dict[str, Any]:
        names = list(self.config.recipes)
        params: dict[str, Any] = {}
        if len(names) > 1:
            params[RECIPE] = trial.suggest_categorical(RECIPE, names)
        for dimension in self.config.dimensions_of(self.config.recipe_of(params)):
            params[dimension.name] = _suggest(trial, dimension)
        return params

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        """TPE with a seed of its own for each trial, so that parallel workers propose different ones."""
        seed = (self.config.seed * 1_000_003 + number) % 2**32
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.TPESampler(
                seed=seed, multivariate=True, group=len(self.config.recipes) > 1
            )

    # Results

    def start(self, claim: Claim, step: int) -> None:
        """Record that work on a trial starts at this step of its run."""
        claim.starts.append(step)
        self.storage.set_trial_user_attr(claim.trial_id, STARTS, claim.starts)

    def report(self, claim: Claim, values: Sequence[float]) -> bool:
        """Record values on valid, in order; return whether the trial should be stopped early."""
        known = self.storage.get_trial(claim.trial_id).intermediate_values
        for number, value in enumerate(values):
            if number not in known:
                self.storage.set_trial_intermediate_value(claim.trial_id, number, value)
        trial = self.storage.get_trial(claim.trial_id)
        return bool(values) and self.study.pruner.prune(self.study, trial)

    def complete(self, claim: Claim, value: float) -> None:
        self.study.tell(claim.number, value)

    def prune(self, claim: Claim) -> None:
        self.study.tell(claim.number, state=TrialState.PRUNED)

    def fail(self, claim: Claim, reason: str) -> None:
        self.storage.set_trial_user_attr(claim.trial_id, FAILURE, " ".join(reason.split()))
        self.study.tell(claim.number, state=TrialState.FAIL)


def _suggest(trial: optuna.trial.Trial, dimension: Dimension) -> Any:
    name, low, high = dimension.name, dimension.low, dimension.high
    if dimension.kind == "choice":
        return trial.suggest_categorical(name, dimension.choices)
    if dimension.kind == "int":
        return trial.suggest_int(name, int(low), int(high), step=int(dimension.step or 1), log=dimension.log)
    return trial.suggest_float(name, low, high, step=dimension.step, log=dimension.log)


def join_study(
    storage: BaseStorage, name: str, where: str, folder: SweepFolder, config: SweepConfig, facts: Facts
) -> SweepStudy:
    """Create the study, or join one that has the same settings.

    Raises:
        ConfigError: the storage has another study of this name, or its settings or data differ.
    """
    settings = {"config": config.model_dump(mode="json"), "facts": asdict(facts)}
    with folder.claiming():
        identity = folder.identity()
        if name not in optuna.get_all_study_names(storage):
            _refuse_lost_trials(folder, where)
            optuna.create_study(study_name=name, storage=storage, direction=facts.direction)
        study = optuna.load_study(study_name=name, storage=storage)
        stored = study.user_attrs.get(SETTINGS)
        if stored is None and not study.get_trials(deepcopy=False):  # killed before it stored its settings
            stored = {**settings, "id": identity, "folder": str(folder.path.absolute())}
            study.set_user_attr(SETTINGS, stored)
    if stored is None:
        raise ConfigError(
            f"the study {name!r} in {shown(where)} is none of `gancore sweep`",
            "give another --study",
        )
    if stored.get("id") != identity:
        raise ConfigError(
            f"the runs of the study {name!r} are not in {folder.path}",
            f"give the folder that all workers share; the first was given {stored.get('folder')}",
        )
    _check_agreement(stored, config, facts, where)
    return SweepStudy(storage, name, folder, config, facts)


def _refuse_lost_trials(folder: SweepFolder, where: str) -> None:
    if any(folder.trials.iterdir()):
        raise ConfigError(
            f"{folder.path} has the runs of a sweep that is not in {shown(where)}",
            "restore its storage, or give another folder",
        )


def _check_agreement(stored: Mapping[str, Any], config: SweepConfig, facts: Facts, where: str) -> None:
    """Raise ConfigError with the first setting that differs from those of the study."""
    known = read_settings(stored, where)
    before, now = (each.model_copy(update={"data": None}) for each in (known[0], config))
    changed = first_difference(before, now)
    if not changed and known[1] != facts:
        old, new = asdict(known[1]), asdict(facts)
        name = next(name for name in old if old[name] != new[name])
        sources = f" ({known[0].data} -> {config.data})" if name == "fingerprint" else ""
        changed = f"{'data' if name == 'fingerprint' else name}: {old[name]} -> {new[name]}{sources}"
    if changed:
        raise ConfigError(
            f"{shown(where)} has a sweep with different settings: {changed}",
            "repeat the command of its first worker, or give another --storage",
        )


def read_settings(stored: Mapping[str, Any], where: str) -> tuple[SweepConfig, Facts]:
    """Settings and facts of a study.

    Raises:
        ConfigError: they were stored by another version of gancore.
    """
    try:
        return SweepConfig.make(**stored["config"]), Facts(**stored["facts"])
    except (KeyError, TypeError, ConfigError) as error:
        raise ConfigError(
            f"the settings of the sweep in {shown(where)} do not fit this gancore: {error}",
            "use the gancore that started it, or start a new sweep",
        ) from error
