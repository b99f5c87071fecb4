"""Phase shuffle (Donahue et al. 2019, section 3.3): the discriminator shall not rely on phase."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gancore.games import noise


def phase_shuffle(x: Tensor, most: int, per_example: bool = True) -> Tensor:
    """Shift (batch, channels, time) by an integer uniform in [-most, most], the gap filled by reflection.

    One shift an example (as the paper describes it) or one for the whole batch (as its code does).
    """
    batch = x.shape[0]
    draws = noise(batch, x.device)
    if per_example:
        shifts = draws.integers(-most, most + 1, batch)
    else:
        shifts = draws.shared_integers(-most, most + 1, 1).expand(batch)
    return shift(x, shifts, most)


def shift(x: Tensor, shifts: Tensor, most: int) -> Tensor:
    """Row b moved by ``shifts[b]`` (to the right where positive), edges reflected without repetition."""
    shifted: Tensor = _Shift.apply(x, most - shifts, most)
    return shifted


class _Shift(torch.autograd.Function):
    """One gather of windows. Linear, so its derivative is its adjoint, and the adjoint's is itself."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, starts: Tensor, most: int) -> Tensor:
        ctx.save_for_backward(starts)
        ctx.most = most
        left, right = x[..., 1 : most + 1].flip(-1), x[..., -most - 1 : -1].flip(-1)
        return _windows(torch.cat([left, x, right], -1), x.shape[-1])[
            torch.arange(len(x), device=x.device), starts
        ]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        return _Adjoint.apply(gradient, *ctx.saved_tensors, ctx.most), None, None


class _Adjoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradient: Tensor, starts: Tensor, most: int) -> Tensor:
        ctx.save_for_backward(starts)
        ctx.most = most
        batch, channels, time = gradient.shape
        padded = gradient.new_zeros(batch, channels, time + 2 * most)
        _windows(padded, time)[torch.arange(batch, device=gradient.device), starts] = gradient
        x = padded[..., most : most + time].clone()
        x[..., 1 : most + 1] += padded[..., :most].flip(-1)
        x[..., -most - 1 : -1] += padded[..., -most:].flip(-1)
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        return _Shift.apply(gradient, *ctx.saved_tensors, ctx.most), None, None


def _windows(padded: Tensor, time: int) -> Tensor:
    """(batch, channels, time + 2 most) as overlapping windows (batch, 2 most + 1, channels, time), a view."""
    return padded.unfold(2, time, 1).transpose(1, 2)
