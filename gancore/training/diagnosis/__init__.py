"""Checks every run: the logged scalars, the samples, and the discriminator's logits.

Each finding is reported once, and again only after it has disappeared and returned. What each check examines,
its statistic: docs/diagnosis.md; its error rates: docs/diagnosis-rates.md.
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
    """Receives the data of a run; every method returns the new findings.

    While ``early_phase`` is set, only non-finite values are reported.
    """

    def __init__(self) -> None:
        self._tracker, self.early_phase = FindingTracker(), False
        self._scalars, self._diversity = ScalarChecks(), DiversityChecks()
        self._oscillation = OscillationCheck()

    def set_reference(self, tree: Tree) -> None:
        """Real samples, which give the diversity of the data."""
        self._diversity.set_reference(tree)
        self._oscillation.set_reference(tree)

    def check_scalars(self, step: int, mapping: Mapping[str, Any]) -> list[Diagnostic]:
        """Findings in the scalars of this log step; ``phase`` may be among them."""
        return self._update(self._scalars.checks(step, mapping))

    def check_motion(self, step: int, tree: Tree) -> list[Diagnostic]:
        """Findings in samples from fixed latents, given at regular intervals."""
        return self._update(self._oscillation.checks(step, tree)) if tree_all_finite(tree) else []

    def check_samples(self, tree: Tree) -> list[Diagnostic]:
        """Findings in preview samples: rows on axis 0 of every leaf."""
        is_finite = tree_all_finite(tree)
        observed = "generated samples hold NaN or infinite values"
        found = self._update([Check("non-finite samples", not is_finite, observed)])
        return found + self._update(self._diversity.check_sameness(tree)) if is_finite else found

    def check_coverage(self, tree: Tree) -> list[Diagnostic]:
        """Findings in many samples, compared with the reference."""
        return self._update(self._diversity.check_coverage(tree)) if tree_all_finite(tree) else []

    def check_discriminator(self, train: Tensor, valid: Tensor, fake: Tensor) -> list[Diagnostic]:
        """Findings in the discriminator's logits of train rows, held-out rows and generated rows."""
        return self._update(discriminator_checks(train, valid, fake))

    def _update(self, checks: Iterable[Check]) -> list[Diagnostic]:
        return self._tracker.update(checks, self.early_phase)
