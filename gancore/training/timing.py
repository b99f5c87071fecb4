"""Measures seconds before a run starts: of a step (undone afterwards), a preview, an evaluation."""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from gancore.errors import ConfigError, GancoreError
from gancore.games.fitted import FitDynamics
from gancore.games.game import Phase
from gancore.games.training_setup import ScalarMeans, TrainingSetup
from gancore.games.training_step import TrainingStep
from gancore.models.sampling import to_samples
from gancore.runtime.clock import active_time
from gancore.training.monitor import Monitor
from gancore.training.setup import restored
from gancore.training.state import TrainState
from gancore.trees import tree_map

TIMING_SHARE, MAX_TIMING_SECONDS = 1 / 100, 20.0
"""Maximum share of a budget for timing a phase, beside the warm-up; maximum seconds."""
ROUGH_SHARE = 1 / 10
"""If whole steps would take a larger share of the budget, they are timed on a part of a batch."""
ROUGH_PARTS, PROBE_PARTS = 4, 16
"""Number of parts of a batch: for a rough timing, and for the first step, which shows whether there is time
for a rough timing.
"""
PROBE_SHARE = 1 / 8
"""Share of the budget after which that first step counts as too slow."""
MAX_CONFIRM_SECONDS = 10.0
"""A rough estimate above the budget is checked on a whole step if that takes no longer than this."""
MAX_WAIT_SHARE = 1 / 20
"""Share of the budget after which the first preview counts as too slow."""


def seconds_per_step(setup: TrainingSetup, phase: Phase, budget: float) -> float:
    """Mean seconds of a step over a whole cycle of the phase's lazy moves; ``budget`` is in seconds.

    Each kind of step (by which lazy moves are due) is timed and weighted by how often it occurs. All
    tensors are restored.

    Raises:
        ConfigError: one step takes longer than the budget.
    """
    with restored(setup):
        return _choose_estimate(setup, phase, budget)


def step_kinds(phase: Phase) -> dict[int, float]:
    """The first step of each kind, and the share of steps that are of this kind."""
    due = [
        tuple(i for i, move in enumerate(phase.moves) if number % move.every == 0)
        for number in range(phase.lazy_period)
    ]
    return {due.index(kind): count / len(due) for kind, count in Counter(due).items()}


def _choose_estimate(setup: TrainingSetup, phase: Phase, budget: float) -> float:
    kinds = step_kinds(phase)
    if isinstance(phase.dynamics, FitDynamics):  # a step fits all rows; the first is typical
        cost = _step_timer(setup, phase)(0)
        return cost if cost <= budget else _raise_too_slow(cost, budget)
    probed = _probe(setup, phase, budget)
    if probed is not None and 2 * len(kinds) * probed > ROUGH_SHARE * budget and probed <= budget:
        rough = _rough_estimate(setup, phase, kinds)
        if rough is not None and 2 * len(kinds) * rough > ROUGH_SHARE * budget:
            return rough
    cost = _fine_estimate(setup, phase, kinds, min(MAX_TIMING_SECONDS, TIMING_SHARE * budget))
    if cost > budget:
        _raise_too_slow(cost, budget)
    return cost


def _probe(setup: TrainingSetup, phase: Phase, budget: float) -> float | None:
    """Upper estimate of a step's seconds from a small part of the batch; None: it cannot be divided.

    Raises:
        ConfigError: even this shows that one step takes longer than the budget.
    """
    parts, small = _with_smaller_batch(setup, PROBE_PARTS)
    if parts == 1:
        return None
    play = _step_timer(small, phase)
    try:
        with time_limit(PROBE_SHARE * budget if setup.batches.processes.world_size == 1 else math.inf):
            cost = parts * play(0)
            if cost > budget:
                cost = parts * play(0)  # the first call set up kernels and memory
    except TimeLimitError:
        _raise_too_slow(parts * PROBE_SHARE * budget, budget)
    except (GancoreError, RuntimeError, ValueError):  # a cost that needs at least so many rows
        return None
    if cost > budget and cost > MAX_CONFIRM_SECONDS:
        _raise_too_slow(cost, budget)
    return cost


