"""Adam on some rows of a matrix: what CELL is fitted by."""

from __future__ import annotations

from torch import Tensor

BETAS, EPSILON = (0.9, 0.999), 1e-8


def update_rows(
    part: Tensor,
    first: Tensor,
    second: Tensor,
    rows: Tensor | None,
    gradient: Tensor,
    step: int,
    lr: float,
    weight_decay: float,
) -> None:
    """Update ``part`` and its moments (n, rank), in place, in ``rows`` (count), each once, or in all.

    ``gradient`` (count, rank) is of these rows; ``weight_decay`` times the rows is added to it. Moments of
    other rows stay as they are, as in ``torch.optim.SparseAdam``; ``step`` counts from 1.
    """
    own, m, v = (part, first, second) if rows is None else (x[rows] for x in (part, first, second))
    gradient = gradient + weight_decay * own
    m = m.lerp_(gradient, 1 - BETAS[0])
    v = v.lerp_(gradient.square(), 1 - BETAS[1])
    unbiased = (v / (1 - BETAS[1] ** step)).sqrt_().add_(EPSILON)
    own = own.addcdiv_(m, unbiased, value=-lr / (1 - BETAS[0] ** step))
    if rows is not None:
        for target, values in ((part, own), (first, m), (second, v)):
            target[rows] = values
