"""What an experiment is: a question, a set-up, a prediction, and what was measured beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Relation = Literal["=", "<", ">", "beside"]


@dataclass(frozen=True)
class Check:
    """One measured number with what was predicted of it.

    ``=``: predicted within ``tolerance``; ``<``, ``>``: predicted on that side of the number.
    ``beside``: nothing is predicted, so nothing is judged; the number (if any) is from elsewhere, and given
    only where this set-up is that of elsewhere.
    """

    name: str
    measured: float
    relation: Relation = "beside"
    predicted: float | None = None
    tolerance: float = 0.0
    note: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the prediction came true; None where there was none. What is not a number never did."""
        if self.relation == "beside" or self.predicted is None:
            return None
        if self.relation == "=":
            return abs(self.measured - self.predicted) <= self.tolerance
        return self.measured < self.predicted if self.relation == "<" else self.measured > self.predicted

    @property
    def difference(self) -> float | None:
        """|measured - predicted| where they should be equal."""
        if self.relation != "=" or self.predicted is None:
            return None
        return abs(self.measured - self.predicted)


@dataclass(frozen=True)
class Outcome:
    """What an experiment measured.

    ``curves`` holds what the picture shows, ``remarks`` what the numbers alone do not say, ``setup``
    numbers that came up on the way (of parameters, say) and belong to the set-up; ``found`` what was measured
    beyond the checks, for the JSON.
    """

    checks: Sequence[Check]
    curves: Mapping[str, Any] = field(default_factory=dict)
    remarks: Sequence[str] = ()
    setup: Mapping[str, Any] = field(default_factory=dict)
    found: Mapping[str, Any] = field(default_factory=dict)

    @property
    def judged(self) -> list[Check]:
        return [check for check in self.checks if check.holds is not None]

    @property
    def reproduced(self) -> bool:
        """Every prediction came true, and there was one."""
        return bool(self.judged) and all(check.holds for check in self.judged)


@dataclass(frozen=True)
class Experiment:
    """``measure(setup, seed)`` plays games and returns an :class:`Outcome`; ``draw`` makes its one picture.

    ``setup`` holds every number of the full version, ``quick`` those that the quick one changes;
    ``seconds`` is what the quick and the full version take, about, on one core.
    """

    question: str
    prediction: str
    source: str
    setup: Mapping[str, Any]
    measure: Callable[[Mapping[str, Any], int], Outcome]
    draw: Callable[[Outcome], Figure]
    quick: Mapping[str, Any] = field(default_factory=dict)
    seconds: tuple[float, float] = (0.0, 0.0)

    def settings(self, quick: bool) -> dict[str, Any]:
        return {**self.setup, **(self.quick if quick else {})}
