"""Batches are trees: a tensor, or a tuple, list or mapping of trees, or None."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

Tree: TypeAlias = Any
"""A tensor; a tuple, list or mapping of trees; or None."""


def map_tree(function: Callable[[Tensor], Tensor], tree: Tree) -> Tree:
    """``function`` applied to every leaf."""
    if tree is None:
        return None
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, Mapping):
        return {name: map_tree(function, branch) for name, branch in tree.items()}
    if isinstance(tree, (tuple, list)):
        return type(tree)(map_tree(function, branch) for branch in tree)
    raise TypeError(f"a batch tree holds tensors, tuples, lists, mappings, None; not {type(tree).__name__}")


def leaves(tree: Tree) -> list[Tensor]:
    """All tensors of the tree, in order."""
    return list(_walk(tree))


def _walk(tree: Tree) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, Mapping):
        for branch in tree.values():
            yield from _walk(branch)
    elif isinstance(tree, (tuple, list)):
        for branch in tree:
            yield from _walk(branch)
    elif tree is not None:
        raise TypeError(
            f"a batch tree holds tensors, tuples, lists, mappings, None; not {type(tree).__name__}"
        )


def rebuild(tree: Tree, new_leaves: Sequence[Tensor]) -> Tree:
    """A tree of the same shape with these leaves."""
    supply = iter(new_leaves)
    return map_tree(lambda _: next(supply), tree)


def count_rows(tree: Tree) -> int:
    """The length of axis 0, which all leaves share.

    Raises:
        ValueError: the leaves disagree, or there is none.
    """
    counts = {leaf.shape[0] for leaf in leaves(tree)}
    if len(counts) != 1:
        raise ValueError(f"the leaves of a batch share axis 0; found lengths {sorted(counts)}")
    return counts.pop()


def cut_rows(tree: Tree, start: int, stop: int) -> Tree:
    return map_tree(lambda leaf: leaf[start:stop], tree)


def join_rows(trees: Sequence[Tree]) -> Tree:
    """Several trees of one shape, stacked along axis 0."""
    columns = zip(*(leaves(tree) for tree in trees), strict=True)
    return rebuild(trees[0], [torch.cat(column) for column in columns])


def all_finite(tree: Tree) -> bool:
    """Whether no leaf holds NaN or an infinite value."""
    return all(bool(torch.isfinite(leaf).all()) for leaf in leaves(tree))
