"""Batches beside each other: whether they are equal bit by bit, how far apart, what they are."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gancore.trees import Tree, leaves


def outline(tree: Tree) -> Any:
    """The tree with every tensor replaced by its shape without rows, and its type."""
    if isinstance(tree, Tensor):
        return tuple(tree.shape[1:]), str(tree.dtype).removeprefix("torch.")
    if isinstance(tree, Mapping):
        return {name: outline(branch) for name, branch in tree.items()}
    if isinstance(tree, tuple | list):
        return [type(tree).__name__, *(outline(branch) for branch in tree)]
    return None


def told(tree: Tree) -> str:
    """``(rows, 1, 64) float32``."""
    if isinstance(tree, Tensor):
        shape = ", ".join(["rows", *map(str, tree.shape[1:])])
        return f"({shape}) {str(tree.dtype).removeprefix('torch.')}"
    if isinstance(tree, Mapping):
        return "{" + ", ".join(f"{name}: {told(branch)}" for name, branch in tree.items()) + "}"
    if isinstance(tree, tuple | list):
        return type(tree).__name__ + "(" + ", ".join(map(told, tree)) + ")"
    return "None" if tree is None else type(tree).__name__


def equal(one: Tree, other: Tree) -> bool:
    """Bit by bit; NaN equals NaN."""
    if outline(one) != outline(other):
        return False
    return all(_equal(a, b) for a, b in zip(leaves(one), leaves(other), strict=True))


def _equal(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape:
        return False
    same = a == b
    return bool((same | (a.isnan() & b.isnan()) if a.is_floating_point() else same).all())


def apart(one: Tree, other: Tree) -> float:
    """The largest difference, as a share of the largest value, at least 1; infinite for other outlines."""
    if outline(one) != outline(other):
        return float("inf")
    shares = [0.0]
    for a, b in zip(leaves(one), leaves(other), strict=True):
        a, b = (x.detach().double().cpu() for x in (a, b))
        if a.shape != b.shape or not bool(a.isfinite().all() and b.isfinite().all()):
            return float("inf")
        scale = max(1.0, float(a.abs().max())) if a.numel() else 1.0
        shares.append(float((a - b).abs().max()) / scale if a.numel() else 0.0)
    return max(shares)


def finite(tree: Tree) -> bool:
    return all(bool(leaf.isfinite().all()) for leaf in leaves(tree) if leaf.is_floating_point())


def differing(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that one has and the other has not, or not the same."""
    names = [*one, *(name for name in other if name not in one)]
    return [n for n in names if n not in one or n not in other or not equal(one[n], other[n])]


@contextlib.contextmanager
def global_generators(seed: int) -> Iterator[None]:
    """Within, the generators that belong to nobody (torch, numpy, random) stand at ``seed``."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
