"""Samples as a function of (model, seed, number): the same whatever the batch size."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from gancore.domain import Domain, Samples, Spec
from gancore.errors import ConfigError
from gancore.runtime.randomness import Key, Rows
from gancore.trees import Tree, join_rows, map_tree

BLOCK = 256
"""Draws are made for blocks of so many rows and cut, so that sample i depends on the seed and i alone."""


@torch.no_grad()
def draw_samples(
    sampler: nn.Module, n: int, key: Key, condition: Callable[[int, Key], Tree], batch_size: int = 64
) -> tuple[Tree, Tree]:
    """``n`` canonical samples on the CPU, and their condition."""
    made = [_draw(sampler, rows, key / block, condition) for block, rows in _blocks(n, batch_size)]
    data, conditions = (list(trees) for trees in zip(*made, strict=True))
    return join_rows(data), None if conditions[0] is None else join_rows(conditions)


def _blocks(n: int, batch_size: int) -> Iterator[tuple[int, Rows]]:
    """(block, rows of it) for rows 0 ... n - 1, at most ``batch_size`` at a time."""
    for first in range(0, n, BLOCK):
        end = min(BLOCK, n - first)
        for start in range(0, end, min(batch_size, BLOCK)):
            yield first // BLOCK, Rows(start, min(start + batch_size, end), BLOCK)


def _draw(
    sampler: nn.Module, rows: Rows, key: Key, condition: Callable[[int, Key], Tree]
) -> tuple[Tree, Tree]:
    key = key.cut(rows)
    wanted = condition(rows.count, key / "condition")
    data = sampler.sample(rows.count, key, wanted)  # type: ignore[operator]
    return to_cpu(data), to_cpu(wanted)


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
    return to_cpu(sampler.render(path, wanted)), to_cpu(wanted)  # type: ignore[operator]


def as_samples(made: tuple[Tree, Tree], spec: Spec) -> Samples:
    return Samples(made[0], spec, made[1])
