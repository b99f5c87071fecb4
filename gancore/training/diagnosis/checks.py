"""The possible findings: how often each check must fail in a row before it is reported, and remedies.

Remedies have the format of :func:`gancore.diagnostics.applicable_fixes`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gancore.diagnostics import LOWER_LR, RAISE_PENALTY
from gancore.domain import Diagnostic

QUIET_CHECKS = 5  # the number of passed checks after which a finding is reported again

_SLOWER_DISCRIMINATOR = "lower the discriminator's learning rate [model.judge_lr|model.discriminator_lr]"
_STABILISE = f"{LOWER_LR}, clip gradients [model.clip_grad_norm], or train in fp32 (--precision fp32)"
_OTHER_DYNAMICS = "--set train.dynamics.name=extragradient (or consensus)"

FINDINGS = {  # name: (failed checks in a row before it is reported, remedy)
    "non-finite values": (1, _STABILISE),
    "non-finite samples": (1, _STABILISE),
    "discriminator wins": (
        10,
        f"{RAISE_PENALTY}, {_SLOWER_DISCRIMINATOR}, give the discriminator fewer moves "
        f"[model.discriminator_steps=1], or {_OTHER_DYNAMICS}",
    ),
    "vanishing generator gradient": (
        3,
        f"use the non-saturating or a Wasserstein loss [model.loss], {RAISE_PENALTY},"
        f" {_SLOWER_DISCRIMINATOR}, or {_OTHER_DYNAMICS}",
    ),
    "oscillation": (
        5,
        f"{RAISE_PENALTY}, {_OTHER_DYNAMICS}, {LOWER_LR}, or average the generator [model.ema_halflife]",
    ),
    "diversity collapse": (
        2,
        f"{RAISE_PENALTY}, {LOWER_LR}, give the discriminator more moves [model.discriminator_steps], let it"
        " see several samples at once (packing) [model.pack|model.packed], or keep the best model instead of"
        " the last (validation.select)",
    ),
    "memorising discriminator": (
        2,
        "add data, augment real and generated samples [model.augmentation], use a smaller discriminator"
        f" [model.discriminator_width|model.width], {RAISE_PENALTY}, or stop earlier"
        " (validation.select)",
    ),
}


IMMEDIATE = frozenset({"non-finite values", "non-finite samples"})
"""Findings that are reported from the first step on; the others only after the early phase."""


@dataclass(frozen=True)
class Check:
    """The result of one check of a run. ``part`` distinguishes checks with the same name."""

    name: str
    failed: bool
    observed: str
    part: str = ""


class FindingTracker:
    """Converts results of checks to findings.

    A finding is reported once, and again only after its check has passed ``QUIET_CHECKS`` times.
    """

    def __init__(self) -> None:
        self._trackers: dict[tuple[str, str], Persistence] = {}

    def update(self, checks: Iterable[Check], early: bool = False) -> list[Diagnostic]:
        """The new findings; if ``early``, only those of :data:`IMMEDIATE` checks."""
        findings = []
        for check in checks:
            if early and check.name not in IMMEDIATE:
                continue
            patience, remedy = FINDINGS[check.name]
            persistence = self._trackers.setdefault((check.name, check.part), Persistence(patience))
            if persistence.update(check.failed):
                findings.append(Diagnostic(check.name, check.observed, remedy))
        return findings


class Persistence:
    """Reports when a check has failed ``patience`` times in a row, once until it has passed for a while."""

    def __init__(self, patience: int) -> None:
        self._patience, self._count, self._reported = patience, 0, False

    def update(self, failed: bool) -> bool:
        self._count = self._count + 1 if failed != self._reported else 0
        if self._count < (max(self._patience, QUIET_CHECKS) if self._reported else self._patience):
            return False
        self._reported, self._count = failed, 0
        return failed
