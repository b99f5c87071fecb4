"""The objects that one training run uses in every step, and the means of its scalars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from gancore.games.draw import BatchSource
from gancore.games.game import MAIN, Game, Move
from gancore.games.gradient import Gradient, GradientReducer
from gancore.games.optimizers import OptimizerState


@dataclass(frozen=True)
class TrainingSetup:
    """What does not change between steps: the game, its data, the optimizers, and how a batch is divided."""

    game: Game
    batches: BatchSource
    optimizers: Mapping[str, OptimizerState]
    scalars: ScalarMeans
    batch_size: int
    micro_batches: int = 1
    bf16: bool = False
    resume_state: list[object] = field(default_factory=list, compare=False)
    """Where :func:`gancore.training.loop.play` stopped and continues; empty at first."""

    @property
    def samples_per_step(self) -> int:
        """Real samples that a step uses."""
        return self.game.samples_per_step(self.batch_size, self.batches.views)

    @cached_property
    def reducer(self) -> GradientReducer:
        """Adds up gradients over micro-batches and processes."""
        return GradientReducer(self.batches.processes, self.micro_batches)


class ScalarMeans:
    """Means of scalars since the last :meth:`read`, which alone transfers them from the device."""

    def __init__(self) -> None:
        self._pending: list[tuple[list[str], Tensor]] = []
        self._sums: dict[str, tuple[float, int]] = {}

    def note(self, move: Move, gradient: Gradient, norm: Tensor, skip: Tensor) -> None:
        """Add one move: its cost's terms and logged values, its gradient's norm, and whether it was masked.

        The name of a term is prefixed by its player; a logged value keeps its name.
        """
        prefix = move.player if move.cost == MAIN else f"{move.player}/{move.cost}"
        names = [f"{move.player}/{name}" if name in gradient.terms else name for name in gradient.means]
        values = [*(mean.detach().float() for mean in gradient.means.values()), norm.float(), skip]
        self._pending.append(([*names, f"{prefix}/gradient_norm", f"{prefix}/masked"], torch.stack(values)))

    def reset(self) -> None:
        """Forget everything noted so far, as a process does that logs nothing."""
        self._pending, self._sums = [], {}

    def read(self) -> dict[str, float]:
        """Means since the last call, by name; one transfer from the device."""
        sums = self.sums()
        self.reset()
        return {name: total / count for name, (total, count) in sums.items()}

    def sums(self) -> dict[str, tuple[float, int]]:
        """Sum and count of the values since the last :meth:`read`, by name, as a checkpoint stores them."""
        if self._pending:
            flat = torch.cat([values for _, values in self._pending]).tolist()
            names = [name for names, _ in self._pending for name in names]
            self._pending = []
            for name, number in zip(names, flat, strict=True):
                total, count = self._sums.get(name, (0.0, 0))
                self._sums[name] = (total + number, count + 1)
        return dict(self._sums)

    def load(self, sums: Mapping[str, tuple[float, int]]) -> None:
        """Continue from the sums of a checkpoint."""
        self._pending, self._sums = [], dict(sums)
