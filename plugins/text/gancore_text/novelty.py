"""What samples share with train: whole texts, n-grams, and the longest span of words in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gancore import View
from gancore.random import Key
from gancore_text.ngrams import NONE, Numbers, lengths, number_tokens
from gancore_text.representation import texts_of
from gancore_text.tokenizer import split_words

NGRAM = 4
"""Words of the n-grams that are looked up in train."""
LONGEST = 64
"""Longer spans in common count as this long."""
MOST_SEARCHED = 50_000
LONG_SPAN, LONG_SHARE = 8, 0.6
"""A sample contains a long span of train if it shares this many words in a row, and this share of its own."""
COPY, LONG, NEW = "copy of train", "long span of train", "new"


class Novelty(NamedTuple):
    """Of each text (n): whether it is in train, words of its longest span in common with a text of train, its
    own words, and how many of its n-grams of NGRAM words there are, and are in train.
    """

    copied: Tensor
    spans: Tensor
    lengths: Tensor
    ngrams: Tensor
    known_ngrams: Tensor

    def marks(self) -> list[str]:
        """COPY, LONG with the number of words, or NEW."""
        rows = zip(self.copied.tolist(), self.spans.tolist(), self.lengths.tolist(), strict=True)
        return [_mark(copied, int(span), int(length)) for copied, span, length in rows]


def _mark(copied: bool, span: int, length: int) -> str:
    if copied:
        return COPY
    is_long = span >= LONG_SPAN and span >= LONG_SHARE * length
    return f"{LONG}, {span} of {length} words" if is_long else NEW


def compare_with_train(texts: Sequence[Sequence[str]], train: Sequence[Sequence[str]]) -> Novelty:
    """Tokenized texts beside those of train, exact up to spans of LONGEST words."""
    kept = {tuple(row) for row in train}
    numbers, known = number_tokens([texts, train], 1)
    spans, ngrams, shared = _longest_spans(numbers[:, 0], known[:, 0])
    return Novelty(
        torch.tensor([tuple(row) in kept for row in texts], dtype=torch.bool),
        torch.from_numpy(spans),
        torch.from_numpy(lengths(numbers)),
        torch.from_numpy(ngrams),
        torch.from_numpy(shared),
    )


def _longest_spans(texts: Numbers, train: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Longest common spans, n-grams of NGRAM tokens, and those of them that are in train, (n) each.

    n-grams of k + 1 tokens are numbered by those of k tokens that both sets have; others are left out, so
    that each round is smaller than the one before.
    """
    n, (rows, width) = len(texts), (len(texts) + len(train), max(texts.shape[1], train.shape[1]))
    tokens = np.full((rows, width), NONE, dtype=np.int64)
    tokens[:n, : texts.shape[1]], tokens[n:, : train.shape[1]] = texts, train
    row, end = np.nonzero(tokens != NONE)
    ngrams = tokens[row, end]
    spans, known = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    base = int(tokens.max(initial=0)) + 2
    for size in range(1, min(LONGEST, width) + 1):
        both = np.intersect1d(ngrams[row < n], ngrams[row >= n])
        shared = np.isin(ngrams, both)
        row, end, ngrams = row[shared], end[shared], ngrams[shared]
        found = row[row < n]
        spans[found] = size
        if size == NGRAM:
            known = np.bincount(found, minlength=n)
        inside = end + 1 < width
        row, end, ngrams = row[inside], end[inside] + 1, ngrams[inside]
        follows = tokens[row, end]
        row, end, joined = (part[follows != NONE] for part in (row, end, ngrams * base + follows))
        if not (row < n).any():
            break
        ngrams = np.unique(joined, return_inverse=True)[1]
    counts = np.maximum((texts != NONE).sum(1) - NGRAM + 1, 0)
    return spans, counts, known


@dataclass
class _SearchedTexts:
    """The words of the texts of a view, kept for the next preview of the same run."""

    view: View | None = None
    words: Sequence[Sequence[str]] = ()

    def of(self, view: View) -> Sequence[Sequence[str]]:
        if view is not self.view:
            rows = torch.arange(min(len(view), MOST_SEARCHED))
            self.words = [
                split_words(text) for text in texts_of(view.get_batch(rows, Key.of("novelty")).data)
            ]
            self.view = view
        return self.words


_searched = _SearchedTexts()


def mark_novelty(texts: Sequence[str], train: View) -> list[str]:
    """For each text COPY, LONG with its words, or NEW; beside the first MOST_SEARCHED texts of train."""
    return compare_with_train([split_words(text) for text in texts], _searched.of(train)).marks()
