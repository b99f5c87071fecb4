"""Augmentation of what a discriminator sees: reals and fakes alike, by one law, in every move."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gancore.errors import ConfigError
from gancore.games.cost import Cost
from gancore.games.discriminator import Discriminator
from gancore.games.schedules import Schedule, linear, value
from gancore.runtime.randomness import Noise, noise
from gancore.trees import Tree, count_rows, leaves, map_tree, rebuild

Change = Callable[[Tree, Noise], Tree]
"""Rows, each changed by draws of its own: differentiable, shapes kept. ``noise.uniform(rows, ...)`` draws."""


@dataclass(frozen=True)
class Adaptive:
    """The strength as overfitting asks for it (Karras et al. 2020, ADA, section 3.1).

    r_t = E sign D(x) on reals is held at ``target``: every ``every`` rounds the strength goes up where r_t is
    above, down where it is below, at a speed that leads from 0 to 1 within ``samples`` reals.
    """

    target: float = 0.6
    samples: int = 500_000
    every: int = 4


@dataclass(frozen=True)
class Augmentation:
    """``strength`` is the chance that a row undergoes a change, for each change apart.

    1.0 is Zhao et al. 2020 (every change on every row); a schedule runs over the phase.
    """

    changes: Sequence[Change]
    strength: Schedule | float | Adaptive = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.strength, (int, float)) and not 0 <= self.strength <= 1:
            raise ConfigError(f"an augmentation of strength {self.strength}", "give a chance, from 0 to 1")


How = Literal["none", "fixed", "rising", "adaptive"]
"""Of all that D sees: never, by a chance, by a chance that rises to it along a line, or as D overfits."""


def augmentation(how: How, changes: Sequence[Change], strength: float = 1.0) -> Augmentation | None:
    """What a configuration asks for; ``strength``: the chance, or where it rises its end."""
    strengths: dict[str, Schedule | float | Adaptive] = {
        "fixed": strength,
        "rising": linear(0.0, strength),
        "adaptive": Adaptive(),
    }
    return None if how == "none" else Augmentation(changes, strengths[how])


class Augmented(Discriminator):
    """A discriminator that sees embedded rows changed at random, while it trains.

    Penalties differentiate through the changes, at the row that was given. The strength is a buffer: a
    resumed run goes on with it.
    """

    def __init__(self, inner: Discriminator, augmentation: Augmentation) -> None:
        super().__init__()
        self.inner, self.augmentation = inner, augmentation
        asked = augmentation.strength
        self.strength: Tensor
        self.signs: Tensor
        start = 0.0 if isinstance(asked, Adaptive) else value(asked, 0.0)
        self.register_buffer("strength", torch.tensor(start))
        self.register_buffer("signs", torch.zeros(2))  # sum of r_t since the strength was adjusted, and moves

    def embed(self, data: Tree) -> Tree:
        return self.inner.embed(data)

    def judge(self, embedded: Tree, condition: Tree = None) -> Tensor:
        seen = self.changed(embedded) if self.training else embedded
        return self.inner.judge(seen, condition)

    def sqnorm(self, gradients: Tree) -> Tensor:
        return self.inner.sqnorm(gradients)

    def changed(self, embedded: Tree) -> Tree:
        """In fp32 at least, whoever made the rows: rounding must not tell fakes from reals."""
        rows, device = count_rows(embedded), leaves(embedded)[0].device
        chance = noise(rows, device)
        with torch.autocast(device.type, enabled=False):
            x = map_tree(lambda leaf: leaf.to(torch.promote_types(leaf.dtype, torch.float32)), embedded)
            for change in self.augmentation.changes:
                undergoes = chance.uniform(rows) < self.strength
                x = _chosen(undergoes, change(x, chance), x)
        return x

    def see(self, cost: Cost, verdict: Tensor) -> None:
        """``verdict``: above 0 where a real row is taken for real."""
        cost.see("r_t", verdict.sign()).see("augmentation", self.strength)

    def after_move(self, means: Mapping[str, Tensor]) -> None:
        """Adds up r_t, where the step was not masked."""
        if isinstance(self.augmentation.strength, Adaptive) and "r_t" in means:
            ok = means["ok"]
            self.signs += torch.stack([torch.where(ok > 0, means["r_t"].to(ok.dtype), 0.0), ok])

    def after_round(self, step: int, samples: int, progress: float) -> None:
        asked = self.augmentation.strength
        if not isinstance(asked, Adaptive):
            self.strength.fill_(value(asked, progress))
        elif (step + 1) % asked.every == 0:
            above = (self.signs[0] - asked.target * self.signs[1]).sign()
            self.strength.add_(above * (asked.every * samples / asked.samples)).clamp_(0, 1)
            self.signs.zero_()


def _chosen(undergoes: Tensor, changed: Tree, given: Tree) -> Tree:
    """Row by row one or the other, exactly."""

    def row_wise(new: Tensor, old: Tensor) -> Tensor:
        return torch.where(undergoes.view(-1, *[1] * (old.dim() - 1)), new, old)

    return rebuild(given, [row_wise(n, o) for n, o in zip(leaves(changed), leaves(given), strict=True)])
