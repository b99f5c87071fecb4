"""What a preview and an evaluation of a run cost, and how many of them a budget in seconds allows."""

from __future__ import annotations

import contextlib
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gancore.config import UpkeepSection
from gancore.errors import GancoreError
from gancore.models.sampling import as_samples
from gancore.training.patience import TooSlowError, deadline
from gancore.training.state import State
from gancore.training.watching import MOTION_EVERY, Watch
from gancore.trees import map_tree

SHARE, MOST = 0.1, 10
"""Of the budget, what previews and evaluations take together; and how many there are of each, at most."""
MOTION_SHARE = 1 / 20
"""Of the time of training, what looking at the samples' motion takes at most."""
PATIENCE = 1 / 20
"""Of the budget, how long the first preview is waited for before it counts as too slow."""


@dataclass(frozen=True)
class LookCosts:
    """Seconds of one preview and of one evaluation; ``inf``: too slow to be measured within the budget.

    ``motion``: of one look at where samples have moved. ``saving``: of a checkpoint with its model; 0 where
    no cadence is given for it.
    """

    preview: float
    evaluation: float
    motion: float = 0.0
    saving: float = 0.0


@dataclass(frozen=True)
class Looks:
    """How many previews and evaluations a run makes, and the seconds that they take together."""

    previews: int
    evaluations: int
    seconds: float

    def cadence(self, rounds: int) -> dict[str, int]:
        """Rounds from one to the next; 0: never."""
        counts = {"preview": self.previews, "evaluate": self.evaluations}
        return {name: max(1, -(-rounds // count)) if count else 0 for name, count in counts.items()}


def allowed(costs: LookCosts, seconds: float, settings: UpkeepSection) -> Looks:
    """As many pairs of a preview and an evaluation as ``seconds`` allow, then previews for what is left.

    A run that selects its model evaluates it once at least. A cadence that ``settings`` give is not
    limited here: its cost belongs to the rounds (:func:`seconds_of_given`).
    """
    preview = 0.0 if settings.preview_every else costs.preview
    evaluation = 0.0 if settings.evaluate_every else costs.evaluation
    evaluations = max(_affordable(seconds, preview + evaluation), 1 if settings.select else 0)
    left = max(0.0, seconds - (evaluations * evaluation if evaluations else 0.0))
    previews = _affordable(left, preview)
    spent = (evaluations * evaluation if evaluations else 0.0) + (previews * preview if previews else 0.0)
    return Looks(previews, evaluations, spent)


def _affordable(seconds: float, cost: float) -> int:
    return MOST if cost * MOST <= seconds else int(seconds / cost)


def motion_every(cost: float, seconds_a_round: float) -> int:
    """Rounds at least between looks at motion that take ``cost`` seconds each; 0: never."""
    if cost == math.inf:
        return 0
    return max(MOTION_EVERY, math.ceil(cost / (MOTION_SHARE * seconds_a_round)))


def seconds_of_given(costs: LookCosts, settings: UpkeepSection, budget: float) -> float:
    """Seconds a round that looks and checkpoints take whose cadence the configuration gives."""
    pairs = (
        (costs.preview, settings.preview_every),
        (costs.evaluation, settings.evaluate_every),
        (costs.saving, settings.checkpoint_every),
    )
    return sum(min(cost, budget) / every for cost, every in pairs if every)


def measure_looks(watch: Watch, budget: float) -> LookCosts:
    """Draw and write one preview into a temporary folder, and measure real rows in place of samples.

    ``watch`` should be one of its own: its diagnosis sees the untrained model.
    """
    preview = draw = 0.0
    if watch.has_previews:
        draw, preview = _preview_seconds(watch, PATIENCE * budget)
    if draw == math.inf:
        return LookCosts(draw, draw, draw)
    units = math.ceil(watch.evaluator.n / watch.previews)
    motion = timed(lambda: watch.motion(State([1]))) if watch.sees_motion(State([1])) else 0.0
    return LookCosts(preview, units * draw + _measure_seconds(watch, PATIENCE * budget), motion)


def _preview_seconds(watch: Watch, patience: float) -> tuple[float, float]:
    """Of drawing alone, and of the whole preview; ``inf`` where drawing takes longer than ``patience``."""
    if timed(lambda: watch.preview(State([1])), patience) == math.inf:
        return math.inf, math.inf
    made: list[Any] = []
    draw = timed(lambda: made.append(watch.preview(State([1]))[0]))
    samples = as_samples(made[0], watch.spec)

    def show() -> None:
        watch.domain.diagnose(samples)
        with tempfile.TemporaryDirectory() as folder:
            watch.domain.write(samples, Path(folder) / "preview")

    return draw, draw + timed(show)


def _measure_seconds(watch: Watch, patience: float) -> float:
    """Of the measures: real rows stand in for samples, repeated up to their number."""
    evaluator = watch.evaluator

    def rows(leaf: Tensor) -> Tensor:
        return leaf[torch.arange(evaluator.n) % len(leaf)].to("cpu")

    sampler = watch.table.game.sampler().eval()
    seconds = timed(lambda: evaluator(sampler, map_tree(rows, evaluator.reference.data)), patience)
    watch.table.game.train()
    return seconds


def timed(action: Callable[[], object], patience: float = math.inf) -> float:
    """Seconds, ``inf`` where they exceed ``patience``.

    An action that fails counts as well: the run itself will report the failure.
    """
    began = time.perf_counter()
    try:
        with contextlib.suppress(GancoreError, OSError), deadline(patience):
            action()
    except TooSlowError:
        return math.inf
    return time.perf_counter() - began
