"""Samples as a function of (model, seed, number): the same whatever the batch size."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gancore.domain import Domain, Samples, Spec
from gancore.errors import ConfigError
from gancore.runtime.randomness import Key, Rows
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
    sampler: nn.Module, n: int, key: Key, condition: Callable[[int, Key], Tree], batch_size: int = 64
) -> tuple[Tree, Tree]:
    """``n`` canonical samples on the CPU, and their condition; ``batch_size`` are held by the device."""
    made, unit = [], unit_of(sampler)
    step = -(-batch_size // unit) * unit
    for first in range(0, n, step):
        starts = range(first, min(n, first + step), unit)
        made.append(_joined([_unit(sampler, start, n, key, condition) for start in starts]))
    return _joined(made)


def unit_of(sampler: nn.Module) -> int:
    """Rows that this sampler makes at once.

    Raises:
        ValueError: they do not divide a block, so that a unit would lie in two.
    """
    unit = int(getattr(sampler, "unit", None) or UNIT)
    if BLOCK % unit:
        raise ValueError(f"a sampler's unit must divide {BLOCK}, and {unit} does not")
    return unit


def _unit(
    sampler: nn.Module, start: int, n: int, key: Key, condition: Callable[[int, Key], Tree]
) -> tuple[Tree, Tree]:
    """The unit that begins with row ``start``, cut off at ``n``, where it was made."""
    (block, row), unit = divmod(start, BLOCK), unit_of(sampler)
    key = (key / block).cut(Rows(row, row + unit, BLOCK))
    wanted = condition(unit, key / "condition")
    data = sampler.sample(unit, key, wanted)  # type: ignore[operator]
    return cut_rows(data, 0, n - start), cut_rows(wanted, 0, n - start)


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
    sampler: nn.Module, n: int, key: Key, condition: Callable[[int, Key], Tree], anchors: int = 2
) -> tuple[Tree, Tree]:
    """``n`` samples on the way between two latents of the prior, both ends included.

    Raises:
        ConfigError: the model has no latents to walk between.
    """
    if not hasattr(sampler, "render"):
        raise ConfigError("this model has no latents to interpolate", "leave out --interpolate")
    latents: Tensor = sampler.latents(anchors, key)  # type: ignore[operator]
    along = torch.linspace(0, 1, n, device=latents.device).unsqueeze(1)
    path = sampler.prior.between(latents[:1].expand(n, -1), latents[1:].expand(n, -1), along)  # type: ignore[union-attr, operator]
    one = condition(1, key / "condition")
    wanted = map_tree(lambda x: x.expand(n, *x.shape[1:]), one)
    parts = [(cut_rows(path, at, at + UNIT), cut_rows(wanted, at, at + UNIT)) for at in range(0, n, UNIT)]
    return _joined([(sampler.render(z, c), c) for z, c in parts])  # type: ignore[operator]


def as_samples(made: tuple[Tree, Tree], spec: Spec) -> Samples:
    return Samples(made[0], spec, made[1])
