"""What is wrong with generated samples: symptoms that many of them show, and values that are not finite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from gancore.domain import Finding
from gancore.errors import DataError

STEADIER = "raise a GAN's gradient penalty, train a likelihood model longer"
"""What steadies training in either kind of model; part of many a remedy."""


class Symptom(NamedTuple):
    """What a sample may show. It is worth a word from this ``share`` of the samples on."""

    share: float
    seen: str
    remedy: str


def shown(symptoms: Mapping[str, Symptom], found: Mapping[str, Tensor]) -> list[Finding]:
    """A finding for each symptom that enough samples show. ``found``: which samples do, bool (n) each."""
    findings = []
    for name, showing in found.items():
        count, n, symptom = int(showing.sum()), len(showing), symptoms[name]
        if count and count >= symptom.share * n:
            findings.append(Finding(name, f"{count} of {n} samples are {symptom.seen}", symptom.remedy))
    return findings


def finite_rows(data: Tensor) -> Tensor:
    """The samples (n, ...) as they can be written: float32, on the CPU, without a gradient.

    Raises:
        DataError: a sample holds values that are not finite.
    """
    rows = data.detach().float().cpu()
    broken = (~rows.isfinite().flatten(1).all(1)).nonzero().flatten()
    if len(broken):
        raise DataError(
            f"{len(broken)} of {len(rows)} samples are not finite, first number {int(broken[0]) + 1}",
            "use an earlier checkpoint, or train again in fp32",
        )
    return rows