def _with_smaller_batch(setup: TrainingSetup, max_parts: int) -> tuple[int, TrainingSetup]:
    """Into how many parts, at most ``max_parts``, the batch can be cut; and the setup with one of them."""
    whole = setup.micro_batches * setup.batches.processes.world_size
    parts = max_parts
    while parts > 1 and (setup.batch_size % parts or setup.batch_size // parts % whole):
        parts //= 2
    return parts, replace(setup, batch_size=setup.batch_size // parts)


def _rough_estimate(setup: TrainingSetup, phase: Phase, kinds: dict[int, float]) -> float | None:
    """Upper estimate of a step's seconds from a part of the batch; None: it cannot be divided."""
    parts, small = _with_smaller_batch(setup, ROUGH_PARTS)
    play = _step_timer(small, phase)
    try:
        return parts * sum(share * play(number) for number, share in kinds.items())
    except (GancoreError, RuntimeError, ValueError):  # as in a probe
        return None


def _fine_estimate(setup: TrainingSetup, phase: Phase, kinds: dict[int, float], seconds: float) -> float:
    """Mean seconds of whole steps, repeated for ``seconds``."""
    play = _step_timer(setup, phase)
    for number in kinds:
        play(number)
    spent, passes = dict.fromkeys(kinds, 0.0), 0
    while passes == 0 or sum(spent.values()) < seconds:
        passes += 1
        for number in kinds:
            spent[number] += play(number)
    return sum(share * spent[number] / passes for number, share in kinds.items())


def _step_timer(setup: TrainingSetup, phase: Phase) -> Callable[[int], float]:
    """A function that plays the step of a number and returns its seconds, those of the slowest process."""
    timed = replace(setup, scalars=ScalarMeans())

    def play(number: int) -> float:
        started = active_time()
        training_step = TrainingStep(timed, phase, number, number, 0.0)
        phase.dynamics.play(training_step)
        setup.game.after_step(training_step)
        if setup.batches.key.device.type == "cuda":
            torch.cuda.synchronize()
        timed.scalars.read()
        return setup.batches.processes.all_max(active_time() - started)[0]

    return play


def _raise_too_slow(cost: float, budget: float) -> NoReturn:
    raise ConfigError(
        f"one step of training takes about {cost:.3g} s here, and the budget is {budget:g} s",
        f"raise time (--time) to {2 * max(1, round(cost))}s or more, or set a smaller model.batch_size",
    ) from None  # the limit that ended the timing says nothing more


@dataclass(frozen=True)
class EvaluationCosts:
    """Seconds of one preview and of one evaluation; ``inf``: too slow to be measured within the budget.

    ``motion``: seconds of one check of oscillation. ``checkpoint``: seconds of a checkpoint with its model;
    0 if no interval is configured for it.
    """

    preview: float
    evaluation: float
    motion: float = 0.0
    checkpoint: float = 0.0


def measure_evaluation_costs(monitor: Monitor, budget: float) -> EvaluationCosts:
    """Draw and write one preview into a temporary folder, and evaluate real rows in place of samples.

    Pass a new ``monitor``: its diagnosis sees the untrained model, or a fitted model after its first step.
    """
    with restored(monitor.setup):
        if not monitor.setup.game.players:
            _step_timer(monitor.setup, monitor.setup.game.phases[0])(0)
        return _measure_evaluation_costs(monitor, budget)


def _measure_evaluation_costs(monitor: Monitor, budget: float) -> EvaluationCosts:
    preview = draw = 0.0
    if monitor.can_sample:
        draw, preview = _time_preview(monitor, MAX_WAIT_SHARE * budget)
    if draw == math.inf:
        return EvaluationCosts(draw, draw, draw)
    units, first = math.ceil(monitor.validator.n_samples / monitor.previews), TrainState([1])
    motion = time_call(lambda: monitor.check_motion(first)) if monitor.is_motion_due(first) else 0.0
    return EvaluationCosts(preview, units * draw + _time_metrics(monitor, MAX_WAIT_SHARE * budget), motion)


def _time_preview(monitor: Monitor, limit: float) -> tuple[float, float]:
    """Seconds of drawing alone, and of the whole preview; ``inf`` if drawing takes longer than ``limit``."""
    if time_call(lambda: monitor.draw_preview(TrainState([1])), limit) == math.inf:
        return math.inf, math.inf
    drawn: list[Any] = []
    draw = time_call(lambda: drawn.append(monitor.draw_preview(TrainState([1]))[0]))
    samples = to_samples(drawn[0], monitor.spec)

    def show() -> None:
        monitor.domain.diagnose(samples)
        with tempfile.TemporaryDirectory() as folder:
            monitor.domain.write(samples, Path(folder) / "preview")

    return draw, draw + time_call(show)


def _time_metrics(monitor: Monitor, limit: float) -> float:
    """Seconds of the measures: real rows, repeated up to the number of samples, replace the samples."""
    validator = monitor.validator

    def rows(leaf: Tensor) -> Tensor:
        return leaf[torch.arange(validator.n_samples) % len(leaf)].to("cpu")

    sampler = monitor.setup.game.sampler().eval()
    seconds = time_call(lambda: validator.validate(sampler, tree_map(rows, validator.reference.data)), limit)
    monitor.setup.game.train()
    return seconds


def time_call(action: Callable[[], object], limit: float = math.inf) -> float:
    """Seconds that ``action`` takes, ``inf`` if more than ``limit``.

    An action that fails is timed as well: the run itself will report the failure.
    """
    started = active_time()
    try:
        with contextlib.suppress(GancoreError, OSError), time_limit(limit):
            action()
    except TimeLimitError:
        return math.inf
    return active_time() - started


class TimeLimitError(Exception):
    """What ran under a :func:`time_limit` took too long."""


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Within, the first call of a module after ``seconds`` raises TimeLimitError.

    Sequential samplers call modules at every position, so they stop soon after. It works outside the main
    thread, where ``signal.alarm`` does not.
    """
    end = active_time() + seconds

    def check(module: nn.Module, inputs: object) -> None:
        if active_time() > end:
            raise TimeLimitError

    handle = register_module_forward_pre_hook(check)
    try:
        yield
    finally:
        handle.remove()
