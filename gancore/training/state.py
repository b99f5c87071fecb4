"""The state of a training, except its tensors: what a resumed run needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from gancore.errors import CheckpointError
from gancore.games.game import Phase


@dataclass
class TrainState:
    """``plan`` is the number of steps of each phase, fixed before the first one.

    A phase or a run may end early, which shortens its plan; ``planned`` remains the sum before that, so that
    what depends on it does not change when the run is resumed.

    ``seconds`` counts training alone; ``spent`` the seconds of everything else (timing, evaluation, previews,
    checkpoints). ``cadence``: steps from one preview or evaluation to the next if a budget in seconds
    decides them, 0 for never. ``best`` is the result of selection on valid: measure, step, value, and the
    number of evaluations since. ``verdict`` says what is wrong with the current model; empty: nothing known.
    ``stop_signal``: the signal that stops training, or empty. ``seen`` is the last step after which the
    previews and evaluations that were due had been made.
    """

    plan: list[int]
    step: int = 0
    phase_index: int = 0
    step_in_phase: int = 0
    seconds: float = 0.0
    best: dict[str, Any] = field(default_factory=dict)
    planned: int = 0
    seen: int = 0
    stop_signal: str = ""
    cadence: dict[str, int] = field(default_factory=dict)
    spent: dict[str, float] = field(default_factory=dict)
    verdict: str = ""

    def __post_init__(self) -> None:
        self.planned = self.planned or self.total_steps

    @property
    def is_new(self) -> bool:
        return self.step == 0

    @property
    def total_steps(self) -> int:
        return sum(self.plan)

    def current_phase(self, phases: Sequence[Phase]) -> Phase | None:
        """The phase of the next step; None when training is over or a signal stops it."""
        while self._phase_is_over and self.phase_index + 1 < len(phases):
            self.phase_index, self.step_in_phase = self.phase_index + 1, 0
        if self.stop_signal or self._phase_is_over:
            return None
        return phases[self.phase_index]

    @property
    def _phase_is_over(self) -> bool:
        return self.step_in_phase >= self.plan[self.phase_index]

    @property
    def ends_phase(self) -> bool:
        """Whether the step before was the last of its phase."""
        return not self.is_new and self._phase_is_over

    @property
    def progress(self) -> float:
        """Share of the phase that is done, from 0 to 1."""
        return self.step_in_phase / self.plan[self.phase_index]

    @property
    def progress_end(self) -> float:
        """:attr:`progress` after the next step: 1 in the last one."""
        return (self.step_in_phase + 1) / self.plan[self.phase_index]

    def advance(self, phase_done: bool | None) -> None:
        """Count one step; ``phase_done`` ends the phase here."""
        self.step += 1
        self.step_in_phase += 1
        if phase_done:
            self.plan[self.phase_index] = self.step_in_phase

    def end_here(self) -> None:
        """End training here: the plan becomes the steps that were played."""
        self.plan = [
            *self.plan[: self.phase_index],
            self.step_in_phase,
            *[0] * (len(self.plan) - self.phase_index - 1),
        ]

    def add_overhead(self, name: str, seconds: float) -> None:
        """Count seconds that were not training."""
        self.spent[name] = self.spent.get(name, 0.0) + seconds

    def change_budget(self, plan: Sequence[int]) -> None:
        """Plan for another budget: finished steps stay, and the last phase takes the rest."""
        now = self.phase_index
        self.planned = sum(plan)
        self.plan = [*self.plan[:now], max(plan[now], self.step_in_phase), *plan[now + 1 :]]
        self.plan[-1] += max(0, self.planned - self.total_steps)

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name != "stop_signal"}

    @classmethod
    def from_json(cls, values: Any, phases: int) -> TrainState:
        """The state of a game with this number of phases. Raises CheckpointError, naming the wrong key."""
        if not isinstance(values, dict) or set(values) - {field.name for field in fields(cls)}:
            raise CheckpointError("state: its keys are not those of a training state")
        counts = ("step", "phase_index", "step_in_phase", "planned", "seen")
        right = {name: _is_count(values[name]) for name in counts if name in values}
        plan, seconds, best = (values.get(name, usual) for name, usual in _USUAL.items())
        right["plan"] = isinstance(plan, list) and len(plan) == phases and all(map(_is_count, plan))
        right["seconds"] = _is_duration(seconds)
        right["best"] = isinstance(best, dict) and (not best or _is_best(best))
        right["stop_signal"] = "stop_signal" not in values
        right["cadence"] = _is_table(values.get("cadence", {}), _is_count)
        right["spent"] = _is_table(values.get("spent", {}), _is_duration)
        right["verdict"] = isinstance(values.get("verdict", ""), str)
        right["phase_index"] = right.get("phase_index", True) and values.get("phase_index", 0) < phases
        for name, good in right.items():
            if not good:
                raise CheckpointError(f"state: {name} is {values.get(name)!r}"[:200])
        return cls(**values)


_USUAL: dict[str, Any] = {"plan": None, "seconds": 0.0, "best": {}}


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**53


def _is_duration(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < math.inf


def _is_table(values: Any, good: Callable[[Any], bool]) -> bool:
    """Whether these are names, each with a good value."""
    return isinstance(values, dict) and all(isinstance(n, str) and good(v) for n, v in values.items())


def _is_best(best: dict[str, Any]) -> bool:
    return (
        set(best) == {"metric", "step", "value", "since"}
        and isinstance(best["metric"], str)
        and _is_count(best["step"])
        and _is_count(best["since"])
        and type(best["value"]) in (int, float)
    )
