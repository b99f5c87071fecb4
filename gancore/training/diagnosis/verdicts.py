"""The names of what can be wrong, how long each must hold before it is told, and what helps.

Remedies are written as :func:`gancore.symptoms.applicable` reads them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gancore.domain import Finding
from gancore.symptoms import CALMER, PENALISE

CALM = 5  # looks without a fault, after which it is told anew

_SLOWER = "lower the discriminator's learning rate [model.judge_lr|model.discriminator_lr]"
_STEADIER = f"{CALMER}, clip gradients [model.clip], or train in fp32 (--precision fp32)"
_DYNAMICS = "--set train.dynamics.name=extragradient (or consensus)"

FAULTS = {  # name: (looks on end before it is told, remedy)
    "non-finite values": (1, _STEADIER),
    "non-finite samples": (1, _STEADIER),
    "discriminator wins": (
        10,
        f"{PENALISE}, {_SLOWER}, give the discriminator fewer moves [model.discriminator_moves=1], or"
        f" {_DYNAMICS}",
    ),
    "vanishing generator gradient": (
        3,
        f"use the non-saturating or a Wasserstein loss [model.loss], {PENALISE}, {_SLOWER}, or {_DYNAMICS}",
    ),
    "oscillation": (
        5,
        f"{PENALISE}, {_DYNAMICS}, {CALMER}, or average the generator [model.average]",
    ),
    "diversity collapse": (
        2,
        f"{PENALISE}, {CALMER}, give the discriminator more moves [model.discriminator_moves], let it see"
        " several samples at once (packing) [model.pack|model.packed], or keep the best model instead of the"
        " last (upkeep.select)",
    ),
    "memorising discriminator": (
        2,
        "add data, augment what it sees [model.augmentation], use a smaller discriminator"
        f" [model.judge_width|model.discriminator_width|model.width], {PENALISE}, or stop earlier"
        " (upkeep.select)",
    ),
}


AT_ONCE = frozenset({"non-finite values", "non-finite samples"})
"""Faults that are told from the first round on; the others wait until there is something to judge."""


@dataclass(frozen=True)
class Sign:
    """What one look at a run saw; a fault where it ``holds``. ``of`` tells apart signs of one name."""

    name: str
    holds: bool
    seen: str
    of: str = ""


class Alarms:
    """Turns signs into findings: each fault is told once, and again only after it had gone."""

    def __init__(self) -> None:
        self._alarms: dict[tuple[str, str], Alarm] = {}

    def hear(self, signs: Iterable[Sign], early: bool = False) -> list[Finding]:
        """``early``: only what can be judged from the first round on is heard."""
        found = []
        for sign in signs:
            if early and sign.name not in AT_ONCE:
                continue
            patience, remedy = FAULTS[sign.name]
            alarm = self._alarms.setdefault((sign.name, sign.of), Alarm(patience))
            if alarm.rings(sign.holds):
                found.append(Finding(sign.name, sign.seen, remedy))
        return found


class Alarm:
    """Rings when a fault has held ``patience`` times on end; then not before it was gone for a while."""

    def __init__(self, patience: int) -> None:
        self._patience, self._count, self._on = patience, 0, False

    def rings(self, holds: bool) -> bool:
        self._count = self._count + 1 if holds != self._on else 0
        if self._count < (max(self._patience, CALM) if self._on else self._patience):
            return False
        self._on, self._count = holds, 0
        return holds
