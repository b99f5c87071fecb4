"""Tokenizers: from a text to the ids of its tokens, and back."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Literal, Protocol, get_args

from gancore import Spec

TokenizerName = Literal["word", "character", "bpe"]
TOKENIZERS: tuple[TokenizerName, ...] = get_args(TokenizerName)

END, UNKNOWN = 0, 1
"""Ids of every tokenizer: the end of the text, which is also the padding after it, and any unknown token."""
RESERVED = 2
UNKNOWN_TEXT = "<unk>"
"""What an unknown token is decoded to."""

WORD = re.compile(r" ?\w+| ?[^\w\s]+|\s")
"""A word, or other characters in a row, with the space before it. Tokens joined again are the text."""


class Tokenizer(Protocol):
    """``encode`` knows no control tokens: a text that spells one is text.

    Ids are ``END``, ``UNKNOWN``, then ``RESERVED`` onwards; ``size`` is their number. The end is not part of
    what ``encode`` returns. ``is_unique``: a text is the decoding of one sequence only.
    """

    size: int
    is_unique: bool

    def encode(self, text: str) -> list[int]: ...

    def unknown(self, text: str) -> list[str]:
        """The texts of the tokens that ``encode`` makes UNKNOWN, in order."""
        ...

    def decode(self, ids: Iterable[int]) -> str: ...


class VocabularyTokenizer:
    """Tokens of a list, found by splitting the text; all others are unknown."""

    is_unique = True

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.vocabulary = list(vocabulary)
        self.size = RESERVED + len(self.vocabulary)
        self._ids = {token: RESERVED + number for number, token in enumerate(self.vocabulary)}

    def split(self, text: str) -> list[str]:
        """The tokens of a text; joined again they are the text."""
        raise NotImplementedError

    def encode(self, text: str) -> list[int]:
        return [self._ids.get(token, UNKNOWN) for token in self.split(text)]

    def unknown(self, text: str) -> list[str]:
        return [token for token in self.split(text) if token not in self._ids]

    def decode(self, ids: Iterable[int]) -> str:
        return "".join(self._text_of(number) for number in ids)

    def _text_of(self, number: int) -> str:
        return UNKNOWN_TEXT if number == UNKNOWN else self.vocabulary[number - RESERVED]


class CharacterTokenizer(VocabularyTokenizer):
    """One token a character (Unicode code point)."""

    def split(self, text: str) -> list[str]:
        return list(text)


class WordTokenizer(VocabularyTokenizer):
    """One token a word, number or run of punctuation, with the space before it.

    Texts are read as if a space preceded them, so that a word is the same token at the start of a text.
    """

    def split(self, text: str) -> list[str]:
        return WORD.findall(" " + text)

    def decode(self, ids: Iterable[int]) -> str:
        return super().decode(ids).removeprefix(" ")

    def _text_of(self, number: int) -> str:
        return " " + UNKNOWN_TEXT if number == UNKNOWN else self.vocabulary[number - RESERVED]


class BPETokenizer:
    """Byte-pair encoding of bytes (Sennrich et al. 2016; Radford et al. 2019); no text is unknown.

    A text may be spelt by other sequences too, of which ``encode`` gives one.
    """

    is_unique = False

    def __init__(self, definition: str) -> None:
        from tokenizers import Tokenizer as Definition

        self._definition = Definition.from_str(definition)
        self.size = RESERVED + self._definition.get_vocab_size()

    @classmethod
    def train(cls, texts: Iterable[str], size: int) -> str:
        """The definition, as JSON, of a tokenizer with at most ``size`` tokens learnt from ``texts``."""
        from tokenizers import Tokenizer as Definition
        from tokenizers import decoders, models, pre_tokenizers, trainers

        definition = Definition(models.BPE())
        definition.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        definition.decoder = decoders.ByteLevel()
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False, initial_alphabet=alphabet)
        definition.train_from_iterator(texts, trainer)
        return str(definition.to_str())

    def encode(self, text: str) -> list[int]:
        return [RESERVED + number for number in self._definition.encode(text, add_special_tokens=False).ids]

    def unknown(self, text: str) -> list[str]:
        return []

    def decode(self, ids: Iterable[int]) -> str:
        known = (number - RESERVED for number in ids if number >= RESERVED)
        text: str = self._definition.decode(list(known), skip_special_tokens=False)
        return text


def make_tokenizer(name: TokenizerName, spec: Spec) -> Tokenizer:
    """The tokenizer of this name, with the vocabulary that the spec has of it."""
    if name == "bpe":
        return BPETokenizer(spec["bpe"])
    return CharacterTokenizer(spec["characters"]) if name == "character" else WordTokenizer(spec["words"])


class Vocabularies:
    """The vocabularies of train: what a spec holds for :func:`make_tokenizer`."""

    def __init__(self, texts: Sequence[str], min_count: int, max_words: int, bpe_size: int) -> None:
        self._texts, self._bpe_size = texts, bpe_size
        counts = Counter(word for text in texts for word in WORD.findall(" " + text))
        frequent = [word for word, count in _by_count(counts) if count >= min_count]
        self.words, self.characters = frequent[:max_words], [c for c, _ in _by_count(self._characters())]
        known = set(self.words)
        self.rare_words = {word: n for word, n in counts.items() if word not in known}

    def _characters(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for text in self._texts:
            counts.update(text)
        return counts

    @cached_property
    def bpe(self) -> str:
        return BPETokenizer.train(self._texts, self._bpe_size)


def _by_count(counts: Counter[str]) -> list[tuple[str, int]]:
    """The most frequent first; equally frequent ones by their code points."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
