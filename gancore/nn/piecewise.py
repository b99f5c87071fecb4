"""Maps that are linear piece by piece, for networks under a gradient penalty.

A penalty on |grad_x D| is differentiated through the first gradient. Such maps have no second derivative
(but on the edges of their pieces), yet torch sends zeros back through all layers before them, at the cost of
a whole backward pass. These say that there is nothing: the same gradients, without that pass. Parameters
that a penalty does not see, such as biases, then have no gradient of it instead of zeros, and a lazy step
leaves them as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def leaky_relu(x: Tensor, slope: float = 0.01) -> Tensor:
    """max(x, 0) + slope min(x, 0)."""
    return _piecewise(
        x,
        lambda x: nn.functional.leaky_relu(x, slope),
        lambda g, x: torch.ops.aten.leaky_relu_backward(g, x, slope, False),
    )


def avg_pool2d(x: Tensor, size: int) -> Tensor:
    """Means of ``size`` x ``size`` cells: (batch, channels, height, width) to a ``size``-th of each side."""
    sides = [size, size]
    return _piecewise(
        x,
        lambda x: nn.functional.avg_pool2d(x, size),
        lambda g, x: torch.ops.aten.avg_pool2d_backward(g, x, sides, sides, [0, 0], False, True, None),
    )


def _piecewise(
    x: Tensor, function: Callable[[Tensor], Tensor], pullback: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """``function(x)``, whose gradient is ``pullback(g, x)``: linear in g, and flat in x."""
    y: Tensor = _Piecewise.apply(x, function, pullback)  # type: ignore[no-untyped-call]
    return y


class _Piecewise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, function: Any, pullback: Any) -> Tensor:
        ctx.set_materialize_grads(False)  # else nothing would become zeros, and travel on
        ctx.save_for_backward(x)
        ctx.pullback = pullback
        y: Tensor = function(x)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor | None) -> tuple[Tensor | None, None, None]:
        (x,) = ctx.saved_tensors
        return None if g is None else ctx.pullback(g, x.detach()), None, None
