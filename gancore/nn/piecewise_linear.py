"""Piecewise linear functions for networks under a gradient penalty.

A penalty on |grad_x D| is differentiated through the first gradient. The second derivative of such functions
is 0 (except at the edges of their pieces), yet torch sends zeros back through all layers before them, at the
cost of a whole backward pass. These return no gradient instead of zeros: the same result without that pass.
Parameters that a penalty does not use, such as biases, then have a gradient of None instead of zeros, and a
lazy update does not change them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

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
    """Means of ``size`` x ``size`` cells of (batch, channels, height, width)."""
    sides = [size, size]
    return _piecewise(
        x,
        lambda x: nn.functional.avg_pool2d(x, size),
        lambda g, x: torch.ops.aten.avg_pool2d_backward(g, x, sides, sides, [0, 0], False, True, None),
    )


def _piecewise(
    x: Tensor, function: Callable[[Tensor], Tensor], backward_function: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """``function(x)``, whose gradient is ``backward_function(g, x)``: linear in g, and constant in x."""
    y: Tensor = cast(Any, _Piecewise).apply(x, function, backward_function)
    return y


class _Piecewise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, function: Any, backward_function: Any) -> Tensor:
        ctx.set_materialize_grads(False)  # otherwise None would become zeros and continue
        ctx.save_for_backward(x)
        ctx.backward_function = backward_function
        y: Tensor = function(x)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor | None) -> tuple[Tensor | None, None, None]:
        (x,) = ctx.saved_tensors
        return None if g is None else ctx.backward_function(g, x.detach()), None, None
