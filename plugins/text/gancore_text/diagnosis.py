"""Common faults of generated text: one text repeated, empty texts, texts that do not end, low entropy."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from gancore import Diagnostic
from gancore.training import LOWER_LR, DiagnosticRule, apply_rules
from gancore_text.tokenizer import split_words

RULES = {
    "repeated": DiagnosticRule(
        0.25,
        "one and the same text",
        f"use an earlier checkpoint; {LOWER_LR}; raise the entropy bonus [model.entropy_bonus]",
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
NARROW = 4.0
"""Agreement of samples over that of train; none of 600 sets of 16 real texts of four sources had 3.5."""
FEWEST_TEXTS = 16
WIDEN = (
    "raise the entropy bonus [model.entropy_bonus], raise the share of pretraining [model.pretraining],"
    f" use an earlier checkpoint, {LOWER_LR}, lower the discriminator's moves a step"
    " [model.discriminator_steps]"
)


def diagnose(texts: Sequence[str], usual_bytes: int, usual_agreement: float = 0.0) -> list[Diagnostic]:
    """Faults of a set of samples, each with its share and advice.

    ``usual_agreement``: that of train, see :func:`agreement`; 0: not known.
    """
    found = apply_rules(RULES, find_faults(texts, usual_bytes))
    ratio = agreement(texts) / usual_agreement if usual_agreement and len(texts) >= FEWEST_TEXTS else 0.0
    if ratio > NARROW:
        message = (
            f"the entropy of samples is low: their pairs of words agree {ratio:.1f} times as often as those"
            f" of train ({math.log(ratio):.1f} nats)"
        )
        found.append(Diagnostic("narrow", message, WIDEN))
    return found


def agreement(texts: Sequence[str]) -> float:
    """How often two adjacent words of one text are two adjacent words of another; 0 without pairs.

    -log of it is an entropy (Renyi's of order 2) of pairs of words. As it compares different texts, its
    expectation hardly depends on their number, so that 16 samples can be compared with train.
    """
    totals: Counter[tuple[str, str]] = Counter()
    within = pairs = pairs_within = 0
    for text in texts:
        counts = Counter(pairwise(split_words(text)))
        totals.update(counts)
        within += sum(count * count for count in counts.values())
        pairs += counts.total()
        pairs_within += counts.total() ** 2
    compared = pairs * pairs - pairs_within
    return (sum(count * count for count in totals.values()) - within) / compared if compared else 0.0


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
