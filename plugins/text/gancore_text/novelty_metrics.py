"""Metrics of novelty: how much of samples train does not have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from torch import Tensor

from gancore import Interval, Metric, MetricInputs
from gancore.metrics import clopper_pearson, mean_interval
from gancore_text.intervals import ratio_interval
from gancore_text.ngrams import tokens_of
from gancore_text.novelty import Novelty, compare_with_train


@lru_cache(maxsize=4)
def novelty_of(samples: Tensor, train: Tensor) -> Novelty:
    """Of canonical samples (n, bytes). Tensors are compared by identity."""
    return compare_with_train(tokens_of(samples, "word"), tokens_of(train, "word"))


def _metric(share: Callable[[Novelty], float], interval: Callable[[Novelty], Interval], unit: str) -> Metric:
    """Neither end is better: good is the value of unseen real texts, which is a detail."""

    def of(inputs: MetricInputs, samples: Tensor) -> Novelty:
        return novelty_of(samples, inputs.train.samples)

    def details(inputs: MetricInputs) -> Mapping[str, Any]:
        return {
            "of the reference": share(of(inputs, inputs.real.samples)),
            "texts of train": len(inputs.train),
            "share of train that was searched": inputs.train_fraction,
        }

    return Metric(
        lambda inputs: share(of(inputs, inputs.fake.samples)),
        unit=unit,
        higher_is_better=None,
        interval=lambda inputs: interval(of(inputs, inputs.fake.samples)),
        details=details,
        requires=frozenset({"train"}),
        kind="memory",
    )


def _new_ngrams(found: Novelty) -> Tensor:
    return found.ngrams - found.known_ngrams


novel_texts = _metric(
    lambda found: float((~found.copied).double().mean()),
    lambda found: clopper_pearson(int((~found.copied).sum()), len(found.copied)),
    "share",
)
"""Share of samples that are no text of train, word for word."""
novel_ngrams = _metric(
    lambda found: int(_new_ngrams(found).sum()) / max(1, int(found.ngrams.sum())),
    lambda found: ratio_interval(_new_ngrams(found), found.ngrams.double()),
    "share",
)
"""Share of the n-grams of four words of samples that train does not have."""
longest_span = _metric(
    lambda found: float(found.spans.double().mean()),
    lambda found: mean_interval(found.spans),
    "words",
)
"""Mean length of the longest span of words that a sample shares with a text of train."""
