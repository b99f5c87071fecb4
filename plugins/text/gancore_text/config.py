"""``data`` for text: which column, which texts are left out, and the vocabularies that models may choose from."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, PositiveInt, model_validator

from gancore.config import DataConfig
from gancore.data.dataset import BoundedText, SpecSchema


class TextConfig(DataConfig):
    """Texts are stored with single spaces and without spaces at their ends; nothing else is changed."""

    column: str | None = Field(
        None, description="column or key that holds the text; none: text, sentence, caption, content or body"
    )
    lowercase: bool = Field(False, description="convert texts to lower case")
    min_characters: PositiveInt = Field(1, description="shorter texts are left out")
    max_characters: PositiveInt | None = Field(
        None, le=10_000, description="longer texts are left out; none: the length of 99 % of them, at most 400"
    )
    min_count: PositiveInt = Field(2, description="words that are rarer in train are unknown to word tokenizers")
    max_words: PositiveInt = Field(20_000, le=200_000, description="words of the vocabulary, the most frequent")
    bpe_size: PositiveInt = Field(
        2000, ge=256, le=100_000, description="tokens of the byte-pair vocabulary, 256 of them bytes"
    )
    valid_fraction: float = Field(0.1, gt=0, le=0.4, description="share of the texts held out to select by")
    test_fraction: float = Field(0.1, gt=0, le=0.4, description="share of the texts held out to report on")

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if self.max_characters is not None and self.max_characters < self.min_characters:
            raise ValueError(f"max_characters {self.max_characters} is below min_characters {self.min_characters}")
        return self


class TextSchema(SpecSchema):
    """What a model of text knows of its data."""

    max_bytes: Annotated[int, Field(ge=1, le=40_000, description="bytes of the longest text, as UTF-8")]
    characters: list[BoundedText] = Field(description="characters of train, the most frequent first")
    words: list[BoundedText] = Field(description="words of train, each with the space before it")
    bpe: str = Field(max_length=1 << 26, description="the byte-pair tokenizer, as JSON of tokenizers")
    token_lengths: dict[str, int] = Field(description="tokens of the longest text, by tokenizer")
