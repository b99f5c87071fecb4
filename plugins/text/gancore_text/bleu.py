"""BLEU of every text of a set against many references at once, and of every text against all others."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gancore_text.ngrams import Numbers, counts_by_text, lengths

Values = npt.NDArray[np.float64]
EPSILON = 0.1
"""Matches that are counted where there is none: method 1 of Chen and Cherry 2014, as in nltk."""


def bleu_scores(texts: Numbers, references: Numbers, order: int) -> Values:
    """Sentence BLEU of each text against all references, with equal weights, (n).

    Papineni et al. 2002: the geometric mean over k to ``order`` of the share of its n-grams that match, each
    at most as often as in the reference that has it most often, times the brevity penalty for the reference
    whose length is closest. 0 without a common token. Both are n-grams that were numbered together.
    """
    matches = np.zeros((order, len(texts)))
    for k in range(1, order + 1):
        size = 1 + int(max(texts[:, k - 1].max(initial=0), references[:, k - 1].max(initial=0)))
        most = np.zeros(size, dtype=np.int64)
        _, numbers, counts = counts_by_text(references, k)
        np.maximum.at(most, numbers, counts)
        rows, numbers, counts = counts_by_text(texts, k)
        matches[k - 1] = np.bincount(rows, np.minimum(counts, most[numbers]), len(texts))
    own = lengths(texts)
    closest = _closest_lengths(own, np.bincount(lengths(references)), excluded=False)
    return _combine(matches, own, closest)


def self_bleu_scores(texts: Numbers, order: int) -> Values:
    """Sentence BLEU of each text against all others, itself excluded, (n); exact, in one pass.

    The count of an n-gram in the other text that has it most often is the largest count of all texts, or the
    second largest for the text that has the largest.
    """
    matches = np.zeros((order, len(texts)))
    for k in range(1, order + 1):
        rows, numbers, counts = counts_by_text(texts, k)
        by_count = np.lexsort((rows, -counts, numbers))
        first = np.flatnonzero(np.diff(numbers[by_count], prepend=-1))  # of each n-gram the largest count
        second = np.minimum(first + 1, max(0, len(numbers) - 1))
        size = 1 + int(numbers.max(initial=0))
        most, owner, next_most = (np.zeros(size, dtype=np.int64) for _ in range(3))
        present = numbers[by_count][first]
        most[present], owner[present] = counts[by_count][first], rows[by_count][first]
        is_same = numbers[by_count][second] == present
        next_most[present] = np.where(is_same & (second > first), counts[by_count][second], 0)
        others = np.where(owner[numbers] == rows, next_most[numbers], most[numbers])
        matches[k - 1] = np.bincount(rows, np.minimum(counts, others), len(texts))
    own = lengths(texts)
    return _combine(matches, own, _closest_lengths(own, np.bincount(own), excluded=True))


def _closest_lengths(own: Numbers, references: Numbers, excluded: bool) -> Numbers:
    """For each text the closest length of a reference, of two equally close ones the smaller, (n).

    ``references``: how many there are of each length; ``excluded``: the text is one of them.
    """
    longest = int(max(own.max(initial=0), len(references) - 1))
    available = np.bincount(np.arange(len(references)), references, longest + 1)
    closest = np.zeros(longest + 1, dtype=np.int64)
    for length in np.unique(own):
        counts = available.copy()
        counts[length] -= excluded
        present = np.flatnonzero(counts > 0)
        closest[length] = present[np.abs(present - length).argmin()] if len(present) else length
    return closest[own]


def _combine(matches: Values, own: Numbers, closest: Numbers) -> Values:
    """From the numbers of matches (order, n) and the lengths (n)."""
    tokens = np.maximum(own, 1)
    log_precision = np.zeros(len(own))
    for k, matched in enumerate(matches, start=1):
        possible = np.maximum(own - k + 1, 1)
        log_precision += np.log(np.where(matched > 0, matched, EPSILON) / possible) / len(matches)
    brevity = np.where(own > closest, 0.0, 1 - closest / tokens)
    return np.where(matches[0] > 0, np.exp(log_precision + brevity), 0.0)
