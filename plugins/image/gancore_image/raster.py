"""Gated convolutions in raster order (van den Oord et al. 2016, section 2.1 and 2.2), whole and step by step.

Rows are gone through from above, each from the left. A vertical stack tells what stands in the rows above,
a horizontal one what stands to the left, so no place is blind for any that came before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from gancore.nn.causal import gated

NEAR = 3
"""Places to each side, and rows above, that the first layer sees."""


class RasterStack(nn.Module):
    """With v the vertical and h the horizontal stack, layer k of dilation d_k, and a condition c,

        v_(k+1) = v_k + gate(V_k * v_k + A_k c)            over 2 rows of 3 places, the lower one its own,
        z_k     = gate(H_k * h_k + B_k v_(k+1) + C_k c)    over 2 places, the right one its own,
        h_(k+1) = h_k + R_k z_k,

    gate(f, g) = tanh(f) sigmoid(g), and the outputs are sum_k S_k z_k + b. The first layer sees the rows
    above (v_0) and what stands to the left (h_0), never the place itself, and each row and each column adds
    numbers of its own.

    Planes are (batch, channels, side, side). Outputs at (i, j) hang on inputs of rows above i, and of row i
    to the left of j, alone. ``condition`` is the size of c, 0: there is none.
    """

    def __init__(
        self, inputs: int, width: int, outputs: int, side: int, dilations: Sequence[int], condition: int = 0
    ) -> None:
        super().__init__()
        self.width, self.side, self.dilations = width, side, tuple(dilations)
        depth = len(self.dilations)
        self.above = nn.Conv2d(inputs + 1, width, (NEAR, 2 * NEAR + 1))
        self.left = nn.Conv2d(inputs + 1, width, (1, NEAR))
        self.rows, self.columns = (nn.Parameter(0.1 * torch.randn(width, side)) for _ in range(2))
        self.vertical = nn.ModuleList(nn.Conv2d(width, 2 * width, (2, 3), dilation=d) for d in dilations)
        self.horizontal = nn.ModuleList(nn.Conv2d(width, 2 * width, (1, 2), dilation=d) for d in dilations)
        self.down = nn.ModuleList(nn.Conv2d(width, 2 * width, 1, bias=False) for _ in dilations)
        self.residuals = nn.ModuleList(nn.Conv2d(width, width, 1, bias=False) for _ in dilations[1:])
        self.skips = nn.Conv2d(depth * width, outputs, 1)  # all S_k beside each other
        self.condition = nn.Linear(condition, 2 * depth * 2 * width, bias=False) if condition else None

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(batch, inputs, side, side), (batch, condition) to (batch, outputs, side, side)."""
        x, told, gates = with_ones(x), self.told(condition), []
        v, h = self.first_above(x), self.first_left(x)
        for k in range(len(self.dilations)):
            v = self.next_above(k, v, told[0][k])
            z = gated(self.beside(k, h) + self.down[k](v) + told[1][k], 1)
            gates.append(z)
            if k < len(self.residuals):
                h = h + self.residuals[k](z)
        outputs: Tensor = self.skips(torch.cat(gates, 1))
        return outputs

    def first_above(self, x: Tensor) -> Tensor:
        """v_0, of x with its channel of ones."""
        padded = pad(x, (NEAR, NEAR, NEAR, 0))[:, :, :-1]
        v: Tensor = self.above(padded)
        return v

    def first_left(self, x: Tensor) -> Tensor:
        """h_0, with what each row and each column adds."""
        h: Tensor = self.left(pad(x, (NEAR, 0))[:, :, :, :-1])
        return h + self.rows[:, :, None] + self.columns[:, None]

    def next_above(self, k: int, v: Tensor, told: Tensor | float) -> Tensor:
        d = self.dilations[k]
        return v + gated(self.vertical[k](pad(v, (d, d, d, 0))) + told, 1)

    def beside(self, k: int, h: Tensor) -> Tensor:
        """H_k * h_k."""
        made: Tensor = self.horizontal[k](pad(h, (self.dilations[k], 0)))
        return made

    def told(self, condition: Tensor | None) -> tuple[Sequence[Tensor | float], Sequence[Tensor | float]]:
        """A_k c and C_k c of each layer, (batch, 2 * width, 1, 1) each."""
        depth = len(self.dilations)
        if self.condition is None:
            return [0.0] * depth, [0.0] * depth
        made = self.condition(condition).view(-1, 2, depth, 2 * self.width, 1, 1)
        return list(made[:, 0].unbind(1)), list(made[:, 1].unbind(1))

    def steps(self, rows: int, condition: Tensor | None = None) -> RasterSteps:
        """A walk over ``rows`` planes, place by place; each step costs the same."""
        return RasterSteps(self, rows, condition)


