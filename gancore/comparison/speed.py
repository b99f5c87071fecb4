"""How long a model takes for a sample, and how that grows with the size of a sample."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from gancore.config import RecipeSection
from gancore.domain import Domain, Spec
from gancore.errors import GancoreError, in_words
from gancore.models.model import build_game
from gancore.models.sampling import condition_for
from gancore.recipe import Recipe
from gancore.runtime.randomness import Key

BATCHES = (1, 256)
CALLS = 7
PATIENCE_SECONDS = 20.0
"""What is slower is called once, cold; no more calls begin when so much is spent."""
FACTORS = (0.125, 0.25, 0.5, 1.0)


@dataclass(frozen=True)
class Timing:
    """``seconds`` a sample: the median of ``calls`` warm calls; ``calls`` 0: of the first call, cold."""

    seconds: float
    calls: int
    batch: int


def seconds_a_sample(call: Callable[[], object], batch: int, device: torch.device) -> Timing:
    """The median of up to 7 calls after one that warms up; where that took long, it is all there is."""
    first = _clocked(call, device)
    if first > PATIENCE_SECONDS:
        return Timing(first / batch, 0, batch)
    taken: list[float] = []
    while len(taken) < CALLS and (not taken or sum(taken) + first < PATIENCE_SECONDS):
        taken.append(_clocked(call, device))
    return Timing(median(taken) / batch, len(taken), batch)


def _clocked(call: Callable[[], object], device: torch.device) -> float:
    began = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


@torch.no_grad()
def time_batches(sampler: nn.Module, domain: Domain, spec: Spec, device: torch.device) -> dict[str, Any]:
    """Seconds a sample by size of the batch; where one cannot be had, why."""
    told: dict[str, Any] = {}
    for batch in BATCHES:
        try:
            call = _sampling(sampler, domain, spec, batch, device)
            told[str(batch)] = asdict(seconds_a_sample(call, batch, device))
        except (RuntimeError, MemoryError) as error:
            told[str(batch)] = {"not_measured": _reason(error)}
    return told


def _sampling(
    sampler: nn.Module, domain: Domain, spec: Spec, batch: int, device: torch.device
) -> Callable[[], object]:
    key = Key.of("time", 0, device=device)
    condition = condition_for(sampler, domain, spec, None)(batch, key / "condition")
    return lambda: sampler.sample(batch, key, condition)  # type: ignore[operator]


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operations on tensors that are made one after another within."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def growth(
    domain: Domain, recipe: Recipe, section: RecipeSection, spec: Spec, device: torch.device
) -> dict[str, Any]:
    """The recipe, untrained, at several sizes of a sample: seconds, operations, and the exponents of both.

    y ~ size^exponent, by least squares on logarithms. An operation is one call of a kernel: those within
    one run in parallel, so their number is what a sample costs at least in steps one after another.
    """
    points: list[dict[str, float]] = []
    why, spent = "", 0.0
    for factor in FACTORS:
        scaled = spec if factor == 1 else domain.scaled(spec, factor)
        if scaled is None:
            why = why or "the data have no size that can be changed"
            continue
        try:
            began = time.perf_counter()
            points.append({"factor": factor, **_at_size(domain, recipe, section, scaled, device)})
            spent += time.perf_counter() - began
        except (GancoreError, RuntimeError, MemoryError, ValueError) as error:
            why = f"at {factor:g} of the size: {_reason(error)}"
        if spent > 4 * PATIENCE_SECONDS:
            break
    if len(points) < 2:
        return {"not_measured": why or "too slow at the smallest size", "points": points}
    sizes = [point["factor"] for point in points]
    told: dict[str, Any] = {"points": points, "note": why}
    return told | {
        name: exponent(sizes, [point[name.removesuffix("_exponent")] for point in points])
        for name in ("seconds_exponent", "operations_exponent")
    }


def _at_size(
    domain: Domain, recipe: Recipe, section: RecipeSection, spec: Spec, device: torch.device
) -> dict[str, float]:
    sampler = build_game(recipe, section, spec, seed=0).to(device).sampler().eval()
    call = _sampling(sampler, domain, spec, 1, device)
    timing = seconds_a_sample(call, 1, device)
    with _Counter() as counter:
        call()
    return {"seconds": timing.seconds, "calls": timing.calls, "operations": counter.count}


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """b of y = a size^b, least squares on logarithms."""
    x, y = ([math.log(value) for value in column] for column in (sizes, values))
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((a - mean_x) ** 2 for a in x)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread


def _reason(error: BaseException) -> str:
    return error.message[:160] if isinstance(error, GancoreError) else in_words(error, 160)
