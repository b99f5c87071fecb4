"""Generate samples. A sample is a function of (model, seed, index) and not of the batch size."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gancore.data.dataset import Spec
from gancore.domain import Domain
from gancore.errors import ConfigError
from gancore.games.sampler import Sampler
from gancore.random import CPU, Key, RowRange, sample_key
from gancore.samples import Samples
from gancore.trees import Tree, tree_cat, tree_map, tree_slice

KEY_BLOCK = 256
"""Random numbers are drawn for blocks of this many samples: sample i depends on the seed and i alone."""
NETWORK_BATCH = 16
"""Batch size of every network call. It is constant because rounding depends on the batch size; surplus
samples are dropped. A sampler whose time hardly depends on the batch size, such as an autoregressive one, can
set larger batches with ``preferred_batch``."""


@torch.no_grad()
def draw_samples(
    sampler: Sampler,
    n: int,
    key: Key,
    condition: Callable[[int, Key], Tree],
    batch_size: int = 64,
    truncation: float | None = None,
    unit: int | None = None,
    temperature: float | None = None,
    partial_sample: Tree = None,
) -> tuple[Tree, Tree]:
    """Generate ``n`` canonical samples and their conditions, on the CPU.

    Args:
        sampler: the network.
        n: the number of samples.
        key: the key of the samples.
        condition: makes the conditions of a number of samples from a key.
        batch_size: the number of samples that are on the device at a time.
        truncation: bound on the absolute value of every latent.
        unit: batch size of network calls, by default :func:`network_batch_size`. It is halved if the device
            runs out of memory, which changes samples by rounding only.
        temperature: divides the logits of each token; None is the model's own temperature.
        partial_sample: samples that agree with it, by :meth:`gancore.games.Sampler.infill`.

    Raises:
        ConfigError: the model has no latents that can be truncated, no temperature, or fills no gaps.
    """
    make = _sample_function(sampler, truncation, temperature, partial_sample)
    made, done, unit = [], 0, unit or network_batch_size(sampler, key.device)
    while done < n:
        stop = done + -(-batch_size // unit) * unit
        starts = range(done, min(n, stop), unit)
        try:
            made.append(_joined([_one_batch(make, unit, start, n, key, condition) for start in starts]))
            done = stop
        except torch.OutOfMemoryError:
            if unit <= NETWORK_BATCH:
                raise
            unit //= 2
    return _joined(made)


MakeSamples = Callable[[int, Key, Tree], Tree]


def _sample_function(
    sampler: Sampler, truncation: float | None, temperature: float | None, partial_sample: Tree
) -> MakeSamples:
    if partial_sample is not None:
        return _infill_function(sampler, temperature, partial_sample)
    if temperature is None:
        return sampler.sample if truncation is None else _truncated(sampler, truncation)
    _require_positive(temperature)
    if not sampler.can("temperature"):
        raise ConfigError("this model has no temperature", "leave out --temperature")
    if truncation is not None:
        raise ConfigError(
            "a truncation and a temperature are given", "give one of --truncation and --temperature"
        )
    sample: Any = sampler.sample
    return partial(sample, temperature=temperature)


def _require_positive(temperature: float) -> None:
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ConfigError(f"temperature {temperature:g} is not above 0", "give a number above 0, such as 1")


def require_infill(sampler: Sampler) -> None:
    """Raises ConfigError if the model fills no gaps."""
    if not sampler.can("infill"):
        raise ConfigError(
            "this model fills no gaps",
            "leave out --infill, or train a recipe that can: `gancore recipes` lists what each can do",
        )


def _infill_function(sampler: Sampler, temperature: float | None, partial_sample: Tree) -> MakeSamples:
    require_infill(sampler)
    temperature = 1.0 if temperature is None else temperature
    _require_positive(temperature)
    return lambda n, key, condition: sampler.infill(partial_sample, n, key, temperature)


def _truncated(sampler: Sampler, psi: float) -> MakeSamples:
    truncate = truncation_function(sampler, psi)

    def make(n: int, key: Key, condition: Tree) -> Tree:
        return sampler.render(truncate(sampler.latents(n, key)), condition)

    return make


def truncation_function(sampler: Sampler, psi: float | None) -> Callable[[Tensor], Tensor]:
    """The function that truncates latents; the identity if ``psi`` is None.

    Raises:
        ConfigError: ``psi`` is not positive, or the model has no latents, or they are not normal.
    """
    if psi is None:
        return lambda latents: latents
    if not psi > 0:
        raise ConfigError(f"truncation {psi:g} is not above 0", "give a number above 0, such as 1")
    if not sampler.can("latents"):
        raise ConfigError("this model has no latents to truncate", "leave out --truncation")
    truncate = sampler.prior.truncate
    if truncate is None:
        raise ConfigError(
            "this model's latents are not normal: they cannot be truncated", "leave out --truncation"
        )
    return lambda latents: truncate(latents, psi)


def network_batch_size(sampler: Sampler, device: torch.device = CPU) -> int:
    """The batch size of network calls of this sampler on this device; a whole block on an accelerator.

    Raises:
        ValueError: the batch size does not divide ``KEY_BLOCK``, so that a batch would span two blocks.
    """
    unit = sampler.preferred_batch or NETWORK_BATCH
    if KEY_BLOCK % unit:
        raise ValueError(f"preferred_batch {unit} of the sampler does not divide {KEY_BLOCK}")
    return unit if device.type == "cpu" else KEY_BLOCK


def _one_batch(
    make: MakeSamples, unit: int, start: int, n: int, key: Key, condition: Callable[[int, Key], Tree]
) -> tuple[Tree, Tree]:
    """One network batch on the device: the samples from ``start`` on, up to ``n``."""
    block, row = divmod(start, KEY_BLOCK)
    key = (key / block).with_rows(RowRange(row, row + unit, KEY_BLOCK))
    conditions = condition(unit, key / "condition")
    return tree_slice(make(unit, key, conditions), 0, n - start), tree_slice(conditions, 0, n - start)


def _joined(made: list[tuple[Tree, Tree]]) -> tuple[Tree, Tree]:
    """Concatenate batches on the CPU."""
    data, conditions = (list(trees) for trees in zip(*made, strict=True))
    return to_cpu(tree_cat(data)), None if conditions[0] is None else to_cpu(tree_cat(conditions))


def to_cpu(tree: Tree) -> Tree:
    return tree_map(lambda x: x.detach().float().cpu() if x.is_floating_point() else x.cpu(), tree)


def condition_sampler(
    sampler: Sampler, domain: Domain, spec: Spec, label: str | None
) -> Callable[[int, Key], Tree]:
    """A function that makes the conditions of samples. Raises ConfigError if the label is unknown."""
    if sampler.conditional:
        if label is not None:
            domain.make_condition(label, 1, spec, sample_key(0))
        return lambda n, key: domain.make_condition(label, n, spec, key)
    if label is not None:
        fix = "leave out --label, or train with --set model.conditional=true"
        raise ConfigError(f"label {label!r}: this model was trained without labels", fix)
    return lambda n, key: None


@torch.no_grad()
def interpolate_latents(
    sampler: Sampler,
    n: int,
    points: int,
    key: Key,
    condition: Callable[[int, Key], Tree],
    truncation: float | None = None,
) -> tuple[Tree, Tree]:
    """Generate ``n`` interpolation paths of ``points`` samples each, one after the other.

    The first path goes from sample 0 to sample 1 of this key, the second from 2 to 3. Latents are
    interpolated; the condition of a path is that of its first sample.

    Raises:
        ConfigError: the model has no latents to interpolate, or there are fewer than two points.
    """
    if not sampler.can("latents"):
        raise ConfigError("this model has no latents to interpolate", "leave out --interpolate")
    if points < 2:
        raise ConfigError(f"an interpolation path of {points} samples is too short", "give at least 2 points")
    endpoints, conditions = _latents(sampler, 2 * n, key, condition, truncation_function(sampler, truncation))
    positions = torch.linspace(0, 1, points, device=endpoints.device).repeat(n).unsqueeze(1)
    start, stop = (endpoints[first::2].repeat_interleave(points, 0) for first in (0, 1))
    latents = sampler.prior.interpolate(start, stop, positions)
    conditions = tree_map(lambda x: x[::2].repeat_interleave(points, 0), conditions)
    parts = [
        (tree_slice(latents, at, at + NETWORK_BATCH), tree_slice(conditions, at, at + NETWORK_BATCH))
        for at in range(0, n * points, NETWORK_BATCH)
    ]
    return _joined([(to_cpu(sampler.render(z, c)), c) for z, c in parts])


def _latents(
    sampler: Sampler,
    n: int,
    key: Key,
    condition: Callable[[int, Key], Tree],
    truncate: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tree]:
    """The latents of samples 0 to n - 1 of this key, on the device, and their conditions."""

    def make(n: int, key: Key, condition: Tree) -> Tree:
        return truncate(sampler.latents(n, key))

    unit = network_batch_size(sampler)
    made = [_one_batch(make, unit, start, n, key, condition) for start in range(0, n, unit)]
    latents, conditions = (list(trees) for trees in zip(*made, strict=True))
    return tree_cat(latents), None if conditions[0] is None else tree_cat(conditions)


def to_samples(made: tuple[Tree, Tree], spec: Spec, columns: int = 0) -> Samples:
    return Samples(made[0], spec, made[1], columns)