def with_ones(x: Tensor) -> Tensor:
    """A channel more, by which the planes are told from what is beside them."""
    return torch.cat([x, torch.ones_like(x[:, :1])], 1)


class RasterSteps:
    """The stack place by place: of each row the vertical stack once, from those of the rows above that its
    kernels see, and then along the row the horizontal one (as in Ramachandran et al. 2017). No gradient.

    :meth:`row` begins a row, given the one above it; :meth:`place` gives the outputs of its next place, from
    the input on its left. They are those of the whole plane but for rounding.
    """

    def __init__(self, stack: RasterStack, planes: int, condition: Tensor | None) -> None:
        self.stack = stack
        self.above_told, self.beside_told = stack.told(condition)
        new, width, side = stack.rows.new_zeros, stack.width, stack.side
        self.seen = new(planes, stack.above.in_channels, NEAR, side)  # the last rows of x
        self.v = [new(planes, width, d + 1, side) for d in stack.dilations]  # the last rows of each v_k
        self.weights = [_taps(cast(nn.Conv2d, layer)) for layer in stack.horizontal]
        self.bias = [cast(nn.Conv2d, layer).bias for layer in stack.horizontal]
        self.residuals = [cast(nn.Conv2d, layer).weight[:, :, 0, 0].T for layer in stack.residuals]
        self.first = torch.cat(list(_taps(stack.left)))
        self.skips = stack.skips.weight[:, :, 0, 0].T
        self.i = -1

    @torch.no_grad()
    def row(self, above: Tensor | None) -> None:
        """Begin the next row; ``above`` is the one before it, (planes, inputs, side), None at the first."""
        stack = self.stack
        self.i += 1
        if above is not None:
            self.seen = torch.cat([self.seen[:, :, 1:], with_ones(above)[:, :, None]], 2)
        v = stack.above(pad(self.seen, (NEAR, NEAR)))
        told = []
        for k, d in enumerate(stack.dilations):
            self.v[k] = torch.cat([self.v[k][:, :, 1:], v], 2)
            ends = pad(self.v[k][:, :, ::d], (d, d))
            layer = cast(nn.Conv2d, stack.vertical[k])
            v = v + gated(_over_rows(layer, ends, d) + self.above_told[k], 1)
            down = stack.down[k](v) + self.beside_told[k]
            told.append(down[:, :, 0].permute(2, 0, 1) + self.bias[k])  # (side, planes, 2 * width)
        self.told, self.j = told, 0
        planes = len(v)
        self.lefts = v.new_zeros(planes, NEAR * stack.left.in_channels)
        place = (stack.rows[:, self.i, None] + stack.columns).T + stack.left.bias
        self.places = place  # (side, width)
        self.h = [v.new_zeros(d + stack.side, planes, stack.width) for d in stack.dilations]

    @torch.no_grad()
    def place(self, left: Tensor | None) -> Tensor:
        """Outputs of the next place, (planes, outputs); ``left``, (planes, inputs), is None at the first."""
        stack, j, gates = self.stack, self.j, []
        if left is not None:
            self.lefts = torch.cat([self.lefts[:, left.shape[1] + 1 :], with_ones(left)], 1)
        h = self.lefts @ self.first + self.places[j]
        for k, d in enumerate(stack.dilations):
            self.h[k][d + j] = h
            far, near = self.weights[k]
            before = torch.addmm(self.told[k][j], self.h[k][j], far).addmm_(h, near)
            gates.append(gated(before))
            if k < len(self.residuals):
                h = torch.addmm(h, gates[-1], self.residuals[k])
        self.j += 1
        return torch.addmm(stack.skips.bias, torch.cat(gates, 1), self.skips)


def _taps(layer: nn.Conv2d) -> tuple[Tensor, ...]:
    """The matrices of a kernel of one row, (inputs, outputs) each, from the left."""
    return tuple(layer.weight[:, :, 0].permute(2, 1, 0))


def _over_rows(layer: nn.Conv2d, rows: Tensor, dilation: int) -> Tensor:
    """What the layer makes of just those rows that its kernel sees, (n, channels, 2, width)."""
    return torch.nn.functional.conv2d(rows, layer.weight, layer.bias, dilation=(1, dilation))
