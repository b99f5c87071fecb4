"""Diagnostics of generated samples: faults that many samples have, and values that are not finite."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import NamedTuple

from torch import Tensor

from gancore.domain import Diagnostic
from gancore.errors import DataError

PENALTY_KEYS = "[model.penalty_weight|model.gamma|model.weight|model.penalty]"
"""Keys of recipes for the weight of the gradient penalty (see :func:`applicable_fixes`)."""
LR_KEYS = "[model.lr|model.learning_rate]"
"""Keys of recipes for learning rates."""
LOWER_LR = f"lower the learning rates {LR_KEYS}"
"""The fix for players that move too fast."""
RAISE_PENALTY = (
    f"raise the weight of the gradient penalty {PENALTY_KEYS}, penalise gradients [model.penalty=r1]"
)
"""Raise the weight of the penalty; without a penalty, add one."""
TRAIN_STEADIER = f"{RAISE_PENALTY}, train longer"
"""A fix that makes any training more stable."""


def applicable_fixes(fix: str, keys: Container[str]) -> str:
    """The alternatives of ``fix`` that apply to a recipe with these configuration keys.

    Alternatives are separated by commas. An alternative that needs a key ends with the possible names of the
    key, such as ``[model.pack|model.packed]``: the first name that the recipe has is printed. If it has none,
    the alternative is left out. ``[model.penalty=r1]`` is a key with a value that helps
    (``RecipeConfig.effective_keys``).
    """
    kept = []
    for alternative in re.split(r", (?:or )?|; ", fix):
        text, names = _split_keys(alternative)
        found = [name for name in names if name.removeprefix("model.") in keys]
        if found or not names:
            kept.append(f"{text} ({found[0]})" if found else text)
    return ", or ".join(kept)


def _split_keys(alternative: str) -> tuple[str, list[str]]:
    text, bracket, names = alternative.strip().removesuffix("]").partition(" [")
    return text, names.split("|") if bracket else []


class DiagnosticRule(NamedTuple):
    """A fault of samples, which is reported if at least the share ``min_share`` of them have it.

    ``description`` completes "3 of 16 samples are ..."; ``fix`` is as in :func:`applicable_fixes`.
    """

    min_share: float
    description: str
    fix: str


def apply_rules(rules: Mapping[str, DiagnosticRule], matches: Mapping[str, Tensor]) -> list[Diagnostic]:
    """A diagnostic for each rule that enough samples match; ``matches`` has a mask (n,) bool by rule."""
    findings = []
    for name, matching in matches.items():
        count, n, rule = int(matching.sum()), len(matching), rules[name]
        if count and count >= rule.min_share * n:
            findings.append(Diagnostic(name, f"{count} of {n} samples are {rule.description}", rule.fix))
    return findings


def require_finite(data: Tensor) -> Tensor:
    """The samples (n, ...) in float32, on the CPU and detached, for writing to files.

    Raises:
        DataError: a sample has values that are not finite.
    """
    rows = data.detach().float().cpu()
    broken = (~rows.isfinite().flatten(1).all(1)).nonzero().flatten()
    if len(broken):
        raise DataError(
            f"{len(broken)} of {len(rows)} samples are not finite, the first is number {int(broken[0]) + 1}",
            "use an earlier checkpoint, or train again in fp32",
        )
    return rows
