"""Noise for text: the words of real texts in a random order."""

from __future__ import annotations

from torch import Tensor

from gancore.random import Key
from gancore_text.representation import canonical, texts_of
from gancore_text.tokenizer import split_words

FEWEST_WORDS = 3.0
"""Words of a text on average below which characters are shuffled: a script without spaces, single words."""


def shuffle_words(samples: Tensor, key: Key) -> Tensor:
    """Texts (n, bytes) of the words of all texts in a random order, each with as many words as before.

    Frequencies of words and lengths in words are those of real texts; nothing else is. Where texts have few
    words, of the characters likewise.
    """
    texts = texts_of(samples)
    rows: list[list[str]] = [split_words(text) for text in texts]
    separator = " "
    if sum(map(len, rows)) < FEWEST_WORDS * len(rows):
        rows, separator = [list(text) for text in texts], ""
    pool = [token for row in rows for token in row]
    drawn = iter([pool[at] for at in key.permutation(len(pool)).tolist()])
    shuffled = [separator.join(next(drawn) for _ in row) for row in rows]
    return canonical(shuffled, samples.shape[1]).to(samples.device)
