"""What is wrong with generated samples: symptoms that many of them show, and values that are not finite."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import NamedTuple

from torch import Tensor

from gancore.domain import Finding
from gancore.errors import DataError

PENALTY_KEYS = "[model.penalty_weight|model.gamma|model.weight|model.penalty]"
"""The keys by which recipes set the weight of their gradient penalty: see :func:`applicable`."""
RATE_KEYS = "[model.lr|model.learning_rate]"
"""The keys by which recipes set the learning rates."""
CALMER = f"lower the learning rates {RATE_KEYS}"
PENALISE = f"raise the weight of the gradient penalty {PENALTY_KEYS}, penalise gradients [model.penalty=r1]"
"""Where there is a penalty, a stronger one; where there is none, one."""
STEADIER = f"{PENALISE}, train longer"
"""What steadies training in either kind of model; part of many a remedy."""


def applicable(remedy: str, keys: Container[str]) -> str:
    """Those alternatives of ``remedy`` that a recipe with these ``keys`` of its section has.

    Alternatives stand between commas. One that needs a key ends with ``[model.pack|model.packed]``, the
    names that the key may have: the first that the recipe has is shown; without one, the alternative is left
    out. ``[model.penalty=r1]`` is a key with a value that would help (``RecipeSection.keys_that_help``).
    """
    kept = []
    for alternative in re.split(r", (?:or )?|; ", remedy):
        text, names = _split_keys(alternative)
        found = [name for name in names if name.removeprefix("model.") in keys]
        if found or not names:
            kept.append(f"{text} ({found[0]})" if found else text)
    return ", or ".join(kept)


def _split_keys(alternative: str) -> tuple[str, list[str]]:
    text, bracket, names = alternative.strip().removesuffix("]").partition(" [")
    return text, names.split("|") if bracket else []


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
