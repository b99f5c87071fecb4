"""Samples as a function of (model, seed, number): the same whatever the batch size."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gancore.domain import Domain, Samples, Spec
from gancore.errors import ConfigError
from gancore.runtime.randomness import CPU, Key, Rows
from gancore.trees import Tree, cut_rows, join_rows, map_tree

BLOCK = 256
"""Draws are made for blocks of so many rows and cut, so that sample i depends on the seed and i alone."""
UNIT = 16
"""Rows that the networks see at once. A sum is rounded otherwise in a batch of another size, so it is one
size always: what of it nobody asked for is made too, and left out. A sampler whose work is mostly the same
for many rows as for few, as that of a walk step by step, asks for more by an attribute ``unit``."""


def generates(sampler: nn.Module) -> bool:
    """Whether there are samples to be had: a judge has none."""
    return hasattr(sampler, "sample")


@torch.no_grad()
def draw_samples(
    sampler: nn.Module,
    n: int,
    key: Key,
    condition: Callable[[int, Key], Tree],
    batch_size: int = 64,
    truncation: float | None = None,
    unit: int | None = None,
) -> tuple[Tree, Tree]:
    """``n`` canonical samples on the CPU, and their condition; ``batch_size`` are held by the device.

    ``truncation``: latents are no farther from the middle, number by number. ``unit``: rows that the networks
    see at once, by default :func:`unit_of`; it is halved where the device runs out of memory, which changes
    samples by rounding alone.

    Raises:
        ConfigError: the model has no latents that could be truncated.
    """
    make: Make = sampler.sample if truncation is None else _truncated(sampler, truncation)  # type: ignore[assignment]
    made, first, unit = [], 0, unit or unit_of(sampler, key.device)
    while first < n:
        stop = first + -(-batch_size // unit) * unit
        starts = range(first, min(n, stop), unit)
        try:
            made.append(_joined([_unit(make, unit, start, n, key, condition) for start in starts]))
            first = stop
        except torch.OutOfMemoryError:
            if unit <= UNIT:
                raise
            unit //= 2
    return _joined(made)


Make = Callable[[int, Key, Tree], Tree]


def _truncated(sampler: nn.Module, psi: float) -> Make:
    """How such rows are made, whole or only their latents."""
    truncate = truncation_of(sampler, psi)

    def make(n: int, key: Key, condition: Tree) -> Tree:
        return sampler.render(truncate(sampler.latents(n, key)), condition)  # type: ignore[operator]

    return make


def truncation_of(sampler: nn.Module, psi: float | None) -> Callable[[Tensor], Tensor]:
    """What is done to latents; without ``psi`` nothing.

    Raises:
        ConfigError: psi is no threshold, or the latents are not normal, or there are none.
    """
    if psi is None:
        return lambda latents: latents
    if not psi > 0:
        raise ConfigError(f"truncation {psi:g}", "give a number above 0; 2 and more change little")
    if not hasattr(sampler, "render"):
        raise ConfigError("this model has no latents to truncate", "leave out --truncation")
    truncate = sampler.prior.truncate  # type: ignore[union-attr]
    if truncate is None:
        raise ConfigError(
            "this model's latents are not normal: they cannot be truncated", "leave out --truncation"
        )
    return lambda latents: truncate(latents, psi)  # type: ignore[operator]


def unit_of(sampler: nn.Module, device: torch.device = CPU) -> int:
    """Rows that this sampler makes at once on this device: on an accelerator a whole block.

    Raises:
        ValueError: they do not divide a block, so that a unit would lie in two.
    """
    unit = int(getattr(sampler, "unit", None) or UNIT)
    if BLOCK % unit:
        raise ValueError(f"a sampler's unit must divide {BLOCK}, and {unit} does not")
    return unit if device.type == "cpu" else BLOCK


def _unit(
    make: Make, unit: int, start: int, n: int, key: Key, condition: Callable[[int, Key], Tree]
) -> tuple[Tree, Tree]:
    """The unit that begins with row ``start``, cut off at ``n``, where it was made."""
    block, row = divmod(start, BLOCK)
    key = (key / block).cut(Rows(row, row + unit, BLOCK))
    wanted = condition(unit, key / "condition")
    return cut_rows(make(unit, key, wanted), 0, n - start), cut_rows(wanted, 0, n - start)


def _joined(made: list[tuple[Tree, Tree]]) -> tuple[Tree, Tree]:
    """Rows of several, on the CPU."""
    data, wanted = (list(trees) for trees in zip(*made, strict=True))
    return to_cpu(join_rows(data)), None if wanted[0] is None else to_cpu(join_rows(wanted))


def to_cpu(tree: Tree) -> Tree:
    return map_tree(lambda x: x.detach().float().cpu() if x.is_floating_point() else x.cpu(), tree)


def condition_for(
    sampler: nn.Module, domain: Domain, spec: Spec, label: str | None
) -> Callable[[int, Key], Tree]:
    """How the condition of samples is chosen. Raises ConfigError on a label that cannot be."""
    if getattr(sampler, "conditional", False):
        if label is not None:
            domain.condition(label, 1, spec, Key.of(0))
        return lambda n, key: domain.condition(label, n, spec, key)
    if label is not None:
        fix = "leave out --label, or train with --set model.conditional=true"
        raise ConfigError(f"label {label!r}: this model was trained without labels", fix)
    return lambda n, key: None


@torch.no_grad()
def interpolate(
    sampler: nn.Module,
    n: int,
    steps: int,
    key: Key,
    condition: Callable[[int, Key], Tree],
    truncation: float | None = None,
) -> tuple[Tree, Tree]:
    """``n`` ways of ``steps`` samples each, one way after the other: the first from sample 0 to sample 1 of
    this key, the next from 2 to 3. Latents walk; a condition is the start's all the way.

    Raises:
        ConfigError: the model has no latents to walk between, or there are fewer than two steps.
    """
    if not hasattr(sampler, "render"):
        raise ConfigError("this model has no latents to interpolate", "leave out --interpolate")
    if steps < 2:
        raise ConfigError(f"a way of {steps} steps", "give 2 at least: its two ends")
    ends, wanted = _latents(sampler, 2 * n, key, condition, truncation_of(sampler, truncation))
    along = torch.linspace(0, 1, steps, device=ends.device).repeat(n).unsqueeze(1)
    start, stop = (ends[first::2].repeat_interleave(steps, 0) for first in (0, 1))
    path = sampler.prior.between(start, stop, along)  # type: ignore[union-attr, operator]
    wanted = map_tree(lambda x: x[::2].repeat_interleave(steps, 0), wanted)
    parts = [
        (cut_rows(path, at, at + UNIT), cut_rows(wanted, at, at + UNIT)) for at in range(0, n * steps, UNIT)
    ]
    return _joined([(to_cpu(sampler.render(z, c)), c) for z, c in parts])  # type: ignore[operator]


def _latents(
    sampler: nn.Module,
    n: int,
    key: Key,
    condition: Callable[[int, Key], Tree],
    truncate: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tree]:
    """The latents of samples 0 to n of this key, on the device, and their condition."""

    def make(n: int, key: Key, condition: Tree) -> Tree:
        return truncate(sampler.latents(n, key))  # type: ignore[operator]

    unit = unit_of(sampler)
    made = [_unit(make, unit, start, n, key, condition) for start in range(0, n, unit)]
    latents, wanted = (list(trees) for trees in zip(*made, strict=True))
    return join_rows(latents), None if wanted[0] is None else join_rows(wanted)


def as_samples(made: tuple[Tree, Tree], spec: Spec, columns: int = 0) -> Samples:
    return Samples(made[0], spec, made[1], columns)
