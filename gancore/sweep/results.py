"""The results of a sweep as they stand: its trials, the best one, and what each parameter explains."""

from __future__ import annotations

import contextlib
import json
import shlex
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gancore.errors import ConfigError
from gancore.sweep.config import SweepConfig
from gancore.sweep.facts import Facts
from gancore.sweep.storage import SweepFolder, is_url, open_storage, require_optuna, shown

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

State = Literal["complete", "pruned", "failed", "running", "interrupted"]
"""``interrupted``: its worker was stopped or killed; the next worker continues it."""
LONGER = 4
"""The factor of the budget by which the best trial is trained on, in the command that is shown."""
IMPORTANCE_TRIALS = 10
"""Completed trials below which no importances are computed."""


@dataclass(frozen=True)
class TrialResult:
    """One trial. ``value`` is the best on valid; None if there is none. ``reason``: why it failed."""

    number: int
    state: State
    value: float | None
    params: Mapping[str, Any]
    run: Path
    step: int
    seconds: float
    starts: int
    reason: str = ""


@dataclass(frozen=True)
class SweepResults:
    """All trials by number. ``importances``: shares of the variance by parameter; {} if unknown."""

    config: SweepConfig
    facts: Facts
    trials: tuple[TrialResult, ...]
    importances: Mapping[str, float]

    @property
    def best(self) -> TrialResult | None:
        """The completed trial with the best value."""
        complete = [trial for trial in self.trials if trial.state == "complete" and trial.value is not None]
        values = [trial.value for trial in complete if trial.value is not None]
        return next((trial for trial in complete if trial.value == self.facts.best(values)), None)

    @property
    def longer_command(self) -> str:
        """The command that trains the best trial longer; empty if there is none."""
        if self.best is None:
            return ""
        budget = self.config.budget
        amount = f"{LONGER * budget.amount:g}" if budget.unit == "time" else str(int(LONGER * budget.amount))
        words = ["gancore", "train", "--resume", str(self.best.run), f"--{budget.unit}", amount]
        return shlex.join(words)

    @property
    def summary(self) -> str:
        """The number of trials in each state."""
        counts = {state: [trial.state for trial in self.trials].count(state) for state in _ORDER}
        return ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "no trials"

    def to_json(self) -> dict[str, Any]:
        choices = {each.name for each in self.config.dimensions if each.kind == "choice"}
        trials = []
        for trial in self.trials:
            params = {n: json.loads(v) if n in choices else v for n, v in trial.params.items()}
            trials.append({**asdict(trial), "params": params, "run": str(trial.run)})
        return {
            "config": self.config.model_dump(mode="json"),
            **asdict(self.facts),
            "trials": trials,
            "best": None if self.best is None else self.best.number,
            "longer": self.longer_command,
            "importances": dict(self.importances),
        }


_ORDER: tuple[State, ...] = ("complete", "pruned", "failed", "running", "interrupted")


def read_results(storage: str, name: str) -> SweepResults:
    """The results in a storage; nothing is changed there.

    Raises:
        ConfigError: there is no sweep, or it cannot be read.
    """
    require_optuna()
    import optuna

    from gancore.sweep.study import SETTINGS, read_settings

    if not is_url(storage) and not SweepFolder(Path(storage)).journal.is_file():
        raise ConfigError(f"{storage} holds no sweep", "give the --storage of a sweep")
    opened = open_storage(storage)
    names = optuna.get_all_study_names(opened)
    study = optuna.load_study(study_name=name, storage=opened) if name in names else None
    stored = study.user_attrs.get(SETTINGS) if study is not None else None
    if study is None or stored is None:
        known = ", ".join(names) or "none"
        raise ConfigError(f"{shown(storage)} holds no sweep {name!r}", f"give --study: {known}")
    config, facts = read_settings(stored, storage)
    folder = SweepFolder(Path(stored["folder"] if is_url(storage) else storage))
    trials = tuple(_trial_result(trial, folder, facts) for trial in study.get_trials(deepcopy=False))
    return SweepResults(config, facts, trials, _importances(study, trials))


def _trial_result(trial: FrozenTrial, folder: SweepFolder, facts: Facts) -> TrialResult:
    from gancore.sweep.study import FAILURE, STARTS

    run = folder.run(trial.number)
    status = run.read_status()
    seen = list(trial.intermediate_values.values())
    state = _state(trial, folder)
    return TrialResult(
        number=trial.number,
        state=state,
        value=trial.value if state == "complete" else facts.best(seen) if seen else None,
        params=dict(trial.params),
        run=run.path,
        step=0 if status is None else status.step,
        seconds=0.0 if status is None else status.seconds,
        starts=len(trial.user_attrs.get(STARTS, [])),
        reason=str(trial.user_attrs.get(FAILURE, "")),
    )


def _state(trial: FrozenTrial, folder: SweepFolder) -> State:
    from optuna.trial import TrialState

    ended: dict[TrialState, State] = {
        TrialState.COMPLETE: "complete",
        TrialState.PRUNED: "pruned",
        TrialState.FAIL: "failed",
    }
    unfinished: State = "running" if folder.is_locked(trial.number) else "interrupted"
    return ended.get(trial.state, unfinished)


def _importances(study: Study, trials: tuple[TrialResult, ...]) -> dict[str, float]:
    """How much of the variation of the value each parameter explains, as optuna estimates it."""
    from optuna.importance import get_param_importances

    if [trial.state for trial in trials].count("complete") < IMPORTANCE_TRIALS:
        return {}
    with warnings.catch_warnings(), contextlib.suppress(ValueError, RuntimeError):  # equal values
        warnings.simplefilter("ignore")
        return dict(get_param_importances(study))
    return {}
