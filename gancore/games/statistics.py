"""Figures of the run, gathered on the device and read only when a log line is due."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from gancore.games.game import Move
    from gancore.games.gradient import Gradient


class Statistics:
    """Sums since the last reading. Nothing is read from the device before :meth:`read`."""

    def __init__(self) -> None:
        self._pending: list[tuple[list[str], Tensor]] = []
        self._sums: dict[str, tuple[float, int]] = {}

    def move(self, move: Move, gradient: Gradient, norm: Tensor, skip: Tensor) -> None:
        """Note one move: its cost's terms, what it saw, its gradient's norm, and whether it was masked.

        A term is named after its player; what a cost saw keeps the name that the game gave it.
        """
        step = move.player if move.cost == "loss" else f"{move.player}/{move.cost}"
        names = [f"{move.player}/{name}" if name in gradient.terms else name for name in gradient.means]
        values = [*(mean.detach().float() for mean in gradient.means.values()), norm.float(), skip]
        self._pending.append(([*names, f"{step}/gradient_norm", f"{step}/masked"], torch.stack(values)))

    def forget(self) -> None:
        """For a process that logs nothing."""
        self._pending, self._sums = [], {}

    def read(self) -> dict[str, float]:
        """Means since the last reading; one transfer from the device."""
        sums = self.sums()
        self.forget()
        return {name: total / count for name, (total, count) in sums.items()}

    def sums(self) -> dict[str, tuple[float, int]]:
        """Sum and number of what was noted since the last reading, by name: what a checkpoint keeps."""
        if self._pending:
            flat = torch.cat([values for _, values in self._pending]).tolist()
            names = [name for names, _ in self._pending for name in names]
            self._pending = []
            for name, number in zip(names, flat, strict=True):
                total, count = self._sums.get(name, (0.0, 0))
                self._sums[name] = (total + number, count + 1)
        return dict(self._sums)

    def recall(self, sums: Mapping[str, tuple[float, int]]) -> None:
        """Go on from sums that a checkpoint kept."""
        self._pending, self._sums = [], dict(sums)
