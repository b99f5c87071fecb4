"""Common faults of generated text: one text repeated, empty texts, texts that do not end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from gancore import Diagnostic
from gancore.training import LOWER_LR, DiagnosticRule, apply_rules

RULES = {
    "repeated": DiagnosticRule(
        0.25,
        "one and the same text",
        f"use an earlier checkpoint; {LOWER_LR}; raise the entropy bonus [model.entropy_weight]",
    ),
    "empty": DiagnosticRule(
        0.05, "empty", f"{LOWER_LR}; look for very short texts in the data, raise data.min_characters"
    ),
    "long": DiagnosticRule(
        0.1, "longer than 99 % of the data", f"train longer; {LOWER_LR}; lower data.max_characters"
    ),
}
FEWEST_EQUAL = 3
"""Fewer equal texts among samples are chance."""


def diagnose(texts: Sequence[str], usual_bytes: int) -> list[Diagnostic]:
    """Faults of a set of samples, each with its share and advice."""
    return apply_rules(RULES, find_faults(texts, usual_bytes))


def find_faults(texts: Sequence[str], usual_bytes: int) -> dict[str, Tensor]:
    """Which samples are ``repeated``, ``empty``, ``long``: bool (n) each.

    ``repeated``: equal to the most frequent text that is not empty, if there are at least FEWEST_EQUAL.
    """
    counts = Counter(text for text in texts if text.strip())
    (most, count), *_ = counts.most_common(1) or [("", 0)]
    return {
        "repeated": torch.tensor(
            [text == most and count >= FEWEST_EQUAL for text in texts], dtype=torch.bool
        ),
        "empty": torch.tensor([not text.strip() for text in texts], dtype=torch.bool),
        "long": torch.tensor([len(text.encode()) > usual_bytes for text in texts], dtype=torch.bool),
    }
