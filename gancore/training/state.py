"""Where a run stands: everything but tensors that a resumed run must know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from gancore.games.game import Phase


@dataclass
class State:
    """``plan`` is the number of rounds of each phase, fixed before the first one.

    A phase or a run may end early, and its plan with it; ``planned`` remains the sum before that, so
    that what hangs on it does not change when the run is resumed.

    ``seconds`` counts training alone; ``spent`` counts what else took time (timing, evaluation, previews,
    checkpoints), in seconds. ``cadence``: rounds from one preview or evaluation to the next where a budget in
    seconds decides them, 0 for never. ``best`` is what selection on valid has found: measure, step, value,
    and evaluations since. ``verdict`` says what is wrong with the model that stands, empty: nothing known.
    ``stopping`` says who asked to stop.
    """

    plan: list[int]
    step: int = 0
    phase_index: int = 0
    round_in_phase: int = 0
    seconds: float = 0.0
    best: dict[str, Any] = field(default_factory=dict)
    planned: int = 0
    stopping: str = ""
    cadence: dict[str, int] = field(default_factory=dict)
    spent: dict[str, float] = field(default_factory=dict)
    verdict: str = ""

    def __post_init__(self) -> None:
        self.planned = self.planned or self.total

    @property
    def new(self) -> bool:
        return self.step == 0

    @property
    def total(self) -> int:
        return sum(self.plan)

    def phase(self, phases: Sequence[Phase]) -> Phase | None:
        """The phase of the next round; None when training is over or was asked to stop."""
        while self._phase_is_over and self.phase_index + 1 < len(phases):
            self.phase_index, self.round_in_phase = self.phase_index + 1, 0
        if self.stopping or self._phase_is_over:
            return None
        return phases[self.phase_index]

    @property
    def _phase_is_over(self) -> bool:
        return self.round_in_phase >= self.plan[self.phase_index]

    @property
    def progress(self) -> float:
        """Of the phase, from 0 to 1."""
        return self.round_in_phase / self.plan[self.phase_index]

    def advance(self, done: bool | None) -> None:
        """One round more; ``done`` ends the phase here."""
        self.step += 1
        self.round_in_phase += 1
        if done:
            self.plan[self.phase_index] = self.round_in_phase

    def finish(self) -> None:
        """End training here: the plan becomes what was done."""
        self.plan = [
            *self.plan[: self.phase_index],
            self.round_in_phase,
            *[0] * (len(self.plan) - self.phase_index - 1),
        ]

    def spend(self, name: str, seconds: float) -> None:
        """Count time that was not training."""
        self.spent[name] = self.spent.get(name, 0.0) + seconds

    def replan(self, plan: Sequence[int]) -> None:
        """Another budget: what was done stays, and the last phase takes what is then left."""
        now = self.phase_index
        self.planned = sum(plan)
        self.plan = [*self.plan[:now], max(plan[now], self.round_in_phase), *plan[now + 1 :]]
        self.plan[-1] += max(0, self.planned - self.total)

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name != "stopping"}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> State:
        return cls(**values)
