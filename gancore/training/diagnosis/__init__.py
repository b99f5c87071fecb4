"""A watch over every run: on the scalars that are logged, on samples, on what the discriminator says.

Each fault is told once, and again only after it has gone and come back. What each verdict looks at, its
statistic and how often it is right: docs/diagnosis.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from gancore.domain import Finding
from gancore.training.diagnosis import memory
from gancore.training.diagnosis.motion import Motion
from gancore.training.diagnosis.scalars import Scalars
from gancore.training.diagnosis.spread import Spread
from gancore.training.diagnosis.verdicts import Alarms, Sign
from gancore.trees import Tree, all_finite


class Diagnosis:
    """Feed it what a run sees, as :class:`gancore.training.watching.Watch` does; it answers with what is
    newly wrong. While ``early`` is set, only values that are not finite are told.
    """

    def __init__(self) -> None:
        self._alarms, self.early = Alarms(), False
        self._scalars, self._motion, self._spread = Scalars(), Motion(), Spread()

    def reference(self, tree: Tree) -> None:
        """Show it real samples, so that it knows how diverse the data are."""
        self._spread.reference(tree)
        self._motion.reference(tree)

    def scalars(self, step: int, mapping: Mapping[str, Any]) -> list[Finding]:
        """Faults that the scalars of this log step bring to light; ``phase`` may be among them."""
        return self._alarms.hear(self._scalars.signs(step, mapping), self.early)

    def motion(self, step: int, tree: Tree) -> list[Finding]:
        """Faults of samples of the same latents, seen again and again."""
        return self._alarms.hear(self._motion.signs(step, tree), self.early) if all_finite(tree) else []

    def samples(self, tree: Tree) -> list[Finding]:
        """Faults of preview samples: rows on axis 0 of every leaf."""
        broken = not all_finite(tree)
        found = self._alarms.hear(
            [Sign("non-finite samples", broken, "generated samples hold NaN or infinite values")], self.early
        )
        return (
            found if broken else found + self._alarms.hear(self._spread.signs_of_sameness(tree), self.early)
        )

    def coverage(self, tree: Tree) -> list[Finding]:
        """Faults of many samples, beside the reference."""
        return self._alarms.hear(self._spread.signs_of_loss(tree), self.early) if all_finite(tree) else []

    def judgement(self, seen: Tensor, unseen: Tensor, fake: Tensor) -> list[Finding]:
        """Faults of the discriminator, from its logits on train rows, on held-out and on generated ones."""
        return self._alarms.hear(memory.signs(seen, unseen, fake), self.early)
