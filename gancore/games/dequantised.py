"""Dequantisation: discrete samples get a density, and a density of them cannot be without bound."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from gancore.domain import Batch
from gancore.games.representation import Representation
from gancore.runtime.randomness import Key, noise

Cells = Callable[[Tensor], tuple[Tensor, Tensor]]
"""The lower edge and the width of the cell of each number."""


class Dequantised(Representation):
    """Each number is spread evenly over the cell that it stands in: encode gives l(x) + w(x) u, u ~ U(0, 1).

    For any density q of what encode gives, by Jensen (Theis et al. 2016, section 3.1),

        log P(cell of x) = log int_cell q >= E_u log q(l + w u) + sum log w,

    so E_u log q(encode(x)) is a lower bound of log P(cell) - sum log w: of the density by which each cell's
    probability lies evenly within it. However often a value recurs, that is no more than -sum log w. Where
    nothing is trained u is the same for every row, and the same each time.

    ``cells`` must be a pure function. Decoded numbers are clamped between ``low`` and ``high``.
    """

    many_to_one = True
    bound = True

    def __init__(self, cells: Cells, low: float = -math.inf, high: float = math.inf) -> None:
        super().__init__()
        self.cells, self.low, self.high = cells, low, high

    def encode(self, batch: Batch) -> Batch:
        x = batch.data
        low, width = self.cells(x)
        if self.training:
            u = noise(len(x), x.device).uniform(*x.shape)
        else:
            u = Key.of("dequantise", device=x.device).uniform(1, *x.shape[1:])
        return Batch(low + width * u, batch.condition)

    def undecode(self, batch: Batch) -> Batch:
        return batch

    def decode(self, outputs: Tensor) -> Tensor:
        return outputs.clamp(self.low, self.high)

    def log_det(self, batch: Batch) -> Tensor:
        """0: edges and widths are in the samples' own units."""
        zeros: Tensor = batch.data.new_zeros(len(batch))
        return zeros
