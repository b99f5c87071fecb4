"""Tokenizers: from a text to the ids of its tokens, and back."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Protocol, get_args

from gancore import Spec
from gancore.errors import ConfigError

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Definition

TokenizerName = Literal["word", "character", "bpe", "local"]
TOKENIZERS: tuple[TokenizerName, ...] = get_args(TokenizerName)
"""``local`` is the user's, ``data.tokenizer``."""

END, UNKNOWN = 0, 1
"""Ids of every tokenizer: the end of the text, which is also the padding after it, and any unknown token."""
RESERVED = 2
UNKNOWN_TEXT = "<unk>"
"""What an unknown token is decoded to."""

WORD = re.compile(r" ?\w+| ?[^\w\s]+|\s")
"""A word, or other characters in a row, with the space before it. Tokens joined again are the text."""


def split_words(text: str) -> list[str]:
    """The words and punctuation of a text, as measures count them: without the spaces before them."""
    return [word.strip() or word for word in WORD.findall(text) if word != " "]


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
    prefix = ""
    """What is removed from the start of a decoded text."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.vocabulary = list(vocabulary)
        self.size = RESERVED + len(self.vocabulary)
        self._ids = {token: RESERVED + number for number, token in enumerate(self.vocabulary)}

    def split(self, text: str) -> list[str]:
        """The tokens of a text; joined again they are the text."""
        raise TypeError(f"{type(self).__name__} must define split(text)")

    def encode(self, text: str) -> list[int]:
        return [self._ids.get(token, UNKNOWN) for token in self.split(text)]

    def unknown(self, text: str) -> list[str]:
        return [token for token in self.split(text) if token not in self._ids]

    def decode(self, ids: Iterable[int]) -> str:
        return "".join(self.pieces[number] for number in ids).removeprefix(self.prefix)

    @cached_property
    def pieces(self) -> list[str]:
        """The text of each id; none of END."""
        return ["", self.prefix + UNKNOWN_TEXT, *self.vocabulary]


class CharacterTokenizer(VocabularyTokenizer):
    """One token a character (Unicode code point)."""

    def split(self, text: str) -> list[str]:
        return list(text)


class WordTokenizer(VocabularyTokenizer):
    """One token a word, number or run of punctuation, with the space before it.

    Texts are read as if a space preceded them, so that a word is the same token at the start of a text.
    """

    prefix = " "

    def split(self, text: str) -> list[str]:
        return WORD.findall(self.prefix + text)


class BPETokenizer:
    """Byte-pair encoding of bytes (Sennrich et al. 2016; Radford et al. 2019); no text is unknown.

    A text may be spelt by other sequences too, of which ``encode`` gives one.
    """

    is_unique = False

    def __init__(self, definition: str) -> None:
        self._definition = load_definition(definition)
        self.size = RESERVED + 1 + max(self._definition.get_vocab().values(), default=-1)

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


class LocalTokenizer(BPETokenizer):
    """A tokenizer of the library ``tokenizers``, by its definition.

    A text that it does not give back (it changes letters, or has no token for one) is one unknown token, so
    that its likelihood pays for its whole spelling.
    """

    def encode(self, text: str) -> list[int]:
        ids = super().encode(text)
        return ids if super().decode(ids) == text else [UNKNOWN]

    def unknown(self, text: str) -> list[str]:
        return [text] if self.encode(text) == [UNKNOWN] else []

    def decode(self, ids: Iterable[int]) -> str:
        ids = list(ids)
        return UNKNOWN_TEXT if ids == [UNKNOWN] else super().decode(ids)

    def returned(self, text: str) -> str:
        """What the text becomes when its tokens are joined again."""
        return super().decode(super().encode(text))


def load_definition(definition: str) -> Definition:
    """A tokenizer that encodes special tokens in a text as text, and neither cuts nor pads.

    Raises:
        ValueError: it is not the definition of one.
    """
    from tokenizers import Tokenizer as Definition

    try:
        found = Definition.from_str(definition)
    except Exception as error:  # the library raises no narrower type
        raise ValueError(" ".join(str(error).split())) from None
    found.encode_special_tokens = True
    found.no_truncation()
    found.no_padding()
    return found


def make_tokenizer(name: TokenizerName, spec: Spec) -> Tokenizer:
    """The tokenizer of this name, with the vocabulary that the spec has of it.

    Raises:
        ConfigError: the data have no local one.
    """
    if name == "local":
        if not spec.get("tokenizer"):
            raise ConfigError("model.tokenizer=local, but the data have none", "set data.tokenizer=PATH")
        return LocalTokenizer(spec["tokenizer"])
    if name == "bpe":
        return BPETokenizer(spec["bpe"])
    return CharacterTokenizer(spec["characters"]) if name == "character" else WordTokenizer(spec["words"])


class Vocabularies:
    """The vocabularies of train: what a spec holds for :func:`make_tokenizer`."""

    def __init__(
        self,
        texts: Sequence[str],
        min_count: int,
        max_words: int,
        bpe_size: int,
        words: Sequence[str] = (),
    ) -> None:
        """``words``: those of a known distribution, in place of the frequent ones."""
        self._texts, self._bpe_size = texts, bpe_size
        counts = Counter(word for text in texts for word in WORD.findall(" " + text))
        frequent = [word for word, count in _by_count(counts) if count >= min_count][:max_words]
        self.words = [f" {word}" for word in words] or frequent
        self.characters = [c for c, _ in _by_count(self._characters())]
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
