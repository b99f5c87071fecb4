"""Checks of a run: of logged scalars, samples, and logits of the discriminator.

Each finding is reported once, and again only if its check has passed in between. docs/diagnosis.md defines
the statistic of each check, docs/diagnosis-rates.md has its error rates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from gancore.domain import Diagnostic
from gancore.training.diagnosis.checks import Check, FindingTracker
from gancore.training.diagnosis.diversity import DiversityChecks
from gancore.training.diagnosis.oscillation import OscillationCheck
from gancore.training.diagnosis.scalars import ScalarChecks, discriminator_checks
from gancore.trees import Tree, tree_all_finite


class Diagnosis:
    """Checks the data of a run. Every method returns the new findings.

    While ``early_phase`` is True, only non-finite values are reported.
    """

    def __init__(self) -> None:
        self._tracker, self.early_phase = FindingTracker(), False
        self._scalars, self._diversity = ScalarChecks(), DiversityChecks()
        self._oscillation = OscillationCheck()

    def set_reference(self, tree: Tree) -> None:
        """Set real samples, from which the diversity of the data is computed."""
        self._diversity.set_reference(tree)
        self._oscillation.set_reference(tree)

    def check_scalars(self, step: int, mapping: Mapping[str, Any]) -> list[Diagnostic]:
        """Check the scalars of a log step, which may contain ``phase``."""
        return self._update(self._scalars.checks(step, mapping))

    def check_motion(self, step: int, tree: Tree) -> list[Diagnostic]:
        """Check samples of fixed latents, which are given at regular intervals."""
        return self._update(self._oscillation.checks(step, tree)) if tree_all_finite(tree) else []

    def check_samples(self, tree: Tree) -> list[Diagnostic]:
        """Check preview samples; axis 0 of every leaf is the axis of rows."""
        is_finite = tree_all_finite(tree)
        observed = "generated samples contain NaN or infinite values"
        found = self._update([Check("non-finite samples", not is_finite, observed)])
        return found + self._update(self._diversity.check_sameness(tree)) if is_finite else found

    def check_coverage(self, tree: Tree) -> list[Diagnostic]:
        """Compare many samples with the reference."""
        return self._update(self._diversity.check_coverage(tree)) if tree_all_finite(tree) else []

    def check_discriminator(self, train: Tensor, valid: Tensor, fake: Tensor) -> list[Diagnostic]:
        """Check logits (rows,) of rows of train, of held-out rows and of generated rows."""
        return self._update(discriminator_checks(train, valid, fake))

    def _update(self, checks: Iterable[Check]) -> list[Diagnostic]:
        return self._tracker.update(checks, self.early_phase)
