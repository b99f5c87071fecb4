"""Metrics of n-grams: BLEU, self-BLEU, distinct n-grams, divergences, repetition, entropies, lengths."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import wasserstein_distance

from gancore import Interval, Metric, MetricInputs
from gancore.metrics import mean_interval
from gancore_text.bleu import bleu_scores, self_bleu_scores
from gancore_text.intervals import jackknife
from gancore_text.ngrams import (
    NONE,
    Numbers,
    Unit,
    counts_by_text,
    lengths,
    number_ngrams,
    totals,
)

Values = npt.NDArray[np.float64]
SetValue = Callable[[Numbers, Numbers], float]
SHARED_ORDER = 5
REPEATED_TOKENS = 2
"""Length of the n-grams whose repetition is counted: one word is repeated in most good texts."""


def distinct(ngrams: Numbers, k: int) -> float:
    """Share of different n-grams among all n-grams of k tokens; 0 where there are none."""
    numbers = ngrams[:, k - 1][ngrams[:, k - 1] != NONE]
    return len(np.unique(numbers)) / len(numbers) if len(numbers) else 0.0


def jensen_shannon(fake: Numbers, real: Numbers, k: int) -> float:
    """JS divergence of the frequencies of n-grams of k tokens, in bits: 0 if equal, 1 if disjoint (Lin 1991).

    As gan_language's (Gulrajani et al. 2017). 1 if either set has no such n-gram.
    """
    size = int(max(fake.max(initial=0), real.max(initial=0))) + 1
    p, q = (totals(ngrams, k, size).astype(float) for ngrams in (fake, real))
    if not (p.sum() and q.sum()):
        return 1.0
    p, q = p / p.sum(), q / q.sum()
    divergence = entropy((p + q) / 2, 2.0) - (entropy(p, 2.0) + entropy(q, 2.0)) / 2
    return min(1.0, max(0.0, divergence))


def entropy(p: Values, base: float = np.e) -> float:
    p = p[p > 0]
    return float(-(p * np.log(p)).sum() / np.log(base)) + 0.0


def word_entropy(ngrams: Numbers) -> float:
    """Entropy of the frequencies of single tokens, in nats; 0 without tokens."""
    counts = totals(ngrams, 1, 1).astype(float)
    return entropy(counts / counts.sum()) if counts.sum() else 0.0


def text_entropy(ngrams: Numbers) -> float:
    """Entropy of the frequencies of texts, in nats: log n if all n differ."""
    counts = np.unique(ngrams[:, 0], axis=0, return_counts=True)[1]
    return entropy(counts / counts.sum())


def repeated_shares(ngrams: Numbers, k: int = REPEATED_TOKENS) -> Values:
    """Of each text the share of its n-grams of k tokens that it had before; 0 without n-grams."""
    texts, _, counts = counts_by_text(ngrams, k)
    total = np.bincount(texts, counts, len(ngrams))
    different = np.bincount(texts, minlength=len(ngrams))
    return np.asarray((total - different) / np.maximum(total, 1), dtype=float)


def length_distance(fake: Numbers, real: Numbers) -> float:
    """Wasserstein-1 distance of the numbers of tokens."""
    return float(wasserstein_distance(lengths(fake), lengths(real)))


def _sets(inputs: MetricInputs, unit: Unit, order: int) -> tuple[torch.Tensor, torch.Tensor]:
    """All measures of words share one numbering."""
    order = max(order, SHARED_ORDER) if unit == "word" else order
    fake, real = number_ngrams((inputs.fake.samples, inputs.real.samples), unit, order)
    return fake, real


def set_metric(
    compute: SetValue, unit_of_text: Unit, order: int, unit: str, own: bool = True, **options: Any
) -> Metric:
    """A metric of the n-grams of both sets, with a jackknife interval.

    ``own``: ``compute`` looks at its first argument alone; the value of the reference is then a detail.
    """

    def arrays(inputs: MetricInputs) -> tuple[Numbers, Numbers]:
        fake, real = _sets(inputs, unit_of_text, order)
        return fake.numpy(), real.numpy()

    def details(inputs: MetricInputs) -> Mapping[str, Any]:
        fake, real = arrays(inputs)
        sizes = {
            "texts": [len(fake), len(real)],
            f"{unit_of_text}s": [int(lengths(x).sum()) for x in (fake, real)],
        }
        return {**sizes, **({"of the reference": compute(real, fake)} if own else {})}

    return Metric(
        lambda inputs: compute(*arrays(inputs)),
        unit=unit,
        interval=lambda inputs: jackknife(inputs, *_sets(inputs, unit_of_text, order), compute),
        details=details,
        **options,
    )


def text_metric(
    compute: Callable[[Numbers, Numbers], Values], order: int, unit: str, method: str = "", **options: Any
) -> Metric:
    """A metric that is the mean of a value of each text, words being the tokens."""

    def values(inputs: MetricInputs) -> torch.Tensor:
        return torch.from_numpy(compute(*(rows.numpy() for rows in _sets(inputs, "word", order))))

    def interval(inputs: MetricInputs) -> Interval:
        low, high, name = mean_interval(values(inputs))
        return Interval(low, high, name + method)

    return Metric(lambda inputs: float(values(inputs).mean()), unit=unit, interval=interval, **options)


def _bleu(order: int) -> Metric:
    return text_metric(
        partial(bleu_scores, order=order),
        order,
        "0 to 1",
        ", given the references",
        higher_is_better=True,
        details=lambda inputs: {
            "references": len(inputs.real),
            "smoothing": "method 1 of nltk: 0.1 matches where there is none",
        },
        insensitive_to=frozenset({"collapse"}),
        kind="fidelity",
    )


def _self_bleu(order: int) -> Metric:
    return set_metric(
        lambda fake, real: float(self_bleu_scores(fake, order).mean()),
        "word",
        order,
        "0 to 1",
        higher_is_better=False,
        insensitive_to=frozenset({"noise"}),
        kind="diversity",
        quick=order == 4,
    )


def _distinct(k: int) -> Metric:
    return set_metric(
        lambda fake, real: distinct(fake, k),
        "word",
        k,
        "share",
        higher_is_better=True,
        insensitive_to=frozenset({"noise"}),
        kind="diversity",
    )


def _divergence(unit: Unit, k: int, quick: bool) -> Metric:
    blind = frozenset({"noise"}) if unit == "word" and k == 1 else frozenset()
    return set_metric(
        partial(jensen_shannon, k=k), unit, k, "bits", own=False, insensitive_to=blind, quick=quick
    )


bleu_2, bleu_3, bleu_4, bleu_5 = map(_bleu, (2, 3, 4, 5))
"""Mean BLEU of samples against all rows of the reference, equal weights (Papineni et al. 2002)."""
self_bleu_2, self_bleu_3, self_bleu_4, self_bleu_5 = map(_self_bleu, (2, 3, 4, 5))
"""Mean BLEU of each sample against all others, itself excluded (Zhu et al. 2018); equal samples stay."""
distinct_1, distinct_2, distinct_3, distinct_4 = map(_distinct, (1, 2, 3, 4))
word_js_1, word_js_2, word_js_3, word_js_4 = (_divergence("word", k, k <= 2) for k in (1, 2, 3, 4))
character_js_1, character_js_2, character_js_3, character_js_4 = (
    _divergence("character", k, k == 4) for k in (1, 2, 3, 4)
)
entropy_of_words = set_metric(
    lambda fake, real: word_entropy(fake),
    "word",
    1,
    "nats",
    higher_is_better=True,
    insensitive_to=frozenset({"noise"}),
    kind="diversity",
)
entropy_of_texts = set_metric(
    lambda fake, real: text_entropy(fake),
    "word",
    1,
    "nats",
    higher_is_better=True,
    insensitive_to=frozenset({"noise"}),
    kind="diversity",
)
repetition = text_metric(
    lambda fake, real: repeated_shares(fake),
    REPEATED_TOKENS,
    "share",
    details=lambda inputs: {
        "of the reference": float(repeated_shares(_sets(inputs, "word", REPEATED_TOKENS)[1].numpy()).mean())
    },
    insensitive_to=frozenset({"noise", "collapse"}),
    kind="fidelity",
)
"""Share of the pairs of words of a text that it had before."""
word_count_distance = set_metric(
    length_distance, "word", 1, "words", own=False, insensitive_to=frozenset({"noise", "collapse"})
)
