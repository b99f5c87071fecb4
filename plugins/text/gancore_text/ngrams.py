"""The n-grams of sets of texts as numbers, on which measures count.

A set is an array (texts, order, positions), int64: at [i, k - 1, t] the number of the n-gram of k tokens that
ends at token t of text i, or NONE. Equal n-grams have equal numbers in all sets that were numbered together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gancore_text.representation import texts_of
from gancore_text.tokenizer import split_words

Unit = Literal["word", "character"]
"""Words are those of the word tokenizer, without the space before them; runs of punctuation are words."""
Numbers = npt.NDArray[np.int64]
NONE = -1


SPLITTERS: dict[Unit, Callable[[str], Sequence[str]]] = {"word": split_words, "character": str}


@lru_cache(maxsize=16)
def tokens_of(samples: Tensor, unit: Unit) -> Sequence[Sequence[str]]:
    """The tokens of canonical samples (n, bytes). Tensors are compared by identity."""
    return [SPLITTERS[unit](text) for text in texts_of(samples)]


@lru_cache(maxsize=12)
def number_ngrams(sets: tuple[Tensor, ...], unit: Unit, order: int) -> tuple[Tensor, ...]:
    """The n-grams of 1 to ``order`` tokens of sets of canonical samples, numbered together."""
    rows = [tokens_of(samples, unit) for samples in sets]
    return tuple(map(torch.from_numpy, number_tokens(rows, order)))


def number_tokens(sets: Sequence[Sequence[Sequence[str]]], order: int) -> list[Numbers]:
    """The n-grams of 1 to ``order`` tokens of sets of tokenized texts: (texts, order, positions) each.

    The numbers do not depend on the order of the texts.
    """
    rows = [row for tokens in sets for row in tokens]
    vocabulary = {token: number for number, token in enumerate(sorted({t for row in rows for t in row}))}
    width = max(map(len, rows), default=0)
    tokens = np.full((len(rows), max(1, width)), NONE, dtype=np.int64)
    for numbers, row in zip(tokens, rows, strict=True):
        numbers[: len(row)] = [vocabulary[token] for token in row]
    found, base = [tokens], len(vocabulary) + 1
    for _ in range(1, order):
        before = np.full_like(tokens, NONE)
        before[:, 1:] = found[-1][:, :-1]
        both = (before != NONE) & (tokens != NONE)
        ngrams = np.full_like(tokens, NONE)
        ngrams[both] = np.unique(before[both] * base + tokens[both], return_inverse=True)[1]
        found.append(ngrams)
    joined = np.stack(found, 1)
    return np.split(joined, np.cumsum([len(tokens) for tokens in sets])[:-1])


def lengths(ngrams: Numbers) -> Numbers:
    """Tokens of each text, (n)."""
    count: Numbers = (ngrams[:, 0] != NONE).sum(1)
    return count


def counts_by_text(ngrams: Numbers, k: int) -> tuple[Numbers, Numbers, Numbers]:
    """(text, n-gram of k tokens, how often it is in the text), sorted by text and n-gram."""
    texts, positions = np.nonzero(ngrams[:, k - 1] != NONE)
    numbers = ngrams[texts, k - 1, positions]
    base = int(numbers.max(initial=0)) + 1
    pairs, counts = np.unique(texts * base + numbers, return_counts=True)
    return pairs // base, pairs % base, counts


def totals(ngrams: Numbers, k: int, size: int) -> Numbers:
    """How often each of ``size`` n-grams of k tokens occurs, (size)."""
    numbers = ngrams[:, k - 1]
    counts: Numbers = np.bincount(numbers[numbers != NONE], minlength=size)
    return counts
