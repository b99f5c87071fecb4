"""Trees of tensors (pytrees): a tensor, or a tuple, list or mapping of trees, or None."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

Tree: TypeAlias = Any
"""A tensor; a tuple, list or mapping of trees; or None."""


def tree_map(function: Callable[[Tensor], Tensor], tree: Tree) -> Tree:
    """Apply ``function`` to every leaf."""
    if tree is None:
        return None
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, Mapping):
        return {name: tree_map(function, branch) for name, branch in tree.items()}
    if isinstance(tree, (tuple, list)):
        return type(tree)(tree_map(function, branch) for branch in tree)
    raise TypeError(f"a batch tree holds tensors, tuples, lists, mappings, None; not {type(tree).__name__}")


def tree_leaves(tree: Tree) -> list[Tensor]:
    """All tensors of the tree, in order."""
    return list(_iterate(tree))


def _iterate(tree: Tree) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, Mapping):
        for branch in tree.values():
            yield from _iterate(branch)
    elif isinstance(tree, (tuple, list)):
        for branch in tree:
            yield from _iterate(branch)
    elif tree is not None:
        raise TypeError(
            f"a batch tree holds tensors, tuples, lists, mappings, None; not {type(tree).__name__}"
        )


def tree_unflatten(tree: Tree, leaves: Sequence[Tensor]) -> Tree:
    """A tree with the structure of ``tree`` and these leaves."""
    iterator = iter(leaves)
    return tree_map(lambda _: next(iterator), tree)


def tree_batch_size(tree: Tree) -> int:
    """The size of axis 0, which is the same for all leaves.

    Raises:
        ValueError: the sizes differ, or there is no leaf.
    """
    counts = {leaf.shape[0] for leaf in tree_leaves(tree)}
    if len(counts) != 1:
        raise ValueError(f"leaves of a batch must have the same size of axis 0, not {sorted(counts)}")
    return counts.pop()


def tree_slice(tree: Tree, start: int, stop: int) -> Tree:
    """Examples ``start`` to ``stop`` of every leaf."""
    return tree_map(lambda leaf: leaf[start:stop], tree)


def tree_cat(trees: Sequence[Tree]) -> Tree:
    """Concatenate trees of the same structure along axis 0."""
    columns = zip(*(tree_leaves(tree) for tree in trees), strict=True)
    return tree_unflatten(trees[0], [torch.cat(column) for column in columns])


def tree_all_finite(tree: Tree) -> bool:
    """Whether every value of every leaf is finite."""
    return all(bool(torch.isfinite(leaf).all()) for leaf in tree_leaves(tree))
