"""By what a sweep judges its trials, and the values on valid that a run has logged. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gancore.run_folder import RunFolder, RunStatus, read_metrics


@dataclass(frozen=True)
class Facts:
    """What the first worker found when it opened the data.

    ``metric`` selects models and judges trials, by ``n`` samples; ``fingerprint`` is that of the data.
    """

    metric: str
    higher_is_better: bool
    unit: str
    n: int
    fingerprint: str

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """The direction as optuna names it."""
        return "maximize" if self.higher_is_better else "minimize"

    def best(self, values: Sequence[float]) -> float:
        return max(values) if self.higher_is_better else min(values)


def selecting_values(run: RunFolder, metric: str) -> list[float]:
    """The finite values of a metric on valid, in order, in the phases of a run that select its model."""
    spans = _selecting_spans(run.read_status())
    values = []
    for entry in read_metrics(run.metrics_file):
        value = entry.get(f"valid/{metric}")
        if not isinstance(value, int | float) or not math.isfinite(value):
            continue
        if any(begin < entry["step"] <= end for begin, end in spans):
            values.append(float(value))
    return values


def _selecting_spans(status: RunStatus | None) -> list[tuple[int, int]]:
    """First step (excluded) and last step of each phase that selects."""
    spans, step = [], 0
    for phase in status.phases if status else ():
        begin, step = step, step + int(phase["steps"])
        if phase.get("selects", True):
            spans.append((begin, step))
    return spans
