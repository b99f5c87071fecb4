"""Whether every number of a sample is drawn anew: for each row, and for each key."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gancore.testing.check import Breach
from gancore.trees import Tree, leaves

ALIKE = 0.5
"""Rank correlation of the rows of two keys; by chance 64 independent rows have 0.13."""
FEWEST_OTHERS = 8
"""Rows that must differ from the commonest value: of a number that hardly varies little can be said."""
DRAWN = "draw from the key that sample is given (key / 'name'), with the rows on the first axis"


def require_variety(one: Tree, other: Tree, real: Tree, third: Callable[[], Tree]) -> None:
    """``one`` and ``other`` are samples of two keys, ``third`` gives those of a third one.

    Raises:
        Breach: a number's rows are alike under all three keys, or alike among themselves.
    """
    pairs = list(zip(*(map(_columns, leaves(tree)) for tree in (one, other)), strict=True))
    for number, ((a, b), held) in enumerate(zip(pairs, leaves(real), strict=True)):
        name = f"leaf {number + 1} of {len(pairs)}" if len(pairs) > 1 else "the samples"
        still_a, still_b = (bool((x == x[:1]).all()) for x in (a, b))
        if still_a and still_b and held.is_floating_point() and not (held == held[:1]).all():
            raise Breach(f"of {name} all rows are equal, and real ones are not", DRAWN)
        _require_own_rows(name, a, b)
    suspect = [_correlated(a, b).nonzero()[:, 0] for a, b in pairs]
    if not any(map(len, suspect)):
        return
    last = map(_columns, leaves(third()))
    for number, ((a, b), columns, c) in enumerate(zip(pairs, suspect, last, strict=True)):
        a, b, c = (x[:, columns] for x in (a, b, c))
        fixed = _correlated(a, c) & _correlated(b, c)
        if fixed.any():
            raise Breach(
                f"number {int(columns[fixed][0])} of leaf {number + 1} has the same rows, or nearly so, "
                f"whatever the key ({int(fixed.sum())} numbers have)",
                DRAWN,
            )


def _require_own_rows(name: str, a: Tensor, b: Tensor) -> None:
    still = (a == a[:1]).all(0) & (b == b[:1]).all(0) & (a[0] != b[0])
    if still.any():
        raise Breach(
            f"number {int(still.nonzero()[0, 0])} of {name} is one for all rows, another under another key",
            DRAWN,
        )


def _columns(leaf: Tensor) -> Tensor:
    """(rows, numbers of a row), float64."""
    return leaf.reshape(len(leaf), -1).double()


def _correlated(a: Tensor, b: Tensor) -> Tensor:
    """Which numbers (booleans) are large in the same rows of both, by their ranks."""
    varied = torch.ones(a.shape[1], dtype=torch.bool)
    ranks = []
    for x in (a, b):
        rank = _ranks(x)
        varied &= (x != x.mode(0).values).sum(0) >= FEWEST_OTHERS
        rank = rank - rank.mean(0)
        ranks.append(rank / rank.norm(dim=0).clamp_min(1e-12))
    alike: Tensor = varied & ((ranks[0] * ranks[1]).sum(0) > ALIKE)
    return alike


def _ranks(x: Tensor) -> Tensor:
    """Mean ranks within each column: equal values have the same one."""
    below = torch.stack([(x < row).double().sum(0) for row in x])
    upto = torch.stack([(x <= row).double().sum(0) for row in x])
    return (below + upto) / 2
