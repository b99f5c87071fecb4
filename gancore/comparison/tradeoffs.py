"""Measures the trade-offs of a model: parameters, likelihood, inversion, speed, and scaling with the size."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import linear_regression, median
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from gancore.config import RecipeConfig
from gancore.data.dataset import Batch, Data, Spec, View
from gancore.domain import Domain
from gancore.errors import GancoreError, describe_error
from gancore.games.game import Game
from gancore.games.sampler import Sampler
from gancore.metrics.intervals import mean_interval
from gancore.models.model import Model, build_game
from gancore.models.sampling import condition_sampler, to_cpu
from gancore.random import RowRange, evaluation_key
from gancore.recipe import Recipe
from gancore.trees import tree_leaves

LIKELIHOOD_ROWS, INVERSION_ROWS, BATCH = 1000, 256, 50
BATCH_SIZES = (1, 256)
TIMED_CALLS = 7
MAX_CALL_SECONDS = 20.0
"""No further calls are timed after this many seconds; a slower call is timed once, without a warm-up."""
SIZE_FACTORS = (0.125, 0.25, 0.5, 1.0)


@dataclass(frozen=True)
class LoadedTrial:
    """A trained model with its recipe and data."""

    model: Model
    game: Game
    recipe: Recipe
    config: RecipeConfig
    data: Data

    @property
    def test(self) -> View:
        return self.data.view("test")

    def test_batches(self, count: int) -> list[Batch]:
        """``count`` rows of test, the same for every model, in small batches on the device of the model."""
        count = min(count, len(self.test))
        key = evaluation_key("tradeoffs", 0)
        chosen = (key / "rows").permutation(len(self.test))[:count]
        batch = self.test.get_batch(chosen, (key / "test").with_rows(RowRange.all(count)))
        parts = range(0, count, BATCH)
        return [batch.slice(at, min(count, at + BATCH)).to(self.model.device) for at in parts]


def profile(trained: LoadedTrial, profile_speed: bool) -> dict[str, Any]:
    """Measure all trade-offs; times only if ``profile_speed`` (another seed of the recipe may be timed)."""
    model = trained.model
    tradeoffs: dict[str, Any] = {
        "parameters": model.sampler.num_parameters,
        "players": parameters_by_player(trained.game),
        "likelihood": measure_likelihood(trained),
        "inversion": measure_inversion(trained),
    }
    if profile_speed:
        tradeoffs["seconds_a_sample"] = time_sampling(model.sampler, model.domain, model.spec, model.device)
        tradeoffs["growth"] = scaling(model.domain, trained.recipe, trained.config, model.spec, model.device)
    return tradeoffs


def parameters_by_player(game: Game) -> dict[str, int]:
    """The number of parameters of each player."""
    return {
        name: sum(p.numel() for part in player.lr_factors() for p in game.get_submodule(part).parameters())
        for name, player in game.players.items()
    }


@torch.no_grad()
def measure_likelihood(trained: LoadedTrial) -> dict[str, Any]:
    """The mean -log p(x) of test rows, in nats per canonical sample; ``kind`` is exact, bound or none."""
    sampler = trained.model.sampler
    if not sampler.can("likelihood"):
        return {"kind": "none"}
    values: list[Tensor] = []
    try:
        for batch in trained.test_batches(LIKELIHOOD_ROWS):
            log_prob = sampler.log_prob(batch)
            if log_prob is None:
                return {"kind": "none", "note": "the representation is not invertible"}
            values.append(-log_prob.double().cpu())
    except (GancoreError, RuntimeError) as error:
        return {"kind": "none", "note": f"{error}"}
    nll = torch.cat(values)
    kind = "bound" if sampler.lower_bound else "exact"
    likelihood = {"kind": kind, "nll": float(nll.mean()), "n": len(nll), "unit": "nats a sample"}
    if len(nll) < 2 or not bool(nll.isfinite().all()):
        return likelihood
    low, high, method = mean_interval(nll)
    return likelihood | {"low": low, "high": high, "method": method}


@torch.no_grad()
def measure_inversion(trained: LoadedTrial) -> dict[str, Any]:
    """The largest and the mean of abs(render(invert(x)) - x) over test rows, and the largest abs(x)."""
    sampler = trained.model.sampler
    if not sampler.can("inversion"):
        return {"kind": "none"}
    differences: list[Tensor] = []
    values: list[Tensor] = []
    try:
        for batch in trained.test_batches(INVERSION_ROWS):
            condition = batch.condition if sampler.conditional else None
            rendered = to_cpu(sampler.render(sampler.invert(batch), condition))
            for x, inverted in zip(tree_leaves(to_cpu(batch.data)), tree_leaves(rendered), strict=True):
                differences.append((inverted.double() - x.double()).abs().flatten())
                values.append(x.double().abs().max())
    except (GancoreError, RuntimeError, ValueError) as error:
        return {"kind": "failed", "note": describe_error(error)}
    errors = torch.cat(differences)
    return {
        "kind": "measured",
        "largest": float(errors.max()),
        "mean": float(errors.mean()),
        "largest_value": float(torch.stack(values).max()),
        "n": min(INVERSION_ROWS, len(trained.test)),
    }


@dataclass(frozen=True)
class Timing:
    """``seconds`` per sample: the median of ``calls`` calls after a warm-up; with 0 calls, of the warm-up."""

    seconds: float
    calls: int
    batch: int


def seconds_per_sample(call: Callable[[], object], batch: int, device: torch.device) -> Timing:
    """Time up to 7 calls after a warm-up call; if that one is slow, it alone."""
    first = _timed(call, device)
    if first > MAX_CALL_SECONDS:
        return Timing(first / batch, 0, batch)
    times: list[float] = []
    while len(times) < TIMED_CALLS and (not times or sum(times) + first < MAX_CALL_SECONDS):
        times.append(_timed(call, device))
    return Timing(median(times) / batch, len(times), batch)


def _timed(call: Callable[[], object], device: torch.device) -> float:
    began = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


@torch.no_grad()
def time_sampling(sampler: Sampler, domain: Domain, spec: Spec, device: torch.device) -> dict[str, Any]:
    """Seconds per sample by batch size; the reason if it cannot be measured."""
    timings: dict[str, Any] = {}
    for batch in BATCH_SIZES:
        try:
            call = _sampling_call(sampler, domain, spec, batch, device)
            timings[str(batch)] = asdict(seconds_per_sample(call, batch, device))
        except (RuntimeError, MemoryError) as error:
            timings[str(batch)] = {"not_measured": _error_text(error)}
    return timings


def _sampling_call(
    sampler: Sampler, domain: Domain, spec: Spec, batch: int, device: torch.device
) -> Callable[[], object]:
    key = evaluation_key("time", 0, device=device)
    condition = condition_sampler(sampler, domain, spec, None)(batch, key / "condition")
    return lambda: sampler.sample(batch, key, condition)


class _OperationCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the tensor operations that are called within the context."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def scaling(
    domain: Domain, recipe: Recipe, config: RecipeConfig, spec: Spec, device: torch.device
) -> dict[str, Any]:
    """Seconds and operations of the untrained recipe at several sample sizes, and their exponents.

    y ~ size^exponent, by least squares on logarithms. An operation is one call of a kernel. The work within
    an operation is parallel, so that the number of operations is a lower bound of the sequential steps.
    """
    points: list[dict[str, float]] = []
    reason, elapsed = "", 0.0
    specs = {factor: spec if factor == 1 else domain.scale_spec(spec, factor) for factor in SIZE_FACTORS}
    if sum(scaled is not None for scaled in specs.values()) < 2:
        return {"not_measured": "the data have no size that can be changed", "points": points}
    for factor, scaled in specs.items():
        if scaled is None:
            reason = reason or "the data have no size that can be changed"
            continue
        try:
            began = time.perf_counter()
            points.append({"factor": factor, **_measure_at_size(domain, recipe, config, scaled, device)})
            elapsed += time.perf_counter() - began
        except (GancoreError, RuntimeError, MemoryError, ValueError) as error:
            reason = f"at {factor:g} of the size: {_error_text(error)}"
        if elapsed > 4 * MAX_CALL_SECONDS:
            break
    if len(points) < 2:
        return {"not_measured": reason or "too slow at the smallest size", "points": points}
    sizes = [point["factor"] for point in points]
    result: dict[str, Any] = {"points": points, "note": reason}
    return result | {
        name: power_law_exponent(sizes, [point[name.removesuffix("_exponent")] for point in points])
        for name in ("seconds_exponent", "operations_exponent")
    }


def _measure_at_size(
    domain: Domain, recipe: Recipe, config: RecipeConfig, spec: Spec, device: torch.device
) -> dict[str, float]:
    sampler = build_game(recipe, config, spec, seed=0).to(device).sampler().eval()
    call = _sampling_call(sampler, domain, spec, 1, device)
    timing = seconds_per_sample(call, 1, device)
    with _OperationCounter() as counter:
        call()
    return {"seconds": timing.seconds, "calls": timing.calls, "operations": counter.count}


def power_law_exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """b of y = a size^b by least squares on logarithms."""
    x, y = ([math.log(value) for value in column] for column in (sizes, values))
    return linear_regression(x, y).slope


def _error_text(error: BaseException) -> str:
    return error.message[:160] if isinstance(error, GancoreError) else describe_error(error, 160)
